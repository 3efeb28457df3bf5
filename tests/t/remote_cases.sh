# remote_cases.sh - cases of the local tree on a mount over TCP, for 0592 to
# 0595: what a shell sees is the same, but for what local_only says.
# shellcheck shell=bash
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_fuse

# remote_cases NAME...: as they are without SBX_LONG.
remote_cases() {
	local name failed=

	trap - EXIT
	chmod 711 "$W"
	for name; do
		[ -f "$TOP/tests/t/$name.sh" ] || fail "no case $name"
		mkdir "$W/$name"
		if ! SBX_LONG='' MOUNT=remote W=$W/$name bash "$TOP/tests/t/$name.sh" \
		    >"$W/$name.log" 2>&1; then
			tail -n 20 "$W/$name.log"
			failed="$failed $name"
		fi
		# what its daemons said is looked through as well
		cat "$W/$name"/*.log >>"$W/$name.log"
		rm -rf "${W:?}/$name"
	done
	[ -z "$failed" ] || fail "over TCP:$failed"
}
