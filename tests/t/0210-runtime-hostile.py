"""Hostile code inside a sandbox: tests/tools/probes.py is refused everywhere,
and process 1, the agent's program and the host are what they were."""
# limit 120
import hashlib
import os
import subprocess
import sys

from rtlib import B, TOP, Agent, Home, eq, has, need_root

# A host that shares its mounts, as those with systemd do: this one, in a
# mount namespace of the case's own.
need_root()
if len(sys.argv) == 1:
    os.execvp('unshare', [
        'unshare', '-m', '--propagation', 'private', 'sh', '-c',
        'mount --make-rshared / && exec "$@"', 'sh', sys.executable,
        sys.argv[0], 'shared'])

home = Home()
rt = home.worker()
sid = rt.create(limits=(512 << 20, 0, 256, 64 << 20))
_, pid, _, _ = rt.info('start', sid)
agent = Agent(home, sid)
with open(f'/proc/{pid}/limits', encoding='utf-8') as f:
    before = f.read()

with open(os.path.join(TOP, 'tests/tools/probes.py'), encoding='utf-8') as f:
    text = f.read()
# /usr in its file system: another path where our root is a part of one
with open('/proc/self/mountinfo', encoding='utf-8') as f:
    mounts = {line.split()[4]: line.split()[3] for line in f}
usr = mounts.get('/usr', os.path.join(mounts['/'], 'usr'))
code, out = agent.run('cat > /root/p.py <<\'END\'\n' + text + '\nEND\n'
                      f'python3 /root/p.py {usr}')
print(out, end='')
eq('probes', code, 0)
has('all of them', out, ' 0 bad')

# row 16: what the host mounts now is not seen inside
subprocess.run(['mount', '-t', 'tmpfs', 'later', '/usr/share/doc'],
               check=True)
with open('/usr/share/doc/later', 'w', encoding='utf-8') as f:
    f.write('later')
eq('a mount of later', agent.run('cat /usr/share/doc/later')[0], 1)
subprocess.run(['umount', '/usr/share/doc'], check=True)

# row 1: the agent's program, through every name it has inside
with open(os.path.join(B, 'sbx-agent'), 'rb') as f:
    want = hashlib.sha256(f.read()).hexdigest()
agent.run('echo x > /proc/1/exe; echo x > /proc/self/exe; '
          'exec 4<>/proc/1/exe; cp /bin/true /proc/1/exe; '
          'printf "#!/proc/self/exe\\n" > /root/sh; chmod 755 /root/sh; '
          '/root/sh; true')
with open(f'/proc/{pid}/exe', 'rb') as f:
    eq('the running agent', hashlib.sha256(f.read()).hexdigest(), want)
with open(os.path.join(B, 'sbx-agent'), 'rb') as f:
    eq('its file', hashlib.sha256(f.read()).hexdigest(), want)

# the limits that probes tried to raise or cut
with open(f'/proc/{pid}/limits', encoding='utf-8') as f:
    limits = f.read()
eq('limits of process 1', limits, before)
has('no core', limits, 'Max core file size        0')
eq('alive and the same', rt.info('start', sid)[:2], ('up', pid))
eq('and answers', agent.run('echo ok'), (0, 'ok\n'))
with open(f'/proc/{pid}/status', encoding='utf-8') as f:
    status = f.read()
has('no capability', status, 'CapPrm:\t0000000000000000')
has('two filters', status, 'Seccomp_filters:\t2')

# work that people do still works
for script in ('cd /root && printf "int main(void){return 7;}" > a.c && '
               'cc -o a a.c; ./a; [ $? = 7 ]',
               'cd /root && git init -q g && cd g && git config user.email a '
               '&& git config user.name b && echo x > f && git add f && '
               'git commit -qm m && git log --oneline',
               'python3 -c "import multiprocessing as m; '
               'p=m.Pool(2); assert p.map(abs,[-1,2])==[1,2]"',
               'tar -C /root -cf /tmp/x.tar . && '
               'tar -tf /tmp/x.tar >/dev/null',
               'command -v node >/dev/null || exit 0; '
               'node -e "require(\'fs\').writeFileSync(\'/root/n\',\'1\')"',
               'awk "BEGIN{print 1}" && sort </dev/null && perl -e "print 1"'):
    code, out = agent.run(script)
    eq(script, (code, out if code else ''), (0, ''))
rt.ask('destroy', sid)
home.expect_nothing()
