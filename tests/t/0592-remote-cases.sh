#!/bin/bash
# limit 400
# Cases of the local tree, on a mount over TCP: what a shell sees is the same.
# Not those of what needs directories of the daemon's machine (passthrough,
# fs/ without a daemon) or its users (delegation).
. "$(dirname "$0")/lib.sh"
need_root
need_fuse
trap - EXIT
chmod 711 "$W"
failed=
for name in 0500-tree-shells 0529-tree-readback 0540-tree-links \
    0550-tree-waiting 0554-jobs-input 0555-jobs-terminal; do
	mkdir "$W/$name"
	if ! MOUNT=remote W=$W/$name bash "$TOP/tests/t/$name.sh" \
	    >"$W/$name.log" 2>&1; then
		tail -n 20 "$W/$name.log"
		failed="$failed $name"
	fi
done
[ -z "$failed" ] || fail "over TCP:$failed"
exit 0
