#!/bin/bash
# Each tool reads what is there, of each kind of file; what reads streams by
# splice sees them empty, as sbx(7) says.
# limit 120
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail mkdir
printf 'A=1\nB=two words\nC=3\nD=4\nE=fünf\n' >a/env
echo 'seq 5' >a/exec
cat a/exec >/dev/null

# Exactly what python's read says, once by each. F is the file.
tools='cat
cat $F | cat
head -c 100000
head -n 100000
tail -n 100000
tail -c +1
tail -n +1
grep ""
sed ""
sed -n p
awk "{ print }"
sort -m
dd bs=7 status=none <
dd bs=1M status=none if=$F #
tac $F | tac
cut -c 1-
tr x x <
perl -pe 1
perl -e "local \$/; print <>"
node -e "process.stdout.write(require(\"fs\").readFileSync(process.argv[1]))"
curl -s file://$PWD/$F #
busybox cat
busybox head -n 100000
busybox tail -n 100000
busybox grep ""
bash -c "while IFS= read -r l; do echo \"\$l\"; done <\$0"
bash -c "mapfile -t l <\$0; printf \"%s\\n\" \"\${l[@]}\""
bash -c "echo \"\$(<\$0)\""
dash -c "while IFS= read -r l; do echo \"\$l\"; done <\$0"
zsh -c "echo \"\$(<\$1)\"" z
zsh -c "while IFS= read -r l; do echo \"\$l\"; done <\$1" z
busybox sh -c "while IFS= read -r l; do echo \"\$l\"; done <\$0"
/usr/bin/python3 -c "import sys; sys.stdout.writelines(open(sys.argv[1]).readlines())"
/usr/bin/python3 -c "import pathlib, sys; sys.stdout.write(pathlib.Path(sys.argv[1]).read_text())"
less -FX $F | cat #
vim -es -u NONE -i NONE -c "w! $T" -c q! $F; cat $T #
cp $F $T; cat $T #
cp --sparse=always $F $T; cat $T #
install -m 600 $F $T; cat $T #
busybox cp $F $T; cat $T #
rsync -a $F $T; cat $T #
tar -cf - $F | tar -xOf - #
dd if=$F of=$T bs=4k status=none; cat $T #
/usr/bin/python3 -c "import shutil, sys; shutil.copyfile(\"$F\", \"$T\")"; cat $T #
od -An -v -tx1 $F | perl -ane "print pack q(H*), join q(), @F" #
gzip -c $F | gzip -dc #'
T=$W/copy
compare() {
	local F=$1 tool want

	want=$(/usr/bin/python3 -c 'import sys
print(open(sys.argv[1]).read(), end=".")' "$F")
	while IFS= read -r tool; do
		command -v "${tool%% *}" >/dev/null || continue
		[[ " $2 " != *" ${tool%% *} "* ]] || continue
		rm -f "$T"
		case $tool in
		*'#' | *'| '*) ;;
		*) tool="$tool \$F" ;;
		esac
		eq "$tool of $F" "$(export F T; eval "$tool"; echo .)" "$want"
	done <<<"$tools"
	eq "wc of $F" "$(wc -c <"$F")" "$((${#want} ? $(printf %s "${want%.}" |
	    wc -c) : 0))"
	eq "sha256sum of $F" "$(sha256sum <"$F")" \
	    "$(printf %s "${want%.}" | sha256sum)"
}
# A session reads byte by byte; status and stats change by themselves.
echo stop >a/ctl
for f in a/env a/ctl a/log a/jobs/1/output a/jobs/1/stdout a/jobs/1/cmd \
    profiles/default; do
	compare $f ""
done
# What needs sizes or maps reads no streams; curl and less want them too.
compare a/exec "tail busybox tac cp install rsync tar less vim sort curl shutil \
/usr/bin/python3 dd od"
eq "python reads a stream" "$(/usr/bin/python3 -c '
print(open("a/exec").read(), end="")' | wc -l)" 5
eq "dd reads a stream" "$(dd if=a/exec bs=7 status=none | wc -l)" 5
eq "sort reads a stream" "$(sort -rn a/exec | head -n 1)" 5
eq "cp of a stream" "$(cp a/exec "$T"; cat "$T")" "$(cat a/exec)"

# Documented limits: by splice into a pipe a stream is empty.
eq "busybox cat of a stream into a pipe" "$(busybox cat a/exec | cat)" ""
busybox cat a/exec >"$T"
eq "and into a file" "$(cat "$T")" "$(cat a/exec)"
has "busybox cat in the page" "$(cat "$TOP/man/sbx.7")" "busybox"

# What edits: in place where it may, and no file is made beside it.
vim -es -u NONE -i NONE -c '%s/two/TWO/' -c wq a/env >/dev/null 2>&1
has "vim" "$(cat a/env)" "B=TWO words"
if command -v nano >/dev/null && command -v script >/dev/null; then
	(sleep 1; printf 'N=1\r\023'; sleep 1; printf '\030') |
	    TERM=xterm timeout 20 script -qec "nano -I a/env" /dev/null \
		>/dev/null 2>&1
	eq "nano" "$(head -n 1 a/env)" N=1
fi
has "sed -i" "$(sed -i s/1/2/ a/env 2>&1)" "Operation not permitted"
has "mv over it" "$(mv "$T" a/env 2>&1)" "Operation not permitted"
has "install over it" "$(install /etc/hostname a/env 2>&1)" \
    "Operation not permitted"
eq "after those" "$(grep -c . a/env)" "$(wc -l <a/env)"
check "cp over it" sh -c 'printf "X=1\n" >"$0"; cp "$0" a/env' "$T"
eq "cp over it" "$(cat a/env)" X=1
check "dd over it" sh -c 'echo Y=1 | dd of=a/env status=none'
eq "dd over it" "$(cat a/env)" Y=1
check "tee -a" sh -c 'echo Z=1 | tee -a a/env >/dev/null'
eq "tee -a" "$(tr '\n' ' ' <a/env)" "Y=1 Z=1 "
check "perl" perl -e 'open(F, ">>", "a/env"); print F "P=1\n";
    close(F) or die $!'
perl -e 'open(F, ">", "a/ctl"); print F "frob\n"; close(F) or exit 3'
eq "perl's close of a wrong line" $? 3
for tool in "/bin/echo frob >a/ctl" "echo frob | tee a/ctl >/dev/null" \
    "echo frob | dd of=a/ctl status=none" "cp $W/frob a/ctl" \
    "cat $W/frob >a/ctl"; do
	echo frob >"$W/frob"
	out=$(bash -c "$tool" 2>&1) && fail "$tool succeeded"
	has "$tool" "$out" "Invalid argument"
done

# Everything there is, looked at: no reader makes, runs or consumes anything.
before=$(sed '/^uptime\|^max/d' a/status; cat a/ctl; ls)
grep -rs --exclude-dir=fs nothing-like-it . >/dev/null
find . -path ./a/fs -prune -o -type f -exec cat {} + >/dev/null 2>&1
ls -lRa --ignore=fs . >/dev/null
eq "after looking" "$(sed '/^uptime\|^max/d' a/status; cat a/ctl; ls)" \
    "$before"
df . >/dev/null || fail "df of the mount"
eq "not in df" "$(df | grep -c " $M\$")" 0
cd / || exit 1
exit 0
