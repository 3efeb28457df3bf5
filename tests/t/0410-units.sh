#!/bin/bash
# The systemd units, as installed: systemd finds nothing wrong with them, they
# say what a restart relies on, and their pages are there.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_tool systemd-analyze
prefix=$W/prefix
units=$prefix/lib/systemd/system
make -s -C "$TOP" --no-print-directory install B="$B" PREFIX="$prefix" \
    >"$W/install.out" 2>&1 || fail "install: $(tail -n 3 "$W/install.out")"

# Pages need not be in this machine's manual; the rest must pass unread.
out=$(systemd-analyze verify --man=no "$units"/sbx*.service 2>&1)
eq "systemd-analyze verify" "$? $out" "0 "
for unit in "$units"/sbx*.service; do
	# shellcheck disable=SC2013 # a word each
	for page in $(sed -n 's/^Documentation=//p' "$unit"); do
		page=${page#man:}
		page=${page%)}
		[ -e "$prefix/share/man/man${page##*(}/${page%(*}.${page##*(}" ] ||
		    fail "${unit##*/}: no page $page)"
	done
	eq "${unit##*/}: nothing left to fill in" "$(grep -c @ "$unit")" 0
done

# says UNIT LINE: the unit's [Service] has it.
says() {
	sed -n '/^\[Service\]/,/^\[Install\]/p' "$units/$1.service" |
	    grep -qx -- "$2" || fail "$1.service does not say $2"
}
# A stop of the daemon ends itself, a restart leaves the sandboxes running.
says sbxd KillMode=process
says sbxd RestartKillSignal=SIGUSR1
says sbxd Restart=always
says sbxfs Restart=always
# A start is done when it serves.
says sbxd Type=notify
says sbxfs Type=notify
# Whatever lies at /sbx, also a dead mount, it starts.
says sbxfs 'ExecStartPre=-mkdir -p /sbx'
# The sandboxes' groups are in a unit that no restart touches.
says sbxd-guests RemainAfterExit=yes
grep -qx RefuseManualStop=yes "$units/sbxd-guests.service" ||
    fail "sbxd-guests.service can be stopped under the sandboxes"
grep -q '^Delegate=.*memory' "$units/sbxd-guests.service" ||
    fail "sbxd-guests.service delegates no memory"
! grep -q '^Delegate\|^RuntimeDirectory' "$units/sbxd.service" ||
    fail "sbxd.service takes its run directory or the sandboxes along"
exit 0
