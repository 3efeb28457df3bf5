"""Several workers at once, workers killed at random points of create, start
and destroy, and the broker's successor: nothing is lost, nothing is left."""
# limit 240
import os
import random
import signal
import time

from rtlib import SLOW, Agent, Home, eq, new_id

home = Home()
seed = int.from_bytes(os.urandom(4), 'big')
random.seed(seed)
print('seed', seed)


first = home.worker()
first.ask('destroy', first.create())  # what is made once is there now
home.expect_nothing()

# 50 creates from 5 processes; every one has an own range and works
workers = [home.worker() for _ in range(5)]
ids = {}
for turn in range(10):
    for w in workers:
        sid = new_id()
        w.send('create', sid, 'host', '-')
        ids[sid] = w
    for w in workers:
        w.line()
eq('all up', set(first.list().values()), {'up'})
bases = {first.info('start', sid)[2] for sid in ids}
eq('ranges', len(bases), 50)
for sid in random.sample(sorted(ids), 8):
    agent = Agent(home, sid)
    eq('answers', agent.run('hostname'), (0, sid + '\n'))
    agent.close()
for n, sid in enumerate(ids):
    workers[n % 5].send('destroy', sid)
for n in range(50):
    workers[n % 5].line()
home.expect_nothing()

# kill -9 of a worker in the middle; its successor destroys what is listed,
# and one that was up before the kill is up after it
keeper = first.create()
Agent(home, keeper).run('echo kept > f')
turns = int(os.environ.get('KILLS', '60'))
for turn in range(turns):
    w = home.worker()
    sid = new_id()
    w.send('create', sid, 'host', '-')
    if turn % 3 == 1:
        w.line()
        w.send('stop', sid)
        w.send('start', sid)
    if turn % 3 == 2:
        w.line()
        w.send('destroy', sid)
    time.sleep(random.random() * 0.006 * SLOW)
    os.kill(w.pid, signal.SIGKILL)
    w.p.wait()
    w.p.stdout.close()
    home.workers.remove(w)
    successor = home.worker() if turn % 10 == 0 else first
    found = successor.list()
    eq('the keeper', found.pop(keeper), 'up')
    for left in found:
        eq('it is the one', left, sid)
        successor.ask('destroy', left)
    if successor is not first:
        successor.end()
        home.workers.remove(successor)
eq('kept', Agent(home, keeper).run('cat f'), (0, 'kept\n'))
first.ask('destroy', keeper)
home.expect_nothing()

# an idle worker holds no descriptor more than before
fds = len(os.listdir(f'/proc/{first.pid}/fd'))
for turn in range(int(os.environ.get('TURNS', '100'))):
    sid = first.create()
    first.ask('trees', sid)
    first.ask('stats', sid)
    first.ask('destroy', sid)
eq('descriptors', len(os.listdir(f'/proc/{first.pid}/fd')), fds)
home.expect_nothing()
