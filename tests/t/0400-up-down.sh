#!/bin/bash
# make up, the README's session at /sbx, make up again with a job running,
# make down; down again. Nothing is left of it. It changes this machine while
# it runs, so only where CI=true or in make test-long, and never where an
# installation stands.
# limit 400
# serial
# shellcheck source=tests/t/lib.sh
. "$TOP/tests/t/lib.sh"
need_root
[ "${CI:-}" = true ] || [ "${SBX_LONG:-}" = 1 ] ||
    skip "changes this machine: CI=true or make test-long"
[ -z "${SBX_SAN:-}" ] || skip "one build is enough"
for there in /etc/sbxd /run/sbxd /var/lib/sbxd /sbx /usr/local/sbin/sbxd; do
	[ ! -e $there ] || skip "an installation stands: $there"
done
cd "$TOP" || exit 1

# What may change on a machine, except by others.
traces() {
	ls -d /etc/sbxd /run/sbxd /var/lib/sbxd /sbx 2>/dev/null
	find /usr/local /etc/systemd | sort
	cat /etc/passwd /etc/group
	find /sys/fs/cgroup -type d -path '*sbxd*' 2>/dev/null
	grep sbx /proc/self/mountinfo | grep -v /tmp/
	for p in /proc/[0-9]*; do
		tr '\0' ' ' <"$p/cmdline"
	done 2>/dev/null | grep '^sbx'
}
before=$(traces)
trap 'make down >/dev/null 2>&1; exit 1' EXIT

make up >"$W/up.log" 2>&1 || fail "make up: $(tail -n 20 "$W/up.log")"
has "the first job" "$(cat "$W/up.log")" "hello from"
has "what to type next" "$(cat "$W/up.log")" "echo 'create web' > /sbx/ctl"
echo 'create web' >/sbx/ctl || fail create
cp examples/hello.py /sbx/web/fs/root/
echo 'python3 hello.py' >/sbx/web/exec
eq "hello" "$(cat /sbx/web/exec)" "hello from web"
ps -eo user,args >"$W/ps"
for role in "root *sbxd: broker" "_sbx *sbxd: front" "root *sbxfs"; do
	grep -q "^$role" "$W/ps" || fail "no process: $role"
done
if [ -d /run/systemd/system ]; then
	systemctl restart sbxd-guests 2>/dev/null &&
	    fail "the unit of the sandboxes restarts under them"
	systemctl restart sbxd sbxfs || fail "systemctl restart"
	has "a restart is done when it serves" "$(cat /sbx/web/status)" \
	    "state running"
fi
echo 'sleep 3; echo done' >/sbx/web/exec

make up >"$W/up2.log" 2>&1 || fail "again: $(tail -n 20 "$W/up2.log")"
eq "the job outlives it" "$(cat /sbx/web/exec)" "done"
eq "so does the disk" "$(ls /sbx/web/fs/root)" hello.py

for round in 1 2; do
	make down >"$W/down.log" 2>&1 ||
	    fail "make down $round: $(tail -n 20 "$W/down.log")"
	diff <(echo "$before") <(traces) || fail "make down $round left these"
done
trap - EXIT
exit 0
