"""Hosts with version 2, with version 1 alone and with no cgroup at all, as
this one looks after what it has is unmounted in a mount namespace of the
case's own."""
# limit 120
import errno
import os
import subprocess
import sys
import time

from rtlib import SLOW, Agent, Home, eq, fails, has, need_root, skip

need_root()


def mounted(kind):
    with open('/proc/self/mountinfo', encoding='utf-8') as f:
        return [line.split()[4] for line in f if f' - {kind} ' in line]


def version_2():
    """Without its controllers it freezes and kills all the same."""
    if not mounted('cgroup2'):
        skip('needs a host with cgroup version 2')
    home = Home()
    rt = home.worker()
    top = os.path.join(mounted('cgroup2')[0], home.cgroup)
    sid = rt.create(limits=(64 << 20, 500, 40, 32 << 20))

    def value(file):
        with open(f'{top}/{file}', encoding='utf-8') as f:
            return f.read().rstrip('\n')

    def becomes(event):
        until = time.monotonic() + 5 * SLOW
        while event not in value(sid + '/cgroup.events'):
            eq(event, time.monotonic() < until, True)
            time.sleep(0.01)

    given = value('cgroup.controllers').split()
    for controller, file, want in (
            ('memory', 'memory.max', str(64 << 20)),
            ('memory', 'memory.swap.max', '0'),
            ('memory', 'memory.oom.group', '1'),
            ('cpu', 'cpu.max', '50000 100000'), ('pids', 'pids.max', '40')):
        if controller in given and (os.path.exists(f'{top}/{sid}/{file}') or
                                    'swap' not in file):
            eq(file, value(f'{sid}/{file}'), want)
    rt.ask('freeze', sid, 1)
    becomes('frozen 1')
    rt.ask('freeze', sid, 0)
    becomes('frozen 0')
    rt.ask('stop', sid)
    becomes('populated 0')
    rt.ask('start', sid)
    _, pid, _, _ = rt.info('start', sid)
    eq('in a leaf of its own', value(sid + '/p/cgroup.procs'), str(pid))
    Agent(home, sid).job('for i in 1 2 3 4 5 6; do '
                         'setsid sh -c "while :; do sleep 0; done" & done')
    rt.ask('destroy', sid)
    home.expect_nothing()


def version_1():
    for path in mounted('cgroup2'):
        subprocess.run(['umount', path], check=True)
    if not mounted('cgroup'):
        skip('needs a host with cgroup version 1')
    home = Home()
    rt = home.worker()
    has('check', home.check(), "cgroup kill: version 1's freezer")
    sid = rt.create()
    agent = Agent(home, sid)
    eq('job', agent.run('cat /proc/self/cgroup | grep -c memory:/$'),
       (0, '1\n'))
    agent.run('i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done')
    stats = rt.stats(sid)
    eq('counted', stats['cpu'] > 1000 and stats['memory'] > 1000, True)
    has('pids', agent.run('for i in $(seq 300); do sleep 1 & done')[1],
        'fork')
    time.sleep(1.5)
    agent.job('while :; do :; done')
    rt.ask('freeze', sid, 1)
    time.sleep(0.1)
    n = rt.stats(sid)['cpu']
    time.sleep(0.1)
    eq('frozen', rt.stats(sid)['cpu'], n)
    rt.ask('stop', sid)
    eq('no process', home.processes(), [])
    rt.ask('start', sid)
    eq('again', Agent(home, sid).run('echo ok'), (0, 'ok\n'))
    Agent(home, sid).job('for i in 1 2 3 4 5 6; do '
                         'setsid sh -c "while :; do sleep 0; done" & done')
    rt.ask('freeze', sid, 1)
    rt.ask('destroy', sid)
    home.expect_nothing()


def none():
    for path in mounted('cgroup2') + mounted('cgroup'):
        subprocess.run(['umount', path], check=True)
    home = Home()
    rt = home.worker()
    fails('a limit that nobody holds', errno.EOPNOTSUPP, rt.create)
    home.expect_nothing()
    sid = rt.create(limits=(0, 0, 0, 64 << 20))
    agent = Agent(home, sid)
    eq('job', agent.run('echo ok'), (0, 'ok\n'))
    agent.job('setsid sh -c "while :; do sleep 0; done" & sleep 60')
    fails('freeze', errno.EOPNOTSUPP, rt.ask, 'freeze', sid, 1)
    _, pid, _, _ = rt.info('start', sid)
    rt.ask('stop', sid)
    time.sleep(0.3)  # the tool reaps after its answer
    eq('process 1 is gone', os.path.exists(f'/proc/{pid}'), False)
    rt.ask('start', sid)
    rt.ask('destroy', sid)
    home.expect_nothing()


CASES = {'version_2': version_2, 'version_1': version_1, 'none': none}
if len(sys.argv) > 1:
    CASES[sys.argv[1]]()
    sys.exit(0)
codes = []
for name in CASES:
    env = dict(os.environ, W=os.environ['W'] + '/' + name) \
        if 'W' in os.environ else os.environ
    if 'W' in os.environ:
        os.mkdir(env['W'])
        os.chmod(os.environ['W'], 0o711)
    done = subprocess.run(['unshare', '-m', '--propagation', 'private',
                           sys.executable, sys.argv[0], name], env=env,
                          check=False)
    if done.returncode not in (0, 77):
        sys.exit(f'{name}: {done.returncode}')
    codes.append(done.returncode)
if 77 in codes:
    sys.exit(77)
