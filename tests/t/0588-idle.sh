#!/bin/bash
# idle: what is used lives, by jobs, by files and by changes in fs/; what is
# not goes.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1
printf 'create w idle=2\ncreate big idle=2\ncreate job idle=2\ncreate alone idle=2\n' \
    >ctl || fail "create"
echo 'sleep 5' >job/exec
for ((i = 0; i < 9; i++)); do
	echo "$i" >>w/fs/root/f
	: >"big/fs/root/$i" && rm "big/fs/root/$i"
	# what is only looked at is not used
	cat alone/status >/dev/null 2>&1
	ls alone/fs >/dev/null 2>&1
	sleep .5
done
[ -d w ] || fail "it is written to, and gone"
[ -d big ] || fail "files are made and removed in it, and it is gone"
[ -d job ] || fail "a job runs in it, and it is gone"
[ ! -d alone ] || fail "it is idle, and there"
eq "its file" "$(wc -l <w/fs/root/f)" 9
all_gone() {
	[ ! -d w ] && [ ! -d big ] && [ ! -d job ]
}
wait_for 9 all_gone
cd / || exit 1
exit 0
