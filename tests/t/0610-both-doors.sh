#!/bin/bash
# Made by file, seen by HTTP; and the other way round. One shown state, with
# no wait between the doors.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs

get() {
	http GET "/sandboxes/$1" | json "x$2"
}

# By file.
mkdir "$M/a" || fail "mkdir"
id=$(sed -n 's/^id //p' "$M/a/status")
eq "id" "$(get a '["id"]')" "$id"
eq "name" "$(get "$id" '["name"]')" a
eq "one listed" "$(http GET /sandboxes | json '[s["id"] for s in x]')" \
    "[\"$id\"]"
echo 'label tier=gold' >"$M/a/ctl" || fail "label"
eq "label" "$(get a '["labels"]["tier"]')" gold
eq "filter" "$(http GET '/sandboxes?label=tier:gold' | json 'len(x)')" 1
eq "filter" "$(http GET '/sandboxes?label=tier:tin' | json 'len(x)')" 0
printf 'A=1\nB=two words\n' >"$M/a/env" || fail "env"
eq "env" "$(http GET /sandboxes/a/env | json 'x == {"A":"1","B":"two words"}')" \
    true
mkdir "$M/a/fs/root/d" && printf 'x\0y' >"$M/a/fs/root/d/bytes" ||
    fail "write to fs"
eq "file" "$(http GET /sandboxes/a/files/root/d/bytes | od -An -tx1)" \
    "$(printf 'x\0y' | od -An -tx1)"
mv "$M/a" "$M/b" || fail "mv"
eq "renamed" "$(get "$id" '["name"]')" b
http GET /sandboxes/a >/dev/null
eq "old name" "$(code)" 404
echo 'echo by file; exit 4' >"$M/b/exec"
eq "output" "$(cat "$M/b/exec")" "by file"
eq "log" "$(http GET /sandboxes/b/log)" "by file"
echo stop >"$M/b/ctl" || fail "stop"
eq "stopped" "$(get b '["state"]')" stopped
http POST /sandboxes/b/start >/dev/null
eq "start" "$(code)" 200
eq "running" "$(sed -n 's/^state //p' "$M/b/status")" running

# By HTTP.
c=$(http POST /sandboxes '{"name":"c","labels":{"k":"v"}}' | json 'x["id"]')
eq "created" "$(code)" 201
[ -d "$M/c/fs/root" ] || fail "c is not in the mount"
eq "link by id" "$(readlink "$M/$c")" c
has "its label" "$(cat "$M/c/ctl")" "label k=v"
http PUT /sandboxes/c/env '{"E":"mc2"}' >/dev/null
eq "env" "$(cat "$M/c/env")" "E=mc2"
http PUT /sandboxes/c/files/root/new/f "by http" >/dev/null
eq "put" "$(cat "$M/c/fs/root/new/f")" "by http"
http POST /sandboxes/c/exec '{"command":"cat new/f; exit 7"}' >/dev/null
eq "job" "$(cat "$M/c/jobs/1/output")" "by http"
has "job status" "$(cat "$M/c/jobs/1/status")" "exit 7"
http PATCH /sandboxes/c '{"name":"d","memory":"100m"}' >/dev/null
eq "patch" "$(code)" 200
has "memory" "$(cat "$M/d/ctl")" "memory 104857600"
[ ! -e "$M/c" ] || fail "the old name is still there"
http DELETE /sandboxes/d >/dev/null
[ ! -e "$M/d" ] || fail "d is still in the mount"
rmdir "$M/b" || fail "rmdir"
eq "none left" "$(http GET /sandboxes)" "[]"

# One history for both.
seqs=$(cut -d' ' -f1 "$M/events" | sort -nu | wc -l)
eq "each event once" "$seqs" "$(wc -l <"$M/events")"
for event in 'a created' 'b renamed' 'c created' 'd destroyed' \
    'b destroyed' 'b job-exit' 'b stopped'; do
	grep -q " $event" "$M/events" || fail "no event: $event"
done
eq "creates in /events/history" "$(http GET /events/history |
    json 'sum(e["type"] == "sandbox.created" for e in x["events"])')" 2
eq "pools agree" "$(http GET /pools | json 'x[0]["ready"]')" \
    "$(sed -n 's/.* ready=\([0-9]*\).*/\1/p' "$M/pool")"

# Also while others read much through the mount. (Over a network nobody is
# told in time.)
local_only "one state at once" || exit 0
mkdir "$M/a" "$M/b" || fail mkdir
echo 'seq 1000000' >"$M/b/exec"
cat "$M/b/exec" >/dev/null
readers=()
for _ in 1 2 3; do
	(while dd if="$M/b/log" bs=1M; do :; done >/dev/null 2>&1) &
	readers+=($!)
done
check "a name that was" /usr/bin/python3 - "$SOCK" "$M" <<'P'
import http.client, json, os, socket, sys
class Unix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
c, name, stale = Unix('x'), 'a', 0
for n in range(200):
    c.request('PATCH', '/sandboxes/' + name, json.dumps({'name': f'a{n}'}))
    answer = c.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    stale += os.path.exists(f'{sys.argv[2]}/{name}/status')
    name = f'a{n}'
sys.exit(f'{stale} of 200 were still there' if stale else 0)
P
kill "${readers[@]}"
wait "${readers[@]}" 2>/dev/null
exit 0
