"""The native runtime: create, claim, stop, start, destroy, and their traces."""
# limit 120
import errno
import os
import time

from rtlib import Agent, Failed, Home, eq, fails, has, new_id

home = Home()
rt = home.worker()

# create, and what it says of itself
sid = rt.create()
state, pid, base, run = rt.info('start', sid)
eq('started twice is started', (state, run), ('up', 0))
agent = Agent(home, sid)
eq('a job', agent.run('echo hello; id -u; exit 3'), (3, 'hello\n0\n'))
eq('the socket is the front\'s alone',
   os.stat(f'{home.run}/agents/{sid}.sock').st_mode & 0o777, 0o600)
fails('the same id again', errno.EEXIST, rt.create, 'host', '-', (), sid)
fails('no id', errno.EINVAL, rt.ask, 'create', '../../etc', 'host', '-')
fails('no such instance', errno.ENOENT, rt.ask, 'stop', new_id())

# the range of ids, from outside and inside
with open(f'/proc/{pid}/uid_map', encoding='utf-8') as f:
    eq('uid_map', f.read().split(), ['0', str(base), '65536'])
eq('mapped', base % 65536, int(home.argv[5]) % 65536)

# host name and limits of a live one
rt.ask('claim', sid, 'web', 64 << 20, 500, 40, 32 << 20)
eq('host name', agent.run('hostname'), (0, 'web\n'))
s = rt.stats(sid)
eq('limits', (s['memory_limit'], s['pids_limit'], s['disk_limit']),
   (64 << 20, 40, 32 << 20))
has('pids limit holds', agent.run(
    'for i in $(seq 60); do sleep 1 & done; wait')[1], 'fork')
time.sleep(1.5)
has('disk limit holds', agent.run('head -c 40M /dev/zero > big')[1],
    'No space')
eq('it lives on', agent.run('rm big; echo ok'), (0, 'ok\n'))
code, out = agent.run('i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done')
eq('cpu is counted', rt.stats(sid)['cpu'] > 100000, True)

# a limit too low for a start, or full of files, may kill what starts (version
# 2), or it is refused; never is it who starts it
low = new_id()
try:
    rt.create(limits=(1, 0, 0, 64 << 20), sid=low)
except Failed as e:
    eq('one byte', e.errno, errno.EBUSY)
rt.ask('destroy', low)
full = rt.create(limits=(16 << 20, 0, 0, 64 << 20))
Agent(home, full).job('while :; do head -c 9M /dev/zero >>f; done')
time.sleep(1)
rt.ask('stop', full)
try:
    rt.ask('start', full)
except Failed as e:
    eq('full', e.errno, errno.EBUSY)
rt.ask('stop', full)
rt.ask('files', full)
rt.ask('destroy', full)

# more memory than allowed: one process dies, with version 2 all of them
hog = rt.create(limits=(64 << 20, 0, 256, 32 << 20))
script = 'head -c 100M /dev/zero | tail -c 90M | wc -c'
if 'all of the sandbox is killed' in home.check():
    try:
        Agent(home, hog).run(script)
        raise AssertionError('memory limit does not hold')
    except EOFError:
        pass
    time.sleep(0.2)
    eq('all of it', rt.list()[hog], 'dead')
    rt.ask('stop', hog)
    rt.ask('start', hog)
else:
    eq('memory limit holds', '94371840' in Agent(home, hog).run(script)[1],
       False)
eq('and again', Agent(home, hog).run('echo ok'), (0, 'ok\n'))
rt.ask('destroy', hog)

# files survive a stop and a start; /tmp does not
eq('write', agent.run('echo kept > f; echo gone > /tmp/f; ln f g'), (0, ''))
state, pid2, base2, run = rt.info('stop', sid)
eq('stopped', (state, pid2, base2, run), ('down', 0, base, 1))
eq('stopped twice', rt.info('stop', sid)[3], 1)
eq('no process', home.processes(), [])
eq('readable while stopped', rt.ask('get', sid, 'root/f'), 'kept')
eq('writable while stopped', rt.ask('put', sid, 'root/new', 'text'), '')
has('trees while stopped', rt.ask('trees', sid), '/usr:1')
rt.ask('files', sid)
rt.ask('files', sid)
eq('files alone are down', rt.list()[sid], 'down')
state, pid, base2, run = rt.info('start', sid)
eq('up again', (state, base2, run), ('up', base, 2))
agent = Agent(home, sid)
eq('kept', agent.run('cat f g new; ls /tmp; hostname'),
   (0, 'kept\nkept\ntextweb\n'))
eq('owner of what came from outside', agent.run('stat -c %u:%g new'),
   (0, '0:0\n'))
has('trees', rt.ask('trees', sid), f'/:0:{base}:40755 /tmp:0:{base}:41777')

# frozen, thawed; frozen and stopped
rt.ask('freeze', sid, 1)
time.sleep(0.1)
n = rt.stats(sid)['cpu']
time.sleep(0.1)
eq('frozen uses nothing', rt.stats(sid)['cpu'], n)
rt.ask('freeze', sid, 0)
eq('thawed', agent.run('echo ok'), (0, 'ok\n'))
rt.ask('freeze', sid, 1)
rt.ask('stop', sid)
rt.ask('start', sid)
agent = Agent(home, sid)
eq('after a frozen stop', agent.run('echo ok'), (0, 'ok\n'))

# a dead one is dead, and can be stopped and started
os.kill(rt.info('start', sid)[1], 9)
time.sleep(0.2)
eq('dead', rt.list()[sid], 'dead')
fails('no claim of the dead', errno.ESRCH, rt.ask, 'claim', sid, 'x')
eq('stop of the dead', rt.info('stop', sid)[0], 'down')
eq('start of the dead', rt.info('start', sid)[0], 'up')

# a pipe of the agent, opened again; another file is refused
agent = Agent(home, sid)
number, out_r = agent.job('echo first; sleep 60')
eq('first line', os.read(out_r, 6), b'first\n')
job = agent.call('sbx.hello', {})['jobs'][0]
ino = os.fstat(out_r).st_ino
agent.call('sbx.job.signal', {'job': number, 'signal': 19})
os.set_blocking(out_r, False)
eq('stream', rt.ask('stream', sid, job['out'], ino, 'w'), 'x')
eq('its byte', os.read(out_r, 8), b'x')
fails('another inode', errno.ESTALE, rt.ask, 'stream', sid, job['out'],
      ino + 1, 'r')
fails('no pipe', errno.ESTALE, rt.ask, 'stream', sid, 3, ino, 'r')

# sockets of its network: what listens is told and reached; the worker is in
# its own network again
agent.job('python3 -c "import socket, time; s = socket.create_server('
          '(\'127.0.0.1\', 7000)); time.sleep(60)"')
for _ in range(600):
    if rt.ask('listen', sid):
        break
    time.sleep(0.05)
eq('listens', rt.ask('listen', sid), '7000 reached')
eq('of the host', os.readlink(f'/proc/{rt.p.pid}/ns/net'),
   os.readlink('/proc/self/ns/net'))
rt.ask('stop', sid)
fails('no network of what is down', errno.ESRCH, rt.ask, 'listen', sid)
rt.ask('start', sid)

# destroy in every state, twice; nothing is left
rt.ask('destroy', sid)
rt.ask('destroy', sid)
home.expect_nothing()
fails('gone', errno.ENOENT, rt.ask, 'start', sid)
for prepare in ('stop', 'files', 'kill', 'freeze'):
    sid = rt.create()
    if prepare in ('stop', 'files'):
        rt.ask('stop', sid)
    if prepare == 'files':
        rt.ask('files', sid)
    if prepare == 'kill':
        os.kill(rt.info('start', sid)[1], 9)
    if prepare == 'freeze':
        rt.ask('freeze', sid, 1)
    rt.ask('destroy', sid)
    home.expect_nothing()

# no limit on storage: a plain directory
sid = rt.create(limits=(0, 0, 0, 0))
agent = Agent(home, sid)
eq('plain', agent.run('echo kept > f; mkdir -p a/b; df / | wc -l')[0], 0)
rt.ask('stop', sid)
eq('on the disk with the image\'s ids',
   os.stat(f'{home.data}/sandboxes/{sid}/upper/u/root/f').st_uid, 0)
rt.ask('start', sid)
eq('plain kept', Agent(home, sid).run('cat f'), (0, 'kept\n'))
fails('storage is fixed', errno.EOPNOTSUPP, rt.ask, 'claim', sid, 'x',
      0, 0, 0, 1 << 20)
rt.ask('destroy', sid)
home.expect_nothing()

# images that cannot be
fails('no directory', errno.ENOENT, rt.create, 'dir', home.top + '/nope')
fails('no archive', errno.ENOENT, rt.create, 'tar', home.top + '/nope')
fails('no kind', errno.EINVAL, rt.create, 'frob')
home.expect_nothing()
