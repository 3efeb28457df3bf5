#!/bin/bash
# One rule for limits at every door: 0 is none at all, root's to give, and not
# where the configuration has a maximum; what it is already may be said again.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_tool setpriv
local_only "other users" || exit 77
start_sbxd '[limits]' 'max_memory = "2g"' 'max_cpu = 0.0'
start_sbxfs
group=$(stat -c %g "$M/ctl")
as_user() {
	setpriv --reuid=1000 --regid="$group" --clear-groups "$@"
}
# user METHOD PATH BODY: its code and its body.
user() {
	as_user curl -sS --max-time 30 --unix-socket "$SOCK" -X "$1" \
	    --data-binary "$3" -w ' %{http_code}' "http://x$2" | tr -d '\n'
}
root() {
	http "$@"
	echo " $(code)"
}

# key, of a line and of JSON; what root is told: ok, or a sentence
while IFS='|' read -r line json told; do
	key=${line%%=*}
	user_told="$key 0 is no limit: only root may lift it"
	rm -rf "$M/u" "$M/r"
	# the user: by create, ctl, POST, PATCH
	out=$(as_user bash -c 'echo "create u $1" >"$0/ctl"' "$M" "$line" 2>&1)
	has "create $line" "$out" 'not permitted'
	has "errors" "$(tail -n1 "$M/errors")" "$user_told"
	has "POST $json" "$(user POST /sandboxes "{\"name\":\"u\",$json}")" \
	    "$user_told\"} 403"
	as_user bash -c 'echo "create u" >"$0/ctl"' "$M" || fail "create u"
	if [ "$key" != storage ]; then
		out=$(as_user bash -c 'echo "$1" >"$0/u/ctl"' "$M" \
		    "${line/=/ }" 2>&1)
		has "ctl ${line/=/ }" "$out" 'not permitted'
		has "PATCH $json" "$(user PATCH /sandboxes/u "{$json}")" \
		    "$user_told\"} 403"
	fi
	# root
	out=$( (echo "create r $line" >"$M/ctl") 2>&1)
	answer=$(root POST /sandboxes "{\"name\":\"p\",$json}")
	if [ "$told" = ok ]; then
		eq "root's create $line" "$out" ''
		has "root's POST $json" "$answer" ' 201'
		[ "$key" = storage ] ||
		    check "again" sh -c "echo '${line/=/ }' >'$M/r/ctl'"
		has "it is so" "$(cat "$M/ctl")" " $line"
		rmdir "$M/p"
	else
		has "root's create $line" "$out" 'Invalid argument'
		has "errors" "$(grep "$line" "$M/errors" | tail -n1)" "$told"
		has "root's POST $json" "$answer" "$told"
		has "root's POST $json" "$answer" ' 400'
		mkdir "$M/r"
		refused "$M/r/ctl" "${line/=/ }" 'Invalid argument' "$told"
		has "root's PATCH $json" \
		    "$(root PATCH /sandboxes/r "{$json}")" "$told"
	fi
done <<'X'
pids=0|"pids":0|ok
cpu=0|"cpu":0|ok
memory=0|"memory":"0"|memory 0: over the limit of 2147483648
X
# What is over a maximum is told the same way.
over='memory 3221225472: over the limit of 2147483648'
refused "$M/ctl" 'create x memory=3G' 'Invalid argument' "$over"
has "POST" "$(root POST /sandboxes '{"memory":"3g"}')" "$over"
has "PATCH" "$(root PATCH /sandboxes/r '{"memory":"3g"}')" "$over"
exit 0
