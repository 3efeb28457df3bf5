#!/bin/bash
# What users get wrong, for each control file and each route: an errno or a
# status that fits, and a sentence that names what is wrong. Nothing of it
# has any effect.
# limit 120
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
start_sbxd
start_sbxfs
mkdir "$M/web" || fail mkdir
echo 'KEEP=1' >"$M/web/env"
before=$(cat "$M/ctl" "$M/web/ctl" "$M/web/env"; grep -v uptime "$M/web/status")

bad=0
wrong() {
	say "WRONG: $*"
	bad=1
}

# FILE|LINE|ERRNO'S TEXT|WHAT THE SENTENCE NAMES
while IFS='|' read -r file line errno names; do
	[ -n "$file" ] || continue
	out=$( (printf '%s\n' "$line" >>"$M/$file") 2>&1) && {
		wrong "'$line' > $file was taken"
		continue
	}
	case $out in
	*"$errno") ;;
	*) wrong "'$line' > $file: $out, not $errno" ;;
	esac
	last=$(tail -n1 "$M/errors")
	case $last in
	*" $file: "*"$names"*": \""*) ;;
	*) wrong "'$line' > $file: the sentence: $last" ;;
	esac
done <<'END'
ctl|frob|Invalid argument|frob
ctl|create bad/name|Invalid argument|bad/name
ctl|create -x|Invalid argument|-x
ctl|create ctl|Invalid argument|ctl
ctl|create sbx-1|Invalid argument|sbx-1
ctl|create web|File exists|web
ctl|create x y|Invalid argument|y
ctl|create x profile=nope|No such file or directory|nope
ctl|create x image=nope|No such file or directory|nope
ctl|create x memory=12q|Invalid argument|12q
ctl|create x memory=-1|Invalid argument|-1
ctl|create x memory=1|Invalid argument|less than 4194304
ctl|create x memory=1000g|Invalid argument|memory
ctl|create x cpu=many|Invalid argument|many
ctl|create x cpu=1000|Invalid argument|cpu
ctl|create x pids=no|Invalid argument|no
ctl|create x frob=1|Invalid argument|frob
ctl|create x env.1=2|Invalid argument|1
ctl|create "open|Invalid argument|quote
ctl|destroy nope|No such file or directory|nope
ctl|destroy|Invalid argument|destroy
ctl|flush nope|No such file or directory|nope
web/ctl|frob 1|Invalid argument|frob
web/ctl|memory|Invalid argument|memory
web/ctl|memory 4095K|Invalid argument|less than 4194304
web/ctl|memory x|Invalid argument|x
web/ctl|memory 1 2|Invalid argument|usage: memory
web/ctl|cpu much|Invalid argument|much
web/ctl|pids -4|Invalid argument|-4
web/ctl|timeout soon|Invalid argument|soon
web/ctl|ttl x|Invalid argument|x
web/ctl|label =x|Invalid argument|label
web/ctl|kill FROB|Invalid argument|FROB
web/ctl|kill|No such process|
web/ctl|protect maybe|Invalid argument|maybe
web/env|A B=1|Invalid argument|A B
web/env|=1|Invalid argument|
web/env|1A=1|Invalid argument|1A
web/ports|frob|Invalid argument|frob
web/ports|expose http|Invalid argument|http
pool|nope 3|No such file or directory|nope
pool|default many|Invalid argument|many
pool|default 3 min=9 max=1|Invalid argument|m
pool|default 3 frob=1|Invalid argument|frob
END

# COMMAND;ERRNO'S TEXT (mv has words of its own for EINVAL)
while IFS=';' read -r command errno; do
	[ -n "$command" ] || continue
	out=$(cd "$M" && sh -c "$command" 2>&1) && {
		wrong "$command was done"
		continue
	}
	case $out in
	*"$errno"*) ;;
	*) wrong "$command: $out, not $errno" ;;
	esac
done <<'END'
mkdir web;File exists
mkdir ctl;File exists
mkdir ./-x;Invalid argument
mkdir sbx-1;Invalid argument
mkdir stats;Invalid argument
mkdir nope/x;No such file or directory
mkdir web/x;Operation not permitted
rmdir nope;No such file or directory
rmdir ctl;Not a directory
rmdir web/fs;Device or resource busy
touch x;Operation not permitted
touch web/x;Operation not permitted
rm status;Operation not permitted
rm web/status;Operation not permitted
mv -T web ./-x;subdirectory of itself
mv -T web jobs;subdirectory of itself
mv nope x;No such file or directory
mv ctl x;Operation not permitted
ln -s x y;Operation not permitted
echo x >web/status;: 
: >new;Permission denied
cat new;Permission denied
cat nope/exec;No such file or directory
head -c 1200000 /dev/zero | tr '\0' a >web/exec;Argument list too long
END

# METHOD|PATH|BODY|STATUS|WHAT THE MESSAGE NAMES
while IFS='|' read -r method path body status names; do
	[ -n "$method" ] || continue
	out=$(http "$method" "$path" "$body")
	if [ "$(code)" != "$status" ]; then
		wrong "$method $path '$body': $(code), not $status: $out"
		continue
	fi
	case $out in
	*"$names"*) ;;
	*) wrong "$method $path '$body': does not name '$names': $out" ;;
	esac
done <<'END'
POST|/sandboxes|{|400|invalid request body
POST|/sandboxes|[]|400|invalid request body
POST|/sandboxes|{"ttl":"x"}|400|ttl
POST|/sandboxes|{"ttl":1.5}|400|ttl
POST|/sandboxes|{"name":7}|400|name
POST|/sandboxes|{"name":"bad/name"}|400|bad/name
POST|/sandboxes|{"name":"ctl"}|400|ctl
POST|/sandboxes|{"name":"sbx-1"}|400|sbx-1
POST|/sandboxes|{"name":"web"}|409|web
POST|/sandboxes|{"profile":"nope"}|404|nope
POST|/sandboxes|{"template":"tpl-1"}|404|template not found
POST|/sandboxes|{"memory":"12q"}|400|memory
POST|/sandboxes|{"memory":"1000g"}|400|memory
POST|/sandboxes|{"cpu":"1"}|400|cpu
POST|/sandboxes|{"cpu":1000}|400|cpu
POST|/sandboxes|{"storage":"x"}|400|storage
POST|/sandboxes|{"labels":[]}|400|labels
POST|/sandboxes|{"labels":{"k":1}}|400|labels
PUT|/sandboxes||405|Method Not Allowed
GET|/nothing||404|404 page not found
GET|/sandboxes/||404|404 page not found
GET|/sandboxes/nope||404|sandbox not found
DELETE|/sandboxes/nope||404|sandbox not found
GET|/sandboxes/nope/stats||404|sandbox not found
POST|/sandboxes/nope/exec|{"command":"x"}|404|sandbox not found
PUT|/sandboxes/nope/files/x|y|404|sandbox not found
PATCH|/sandboxes/web|{"memory":"x"}|400|memory
PATCH|/sandboxes/web|{"memory":1.5}|400|memory
PATCH|/sandboxes/web|{"name":"ctl"}|400|ctl
PATCH|/sandboxes/web|{"labels":1}|400|labels
POST|/sandboxes/web/exec|{}|400|command
POST|/sandboxes/web/exec|{"command":1}|400|command
POST|/sandboxes/web/exec|{"command":""}|400|empty
POST|/sandboxes/web/exec|{"command":"x","timeout":"y"}|400|timeout
POST|/sandboxes/web/exec|{"command":"x","env":{"A":1}}|400|env
POST|/sandboxes/web/exec|{"command":"x","stdin":1}|400|stdin
POST|/sandboxes/web/exec|{"command":"x","cwd":7}|400|cwd
GET|/sandboxes/web/files/root/nope||404|nope
DELETE|/sandboxes/web/files/root/nope||404|nope
PUT|/sandboxes/web/env|[]|400|
PUT|/sandboxes/web/env|{"A":1}|400|A
PUT|/sandboxes/web/env|{"A B":"1"}|400|A B
PUT|/pools/nope|{"count":1}|500|pool resize failed
PUT|/pools/default|{"count":-1}|400|count must be non-negative
PUT|/pools/default|{"count":"x"}|400|count
POST|/pools/nope/flush||500|pool flush failed
GET|/events/history?after=x||400|'after'
GET|/events/history?limit=0||400|'limit'
END

eq "nothing of it had an effect" "$(cat "$M/ctl" "$M/web/ctl" "$M/web/env"
    grep -v uptime "$M/web/status")" "$before"
eq "one sandbox" "$(http GET /sandboxes | json 'len(x)')" 1
[ $bad = 0 ] || fail "see above"
exit 0
