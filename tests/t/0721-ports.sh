#!/bin/bash
# The file ports: what listens is found without a connection, exposed ports
# reach it from the host, though the sandbox has no network; half-close,
# limits, bad input, close, stop, the front's death; no descriptor is left.
# limit 120
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
need_tool python3
low=$((20000 + RANDOM % 9000))
start_sbxd '[limits]' 'max_tunnels = 3' 'max_connections_per_tunnel = 2' \
    "tunnel_port_min = $low" "tunnel_port_max = $((low + 40))"
start_sbxfs
front_sockets() {
	find "/proc/$(role 'sbxd: front')/fd" -lname 'socket:*' | wc -l
}
idle=$(front_sockets)
mkdir "$M/web" || fail mkdir
cp "$TOP/tests/t/ports_server.py" "$M/web/fs/root/" || fail cp

# client PORT COMMAND [ARGUMENT]: see ports_client.py.
client() {
	/usr/bin/python3 "$TOP/tests/t/ports_client.py" "$@"
}

host_port() {
	sed -n "s/^expose $1 as .*://p" "$M/web/ports"
}

front_fds() {
	find "/proc/$(role 'sbxd: front')/fd" -mindepth 1 2>/dev/null | wc -l
}

serves() {
	grep -q "$1" "$M/web/ports"
}

# Nothing listens; then what does is listed, and none of it was connected to.
eq "nothing yet" "$(cat "$M/web/ports")" ""
before=$(front_fds)
echo 'python3 ports_server.py 7000 7001 ::1/7002 >/dev/null & echo $! >pid' \
    >"$M/web/exec"
wait_for 10 serves 'listen 7002'
eq "listed" "$(cat "$M/web/ports")" "# listen 7000
# listen 7001
# listen 7002"
eq "size" "$(stat -c %s "$M/web/ports")" "$(wc -c <"$M/web/ports")"
m=$(stat -c %y "$M/web/ports")
sleep 0.05
eq "its time stays" "$(stat -c %y "$M/web/ports")" "$m"
eq "no connection came" "$(cat "$M/web/fs/root/seen" 2>/dev/null)" ""

# Exposed; the first free port of the range; both loopbacks inside.
echo 'expose 7000' >"$M/web/ports" || fail expose
eq "as" "$(head -n1 "$M/web/ports")" "expose 7000 as 127.0.0.1:$(host_port 7000)"
[ "$(host_port 7000)" -ge $low ] && [ "$(host_port 7000)" -le $((low + 40)) ] ||
    fail "not of the range"
eq "reached" "$(client "$(host_port 7000)" ask hello)" "hello from 7000"
echo 'expose 7002' >"$M/web/ports" || fail "expose of ::1"
eq "reached by ::1" "$(client "$(host_port 7002)" ask hello)" "hello from 7002"
eq "an event each" "$(grep -c ' web port port=700[02]$' "$M/events")" 2
check "half-close, many bytes both ways" client "$(host_port 7000)" sum \
    "$((${SBX_LONG:-0} ? 1 << 30 : 30000000))"
check "the other side ends first" client "$(host_port 7000)" first
check "slow readers" client "$(host_port 7000)" slow
check "a reset is a reset" client "$(host_port 7000)" reset

# As asked; what is read can be written back.
used=$(host_port 7000)
free=$((low + 41))
echo "expose 7001 as 127.0.0.1:$free" >"$M/web/ports" || fail "expose as"
eq "its port" "$(host_port 7001)" $free
eq "reached" "$(client $free ask x)" "x from 7001"
cat "$M/web/ports" >"$W/saved"
check "written back" cp "$W/saved" "$M/web/ports"
cmp "$W/saved" "$M/web/ports" || fail "ports changed"

# What is wrong, and what it is called.
refused "$M/web/ports" 'expose 0' 'Invalid argument' 'expected a port'
refused "$M/web/ports" 'expose 65536' 'Invalid argument' 'expected a port'
refused "$M/web/ports" 'expose -1' 'Invalid argument' 'expected a port'
refused "$M/web/ports" 'expose 80 as' 'Invalid argument' 'usage: expose PORT'
refused "$M/web/ports" 'expose 80 to 81' 'Invalid argument' 'usage: expose PORT'
refused "$M/web/ports" 'expose 80 as www:80' 'Invalid argument' \
    'www:80: expected [ADDRESS:]PORT'
refused "$M/web/ports" 'expose 80 as 127.0.0.1:70000' 'Invalid argument' \
    '127.0.0.1:70000: expected'
refused "$M/web/ports" 'close' 'Invalid argument' 'usage: close PORT'
refused "$M/web/ports" 'close 9' 'No such file or directory' \
    'port 9 is not exposed'
refused "$M/web/ports" "expose 7000 as $((free + 1))" 'File exists' \
    'port 7000 is exposed already'
refused "$M/web/ports" 'expose 7009' 'Disk quota exceeded' \
    'tunnel limit reached (3)'
echo 'close 7002' >"$M/web/ports" || fail close
refused "$M/web/ports" "expose 7002 as $used" 'Address already in use' \
    "expose 7002 as 127.0.0.1:$used"
refused "$M/web/ports" 'expose 7002 as 192.0.2.1:8080' \
    'Cannot assign requested address' 'as 192.0.2.1:8080'

# At most two connections a tunnel; close cuts those that are open.
rm -f "$W/held"
client $free hold 2 >"$W/held" 2>&1 &
holder=$!
wait_for 10 grep -q held "$W/held"
eq "one too many" "$(client $free ask x)" ""
# Who is connected to uses it.
echo 'close 7001' >"$M/web/ports" || fail "close 7001"
wait $holder || fail "its connections were not cut: $(cat "$W/held")"
client $free ask x 2>/dev/null && fail "still there after close"

# It waits for who will listen, and the wait can be interrupted.
mkdir "$M/slow" || fail mkdir
sh -c 'echo $$ >"$2"; exec /bin/echo "expose 7100" >"$1"' - "$M/slow/ports" \
    "$W/pid" 2>/dev/null &
waiter=$!
wait_for 5 test -s "$W/pid"
sleep 0.3
kill -0 $waiter || fail "expose did not wait"
kill -TERM "$(cat "$W/pid")"
wait_for 5 gone $waiter
(echo 'expose 7100' >"$M/slow/ports") &
waiter=$!
sleep 0.1
eq "not yet" "$(cat "$M/slow/ports")" ""
cp "$TOP/tests/t/ports_server.py" "$M/slow/fs/root/"
echo 'python3 ports_server.py 7100 >/dev/null &' >"$M/slow/exec"
wait $waiter || fail "expose that waited failed"
has "exposed" "$(cat "$M/slow/ports")" 'expose 7100 as '
eq "reached" "$(client "$(sed -n 's/.*://p' "$M/slow/ports")" ask x)" \
    "x from 7100"

# Who listens on thousands is not listed, and hinders nobody.
cat >"$M/slow/fs/root/many.py" <<'END'
import socket
import time
some = [socket.create_server(('127.0.0.1', 10000 + i)) for i in range(4500)]
print('up', flush=True)
time.sleep(60)
END
echo 'ulimit -n $(ulimit -Hn); exec python3 many.py' >"$M/slow/exec"
wait_for 20 grep -q up "$M/slow/log"
has "its ports" "$(cat "$M/slow/ports")" 'expose 7100 as '
[ "$(wc -l <"$M/slow/ports")" = 1 ] || fail "some of too many are listed"
eq "the other's" "$(grep -c listen "$M/web/ports")" 2
echo 'kill KILL' >"$M/slow/ctl" || fail kill
cat "$M/slow/wait" >/dev/null
eq "listed again" "$(client "$(sed -n 's/.*://p' "$M/slow/ports")" ask x)" \
    "x from 7100"

# A stop ends the wait, and the tunnels; a start begins anew.
(echo 'expose 7101' >"$M/slow/ports") 2>"$W/said" &
waiter=$!
sleep 0.2
slow=$(sed -n 's/^expose 7100 as .*://p' "$M/slow/ports")
rm -f "$W/held"
client "$slow" hold 1 >"$W/held" 2>&1 &
holder=$!
wait_for 10 grep -q held "$W/held"
# (by a shell of its own: the end of our children would interrupt ours)
check stop sh -c "echo 'stop 0' >'$M/slow/ctl'"
wait $waiter && fail "an expose of a stopped sandbox succeeded"
has "why" "$(cat "$W/said")" 'Host is down'
wait $holder || fail "stop did not cut: $(cat "$W/held")"
eq "nothing while down" "$(cat "$M/slow/ports")" ""
refused "$M/slow/ports" 'expose 7100' 'Host is down' 'the sandbox is stopped'
echo start >"$M/slow/ctl" || fail start
eq "nothing after" "$(cat "$M/slow/ports")" ""
rmdir "$M/slow" || fail rmdir

# The front dies: what was exposed is there again, at the same place.
cat "$M/web/ports" >"$W/saved"
kill -KILL "$(role 'sbxd: front')"
wait_for 20 healthy
ports_again() {
	[ "$(cat "$M/web/ports" 2>/dev/null)" = "$(cat "$W/saved")" ]
}
wait_for 20 ports_again
eq "reached again" "$(client "$used" ask hello)" "hello from 7000"

# Use keeps one that would be idle; and nothing is left of any of it.
echo 'p=$(cat pid); kill $p; while kill -0 $p 2>/dev/null; do sleep .05; done
    python3 ports_server.py 7000 >/dev/null &' >"$M/web/exec"
cat "$M/web/wait" >/dev/null
wait_for 10 eval '[ "$(client "$used" ask hello 2>&1)" = "hello from 7000" ]'
before=$(front_fds)
rm -f "$W/held"
/usr/bin/python3 "$TOP/tests/t/ports_client.py" "$used" hold 1 >"$W/held" &
holder=$!
wait_for 10 grep -q held "$W/held"
echo 'idle 1' >"$M/web/ctl" || fail idle
sleep 3
[ -d "$M/web" ] || fail "it ended while a connection was open"
kill $holder
for _ in 1 2 3 4 5; do
	client "$used" ask x >/dev/null
done
same_fds() {
	# what is in stock is not lost
	[ "$(front_fds)" -le $((before + 9)) ]
}
wait_for 5 same_fds
# A look at it would be use.
wait_for 10 grep -q ' web destroyed' "$M/events"
client "$used" ask x 2>/dev/null && fail "its port outlived it"
# Any of them would hold its network.
no_sockets() {
	[ "$(front_sockets)" -le "$idle" ]
}

wait_for 5 no_sockets
exit 0
