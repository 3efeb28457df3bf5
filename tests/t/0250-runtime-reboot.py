"""After a reboot, which takes processes, groups, mounts and RUN_DIR: what has
a disk on the disk is down and starts again; what had it in memory is gone."""
# limit 120
import errno
import os
import shutil
import signal
import subprocess
import time

from rtlib import Agent, Home, eq, fails, has

home = Home()
rt = home.worker()
kept = rt.create(limits=(256 << 20, 0, 256, 0))
rt.ask('claim', kept, 'kept', 128 << 20, 0, 200, 0)
lost = rt.create()
agent = Agent(home, kept)
eq('write', agent.run('echo data > f; mkdir -p a/b; echo 2 > a/b/c; '
                      'ln f g; chmod 600 f'), (0, ''))
agent.close()
killed = rt.create(limits=(0, 0, 0, 0))

# the reboot
rt.end()
home.workers.clear()
for pid in home.processes():
    os.kill(pid, signal.SIGKILL)
time.sleep(0.3)
for d in home.cgroups():
    for sub in (d + '/p', d):
        if os.path.isdir(sub):
            os.rmdir(sub)
subprocess.run(['umount', '-l', home.run + '/mnt/ns'], check=True)
subprocess.run(['umount', '-l', home.run + '/mnt'], check=True)
shutil.rmtree(home.run)
os.mkdir(home.run)
shutil.rmtree(f'{home.data}/sandboxes/{killed}/upper')  # damage

rt = home.worker()
found = rt.list()
eq('all are told', set(found), {kept, lost, killed})
eq('all are down', found, {kept: 'down', killed: 'down', lost: 'lost'})
fails('in memory', errno.ENOENT, rt.ask, 'start', lost)
has('seen while down', rt.ask('trees', kept), '/:0:')
eq('read while down', rt.ask('get', kept, 'root/f'), 'data')
eq('written while down', rt.ask('put', kept, 'root/n', 'new'), '')
state, pid, base, run = rt.info('start', kept)
eq('up', state, 'up')
agent = Agent(home, kept)
eq('its files', agent.run('cat f g n a/b/c; stat -c "%u %h %a" f; hostname'),
   (0, 'data\ndata\nnew2\n0 2 600\nkept\n'))
eq('its limits', rt.stats(kept)['memory_limit'], 128 << 20)
agent.close()
eq('an empty one starts', rt.info('start', killed)[0], 'up')
for sid in (kept, lost, killed):
    rt.ask('destroy', sid)
home.expect_nothing()
