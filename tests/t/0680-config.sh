#!/bin/bash
# The configuration: SIGHUP reads it again, a bad one changes nothing, an
# unknown key is a warning with its line, a bad value an error with its line;
# the variables win; --check tells.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs

reload() {
	write_config "$@"
	kill -HUP "$sbxd_pid"
}
logged() {
	grep -qF "$1" "$W/sbxd.log"
}
profiles() {
	[ "$(http GET /profiles | json '[p["name"] for p in x]')" = "$1" ]
}

reload '[limits]' 'max_sandboxes = 1' '[pool.base.small]' 'memory = "64m"' \
    'min = 0'
wait_for 10 profiles '["default", "small"]'
eq "in the mount" "$(ls "$M/profiles")" "default
small"
has "its values" "$(cat "$M/profiles/small")" "memory 67108864"
echo 'create a profile=small' >"$M/ctl" || fail "create"
mkdir "$M/b" 2>"$W/out" && fail "one more than limits.max_sandboxes"
has "mkdir" "$(cat "$W/out")" "Disk quota exceeded"
http POST /sandboxes '{}' >"$W/out"
has "POST" "$(code) $(cat "$W/out")" '503 {"error":"at capacity'

reload '[limits]' 'max_sandboxes = "many"'
wait_for 10 logged "line "
has "an error with its line" "$(tail -n 5 "$W/sbxd.log")" "max_sandboxes"
mkdir "$M/b" 2>/dev/null && fail "a bad file was taken"
profiles '["default", "small"]' || fail "a bad file changed the profiles"

: >"$W/sbxd.log"
reload '[limits]' 'max_sandboxes = 5' 'frobnicate = 1'
wait_for 10 logged "frobnicate"
line=$(grep -n frobnicate "$W/sbxd.toml" | cut -d: -f1)
has "a warning with its line" "$(cat "$W/sbxd.log")" \
    "line $line: unknown key limits.frobnicate"
two() {
	mkdir "$M/b" 2>/dev/null
}
wait_for 10 two

check_says() {
	"$B/sbxd" --check -c "$W/sbxd.toml" >"$W/out" 2>&1
}
write_config
check "--check of a good one" check_says
for word in cgroup overlay; do
	has "--check" "$(tr '[:upper:]' '[:lower:]' <"$W/out")" $word
done
# Sockets lie in run_dir: 64 MiB are much there, and little for disks.
mkdir "$W/small" && mount -t tmpfs -o size=64m small "$W/small" || fail "mount"
write_config "server.run_dir = \"$W/small/run\"" \
    "server.data_dir = \"$W/small/data\""
check_says
has "run_dir" "$(cat "$W/out")" "ok    run_dir $W/small/run: 64 MiB free"
has "data_dir" "$(cat "$W/out")" "less  data_dir $W/small/data: 64 MiB free"
umount "$W/small"
write_config
echo 'x = [' >>"$W/sbxd.toml"
check_says && fail "--check takes what is no TOML"
has "no TOML" "$(cat "$W/out")" "line $(wc -l <"$W/sbxd.toml")"
write_config
export SBXD_SOCKET=relative
check_says && fail "--check takes SBXD_SOCKET=$SBXD_SOCKET"
has "the variable" "$(cat "$W/out")" SBXD_SOCKET
export SANDBOX_SOCKET=$RUN/other.sock SBXD_SOCKET=
stop_sbxfs
stop_sbxd
SOCK=$RUN/other.sock
run_sbxd
eq "SANDBOX_SOCKET" "$(http GET /health | json 'x["status"]')" ok
stop_sbxd
export SBXD_SOCKET=$RUN/sbxd.sock
SOCK=$SBXD_SOCKET
run_sbxd
eq "SBXD_SOCKET wins" "$(http GET /health | json 'x["status"]')" ok
exit 0
