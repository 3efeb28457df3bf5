#!/bin/bash
# Which signals end a command that waits: not a child's end; a timer, where
# nothing is under way that would go on; ^C, and what else ends a program.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
need_tool perl
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir a || fail "mkdir"

# stop then takes as long as it is told.
stubborn() {
	echo start >a/ctl 2>/dev/null
	echo 'trap "" TERM; echo ready; while :; do sleep .1; done' >a/exec
	wait_for 5 grep -q ready a/jobs/last/output
}

state() {
	sed -n 's/^state //p' a/status
}

is_stopped() {
	[ "$(state)" = stopped ]
}

# A shell with children in the background that end meanwhile.
for shell in bash dash; do
	command -v "${shell%% *}" >/dev/null || continue
	stubborn
	out=$($shell -c 'sleep .1 & sleep .3 & (sleep .5; kill -WINCH $$) &
	    echo "stop 1" >a/ctl; echo $?' 2>&1)
	eq "$shell" "$out" 0
	eq "after $shell" "$(state)" stopped
done

# Handlers of all kinds, without SA_RESTART: one write, which does not fail.
stubborn
check "a timer and more" perl -MTime::HiRes=setitimer,ITIMER_REAL -e '
	my %got;
	$SIG{$_} = sub { $got{$_[0]}++ } for qw(ALRM USR1 CHLD WINCH URG IO);
	my $pid = $$;
	if (!fork) {
		for my $s (qw(USR1 WINCH URG IO)) {
			select undef, undef, undef, .1;
			kill $s, $pid;
		}
		exit;
	}
	setitimer ITIMER_REAL, .05, .05;
	open my $f, ">", "a/ctl" or die;
	my $n = syswrite $f, "stop 1\n";
	die "write: $!\n" if !defined $n;
	die "write: $n\n" if $n != 7;
	for my $s (qw(ALRM USR1 CHLD WINCH URG IO)) {
		die "no SIG$s\n" if !$got{$s};
	}'
eq "after them" "$(state)" stopped
[ "$(grep -c EINTR errors)" = 0 ] || fail "$(tail errors)"

# What ends a program does so at once, also behind a signal that does not.
for sig in INT TERM KILL USR1; do
	stubborn
	start=${EPOCHREALTIME/./}
	timeout -s $sig .4 bash -c 'sleep .1 & echo "stop 20" >a/ctl' \
	    2>/dev/null
	took=$((${EPOCHREALTIME/./} - start))
	[ $took -lt $((2000000 * SLOW)) ] || fail "SIG$sig after $took us"
	# a job in its way stops at once
	echo 'kill KILL' >a/jobs/last/ctl
	wait_for 5 is_stopped
done

# What is only waited for is left for a timer: nothing is done then.
echo start >a/ctl
out=$(timeout 10 perl -e '$SIG{ALRM} = sub { }; alarm 1;
	open my $f, ">", "a/ports" or die; my $n = syswrite $f, "expose 9\n";
	print defined $n ? "wrote $n" : $!')
eq "a timer while nobody listens" "$out" "Interrupted system call"
eq "nothing is exposed" "$(grep -c expose a/ports)" 0

# Caught, they interrupt as well.
stubborn
out=$(perl -e '$SIG{INT} = sub { };
	my $pid = $$;
	if (!fork) { select undef, undef, undef, .3; kill "INT", $pid; exit; }
	open my $f, ">", "a/ctl"; my $n = syswrite $f, "stop 20\n";
	print defined $n ? "wrote $n" : $!')
eq "SIGINT, caught" "$out" "Interrupted system call"
echo 'kill KILL' >a/jobs/last/ctl
wait_for 5 is_stopped

# A pipe's write is no command: stdin gives up as a pipe does.
echo start >a/ctl
exec 3<>a/jobs/new
echo 'sleep 60' >&3
read -r n <&3
out=$(N=$n timeout 5 perl -e '$SIG{ALRM} = sub { };
	open my $f, ">", "a/jobs/$ENV{N}/stdin" or die; alarm 1;
	my $x = "x" x 65536; my $n;
	do { $n = syswrite $f, $x } while defined $n && $n == length $x;
	print defined $n ? "part" : $!')
case $out in
part | "Interrupted system call") ;;
*) fail "stdin that nobody reads: '$out'" ;;
esac
exec 3>&-
rmdir "a/jobs/$n"
cd / || exit 1
exit 0
