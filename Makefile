# sbxfs: everything is here; objects go under $(B).
#   make            builds sbxd, sbxfs, sbx-agent
#   make up | down  install what is missing, build, start, mount | undo
#   make test       every test      (README.md names the others)
-include config.mk

B ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC = gcc
MUSL_CC ?= musl-gcc
SAN ?=
WERROR ?=

PROGRAMS = $(B)/sbxd $(B)/sbxfs $(B)/sbx-agent
all: $(PROGRAMS)

ifeq ($(filter deps up down clean test lint,$(MAKECMDGOALS)),)
PKGS = libuv fuse3 jansson libseccomp libarchive sqlite3
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) || echo missing)
ifneq ($(filter missing,$(PKG_CFLAGS)),)
$(error a library is missing: make deps installs it)
endif
endif

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wswitch-enum
HARD = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
OPT ?= -O2 -g
CFLAGS = -std=c17 $(OPT) $(WARN) $(if $(SAN),-fsanitize=$(SAN) \
    -fno-omit-frame-pointer -U_FORTIFY_SOURCE,$(HARD)) $(if $(WERROR),-Werror)
CPPFLAGS = -D_GNU_SOURCE -I. -MMD -MP \
    -DSBX_PREFIX='"$(PREFIX)"' $(PKG_CFLAGS) $(CPPFLAGS.$(firstword \
    $(subst /, ,$<)))
LDFLAGS = $(if $(SAN),-fsanitize=$(SAN),-pie -Wl,-z,relro,-z,now)

# llhttp: a library of Debian 13, C sources in Debian 12's node-llhttp.
LLHTTP_SRC = /usr/share/llhttp
ifneq ($(wildcard $(LLHTTP_SRC)/llhttp.c),)
LLHTTP_OBJ = $(addprefix $(B)/llhttp/,api.o http.o llhttp.o)
LLHTTP_CPP = -I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1
else
LLHTTP_LIB = -lllhttp
endif
CPPFLAGS.daemon = $(LLHTTP_CPP)
CPPFLAGS.tests = $(LLHTTP_CPP)

# The layers: what an archive may use. `make lint` proves the includes.
NEED.lib =
NEED.agent = lib
NEED.runtimes = agent lib
NEED.pool = runtimes agent lib
NEED.daemon = pool runtimes agent lib
NEED.sbxfs = agent lib
LIBS.lib =
LIBS.agent =
LIBS.runtimes = -lseccomp -larchive
LIBS.pool = $(LIBS.runtimes) -lm
LIBS.daemon = -luv -ljansson -lsqlite3 $(LIBS.pool) $(LLHTTP_LIB)
LIBS.sbxfs = -lfuse3 -ljansson

FOLDERS = lib agent runtimes pool daemon sbxfs
AGENT_SHARED = agent/frame.c
src = $(if $(filter agent,$1),$(AGENT_SHARED),$(filter-out \
    $1/main.c,$(wildcard $1/*.c)))
obj = $(patsubst %.c,$(B)/%.o,$(call src,$1))
archives = $(foreach f,$1 $(NEED.$1),$(B)/$f.a)
LLHTTP.daemon = $(LLHTTP_OBJ)

define folder_rules
$(B)/$1.a: $(call obj,$1) $(LLHTTP.$1)
	rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$f)))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/llhttp/%.o: $(LLHTTP_SRC)/%.c
	@mkdir -p $(@D)
	$(CC) $(LLHTTP_CPP) $(OPT) -fPIE $(if $(SAN),-fsanitize=$(SAN)) \
	    -c -o $@ $<
$(B)/sbxd: $(B)/daemon/main.o $(call archives,daemon)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS.daemon)
$(B)/sbxfs: $(B)/sbxfs/main.o $(call archives,sbxfs)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS.sbxfs)

# The agent: musl, static, libc alone (it starts in any image).
MUSL_SRC = $(wildcard agent/*.c) lib/err.c lib/mem.c lib/buf.c lib/fd.c
MUSL_OBJ = $(patsubst %.c,$(B)/musl/%.o,$(MUSL_SRC))
$(B)/musl/%.o: %.c
	@mkdir -p $(@D)
	$(MUSL_CC) -D_GNU_SOURCE -I. -MMD -MP -std=c17 -O2 -g $(WARN) \
	    $(if $(WERROR),-Werror) -fstack-protector-strong \
	    -idirafter /usr/include \
	    -idirafter /usr/include/$(shell gcc -print-multiarch) -c -o $@ $<
$(B)/sbx-agent: $(MUSL_OBJ)
	$(MUSL_CC) -static -o $@ $^

# Unit tests: tests/unit/FOLDER.c or FOLDER_MODULE.c, each a program that
# links its own folder's archive and those below.
UNIT = $(patsubst %.c,$(B)/%,$(wildcard tests/unit/*.c))
folder_of = $(firstword $(subst _, ,$(basename $(notdir $1))))
define unit_rules
$(B)/tests/unit/$1: $(B)/tests/unit/$1.o $(call archives,$(call folder_of,$1))
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $(LIBS.$(call folder_of,$1)) \
	    $(shell pkg-config --libs check 2>/dev/null)
endef
$(foreach u,$(basename $(notdir $(wildcard tests/unit/*.c))),$(eval \
    $(call unit_rules,$u)))
unit: $(UNIT)

clean:
	rm -rf $(B)

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d $(B)/*/*/*/*.d)
.PHONY: all unit clean
