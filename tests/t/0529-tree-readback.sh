#!/bin/bash
# What a command file shows is what it takes: sandboxes and their settings
# come back, with every byte that a label or a variable may have.
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
# shellcheck disable=SC2016 # not for this shell
need_root
start_sbxd
start_sbxfs
cd "$M" || exit 1

cat >ctl <<'END' || fail "create: $(tail -n1 errors)"
# a comment, and an empty line

create plain
create full profile=default image=host memory=64M cpu=0.25 pids=33 timeout=7 ttl=none idle=3600 network=none
create ttl ttl=90 cpu=1.5
create 'quoted' "label.a b"='c d' label.e="" label.q=it\'s label.h='#no comment' label.eq=a=b=c
create  tabs	label.nl=$'one\ntwo\tthree\\four' label.uni='ü €' label.dollar='$HOME `x` "y"'
create env 'env.A=x  y' env.B= env.C=$'l1\nl2' env.D="'" env.E=\\
create label.unnamed=1 env.U=1
create label.unnamed=2
END
eq "how many" "$(wc -l <ctl)" 8
cp ctl "$W/saved"
unnamed=(sbx-*)
eq "unnamed ones" "${#unnamed[@]}" 2
eq "a variable inside" "$(echo 'echo "$A$D$E"; echo "$C"' >env/exec
    cat env/exec)" $'x  y\'\\\nl1\nl2'
for how in cat tee dash; do
	echo "destroy plain full ttl quoted tabs env $(echo sbx-*)" >ctl ||
	    fail "destroy"
	eq "all are gone" "$(cat ctl)" ''
	case $how in
	cat) cat "$W/saved" >ctl ;;
	tee) tee ctl <"$W/saved" >/dev/null ;;
	dash) dash -c 'while IFS= read -r line; do
	    printf "%s\n" "$line"; done <"$1" >ctl' - "$W/saved" ;;
	esac || fail "$how: $(tail -n1 errors)"
	eq "$how: the same again" "$(cat ctl)" "$(cat "$W/saved")"
done
eq "a variable inside" "$(echo 'echo "$A$D$E"; echo "$C"' >env/exec
    cat env/exec)" $'x  y\'\\\nl1\nl2'
# Who has a name is not made twice, and says so.
refused ctl "$(head -n1 "$W/saved")" 'File exists' 'the name plain is taken'

# Settings.
cp full/ctl "$W/full"
has "settings" "$(cat "$W/full")" 'memory 67108864
cpu 0.25
pids 33
timeout 7
ttl none
idle 3600
network none
protect off'
printf 'memory 1G\ncpu 2\npids 9\ntimeout 0\nttl 5\nidle 0\nprotect on\n' \
    >full/ctl || fail "settings: $(tail -n1 errors)"
has "others" "$(cat full/ctl)" 'protect on'
check "back" cp "$W/full" full/ctl
eq "as they were" "$(cat full/ctl)" "$(cat "$W/full")"
check "to another" sh -c 'cat full/ctl >plain/ctl'
eq "in another" "$(cat plain/ctl)" "$(cat "$W/full")"
cp quoted/ctl plain/ctl || fail "labels: $(tail -n1 errors)"
eq "labels" "$(cat plain/ctl)" "$(cat quoted/ctl)"
eq "labels by HTTP" "$(http GET /sandboxes/plain | json \
    'x["labels"] == {"a b": "c d", "e": "", "q": "it'"'"'s",
    "h": "#no comment", "eq": "a=b=c"}')" true

# What is read of env, pool and ports as well.
cp env/env "$W/env"
eq "lines of env" "$(cat env/env)" $'A=x  y\nB=\n# C has more than one line
D=\'\nE=\\'
check "env" cp env/env plain/env
eq "in another" "$(grep -v '^#' "$W/env")" "$(cat plain/env)"
check "pool" sh -c 'cat pool >"'"$W"'/pool" && cat "'"$W"'/pool" >pool'
check "ports" sh -c 'cat plain/ports >env/ports'

# Long lines: shells cut them, the limit is one line's.
long=$(head -c 60000 /dev/zero | tr '\0' x)
check "a long line" env -i L="${long:0:250}" PATH="$PATH" bash -c \
    'for ((i = 0; i < 60; i++)); do l="$l label.k$i=$L"; done
    echo "create long$l" >ctl'
eq "all its labels" "$(grep -c '^label' long/ctl)" 60
printf 'create c1 label.x=%.100s\nfrob\n' "$long" >"$W/frob"
cat "$W/frob" >ctl 2>/dev/null && fail "a bad line"
[ -d c1 ] || fail "the line before it"
python3 - <<'P' || fail "cut lines"
import errno, os, sys
def write(f, data):
    try:
        return os.write(f, data)
    except OSError as e:
        return errno.errorcode[e.errno]
def want(got, wanted, what):
    if got != wanted:
        sys.exit('FAIL: %s: %r, not %r' % (what, got, wanted))
f = os.open('plain/ctl', os.O_WRONLY)
first = b'label one=1\nlabel two=' + b'2' * 100
first += b'x' * (4096 - len(first))
want(write(f, first), 4096, 'a piece of a multiple of 4,096')
now = open('plain/ctl', 'rb').read()
want(b'label two' in now, False, 'a cut line is done: %r' % now)
want(b'label one' in open('plain/ctl', 'rb').read(), True, 'the whole one is')
want(write(f, b'\n'), 'EINVAL', 'a value that is too long')
want(write(f, b'label three=3\n'), 14, 'a line after it')
# a cut line whose end never comes is one at the close
os.write(f, b'label four=4 ' + b' ' * (4096 - 13))
os.close(f)
want(b'label four' in open('plain/ctl', 'rb').read(), True, 'FLUSH')
f = os.open('plain/ctl', os.O_WRONLY)
want(write(f, b'label ' + b'x' * 65530 + b'\n'), 65537, '65,536 bytes')
want(write(f, b'label ' + b'x' * 65531 + b'\n'), 'E2BIG', '65,537 bytes')
# a piece longer than a line may be is no piece
want(write(f, b'x' * 69632), 'E2BIG', '17 * 4,096 bytes')
want(write(f, b'#' * 65536), 65536, 'a piece as long as a line may be')
want(write(f, b'#'), 'E2BIG', 'and one byte more')
want(write(f, b'label five=5\n'), 13, 'and it goes on')
os.close(f)
f = os.open('plain/env', os.O_WRONLY)
want(write(f, b'A=' + b'x' * 65534 + b'\n'), 65537, 'env: 64 KiB')
want(write(f, b'A=' + b'x' * 65535 + b'\n'), 'E2BIG', 'env: one byte more')
os.close(f)
P
cd / || exit 1
exit 0
