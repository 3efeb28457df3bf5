#!/bin/bash
# limit 180
# Every route, with what is right and with what users get wrong: the status,
# and the message that names it. Both listeners, three callers.
. "$(dirname "$0")/lib.sh"
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
start_sbxd "server.tcp = \"127.0.0.1:$port\"" \
    '[limits]' 'max_memory = "1g"' 'max_cpu = 2.0' 'max_sandboxes = 40'
export W TOP
SBX_SOCK=$SOCK SBX_PORT=$port /usr/bin/python3 "$TOP/tests/t/http_routes.py" ||
    fail "see above"
/usr/bin/python3 "$TOP/tests/t/0300-http-hostile.py" "$SOCK" ||
    fail "what is refused, see above"
