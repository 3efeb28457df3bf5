#!/bin/bash
# A service manager that asks is told when sbxd and sbxfs serve, and then they
# do: a start that is done needs no wait.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
need_fuse
write_config
chmod 711 "$W"
mkdir "$M"

# told SOCKET COMMAND...: starts it, and returns when SOCKET says so.
told() {
	python3 - "$@" <<'P'
import os, socket, subprocess, sys
where, argv = sys.argv[1], sys.argv[2:]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(where.replace('@', '\0', 1))
s.settimeout(20 * int(os.environ['SBX_SLOW']))
with open(os.environ['W'] + '/' + os.path.basename(argv[0]) + '.log',
          'wb') as log:
    p = subprocess.Popen(argv, env=dict(os.environ, NOTIFY_SOCKET=where),
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
print(p.pid)
text = s.recv(100)
assert text == b'READY=1', text
P
}
export W
sbxd_pid=$(told "$W/notify" "$B/sbxd" -f -c "$W/sbxd.toml") || fail "sbxd"
check "it serves" healthy
sbxfs_pid=$(told "@$W" "$B/sbxfs" -f -s "$RUN/files.sock" "$M") || fail "sbxfs"
check "the mount is there" mkdir "$M/a"
exit 0
