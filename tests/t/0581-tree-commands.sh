#!/bin/bash
# 8 clients run 250 commands each, in every way there is, four in sandboxes of
# their own and four in one that they share: nobody gets another's output,
# exit status or number.
# limit 120
# shellcheck source=tests/t/lib.sh
. "${TOP:?}/tests/t/lib.sh"
need_root
count=${COUNT:-${SBX_SAN:+40}}
start_sbxd
start_sbxfs
cd "$M" || exit 1
mkdir own1 own2 own3 own4 shared || fail mkdir
echo 'pids 0' >shared/ctl

cat >"$W/commands.py" <<'P'
import os, sys, threading, time
count = int(sys.argv[1])
wrong, numbers = [], []

def read(path):
    with open(path) as f:
        return f.read()

def expect(what, got, want):
    if got != want:
        wrong.append(f'{what}: got {got!r}, want {want!r}')

def by_exec(box, tag, code):
    """echo > exec; cat exec; cat wait: of one's own sandbox only."""
    with open(f'{box}/exec', 'w') as f:
        f.write(f'echo {tag}; exit {code}')
    expect('exec', read(f'{box}/exec'), tag + '\n')
    job, exit_code, _ = read(f'{box}/wait').split()
    expect('wait', int(exit_code), code)
    numbers.append((box, job))

def by_session(session, tag, code):
    session.write(f'echo {tag}; echo {code}'.encode())
    expect('session', session.read(), f'{tag}\n{code}\n'.encode())

def by_number(box, tag, code):
    with open(f'{box}/jobs/new', 'r+b', buffering=0) as f:
        f.write(f'echo {tag}; echo err-{tag} >&2; exit {code}'.encode())
        job = f.read().decode().strip()
    numbers.append((box, job))
    at = f'{box}/jobs/{job}/'
    n, exit_code, _ = read(at + 'wait').split()
    expect('jobs/N/wait', (n, int(exit_code)), (job, code))
    expect('jobs/N/stdout', read(at + 'stdout'), tag + '\n')
    expect('jobs/N/stderr', read(at + 'stderr'), f'err-{tag}\n')
    os.rmdir(at)

def client(number):
    box = f'own{number}' if number <= 4 else 'shared'
    try:
        with open(f'{box}/exec', 'r+b', buffering=0) as session:
            for i in range(count):
                tag, code = f'{number}-{i}', (number * 7 + i) % 100
                if i % 3 == 0:
                    by_session(session, tag, code)
                elif i % 3 == 1 and number <= 4:
                    by_exec(box, tag, code)
                else:
                    by_number(box, tag, code)
    except (OSError, ValueError) as e:
        wrong.append(f'client {number}: {e!r}')

began = time.monotonic()
threads = [threading.Thread(target=client, args=(n,)) for n in range(1, 9)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(f'{8 * count} commands in {time.monotonic() - began:.1f} s')
if len(set(numbers)) != len(numbers):
    wrong.append('a number was given twice')
if wrong:
    print(len(wrong), 'wrong:', *wrong[:10], sep='\n')
    sys.exit(1)
P
check "commands" /usr/bin/python3 "$W/commands.py" "${count:-250}"
for box in own1 own2 own3 own4 shared; do
	eq "$box: none runs" "$(sed -n 's/^running //p' $box/status)" 0
	rmdir $box || fail "rmdir $box"
done
cd / || exit 1
exit 0
