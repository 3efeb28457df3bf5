#!/bin/bash
# A host that cannot limit cpu time: the profile that is built in does not
# promise it, and who asks for it is refused. Looks so in a mount namespace
# of the case's own, where that controller is unmounted.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
where=$(awk '$0 ~ / - cgroup / && $NF ~ /(^|,)cpu(,|$)/ { print $5 }' \
    /proc/self/mountinfo)
[ -n "$where" ] || skip "needs a host with cgroup version 1's cpu"

# blind COMMAND...: in the place of this shell, where there is none.
blind() {
	# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
	exec unshare -m --propagation private sh -c \
	    'umount "$0" && exec "$@"' "$where" "$@"
}

start_blind() {
	write_config "$@"
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
write_config '[pool.base.default]' 'cpu = 2.0' 'min = 0'
has "check: refused" "$(blind "$B/sbxd" --check -c "$W/sbxd.toml")" \
    "profile default: cpu cannot be limited here: its sandboxes are refused"
start_blind '[pool.base.default]' 'cpu = 2.0' 'min = 0'
http POST /sandboxes '{}' >"$W/answer"
has "HTTP" "$(cat "$W/answer")" "controller cpu"
