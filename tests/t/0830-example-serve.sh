#!/bin/bash
# examples/serve.sh: a web server in a sandbox, reached by curl.
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
out=$(SBX=$M SOCK=$SOCK "$TOP/examples/serve.sh" 2>&1)
rc=$?
say "$out"
eq "exit" $rc 0
at=$(sed -n 's|^at http://\(.*\)/$|\1|p' <<<"$out")
has "its port" "$at" '127.0.0.1:'
has "a file" "$out" '# serve.sh - a web server'
eq "closed again" "$(tail -n 1 <<<"$out")" '# listen 8000'
[ "$(tail -n 2 <<<"$out" | head -n 1)" -ge 4 ] || fail "the list of files"
curl -s --max-time 2 "http://$at/" && fail "its port outlived it"
eq "all are gone" "$(http GET /sandboxes)" "[]"
exit 0
