#!/bin/bash
# limit 120
# WebSockets: handshakes, frames right and wrong, what does not read; and the
# ends: of the sandbox, of the front.
. "$(dirname "$0")/lib.sh"
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
start_sbxd "server.tcp = \"127.0.0.1:$port\""
http POST /sandboxes '{"name":"web","ttl":600}' >/dev/null
eq "create" "$(code)" 201
front=$(role 'sbxd: front')
fds() {
	find "/proc/$front/fd" -mindepth 1 | wc -l
}
before=$(fds)
SBX_SOCK=$SOCK SBX_PORT=$port SBX_FRONT=$front \
    /usr/bin/python3 "$TOP/tests/t/websocket.py" || fail "see above"
settled() {
	[ "$(fds)" -le $((before + 1)) ]
}
wait_for 5 settled
