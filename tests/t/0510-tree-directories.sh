#!/bin/bash
# Sandboxes as directories: mkdir, rmdir, mv, every kind of rm, owners.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1

# errno COMMAND...: the name of what a system call of python answers.
errno() {
	python3 -c 'import errno, os, sys
try:
    exec(sys.argv[1])
    print("ok")
except OSError as e:
    print(errno.errorcode[e.errno])' "$1"
}

as() {
	setpriv --reuid="$1" --regid="$1" --clear-groups "${@:2}"
}

eq "top" "$(echo *)" "ctl errors events new pool profiles status"
check "mkdir" mkdir a
eq "files" "$(cd a && echo *)" \
    "ctl env exec fs jobs log ports stats status wait"
eq "ctl is first and fs last" "$(find a -maxdepth 1 -mindepth 1 |
    sed -n '1p;$p' | tr '\n' ' ')" "a/ctl a/fs "
eq "of root" "$(stat -c '%a %u' a)" "700 0"
eq "mkdir of a name that is taken" "$(errno 'os.mkdir("a")')" EEXIST
for name in .hidden -x jobs stats sbx-1 tpl-1 'a b' ü; do
	eq "mkdir $name" "$(errno "os.mkdir('$name')")" EINVAL
done
eq "a long name" "$(errno 'os.mkdir("a" * 64)')" EINVAL
eq "a file in the root" "$(errno 'open("f", "w")')" EPERM
eq "a file in a sandbox" "$(errno 'open("a/f", "w")')" EPERM
eq "a directory in a sandbox" "$(errno 'os.mkdir("a/d")')" EPERM
eq "unlink of status" "$(errno 'os.unlink("a/status")')" EPERM
eq "unlink in the root" "$(errno 'os.unlink("ctl")')" EPERM
eq "rmdir of jobs" "$(errno 'os.rmdir("a/jobs")')" EPERM
eq "rmdir of fs" "$(errno 'os.rmdir("a/fs")')" EBUSY
eq "mv of a file" "$(errno 'os.rename("a/env", "a/x")')" EPERM
eq "a sandbox into another" "$(mkdir b && errno 'os.rename("b", "a/b")')" EPERM

eq "mv onto another" "$(errno 'os.rename("b", "a")')" EEXIST
check "mv" mv -T b c
eq "after mv" "$(echo [a-c])" "a c"
has "its status" "$(cat c/status)" $'name c\n'
id=$(sed -n 's/^id //p' c/status)
eq "its id is a link to the name" "$(readlink "$id")" c
has "by its id" "$(cat "$id/status")" $'name c\n'
eq "unlink of the id" "$(errno "os.unlink('$id')")" EPERM
check "rmdir" rmdir c
[ ! -e "$id" ] || fail "the id is still there"

echo keep >a/fs/root/file
n=0
while read -r how; do
	n=$((n + 1))
	mkdir "r$n" && echo x >"r$n/fs/root/file"
	eval "${how//DIR/r$n}" || fail "$how: $?"
	[ ! -e "r$n" ] || fail "$how: still there"
done <<'X'
rmdir DIR
rm -rf DIR
rm -r DIR
busybox rm -rf DIR
find DIR -delete
python3 -c 'import shutil; shutil.rmtree("DIR")'
rm -rf DIR/* && rmdir DIR
X
mkdir h && rm -f h/ctl
has "a husk is looked up" "$(cd h && echo *)" "status"
[[ " $(echo *) " != *" h "* ]] || fail "a husk is listed"
check "a new one instead" sh -c 'echo create h >ctl'
has "it lives" "$(cat h/status)" $'state running\n'
check "all of them" rm -rf a h
# A mkdir finds what an rm left until nobody removes of it any more.
mkdir h && rm -f h/ctl
eq "mkdir at once" "$(errno 'os.mkdir("h")')" EEXIST
wait_for 8 mkdir h 2>/dev/null
has "it lives" "$(cat h/status)" $'\nprofile default\n'
rm -r h || fail "rm"
eq "nothing is left" "$(echo *)" "ctl errors events new pool profiles status"

# Whose it is.
local_only "other users" || exit 0
mkdir u && chown 1000:1000 u || fail "chown"
eq "its owner sees it" "$(as 1000 ls | grep -c "^u\$")" 1
eq "another user sees it" "$(as 1001 ls | grep -c "^u\$")" 0
eq "another user looks" "$(as 1001 cat u/status 2>&1)" \
    "cat: u/status: Permission denied"
eq "its owner uses it" \
    "$(as 1000 sh -c 'echo id -u >u/exec; cat u/exec')" 0
check "delegate" as 1000 chmod 711 u
check "delegate exec" as 1000 chmod 622 u/exec
eq "as told" "$(stat -c %a u u/exec | tr '\n' ' ')" "711 622 "
check "another user writes" as 1001 sh -c 'echo "echo hi" >u/exec'
has "and it ran" "$(as 1000 cat u/exec)" hi
# Without the group the root cannot be written, as any directory.
eq "rm without the group" "$(as 1000 rm -r u 2>&1)" \
    "rm: cannot remove 'u': Permission denied"
rmdir u && mkdir u && chown 1000:1000 u || fail "a second u"
member() {
	setpriv --reuid=1000 --regid=1000 --groups=nogroup "$@"
}
check "its owner removes it" member rm -r u
check "a member makes one" member sh -c 'echo create m >ctl'
eq "whose it is" "$(stat -c %u m)" 1000
eq "another's" "$(setpriv --reuid=1001 --regid=1001 --groups=nogroup \
    rmdir m 2>&1 | grep -c permitted)" 1
check "and removes it" member rmdir m
exit 0
