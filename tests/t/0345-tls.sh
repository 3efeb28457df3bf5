#!/bin/bash
# limit 120
# TCP with TLS and tokens: who is let in, as whom, on every route; what is no
# TLS; handshakes that stop half way hold nobody up; renewed files; who guesses.
. "$(dirname "$0")/lib.sh"
need_tool openssl
cert() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
	    -nodes -keyout "$W/key.pem" -out "$W/cert.pem" -days 2 \
	    -subj /CN=sbxd -addext subjectAltName=IP:127.0.0.1 2>/dev/null ||
	    fail "no certificate"
	chmod "${1:-600}" "$W/key.pem"
}
cert
admin=$(openssl rand -hex 24) alice=$(openssl rand -hex 24)
bob=$(openssl rand -hex 24)
printf '# who\n%s\n%s alice\n\n%s bob\n' "$admin" "$alice" "$bob" >"$W/tokens"
chmod 600 "$W/tokens"
port=$(free_port)
start_sbxd "server.tcp = \"127.0.0.1:$port\"" \
    "server.tls_cert = \"$W/cert.pem\"" "server.tls_key = \"$W/key.pem\"" \
    "server.token_file = \"$W/tokens\""

# tls TOKEN METHOD PATH [CURL OPTION...]: its body; the status is in code
tls() {
	local token=$1 method=$2 path=$3

	shift 3
	curl -sS --max-time 20 --cacert "$W/cert.pem" -X "$method" \
	    ${token:+-H "Authorization: Bearer $token"} -o "$W/http.body" \
	    -w '%{http_code}' "$@" "https://127.0.0.1:$port$path" \
	    >"$W/http.code" || return 1
	cat "$W/http.body"
}

check "health is open" tls '' GET /health
eq "its status" "$(code)" 200

# Without a token, or with a wrong one: the same on every route but two. Who
# is wrong too often has to wait, so each comes from another address.
http GET /openapi.json >"$W/openapi.json"
/usr/bin/python3 - "$W/openapi.json" >"$W/routes" <<'P'
import json, sys
for path, methods in json.load(open(sys.argv[1]))['paths'].items():
    for method in methods:
        print(method.upper(), path.replace('{', '').replace('}', ''))
P
[ "$(wc -l <"$W/routes")" -gt 30 ] || fail "routes are missing"
while read -r method path; do
	case $path in
	/health | /metrics) continue ;;
	esac
	[ "$method" != HEAD ] || method=GET
	n=$((${n:-1} + 1))
	for token in '' "$admin"x; do
		tls "$token" "$method" "$path" --interface 127.0.0.$n \
		    >/dev/null
		eq "$method $path without a token" "$(code)" 401
	done
done <"$W/routes"
for token in "${admin%?}" "$alice $bob" "x$admin" " "; do
	tls "$token" GET /sandboxes >/dev/null
	eq "another token" "$(code)" 401
done
tls '' GET /sandboxes -H "Authorization: Basic $admin" >/dev/null
eq "another scheme" "$(code)" 401
tls "$admin" GET /sandboxes -H "Authorization: Bearer $alice" >/dev/null
eq "two of them" "$(code)" 401
has "what is asked for" "$(curl -sSi --cacert "$W/cert.pem" \
    "https://127.0.0.1:$port/sandboxes")" 'WWW-Authenticate: Bearer'

# Tokens cannot be guessed: the eleventh from one address is not looked at,
# right or wrong, while the others and who was let in before are served.
tls "$bob" GET /sandboxes --interface 127.0.1.1 >/dev/null
for n in 1 2 3 4 5 6 7 8 9 10 11; do
	tls "$admin$n" GET /sandboxes --interface 127.0.1.1 >/dev/null
	eq "wrong token $n" "$(code)" $((n < 11 ? 401 : 429))
done
has "what is said" "$(cat "$W/http.body")" 'too many authentication failures'
tls "$admin" GET /sandboxes --interface 127.0.1.1 -D "$W/head" >/dev/null
eq "a right one then" "$(code)" 429
grep -qi '^retry-after: 60' "$W/head" || fail "no Retry-After"
tls "$bob" GET /sandboxes --interface 127.0.1.1 >/dev/null
eq "one that came from there" "$(code)" 200
tls '' GET /health --interface 127.0.1.1 >/dev/null
eq "its health" "$(code)" 200

# Each identity has its own; the token without one sees all.
tls "$alice" POST /sandboxes -d '{"name":"hers","ttl":600}' >/dev/null
eq "alice makes one" "$(code)" 201
# A server of hers is told how she came, and not by which token.
tls "$alice" PUT /sandboxes/hers/files/root/web.py \
    --data-binary "@$TOP/tests/t/ports_web.py" >/dev/null
tls "$alice" POST /sandboxes/hers/exec \
    -d '{"command":"python3 web.py 8000 >log 2>&1 &"}' >/dev/null
served() {
	tls "$alice" GET /sandboxes/hers/ports/8000/x >"$W/served"
	[ "$(code)" = 200 ]
}
wait_for 10 served
has "over TLS" "$(cat "$W/served")" '["x-forwarded-proto", "https"]'
grep -qi "authorization\|$alice" "$W/served" && fail "her token is passed on"
tls "$bob" POST /sandboxes -d '{"name":"his","ttl":600}' >/dev/null
eq "bob sees his" "$(tls "$bob" GET /sandboxes | json 'x[0]["owner"]')" bob
tls "$bob" GET /sandboxes/hers >"$W/foreign"
eq "another's" "$(code)" 404
tls "$bob" GET /sandboxes/none | cmp - "$W/foreign" ||
    fail "another's is told from none"
eq "admin sees" "$(tls "$admin" GET /sandboxes |
    json '" ".join(sorted(s["name"] for s in x))')" "hers his"
tls "$bob" GET /sandboxes -H 'X-Sandbox-Identity: alice' >/dev/null
eq "bob as alice" "$(code)" 403
eq "admin as alice" "$(tls "$admin" GET /sandboxes \
    -H 'X-Sandbox-Identity: alice' | json 'x[0]["name"]')" hers
tls "$admin" GET /sandboxes -H 'X-Sandbox-Identity: uid:0' >/dev/null
eq "uid: over TCP" "$(code)" 400

# 10 MiB both ways.
head -c 10485760 /dev/urandom >"$W/big"
tls "$alice" PUT /sandboxes/hers/files/root/big -T "$W/big" >/dev/null
tls "$alice" GET /sandboxes/hers/files/root/big >/dev/null
cmp "$W/big" "$W/http.body" || fail "10 MiB are others"

# What is no TLS, or too old.
! curl -sS --max-time 5 "http://127.0.0.1:$port/health" >/dev/null 2>&1 ||
    fail "served without TLS"
! curl -sS --max-time 5 -k --tls-max 1.1 "https://127.0.0.1:$port/health" \
    >/dev/null 2>&1 || fail "served with TLS 1.1"
for v in 1.2 1.3; do
	check "TLS $v" curl -sS --max-time 5 --cacert "$W/cert.pem" \
	    --tlsv$v --tls-max $v "https://127.0.0.1:$port/health" -o /dev/null
done
for n in 1 5 100 20000; do
	head -c $n /dev/urandom | timeout 2 bash -c \
	    "cat >/dev/tcp/127.0.0.1/$port" 2>/dev/null
done
/usr/bin/python3 - "$port" <<'P' || fail "handshakes that stop hold others up"
import socket, ssl, sys, time
port = int(sys.argv[1])
half = [socket.create_connection(('127.0.0.1', port)) for _ in range(200)]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
hello = ssl.MemoryBIO()
client = context.wrap_bio(ssl.MemoryBIO(), hello)
try:
    client.do_handshake()
except ssl.SSLWantReadError:
    pass
data = hello.read()
for i, s in enumerate(half):
    s.sendall(data[:i * len(data) // 200])
began = time.monotonic()
with socket.create_connection(('127.0.0.1', port)) as s:
    with context.wrap_socket(s) as t:
        t.sendall(b'GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
        assert t.recv(100).startswith(b'HTTP/1.1 200')
assert time.monotonic() - began < 2
# bytes after a handshake that are no record
with socket.create_connection(('127.0.0.1', port)) as s:
    with context.wrap_socket(s) as t:
        raw = socket.socket(fileno=t.detach())
        raw.sendall(b'x' * 100)
        raw.settimeout(5)
        while raw.recv(1000):
            pass
P

# Renewed: by SIGHUP, as far as the front may read them; else the old stay.
cp "$W/cert.pem" "$W/old.pem"
cert 644
echo "$(openssl rand -hex 24) new" >"$W/tokens"
kill -HUP "$sbxd_pid"
renewed() {
	curl -sS --max-time 5 --cacert "$W/cert.pem" -o /dev/null \
	    "https://127.0.0.1:$port/health" 2>/dev/null
}
wait_for 5 renewed
has "tokens it may not read" "$(cat "$W/sbxd.log")" \
    'token_file '"$W/tokens"': Permission denied; the old ones stay'
tls "$alice" GET /sandboxes/hers >/dev/null
eq "the old tokens" "$(code)" 200
chmod 644 "$W/tokens"
kill -HUP "$sbxd_pid"
old_gone() {
	tls "$alice" GET /sandboxes >/dev/null
	[ "$(code)" = 401 ]
}
wait_for 5 old_gone
! grep -qF "$alice" "$W/sbxd.log" || fail "a token is in the log"

# Other machines need both.
destroy_all
stop_sbxd
for lines in 'token_file = "x"' 'tls_cert = "x"\ntls_key = "y"' ''; do
	printf '[server]\ntcp = ":1"\n%b\n' "$lines" >"$W/bad.toml"
	"$B/sbxd" --check -c "$W/bad.toml" >"$W/out" 2>&1 &&
	    fail "accepted: $lines"
	has "refused" "$(cat "$W/out")" 'is reached by other machines'
done
