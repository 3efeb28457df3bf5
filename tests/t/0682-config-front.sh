#!/bin/bash
# Another front has the configuration that the broker has, whatever lies on
# the disk by then; what was reloaded is in it.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
start_sbxd '[limits]' 'max_sandboxes = 7'
another_front() {
	local front now

	front=$(role 'sbxd: front')
	kill -KILL "$front"
	now() {
		[ -n "$(role 'sbxd: front')" ] &&
		    [ "$(role 'sbxd: front')" != "$front" ] && healthy
	}
	wait_for 20 now
}
most() {
	sed -n 's/^max //p' "$M/status"
}
start_sbxfs
eq "at first" "$(most)" 7
cp "$W/sbxd.toml" "$W/good"

# A reload that is good: the next front has it, and the server as it was.
sed -i -e 's/^max_sandboxes.*/max_sandboxes = 9/' \
    -e "s|^socket.*|socket = \"$RUN/other.sock\"|" "$W/sbxd.toml"
kill -HUP "$sbxd_pid"
reloaded() {
	[ "$(most)" = 9 ]
}
wait_for 10 reloaded
another_front
wait_for 10 reloaded
[ ! -e "$RUN/other.sock" ] || fail "it serves where the broker does not"

# A file that is wrong, or that nobody was told to read, is not read.
echo 'max_sandboxes = [' >"$W/sbxd.toml"
another_front
wait_for 10 reloaded
sed 's/^max_sandboxes.*/max_sandboxes = 3/' "$W/good" >"$W/sbxd.toml"
another_front
wait_for 10 reloaded
rm "$W/sbxd.toml"
another_front
wait_for 10 reloaded
# and a reload reads it by its path again
cp "$W/good" "$W/sbxd.toml"
echo reload >"$M/ctl" || fail "reload: $(tail -n1 "$M/errors")"
as_at_first() {
	[ "$(most)" = 7 ]
}
wait_for 10 as_at_first
exit 0
