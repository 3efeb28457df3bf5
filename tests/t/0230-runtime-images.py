"""Images from directories and archives, hostile ones among them: what is
mounted goes where it should or nowhere, and what is unpacked stays inside."""
# limit 120
import errno
import io
import os
import shutil
import stat
import tarfile
import time

from rtlib import Agent, Failed, Home, eq, fails, skip

home = Home()
rt = home.worker()
canary = home.top + '/canary'
os.makedirs(canary)


# the only program of these images, whatever it is asked
SHELL = home.top + '/sh'
with open(home.top + '/sh.c', 'w', encoding='utf-8') as f:
    f.write('#include <stdio.h>\n#include <sys/stat.h>\n'
            'int main(void)\n{\n\tchar b[256];\n\tstruct stat st;\n'
            '\tFILE *f = fopen("/etc/who", "r");\n'
            '\tif (f == NULL || fgets(b, 256, f) == NULL ||\n'
            '\t    stat("/etc/who", &st) < 0)\n\t\treturn 1;\n'
            '\tprintf("%s%d:%d\\n", b, (int)st.st_uid, (int)st.st_gid);\n'
            '\treturn 0;\n}\n')
if os.system(f'cc -static -o {SHELL} {home.top}/sh.c') != 0:
    skip('needs cc and a static libc')


def image(name, *dirs):
    path = f'{home.top}/{name}'
    for d in ('bin', 'root', 'tmp', 'etc') + dirs:
        os.makedirs(f'{path}/{d}')
    shutil.copy(SHELL, path + '/bin/sh')
    return path


def works(kind, path, owner='0:0'):
    sid = rt.create(kind, path)
    agent = Agent(home, sid)
    eq(f'{kind} {path}', agent.run('x'), (0, f'image\n{owner}\n'))
    agent.close()
    return sid


def refused(what, *codes, kind='dir', path):
    try:
        sid = rt.create(kind, path)
    except Failed as e:
        if codes and e.errno not in codes:
            raise AssertionError(f'{what}: {e}') from e
    else:
        rt.ask('destroy', sid)
        raise AssertionError(f'{what}: was started')
    home.expect_nothing()


def who(path):
    with open(path + '/etc/who', 'w', encoding='utf-8') as f:
        f.write('image\n')


# a directory: used as it is, written to by none
plain = image('plain')
who(plain)
before = sorted(os.listdir(plain))
sid = works('dir', plain)
eq('no /usr of the host', rt.ask('trees', sid).count('/usr'), 0)
rt.ask('put', sid, 'etc/who', 'changed')
eq('changed inside', rt.ask('get', sid, 'etc/who'), 'changed')
with open(plain + '/etc/who', encoding='utf-8') as f:
    eq('the image is as before', f.read(), 'image\n')
eq('and has no more', sorted(os.listdir(plain)), before)
other = works('dir', plain)
rt.ask('destroy', sid)
rt.ask('destroy', other)
home.expect_nothing()

# an image whose mount points are links to places of the host
for point in ('proc', 'dev', 'tmp'):
    for where in ('/', canary, '../../../../../../..' + canary, '/proc',
                  'etc', '/proc/self/root'):
        path = image('evil')
        who(path)
        if os.path.isdir(f'{path}/{point}'):
            os.rmdir(f'{path}/{point}')
        os.symlink(where, f'{path}/{point}')
        refused(f'/{point} -> {where}', errno.ELOOP, errno.ENOTDIR,
                path=path)
        shutil.rmtree(path)
    path = image('evil')
    if os.path.isdir(f'{path}/{point}'):
        os.rmdir(f'{path}/{point}')
    with open(f'{path}/{point}', 'w', encoding='utf-8') as f:
        f.write('x')
    refused(f'/{point} is a file', errno.ENOTDIR, path=path)
    shutil.rmtree(path)
eq('the canary', os.listdir(canary), [])

# the same put there by what ran before, or through the mount
sid = works('dir', plain)
rt.ask('stop', sid)
rt.ask('start', sid)
eq('a file is no image', None, fails('a file', errno.ENOTDIR, rt.create,
                                     'dir', plain + '/etc/who'))
rt.ask('destroy', sid)


# archives
def archive(name, *members, mode='w:gz'):
    path = f'{home.top}/{name}'
    with tarfile.open(path, mode) as t:
        for d in ('.', 'bin', 'root', 'tmp', 'etc'):
            m = tarfile.TarInfo(d)
            m.type, m.mode = tarfile.DIRTYPE, 0o755
            t.addfile(m)
        t.add(plain + '/bin/sh', 'bin/sh')
        for m, data in members:
            m.size = len(data)
            t.addfile(m, io.BytesIO(data))
    return path


def member(name, data=b'', **more):
    m = tarfile.TarInfo(name)
    m.mode = 0o644
    for k, v in more.items():
        setattr(m, k, v)
    return m, data


good = archive('good.tar.gz', member('etc/who', b'image\n', uid=1000, gid=5),
               member('/absolute', b'x'), member('bin/suid', b'x',
                                                 mode=0o4755),
               member('dev0', type=tarfile.CHRTYPE, devmajor=1, devminor=3),
               member('fifo', type=tarfile.FIFOTYPE),
               member('link', type=tarfile.SYMTYPE, linkname='/etc/who'),
               member('hard', type=tarfile.LNKTYPE, linkname='etc/who'))
sid = works('tar', good, '1000:5')
layers = [x for x in os.listdir(home.data + '/layers')
          if x.startswith('tar-')]
eq('one layer', len(layers), 1)
layer = f'{home.data}/layers/{layers[0]}'
st = os.stat(layer + '/etc/who')
eq('owner and mode', (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode),
                      st.st_nlink), (1000, 5, 0o644, 2))
eq('set-uid is kept, and means nothing',
   stat.S_IMODE(os.stat(layer + '/bin/suid').st_mode), 0o4755)
eq('no device', os.path.lexists(layer + '/dev0'), False)
eq('absolute names are inside', os.path.exists(layer + '/absolute'), True)
other = works('tar', good, '1000:5')
eq('still one layer', [x for x in os.listdir(home.data + '/layers')
                       if x.startswith('tar-')], layers)
rt.ask('destroy', sid)
rt.ask('destroy', other)
for kind in ('w', 'w:bz2', 'w:xz'):
    time.sleep(0.01)
    rt.ask('destroy', works('tar', archive(
        'kinds.tar', member('etc/who', b'image\n'), mode=kind)))
home.expect_nothing()

for what, members in {
        'dots': [member('../../../../../../..' + canary + '/x', b'x')],
        'a hard link out': [member('h', type=tarfile.LNKTYPE,
                                   linkname='../..' + canary + '/c')]}.items():
    refused(what, kind='tar', path=archive('evil.tar.gz', *members))
    eq(what, os.listdir(canary), [])
# a directory takes the place of the link
rt.ask('destroy', works('tar', archive(
    'evil.tar.gz', member('etc/who', b'image\n'),
    member('out', type=tarfile.SYMTYPE, linkname=canary),
    member('out/x', b'x'))))
eq('a link out', os.listdir(canary), [])

with open(home.top + '/noise', 'wb') as f:
    f.write(os.urandom(100000))
refused('noise', kind='tar', path=home.top + '/noise')
with open(good, 'rb') as f:
    data = f.read()
with open(home.top + '/cut.tar.gz', 'wb') as f:
    f.write(data[:len(data) // 2])
refused('cut', kind='tar', path=home.top + '/cut.tar.gz')
with open(home.top + '/empty', 'wb') as f:
    pass
refused('empty', kind='tar', path=home.top + '/empty')
refused('a directory', kind='tar', path=plain)
os.mkfifo(home.top + '/fifo')
refused('a FIFO', kind='tar', path=home.top + '/fifo')
eq('nothing half unpacked', [x for x in os.listdir(home.data + '/layers')
                             if x.startswith('.')], [])
