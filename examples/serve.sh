#!/bin/sh
# serve.sh - a web server in a sandbox that has no network, reached by curl
# through a port of this machine and over the daemon's HTTP.
#
#	examples/serve.sh [DIRECTORY]     SBX=/sbx is where the mount is,
#	                                  SOCK the daemon's socket
#
# What is served is a copy, and the server can reach nothing but that.
set -eu
sbx=${SBX:-/sbx}
sock=${SOCK:-/run/sbxd/sbxd.sock}
from=${1:-$(dirname "$0")}
box=$sbx/serve-$$
trap 'rmdir "$box" 2>/dev/null' EXIT
trap 'exit 130' INT TERM

mkdir "$box"
mkdir "$box/fs/root/www"
cp -R "$from"/. "$box/fs/root/www/"
echo 'cd www; exec python3 -m http.server 8000 >/dev/null 2>&1 &' >"$box/exec"

# It waits for the server, then has a port of its own.
echo 'expose 8000' >"$box/ports"
at=$(sed -n 's/^expose 8000 as //p' "$box/ports")
echo "at http://$at/"
curl -sf "http://$at/serve.sh" | head -n 2

# The same without a port: the daemon passes requests on.
curl -sf --unix-socket "$sock" "http://x/sandboxes/${box##*/}/ports/8000/" |
    grep -c '<li>'

echo 'close 8000' >"$box/ports"
cat "$box/ports"
