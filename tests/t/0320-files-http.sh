#!/bin/bash
# Files over HTTP: bytes and ranges, lists and tars, uploads that are whole or
# nothing, links that lead nowhere outside, a stopped sandbox, a slow client.
# limit 180
. "${0%/*}/lib.sh"

need_root
need_tool curl tar

# f METHOD PATH [CURL OPTION...]: of the file PATH; the body is in $W/got.
f() {
	local method=$1 path=$2 head=()

	shift 2
	[ "$method" != HEAD ] || head=(-I)
	curl -sS --path-as-is --max-time $((60 * SLOW)) --unix-socket "$SOCK" \
	    -X "$method" "${head[@]}" -o "$W/got" -w '%{http_code}' "$@" \
	    "http://x/sandboxes/files/files/$path"
}
# run COMMAND: in the sandbox.
run() {
	http POST /sandboxes/files/exec \
	    "$(/usr/bin/python3 -c 'import json, sys
print(json.dumps({"command": sys.argv[1]}))' "$1")" | json 'x["stdout"]'
}
same() {
	eq "$1" "$(f GET "$2" "${@:4}")" 200
	cmp "$W/got" "$3" || fail "$1: other bytes"
}

start_sbxd
http POST /sandboxes '{"name":"files"}' >/dev/null
eq 'create' "$(code)" 201

# there and back
head -c 3000001 /dev/urandom >"$W/bytes"
eq 'a new file' "$(f PUT root/a/b/data -T "$W/bytes")" 201
same 'its bytes' root/a/b/data "$W/bytes"
eq 'a chunked one' "$(f PUT root/chunked -T - <"$W/bytes")" 201
same 'its bytes' root/chunked "$W/bytes"
eq 'an empty one' "$(f PUT root/empty -T /dev/null)" 201
same 'no bytes' root/empty /dev/null
eq 'seen inside' "$(run 'cd; sha1sum <a/b/data; stat -c %a a a/b/data')" \
    "$(sha1sum <"$W/bytes")
755
644"
eq 'with a mode' "$(f PUT 'root/tool?mode=755' --data-binary '#!/bin/sh
echo run')" 201
eq 'which runs' "$(run './tool')" 'run'
eq 'replaced' "$(f PUT root/tool --data-binary '#!/bin/sh
echo new')" 204
eq 'keeps its mode' "$(run './tool; ls -A | grep -c sbx-put')" 'new
0'
eq 'a bad mode' "$(f PUT 'root/tool?mode=8' --data-binary x)" 400
eq 'HEAD' "$(f HEAD root/a/b/data)" 200
has 'HEAD' "$(cat "$W/got")" 'Content-Length: 3000001'
has 'HEAD' "$(cat "$W/got")" 'Accept-Ranges: bytes'

# ranges
for range in 0-0 100-199 3000000- -7 2999999-9999999; do
	eq "range $range" "$(f GET root/a/b/data -r $range)" 206
	cp "$W/got" "$W/part"
	curl -s -r $range "file://$W/bytes" -o "$W/want" || fail 'file://'
	cmp "$W/part" "$W/want" || fail "range $range: other bytes"
done
eq 'no such range' "$(f GET root/a/b/data -r 3000001-)" 416
for range in bytes=x- bytes=5-1 lines=1-2 bytes=0-1,4-5; do
	eq "ignored: $range" "$(f GET root/a/b/data -H "Range: $range")" 200
done

# lists and tars
run 'mkdir -p d/sub d/many; echo x >d/sub/x; ln -s sub/x d/link
touch "d/$(printf "b\377")"; mkfifo d/fifo; ln -s / d/out
for i in $(seq 1200); do : >d/many/$i; done' >/dev/null
eq 'a list' "$(f GET root/d)" 200
eq 'its types' "$(json '" ".join(sorted(e["type"] for e in x))' <"$W/got")" \
    'dir dir fifo file symlink symlink'
eq 'bytes of a name' "$(json '[e["name"] for e in x
    if isinstance(e["name"], dict)]' <"$W/got")" '[{"base64": "Yv8="}]'
eq 'a file of such a name' "$(f GET root/d/b%FF)" 200
# Its milliseconds are 2^64 + 384.
run 'mkdir /tmp/t; touch -d @18446744073709552 /tmp/t/far' >/dev/null
eq 'a time past all' "$(f GET tmp/t; json 'x[0]["mod_time"]' <"$W/got")" \
    2001970-01-01T00:00:00.000Z
eq 'a long list' "$(f GET root/d/many; json 'len(x)' <"$W/got")" 2001200
eq 'a tar' "$(f GET root/d -H 'Accept: application/x-tar')" 200
mkdir "$W/x"
tar xf "$W/got" -C "$W/x" 2>"$W/tar.err" || fail "tar: $(cat "$W/tar.err")"
eq 'tar says' "$(cat "$W/tar.err")" ''
eq 'in it' "$(cd "$W/x" && cat sub/x && readlink link out && find many -type f | wc -l &&
    find . -type p && printf '%q' b*)" "x
sub/x
/
1200
./fifo
\$'b\\377'"

run 'mkdir d/pipes; cd d/pipes && mkfifo $(seq 2500)' >/dev/null
eq 'many that end at once' "$(f GET root/d/pipes -H 'Accept: application/x-tar'
    tar tvf "$W/got" | grep -c '^prw')" 2002500

# what users get wrong
eq 'missing' "$(f GET root/nope)" 404
has 'missing' "$(cat "$W/got")" '/root/nope: no such file'
eq 'through a file' "$(f GET root/empty/x)" 404
eq 'a directory' "$(f PUT root/d --data-binary x)" 409
eq 'a fifo' "$(f GET root/d/fifo)" 403
eq 'no file' "$(f PUT root/new/ --data-binary x)" 400
eq 'dots' "$(f GET root/../etc/passwd)" 400
eq 'encoded dots' "$(f GET root/%2e%2e/etc/passwd)" 400
eq 'a NUL' "$(f GET root/%00)" 400
for top in proc/1/mem proc dev/null sys ./proc//1/mem; do
	eq "GET $top" "$(f GET $top)" 403
	eq "PUT $top" "$(f PUT $top --data-binary x)" 403
	eq "DELETE $top" "$(f DELETE $top)" 403
done
eq 'the root' "$(f DELETE '')" 409
curl -s --unix-socket "$SOCK" -o /dev/null -w '%{http_code}' \
    http://x/sandboxes/nobody/files/root/x >"$W/code"
eq 'no such sandbox' "$(cat "$W/code")" 404

# links of a guest lead where they would inside
echo outside >"$W/secret"
chmod 644 "$W/secret"
run "ln -s $W/secret s; ln -s ../../../../../..$W/secret t
ln -s / up; ln -s /proc/self/mem mem; ln -s loop loop" >/dev/null
for link in s t up"$W"/secret; do
	eq "GET $link" "$(f GET "root/$link")" 404
done
eq 'PUT through a link' "$(f PUT root/s --data-binary inside)" 201
eq 'outside' "$(cat "$W/secret")" outside
eq 'inside' "$(run "cat $W/secret")" inside
eq 'GET mem' "$(f GET root/mem)" 403
eq 'GET loop' "$(f GET root/loop)" 400

# a client that goes away in the middle leaves what was there
/usr/bin/python3 - "$SOCK" <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'PUT /sandboxes/files/files/root/tool HTTP/1.1\r\nHost: x\r\n'
          b'Content-Length: 1000000\r\n\r\n' + b'z' * 600000)
time.sleep(0.3)
PY
upload_gone() {
	[ "$(run 'ls -A | grep -c sbx-put')" = 0 ]
}
wait_for 5 upload_gone
eq 'what was there' "$(run ./tool)" 'new'

# a slow client costs no memory
front_kb() {
	local p

	for p in $(our_processes); do
		tr '\0' ' ' <"/proc/$p/cmdline" | grep -q front &&
		    awk '/^VmRSS/ { print $2 }' "/proc/$p/status"
	done 2>/dev/null | sort -n | tail -n1
}
run 'truncate -s 400M big' >/dev/null
before=$(front_kb)
curl -s --limit-rate 1M --max-time 3 --unix-socket "$SOCK" -o /dev/null \
    http://x/sandboxes/files/files/root/big &
sleep 2
after=$(front_kb)
wait $!
[ $((after - before)) -lt $((16384 * SLOW)) ] ||
    fail "the front grew from $before to $after KiB"

# removing
eq 'DELETE a file' "$(f DELETE root/up/root/chunked)" 204
eq 'DELETE a link' "$(f DELETE root/up)" 204
eq 'DELETE a tree' "$(f DELETE root/d)" 204
eq 'again' "$(f DELETE root/d)" 404
eq 'left' "$(run 'ls; ls / | grep -c usr')" "a
big
empty
loop
mem
s
t
tool
1"

# one that is stopped is served, and starts again
http POST /sandboxes/files/stop '' >/dev/null
same 'when stopped' root/a/b/data "$W/bytes"
eq 'PUT when stopped' "$(f PUT root/later --data-binary later)" 201
eq 'GET when stopped' "$(f GET root/later; cat "$W/got")" 200later
http POST /sandboxes/files/start '' >/dev/null
eq 'started' "$(code)" 200
eq 'its file' "$(run 'cat later')" later
