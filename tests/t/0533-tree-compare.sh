#!/bin/bash
# The same random operations in fs/ and in a plain directory, with equal
# results: the same ones each time, SBX_SEED others; SBX_LONG=1 makes 100,000
# that nobody has tried yet.
# limit 120
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd
seed=3689368170 count=10000
if [ "${SBX_LONG:-}" = 1 ]; then
	seed=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ') count=100000
fi
seed=${SBX_SEED:-$seed}
say "SBX_SEED=$seed"

# compare DIRECTORY COUNT [no-mmap]. Without CAP_FSETID, with which native
# writes leave setuid bits alone; over the network with no capability at all,
# as the agent has none.
drop=fsetid
! is_remote || drop=all
compare() {
	mkdir -p "$M/w/fs/$1/cmp" "$W/plain"
	mount -t tmpfs plain "$W/plain" && mkdir "$W/plain/cmp" || fail "mount"
	setpriv --bounding-set=-$drop --inh-caps=-$drop /usr/bin/python3 \
	    "$TOP/tests/t/fsops.py" "$M/w/fs/$1/cmp" "$W/plain/cmp" "$2" \
	    "$seed" "${@:3}"
	status=$?
	umount "$W/plain"
	[ $status = 0 ] || fail "in $1: SBX_SEED=$seed"
	rm -rf "$M/w/fs/$1/cmp"
	seed=$((seed + 1))
}

if is_remote; then
	start_sbxfs
	mkdir "$M/w" || fail "mkdir"
	compare root $count no-mmap
	compare tmp $((count / 5)) no-mmap
	exit 0
fi
for opt in '' -odirect_io; do
	start_sbxfs ${opt:+"$opt"}
	mkdir -p "$M/w"
	if [ -z "$opt" ]; then
		compare root $count
		compare tmp $((count / 5))
	else
		compare root $((count / 5)) no-mmap
	fi
	stop_sbxfs
done
exit 0
