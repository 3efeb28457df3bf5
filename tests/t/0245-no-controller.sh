#!/bin/bash
# A host that cannot limit cpu time: the profile that is built in does not
# promise it, and who asks for it is refused. With version 1 it looks so in a
# mount namespace of the case's own, where that controller is unmounted; with
# version 2 in a group that has not been given it.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
where=$(awk '$0 ~ / - cgroup / && $NF ~ /(^|,)cpu(,|$)/ { print $5 }' \
    /proc/self/mountinfo)
above=/sys/fs/cgroup/$CG
less=()
if [ -z "$where" ]; then
	mkdir "$above" &&
	    echo '+memory +pids' >"$above/cgroup.subtree_control" ||
	    skip "needs a host with control groups"
	less=("server.cgroup = \"$CG/a/b\"")
fi

# blind COMMAND...: in the place of this shell, where there is none.
blind() {
	[ -n "$where" ] || exec "$@"
	# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
	exec unshare -m --propagation private sh -c \
	    'umount "$0" && exec "$@"' "$where" "$@"
}

start_blind() {
	write_config "${less[@]}" "$@"
	chmod 711 "$W"
	blind "$B/sbxd" -f -c "$W/sbxd.toml" >>"$W/sbxd.log" 2>&1 </dev/null &
	sbxd_pid=$!
	wait_for 20 sbxd_is_up
}

start_blind
start_sbxfs
echo 'create web' >"$M/ctl" || fail "create: $(cat "$M/errors")"
echo 'echo hi' >"$M/web/exec"
eq "runs" "$(cat "$M/web/exec")" "hi"
has "no limit is shown" "$(cat "$M/web/ctl")" "cpu 0"
has "another is" "$(cat "$M/web/stats")" "pids_limit 256"
refused "$M/ctl" 'create b cpu=1' 'Operation not supported' \
    'no cgroup controller cpu on this host'
refused "$M/web/ctl" 'cpu 1' 'Operation not supported' 'controller cpu'
check=$(blind "$B/sbxd" --check -c "$W/sbxd.toml")
has "check" "$check" "cpu time is not limited"
has "check: the profile" "$check" "cpu unlimited"
stop_sbxfs
stop_sbxd

# What the configuration asks for is not dropped.
write_config "${less[@]}" '[pool.base.default]' 'cpu = 2.0' 'min = 0'
has "check: refused" "$(blind "$B/sbxd" --check -c "$W/sbxd.toml")" \
    "profile default: cpu cannot be limited here: its sandboxes are refused"
start_blind '[pool.base.default]' 'cpu = 2.0' 'min = 0'
http POST /sandboxes '{}' >"$W/answer"
has "HTTP" "$(cat "$W/answer")" "controller cpu"
destroy_all
stop_sbxd
[ -n "$where" ] || rmdir "$above/a" || fail "a cgroup is left"
