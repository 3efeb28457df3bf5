#!/bin/bash
# Kills each process at random points of create, exec and destroy, restarts
# it, and finds every acknowledged sandbox, no other, and nothing left over.
# KILLS=N, SEED=N (printed).
# limit 900
# serial
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
kills=${KILLS:-20}
[ "${SBX_LONG:-}" != 1 ] || kills=${KILLS:-200}
RANDOM=${SEED:=$RANDOM}
say "SEED=$SEED KILLS=$kills"
start_sbxd
start_sbxfs

# op KIND DOOR NAME: exit 0 only when the door said that it is done.
op() {
	case $1-$2 in
	create-file) mkdir "$M/$3" ;;
	create-http) curl -sf --unix-socket "$SOCK" -d "{\"name\":\"$3\"}" \
	    http://x/sandboxes ;;
	destroy-file) rmdir "$M/$3" ;;
	destroy-http) curl -sf --unix-socket "$SOCK" -X DELETE \
	    "http://x/sandboxes/$3" ;;
	exec-file) echo "echo $4 >mark" >"$M/$3/exec" &&
	    [ "$(cat "$M/$3/exec" 2>&1; cut -d' ' -f2 "$M/$3/wait")" = 0 ] ;;
	exec-http) curl -sf --unix-socket "$SOCK" \
	    -d "{\"command\":\"echo $4 >mark\"}" \
	    "http://x/sandboxes/$3/exec" | grep -q '"exit_code":0' ;;
	esac >/dev/null 2>&1
}

names_http() {
	http GET /sandboxes | json '"\n".join(sorted(s["name"] for s in x))'
}
names_file() {
	local d

	for d in "$M"/*/; do
		d=${d%/}
		[ "${d##*/}" = profiles ] || echo "${d##*/}"
	done | grep -v '^\*$' | sort
}

both_up() {
	healthy && cat "$M/status" >/dev/null 2>&1
}
kill_one() {
	local pid='' old

	case $1 in
	broker)
		kill_broker
		run_sbxd
		;;
	sbxfs)
		kill_sbxfs
		start_sbxfs
		;;
	*)
		pid=$(role "sbxd: $1")
		old=$(role "sbxd: front")
		# A front whose worker died answers until it has seen it.
		[ -z "$pid" ] || { kill -KILL "$pid" && wait_for 30 gone "$old"; }
		;;
	esac
	wait_for 30 both_up
}

declare -A alive=() marks=()
roles=(front broker worker sbxfs)
kinds=(create exec destroy)
doors=(file http)
for ((n = 1; n <= kills; n++)); do
	victim=${roles[RANDOM % 4]}
	door=${doors[RANDOM % 2]}
	kind=${kinds[RANDOM % 3]}
	have=("${!alive[@]}")
	if [ ${#have[@]} = 0 ]; then
		kind=create
	elif [ ${#have[@]} -ge 8 ]; then
		kind=destroy
	fi
	if [ "$kind" = create ]; then
		name=k$n
	else
		name=${have[RANDOM % ${#have[@]}]}
	fi
	op "$kind" "$door" "$name" $n &
	job=$!
	sleep 0.0$((RANDOM % 50 + 10))
	kill_one "$victim"
	ended $job 30 || fail "kill $n: $kind by $door hangs after $victim died"
	what="kill $n ($victim during $kind by $door of $name, answered $status)"
	if [ "$kind" = create ] && [ "$status" = 0 ]; then
		alive[$name]=1
	elif [ "$kind" = destroy ] && [ "$status" = 0 ]; then
		unset "alive[$name]" "marks[$name]"
	elif [ "$kind" = exec ] && [ "$status" = 0 ]; then
		marks[$name]=$n
	fi
	agree() {
		by_http=$(names_http)
		by_file=$(names_file)
		[ "$by_http" = "$by_file" ]
	}
	wait_for 20 agree
	# What was not answered survives whole, or not at all.
	if [ "$status" != 0 ] && [ "$kind" != exec ]; then
		if grep -qx "$name" <<<"$by_http"; then
			alive[$name]=1
		else
			unset "alive[$name]" "marks[$name]"
		fi
	fi
	eq "$what" "$by_http" "$(printf '%s\n' "${!alive[@]}" | sort |
	    sed '/^$/d')"
	for one in "${!alive[@]}"; do
		if [ "$one" = "$name" ]; then
			out=$(http POST "/sandboxes/$one/exec" \
			    '{"command":"echo lives; cat mark"}' |
			    json 'x["stdout"]')
			has "$what: exec" "$out" lives
			[ "$kind" = exec ] ||
			    eq "$what: its file" "$(sed 1d <<<"$out")" \
				"${marks[$one]:-}"
		fi
	done
done
exit 0
