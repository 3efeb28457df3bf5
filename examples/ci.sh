#!/bin/sh
# ci.sh - continuous integration by files alone: this project's own sources go
# into a sandbox, are compiled there with the host's gcc, and their unit tests
# run there. What they print arrives here, and their exit status is ours.
#
#	examples/ci.sh          SBX=/sbx is where the mount is
set -eu
sbx=${SBX:-/sbx}
cd "$(dirname "$0")/.."

# A sandbox that lives as long as this script does, however it ends.
exec 3<>"$sbx/new"
echo 'memory=1G cpu=2 pids=512' >&3
read -r box <&3

tar --exclude=./.git --exclude=./build -cf - . |
    tar -C "$sbx/$box/fs/root" -xf -

# The machine may be busy: what hangs is told from what waits its turn.
echo 'CK_DEFAULT_TIMEOUT=60' >>"$sbx/$box/env"

cat >"$sbx/$box/exec" <<'END'
set -e
make -s -j2 unit
for test in build/tests/unit/*; do
	case $test in
	*/lib_fd | */lib_net | */lib_proc | */runtimes) continue ;; # need privileges
	esac
	"$test" || failed=1
done
exit ${failed:-0}
END
cat "$sbx/$box/exec"
read -r job code seconds <"$sbx/$box/wait"
echo "job $job: exit $code after $seconds s"
exit "$code"
