#!/bin/bash
# Events: each once, in order, numbered on over restarts, the same in the file
# and over HTTP; the file restarts at 16 MiB.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
# A file that is almost full, as an older daemon has left it.
mkdir -p "$DATA"
python3 - "$DATA/events" <<'P'
import struct, sys
line, size, n = b'', 0, 0
with open(sys.argv[1], 'wb') as f, open(sys.argv[1] + '.idx', 'wb') as i:
    while size < (16 << 20) - 20:
        n += 1
        room = (16 << 20) - 20 - size
        fill = 900 if room > 2000 else 400 if room > 900 else \
            room - len(b'%d' % n) - 36
        line = b'%d 1700000000.000 old%s job-exit exit=1\n' % (n, b'x' * fill)
        f.write(line)
        i.write(struct.pack('=II', 0, len(line)))
        size += len(line)
P
chown nobody "$DATA/events" "$DATA/events.idx"
start_sbxd
start_sbxfs
cd "$M" || exit 1
size=$(stat -c %s events)
last=$(tail -n1 events | cut -d' ' -f1)
[ "$size" -gt $(((16 << 20) - 100)) ] || fail "the old file: $size"
echo 'create a' >ctl || fail "create"
for line in pause resume 'stop 0' start; do
	echo "$line" >a/ctl || fail "$line"
done
mv a b
echo 'exit 4' >b/exec
cat b/wait >/dev/null
echo 'sleep 99' >b/exec
wait_for 5 test -d b/jobs/2
rmdir b
[ "$(stat -c %s events)" -lt $((1 << 20)) ] ||
    fail "it grew beyond 16 MiB"
wait_for 5 grep -q ' destroyed' events
eq "each once, in order" "$(cut -d' ' -f3- events | sed 's/ profile=.*//' |
    tr '\n' ';')" "$(printf '%s;' 'a created' 'a started' 'a paused' \
    'a resumed' 'a stopped' 'a started' 'b renamed from=a' \
    'b job-started job=1' 'b job-exit job=1 exit=4' 'b job-started job=2' \
    'b job-exit job=2 exit=137' 'b destroyed')"
seqs() {
	cut -d' ' -f1 events
}
check "numbers go on" test "$(seqs | head -n1)" -gt "$last"
eq "without a gap" "$(seqs | awk 'NR > 1 && $1 != p + 1 { print }
    { p = $1 }')" ''
eq "times go on" "$(awk '$2 < p { print } { p = $2 }' events)" ''

# A restart of the front: the numbers go on.
before=$(seqs | tail -n1)
front=$(role 'sbxd: front')
kill -KILL "$front"
another() {
	[ "$(role 'sbxd: front')" != "$front" ] && healthy && [ -e ctl ] &&
	    mkdir w 2>/dev/null
}
wait_for 20 another
next=$(grep ' w created' events | cut -d' ' -f1)
eq "the next number" "$next" $((before + 1))

# HTTP: the same numbers.
eq "history" "$(http GET "/events/history?after=$before" | json \
    '[(e["id"], e["type"]) for e in x["events"]] + [x["complete"]]')" \
    "[[$next, \"sandbox.created\"], true]"
# What was told before the restart is told after it.
types() {
	http GET "/events/history?after=$1" | json \
	    '" ".join([e["type"][8:] for e in x["events"]] + [str(x["complete"])])'
}
eq "history from before" "$(types "$last")" "created destroyed created True"
eq "older ones are not there" "$(http GET /events/history?after=1 |
    json 'x["complete"]')" false
eq "no number" "$(http GET '/events/history?after=x')" \
    '{"error":"invalid '"'after'"' parameter — must be a numeric event ID"}'
sse() {
	curl -sN --max-time "$1" --unix-socket "$SOCK" "${@:2}" \
	    http://x/events 2>/dev/null
}
first=$(grep ' a created' events | cut -d' ' -f1)
sse 1 -H "Last-Event-ID: $first" >"$W/resumed"
eq "resumed across the restart" "$(grep '^id: ' "$W/resumed" | tr '\n' ' ')" \
    "id: $before id: $next "
[[ "$(cat "$W/resumed")" != *events.gap* ]] || fail "it says that some are lost"
sse 2 >"$W/live" &
live=$!
sleep .5
rmdir w && mkdir v || fail "rmdir, mkdir"
wait "$live"
eq "live" "$(grep -c '^id: ' "$W/live")" 2
has "live" "$(cat "$W/live")" '"type":"sandbox.destroyed"'
sse 1 -H "Last-Event-ID: $next" >"$W/again"
eq "from the last one seen" "$(grep '^id: ' "$W/again")" \
    "$(grep '^id: ' "$W/live")"
sse 1 -H 'Last-Event-ID: 3' >"$W/gap"
has "what is lost" "$(head -n2 "$W/gap")" 'event: events.gap
data: {"after_id":3,'
rmdir v
# And by another daemon.
cd / || exit 1
stop_sbxfs
stop_sbxd USR1
run_sbxd
eq "another daemon's history" "$(types "$last")" \
    "created destroyed created destroyed created destroyed True"
eq "one user's" "$(http GET "/events/history?identity=uid:7" |
    json 'x["events"]')" '[]'
exit 0
