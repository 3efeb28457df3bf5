#!/bin/bash
# Ports over HTTP: expose and close, requests and WebSockets passed on to
# servers inside, honest and hostile ones; nothing is left open.
# limit 120
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
need_tool python3
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
start_sbxd "server.tcp = \"127.0.0.1:$port\"" '[limits]' 'max_tunnels = 2' \
    'websocket_idle = "2s"' \
    '[pool.base.closed]' 'proxy = "exposed"' 'min = 0'
front=$(role 'sbxd: front')
front_fds() {
	find "/proc/$front/fd" -mindepth 1 | wc -l
}

for box in web closed down; do
	profile=default
	[ $box != closed ] || profile=closed
	http POST /sandboxes "{\"name\":\"$box\",\"profile\":\"$profile\"}" \
	    >/dev/null
	eq "create $box" "$(code)" 201
done
http POST /sandboxes/down/stop >/dev/null
for box in web closed; do
	http PUT "/sandboxes/$box/files/root/web.py" '' \
	    --data-binary "@$TOP/tests/t/ports_web.py" >/dev/null
	eq "put" "$(code)" 201
	http POST "/sandboxes/$box/exec" \
	    '{"command":"python3 web.py 8000 >log 2>&1 &"}' >/dev/null
done
serves() {
	http GET /sandboxes/web/ports/8000/ >/dev/null
	[ "$(code)" = 200 ]
}
wait_for 10 serves
before=$(front_fds)
SBX_SOCK=$SOCK SBX_PORT=$port SBX_FRONT=$front \
    /usr/bin/python3 "$TOP/tests/t/ports_http.py" || fail "see above"
destroy_all
all_closed() {
	[ "$(front_fds)" -le "$before" ]
}
wait_for 10 all_closed
exit 0
