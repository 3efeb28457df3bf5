# sbxfs: everything is here; programs go to $(B), objects to $(B)/o.
#   make            builds sbxd, sbxfs, sbx-agent
#   make up | down  install what is missing, build, start, mount | undo
#   make test       every test      (README.md names the others)
# `make B=build/x SAN=address,undefined CC=clang ...` lives beside the rest.
-include config.mk

VERSION = 0.1
B ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC = gcc
MUSL_CC ?= musl-gcc
SAN ?=
WERROR ?=

PROGRAMS = $(B)/sbxd $(B)/sbxfs $(B)/sbx-agent
all: $(PROGRAMS)

# These begin with `config/deps` and build in a make of their own.
WRAPPERS = deps up down clean test test-long lint asan fuzz bench needs \
    uninstall
ifneq ($(filter-out $(WRAPPERS),$(or $(MAKECMDGOALS),all)),)
PKGS = libuv fuse3 jansson libseccomp libarchive sqlite3 gnutls libcurl
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
    -DSBX_PREFIX='"$(PREFIX)"' -DSBX_VERSION='"$(VERSION)"' $(PKG_CFLAGS) \
    $(CPPFLAGS.$(firstword $(subst /, ,$<)))
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
LIBS.lib = -lwslay -lgnutls
LIBS.agent =
LIBS.runtimes = -lseccomp -larchive
LIBS.pool = $(LIBS.runtimes) -lm
LIBS.daemon = -luv -ljansson -lsqlite3 $(LIBS.pool) $(LIBS.lib) $(LLHTTP_LIB)
LIBS.sbxfs = -lfuse3 -ljansson -lcurl-gnutls $(LIBS.lib)

FOLDERS = lib agent runtimes pool daemon sbxfs
AGENT_SHARED = agent/frame.c
src = $(if $(filter agent,$1),$(AGENT_SHARED),$(filter-out \
    $1/main.c,$(wildcard $1/*.c)))
obj = $(patsubst %.c,$(B)/o/%.o,$(call src,$1))
archives = $(foreach f,$1 $(NEED.$1),$(B)/$f.a)
LLHTTP.daemon = $(LLHTTP_OBJ)

define folder_rules
$(B)/$1.a: $(call obj,$1) $(LLHTTP.$1)
	rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$f)))

$(B)/o/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
# It runs in its parent's memory until its exec, on a stack that the next
# child takes over as it was left: the sanitizers take that for an overflow.
$(B)/o/runtimes/child.o: override SAN =
$(B)/llhttp/%.o: $(LLHTTP_SRC)/%.c
	@mkdir -p $(@D)
	$(CC) $(LLHTTP_CPP) $(OPT) -fPIE $(if $(SAN),-fsanitize=$(SAN)) \
	    -c -o $@ $<
$(B)/sbxd: $(B)/o/daemon/main.o $(call archives,daemon)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS.daemon)
$(B)/sbxfs: $(B)/o/sbxfs/main.o $(call archives,sbxfs)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS.sbxfs)

# The agent: musl, static, libc alone (it starts in any image).
MUSL_SRC = $(wildcard agent/*.c) lib/err.c lib/mem.c lib/buf.c lib/fd.c \
    lib/utf8.c lib/clock.c
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
# links its own folder's archive and those below. UNIT_OF chooses folders.
UNIT_OF = $(FOLDERS)
folder_of = $(firstword $(subst _, ,$(basename $(notdir $1))))
UNIT = $(patsubst %.c,$(B)/%,$(foreach u,$(wildcard tests/unit/*.c),$(if \
    $(filter $(UNIT_OF),$(call folder_of,$u)),$u)))
define unit_rules
$(B)/tests/unit/$1: $(B)/o/tests/unit/$1.o \
    $(if $(filter agent,$(call folder_of,$1)),$(B)/agent-test.a) \
    $(call archives,$(call folder_of,$1))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $(LIBS.$(call folder_of,$1)) \
	    $(shell pkg-config --libs check 2>/dev/null)
endef
$(foreach u,$(basename $(notdir $(wildcard tests/unit/*.c))),$(eval \
    $(call unit_rules,$u)))
unit: $(UNIT)

# What the agent's own tests and fuzzers link beside its framing: all of it
# but main, built like the rest.
AGENT_TEST_OBJ = $(patsubst %.c,$(B)/o/%.o,$(filter-out agent/main.c \
    $(AGENT_SHARED),$(wildcard agent/*.c)))
$(B)/agent-test.a: $(AGENT_TEST_OBJ)
	rm -f $@ && ar rcs $@ $^

# Fuzzers: tests/fuzz/NAME.c with LLVMFuzzerTestOneInput, its seeds in
# tests/fuzz/corpus/NAME. Linked with replay.c they are a test; `make fuzz`
# builds them again with libFuzzer.
FUZZ_NAMES = $(filter-out replay,$(basename $(notdir \
    $(wildcard tests/fuzz/*.c))))
FUZZ_ARCHIVES = $(B)/agent-test.a $(B)/sbxfs.a $(call archives,daemon)
FUZZ_LIBS = $(LIBS.daemon) $(LIBS.sbxfs)
$(FUZZ_NAMES:%=$(B)/tests/fuzz/%): $(B)/tests/fuzz/%: \
    $(B)/o/tests/fuzz/%.o $(B)/o/tests/fuzz/replay.o $(FUZZ_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(FUZZ_LIBS)
$(FUZZ_NAMES:%=$(B)/tests/fuzz/%.fuzzer): $(B)/tests/fuzz/%.fuzzer: \
    $(B)/o/tests/fuzz/%.o $(FUZZ_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(FUZZ_LIBS)

# Programs that tests/bench/run drives: static_NAME.c is musl's and static,
# like the agent; the others may use every archive below the daemon's.
BENCH_NAMES = $(basename $(notdir $(wildcard tests/bench/*.c)))
BENCH_STATIC = $(filter static_%,$(BENCH_NAMES))
$(BENCH_STATIC:%=$(B)/tests/bench/%): $(B)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(MUSL_CC) -D_GNU_SOURCE -std=c17 -O2 $(WARN) -static -o $@ $<
$(filter-out $(BENCH_STATIC:%=$(B)/tests/bench/%),$(BENCH_NAMES:%=$(B)/tests/bench/%)): \
    $(B)/tests/bench/%: $(B)/o/tests/bench/%.o $(call archives,pool)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS.pool) $(LIBS.sbxfs)

# Programs that cases in tests/t drive (evil_*.c they compile themselves).
TOOL_NAMES = $(filter-out evil_%,$(basename $(notdir \
    $(wildcard tests/tools/*.c))))
$(TOOL_NAMES:%=$(B)/tests/tools/%): $(B)/tests/tools/%: \
    $(B)/o/tests/tools/%.o $(call archives,daemon)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(LIBS.daemon)

# Everything that `make test` runs, built.
tests: all unit $(FUZZ_NAMES:%=$(B)/tests/fuzz/%) \
    $(BENCH_NAMES:%=$(B)/tests/bench/%) $(TOOL_NAMES:%=$(B)/tests/tools/%)

SUBMAKE = @$(MAKE) --no-print-directory -j$(JOBS)
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 20
deps:
	@config/deps build test
test:
	@config/deps build test
	$(SUBMAKE) tests
	@B=$(B) tests/run
test-long:
	@config/deps build test long
	$(SUBMAKE) tests
	@B=$(B) SBX_LONG=1 tests/run
asan:
	@config/deps build test
	$(SUBMAKE) B=build/asan SAN=address,undefined tests
	@B=build/asan SBX_SAN=1 tests/run
fuzz:
	@config/deps build fuzz
	$(SUBMAKE) B=build/fuzz CC=clang SAN=address,undefined,fuzzer-no-link \
	    OPT='-O1 -g' fuzzers
	@B=build/fuzz tests/fuzz/run $(FUZZ_SECONDS) $(FUZZ_NAMES)
fuzzers: $(FUZZ_NAMES:%=$(B)/tests/fuzz/%.fuzzer)
bench:
	@config/deps build test
	$(SUBMAKE) tests
	@B=$(B) tests/bench/run
lint:
	@config/deps build test lint
	@tests/lint/run
# "folder: what it may include", for tests/lint/layers.
needs:
	$(foreach f,$(FOLDERS),$(info $f: $(NEED.$f)))@:

up:
	@config/deps build
	$(SUBMAKE) all
	@B=$(B) PREFIX=$(PREFIX) config/up
down:
	@B=$(B) PREFIX=$(PREFIX) config/down

# One list of what goes where, for install and for uninstall (`make down`).
MAN = $(wildcard man/*.[1-8])
UNITS = $(notdir $(wildcard config/*.service))
man_path = share/man/man$(subst .,,$(suffix $1))/$(notdir $1)
INSTALLED = sbin/sbxd sbin/sbxfs lib/sbxd/sbx-agent share/doc/sbxd/sbxd.toml \
    $(foreach f,$(MAN),$(call man_path,$f)) \
    $(addprefix lib/systemd/system/,$(UNITS))
TO = $(DESTDIR)$(PREFIX)
install: all
	install -D -m 755 $(B)/sbxd $(TO)/sbin/sbxd
	install -D -m 755 $(B)/sbxfs $(TO)/sbin/sbxfs
	install -D -m 755 $(B)/sbx-agent $(TO)/lib/sbxd/sbx-agent
	install -D -m 644 config/sbxd.toml $(TO)/share/doc/sbxd/sbxd.toml
	$(foreach f,$(MAN),install -D -m 644 $f $(TO)/$(call man_path,$f) &&) :
	install -d $(TO)/lib/systemd/system
	for unit in $(UNITS); do sed 's|@PREFIX@|$(PREFIX)|g' config/$$unit \
	    >$(TO)/lib/systemd/system/$$unit || exit 1; done
uninstall:
	rm -f $(addprefix $(TO)/,$(INSTALLED))
	rmdir $(TO)/lib/sbxd $(TO)/lib/systemd/system $(TO)/lib/systemd \
	    $(TO)/share/doc/sbxd $(TO)/share/doc $(sort $(foreach \
	    f,$(MAN),$(TO)/$(dir $(call man_path,$f)))) 2>/dev/null || :

clean:
	rm -rf $(B)

-include $(wildcard $(B)/o/*/*.d $(B)/o/*/*/*.d $(B)/musl/*/*.d)
.PHONY: all unit tests fuzzers install uninstall $(WRAPPERS)
