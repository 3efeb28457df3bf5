"""What hostile code tries first, run inside a sandbox as its root: a line a
probe, "ok NAME" when it was refused or "BAD NAME: WHY". Outside, as root,
most of them succeed: `python3 probes.py` there shows that each can fail."""
import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {errno.EPERM, errno.ENOSYS, errno.EACCES, errno.EROFS, errno.EINVAL,
           errno.ENODEV, errno.EAFNOSUPPORT, errno.ENOENT, errno.EBADF,
           errno.EPROTONOSUPPORT, errno.ENOTDIR, errno.ENXIO}
X86 = platform.machine() == 'x86_64'
# x86_64, and the generic numbers where they differ
NR = {'mount': (165, 40), 'umount2': (166, 39), 'pivot_root': (155, 41),
      'chroot': (161, 51), 'unshare': (272, 97), 'setns': (308, 268),
      'clone3': (435, 435), 'clone': (56, 220), 'fsopen': (430, 430),
      'open_tree': (428, 428), 'move_mount': (429, 429),
      'mount_setattr': (442, 442), 'bpf': (321, 280),
      'perf_event_open': (298, 241), 'userfaultfd': (323, 282),
      'io_uring_setup': (425, 425), 'keyctl': (250, 219),
      'add_key': (248, 217), 'request_key': (249, 218),
      'init_module': (175, 105), 'finit_module': (313, 273),
      'kexec_load': (246, 104), 'reboot': (169, 142), 'syslog': (103, 116),
      'swapon': (167, 224), 'acct': (163, 89), 'quotactl': (179, 60),
      'settimeofday': (164, 170), 'clock_settime': (227, 112),
      'sethostname': (170, 161), 'setdomainname': (171, 162),
      'open_by_handle_at': (304, 265), 'name_to_handle_at': (303, 264),
      'fanotify_init': (300, 262), 'memfd_secret': (447, 447),
      'iopl': (172, None), 'ioperm': (173, None), 'modify_ldt': (154, None),
      'prlimit64': (302, 261), 'ptrace': (101, 117), 'adjtimex': (159, 171),
      'sched_setscheduler': (144, 119), 'ioprio_set': (251, 30),
      'lookup_dcookie': (212, 18), 'personality': (135, 92),
      'process_vm_readv': (310, 270), 'kcmp': (312, 272),
      'pidfd_getfd': (438, 438), 'pidfd_open': (434, 434),
      'statmount': (457, 457), 'vhangup': (153, 58)}
HIGH = 1 << 32

PROBES = []


def probe(f):
    PROBES.append(f)
    return f


class Bad(Exception):
    pass


def call(name, *args):
    """The errno, or 0; None where this machine has no such call."""
    nr = NR[name][0 if X86 else 1]
    if nr is None:
        return None
    ctypes.set_errno(0)
    r = libc.syscall(ctypes.c_long(nr), *[
        ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return ctypes.get_errno() if r == -1 else 0


def refused(name, *args):
    e = call(name, *args)
    if e is not None and e not in REFUSED:
        raise Bad(f'{name}: {errno.errorcode.get(e, "succeeded")}')


def cannot(what, f, *args):
    try:
        r = f(*args)
    except (OSError, ValueError, OverflowError):
        return
    raise Bad(f'{what}: {r!r}')


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def write(path, data=b'1'):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


# --- row 2: descriptors and directories that leaked in

@probe
def leaked_descriptors():
    for n in os.listdir('/proc/self/fd'):
        try:
            target = os.readlink(f'/proc/self/fd/{n}')
        except OSError:
            continue
        if not target.startswith(('pipe:', 'socket:', '/dev/', '/proc/',
                                  '/memfd:', '/tmp/', '/root/', 'anon_inode')):
            raise Bad(f'{n} is {target}')
    for n in range(64):
        cannot(f'host directory at {n}', os.open,
               f'/proc/self/fd/{n}/../../../../etc/machine-id', os.O_RDONLY)


@probe
def pid1_directories():
    for name in ('cwd', 'root', 'exe', 'fd/3'):
        cannot(name, os.open, '/proc/1/' + name, os.O_RDONLY)


# --- row 3 and 8: /proc

@probe
def proc_is_masked():
    for name in ('kcore', 'kmsg', 'keys', 'kallsyms', 'timer_list'):
        try:
            if read('/proc/' + name):
                raise Bad(name + ' has text')
        except OSError:
            pass
    for name in ('pressure', 'bus', 'fs', 'irq', 'acpi', 'scsi'):
        if os.path.isdir('/proc/' + name) and os.listdir('/proc/' + name):
            raise Bad(name + ' has entries')


@probe
def proc_sys_is_read_only():
    for top, _, names in os.walk('/proc/sys'):
        for name in names:
            path = os.path.join(top, name)
            try:
                fd = os.open(path, os.O_WRONLY)
            except OSError:
                continue
            os.close(fd)
            raise Bad(path)


@probe
def proc_files_refuse_writes():
    for path in ('/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern',
                 '/proc/sys/kernel/modprobe', '/proc/sys/vm/drop_caches',
                 '/proc/irq/default_smp_affinity', '/proc/mtrr',
                 '/proc/sys/kernel/hostname', '/proc/timer_list',
                 '/proc/acpi/wakeup', '/proc/sys/net/ipv4/ip_forward',
                 '/proc/sys/user/max_user_namespaces'):
        cannot(path, write, path)


@probe
def sys_is_absent():
    if os.listdir('/sys'):
        raise Bad('/sys has entries')


@probe
def mountinfo_has_no_host_path():
    text = read('/proc/self/mountinfo').decode()
    for line in text.splitlines():
        root, at, options = line.split()[3], line.split()[4], line.split(
            ' - ')[1]
        if 'upperdir=/' in options or 'lowerdir=/' in options:
            raise Bad(line)
        # where /usr lies in its file system, the caller knows
        if root not in ('/', '/dev', *sys.argv[1:], '/e/f', '/e/d', '/sys',
                        '/tmp', '/shm'):
            raise Bad(line)
        if 'master:' in line or 'shared:' in line:
            raise Bad(line)
        if at.startswith(('/run', '/var', '/home')):
            raise Bad(line)


# --- row 4: cgroups

@probe
def cgroups():
    for line in read('/proc/self/cgroup').decode().split():
        if not line.endswith(':/'):
            raise Bad(line)
    for kind in (b'cgroup', b'cgroup2'):
        refused('mount', b'none', b'/mnt', kind, 0, None)
    for top in ('/sys/fs/cgroup', '/cgroup'):
        for at, _, names in os.walk(top):
            for name in names:
                cannot(at + name, write, os.path.join(at, name))


# --- row 5: mounts and namespaces

@probe
def mounts():
    refused('mount', b'none', b'/mnt', b'tmpfs', 0, None)
    refused('mount', b'/usr', b'/mnt', None, 4096, None)
    refused('mount', None, b'/usr', None, 32 | 4096, None)
    refused('mount', None, b'/proc/sys', None, 32 | 4096, None)
    refused('umount2', b'/proc/sys', 2)
    refused('umount2', b'/proc/kcore', 2)
    refused('umount2', b'/', 2)
    refused('pivot_root', b'/mnt', b'/mnt')
    refused('chroot', b'/mnt')
    refused('fsopen', b'tmpfs', 0)
    refused('fsopen', b'proc', 0)
    refused('open_tree', -100, b'/', 1)
    refused('move_mount', -100, b'/usr', -100, b'/mnt', 0)
    refused('mount_setattr', -100, b'/usr', 0, b'\0' * 32, 32)


NAMESPACES = {'mnt': 0x20000, 'cgroup': 0x2000000, 'uts': 0x4000000,
              'ipc': 0x8000000, 'user': 0x10000000, 'pid': 0x20000000,
              'net': 0x40000000, 'time': 0x80}


@probe
def new_namespaces():
    for name, flag in NAMESPACES.items():
        for high in (0, HIGH, 0xff << 32):
            pid = os.fork()
            if pid == 0:
                e = call('unshare', flag | high)
                os._exit(0 if e in REFUSED else 1)
            if os.waitpid(pid, 0)[1] != 0:
                raise Bad(f'unshare {name} {high:#x}')
            if name == 'time':
                continue  # for clone it is a part of the signal
            ctypes.set_errno(0)
            r = libc.syscall(ctypes.c_long(NR['clone'][0 if X86 else 1]),
                             ctypes.c_long(flag | high | signal.SIGCHLD),
                             ctypes.c_long(0), ctypes.c_long(0),
                             ctypes.c_long(0), ctypes.c_long(0))
            if r == 0:
                os._exit(0)
            if r > 0:
                os.waitpid(r, 0)
                raise Bad(f'clone {name} {high:#x}')
    args = struct.pack('8Q', 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    if call('clone3', args, 64) != errno.ENOSYS:
        raise Bad('clone3')


@probe
def setns():
    for name in ('mnt', 'net', 'user', 'pid', 'uts', 'ipc', 'cgroup'):
        fd = os.open('/proc/self/ns/' + name, os.O_RDONLY)
        refused('setns', fd, 0)
        os.close(fd)
        cannot('ns of 1', os.open, '/proc/1/ns/' + name, os.O_RDONLY)


# --- row 7: doors of the kernel

def no_socket(family, kind=socket.SOCK_STREAM, proto=0):
    for high in (0, HIGH):
        ctypes.set_errno(0)
        fd = libc.syscall(ctypes.c_long(41 if X86 else 198),
                          ctypes.c_long(family | high), ctypes.c_long(kind),
                          ctypes.c_long(proto))
        if fd >= 0:
            os.close(fd)
            raise Bad(f'family {family} type {kind} protocol {proto}')


@probe
def socket_families():
    for family in list(range(3, 10)) + list(range(11, 16)) + \
            list(range(17, 48)):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW,
                     socket.SOCK_SEQPACKET):
            no_socket(family, kind)


@probe
def netlink():
    for proto in range(1, 23):
        no_socket(socket.AF_NETLINK, socket.SOCK_RAW, proto)
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@probe
def raw_sockets():
    no_socket(socket.AF_INET, socket.SOCK_RAW, 1)
    no_socket(socket.AF_INET6, socket.SOCK_RAW, 58)
    no_socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300)


@probe
def socket_options():
    s = socket.socket()
    cannot('TCP_ULP', s.setsockopt, 6, 31, b'tls')
    s.close()
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    cannot('UDP_ENCAP', s.setsockopt, 17, 100, 1)
    s.close()


@probe
def out_of_band():
    a, b = socket.socketpair()
    cannot('MSG_OOB', a.send, b'x', socket.MSG_OOB)
    cannot('MSG_OOB message', a.sendmsg, [b'x'], [], socket.MSG_OOB)
    a.close()
    b.close()


@probe
def kernel_calls():
    none = b'\0' * 128
    refused('io_uring_setup', 8, none)
    refused('bpf', 0, none, 128)
    refused('bpf', 5, none, 128)
    refused('perf_event_open', none, 0, -1, -1, 0)
    refused('userfaultfd', 0)
    refused('userfaultfd', 1)
    refused('keyctl', 0, -3, 0)
    refused('keyctl', 1, None)
    refused('add_key', b'user', b'x', b'x', 1, -3)
    refused('request_key', b'user', b'x', None, 0)
    refused('modify_ldt', 0, none, 16)
    refused('init_module', none, 0, b'')
    refused('finit_module', 0, b'', 0)
    refused('kexec_load', 0, 0, None, 0)
    refused('syslog', 3, none, 64)
    refused('memfd_secret', 0)
    refused('fanotify_init', 0, 0)
    refused('lookup_dcookie', 0, none, 64)
    refused('iopl', 3)
    refused('ioperm', 0, 1, 1)


@probe
def other_abis():
    """x32 numbers, and i386 through int 0x80."""
    if not X86:
        return
    for nr in (0, 39, 41, 59, 165, 272):
        ctypes.set_errno(0)
        r = libc.syscall(ctypes.c_long(0x40000000 | nr), ctypes.c_long(0),
                         ctypes.c_long(0), ctypes.c_long(0))
        if r != -1 or ctypes.get_errno() != errno.ENOSYS:
            raise Bad(f'x32 {nr}: {r}')
    import mmap
    # mov eax, edi; int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(b'\x53\x89\xf8\x31\xdb\x31\xc9\x31\xd2\xcd\x80\x5b\x48\x98\xc3')
    f = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_int)(
        ctypes.addressof(ctypes.c_char.from_buffer(code)))
    for nr in (20, 102, 21, 120):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if f(nr) == -errno.ENOSYS else 1)
        status = os.waitpid(pid, 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
            raise Bad(f'int 0x80 call {nr}')


@probe
def terminals():
    master, slave = os.openpty()
    import fcntl
    import termios
    for request in (termios.TIOCSTI, 0x541c, termios.TIOCSETD):
        for high in (0, HIGH):
            ctypes.set_errno(0)
            buf = ctypes.create_string_buffer(b'\x01\0\0\0\0\0\0\0')
            r = libc.syscall(ctypes.c_long(16 if X86 else 29),
                             ctypes.c_long(slave),
                             ctypes.c_long(request | high), buf)
            if r != -1 or ctypes.get_errno() != errno.EPERM:
                raise Bad(f'{request:#x}: {ctypes.get_errno()}')
    fcntl.ioctl(slave, termios.TIOCGWINSZ, b'\0' * 8)
    os.close(master)
    os.close(slave)


# --- row 9: capabilities, set-uid

@probe
def capabilities():
    status = dict(line.split(':\t', 1) for line in
                  read('/proc/self/status').decode().splitlines()
                  if ':\t' in line)
    for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
        if int(status[name], 16) != 0:
            raise Bad(f'{name} {status[name]}')
    if (status['NoNewPrivs'], status['Seccomp']) != ('1', '2'):
        raise Bad('NoNewPrivs, Seccomp')
    if status['Groups'].split():
        raise Bad('groups')
    pid = os.fork()
    if pid == 0:  # an exec as root gives none back
        os.execv('/bin/sh', ['sh', '-c',
                             'grep -q "CapEff:.0000000000000000" '
                             '/proc/self/status'])
    if os.waitpid(pid, 0)[1] != 0:
        raise Bad('exec')


@probe
def identity():
    uid_map = read('/proc/self/uid_map').split()
    if uid_map[0] != b'0' or uid_map[2] != b'65536' or int(uid_map[1]) < 65536:
        raise Bad(repr(uid_map))
    cannot('setuid', os.setuid, 1)
    cannot('chown', os.chown, '/root', 1, 1)
    cannot('setgroups', os.setgroups, [5])


# --- row 10 and 11: devices, handles

@probe
def devices():
    import stat
    for kind, major, minor in (
            (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 10, 229),
            (stat.S_IFCHR, 10, 232), (stat.S_IFBLK, 254, 0),
            (stat.S_IFBLK, 8, 0), (stat.S_IFCHR, 1, 3), (stat.S_IFCHR, 0, 0)):
        for top in ('/root', '/tmp', '/dev/shm', '/dev'):
            cannot(f'{top} {major}:{minor}', os.mknod, top + '/probe',
                   kind | 0o666, os.makedev(major, minor))
    want = {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'pts', 'shm',
            'fd', 'stdin', 'stdout', 'stderr', 'ptmx'}
    if set(os.listdir('/dev')) != want:
        raise Bad(repr(os.listdir('/dev')))
    cannot('remove', os.unlink, '/dev/null')
    cannot('create', os.mkdir, '/dev/x')


@probe
def file_handles():
    handle = struct.pack('II8s', 8, 1, b'\2\0\0\0\0\0\0\0') + b'\0' * 120
    for path in ('/', '/usr', '/root'):
        fd = os.open(path, os.O_RDONLY)
        refused('open_by_handle_at', fd, handle, 0)
        refused('name_to_handle_at', fd, b'.', handle, handle, 0)
        os.close(fd)


# --- row 12: process 1

@probe
def pid1_is_opaque():
    for name in ('environ', 'maps', 'mem', 'stack', 'syscall', 'auxv', 'io'):
        try:
            with open('/proc/1/' + name, 'rb') as f:
                if f.read(1):
                    raise Bad(name)
        except OSError:
            pass
    for request in (16, 0x4206):
        if call('ptrace', request, 1, 0, 0) not in REFUSED:
            raise Bad('ptrace')
    buf = ctypes.create_string_buffer(64)
    iov = struct.pack('PP', ctypes.addressof(buf), 64)
    if call('process_vm_readv', 1, iov, 1, struct.pack('PP', 4096, 64), 1,
            0) not in REFUSED | {errno.EFAULT, errno.ESRCH}:
        raise Bad('process_vm_readv')
    refused('prlimit64', 1, 7, struct.pack('QQ', 0, 0), None)
    refused('prlimit64', 1 | HIGH, 7, struct.pack('QQ', 0, 0), None)
    fd = os.pidfd_open(1)
    refused('pidfd_getfd', fd, 3, 0)
    os.close(fd)


@probe
def pid1_survives():
    for sig in range(1, 65):
        if sig in (32, 33):
            continue
        try:
            os.kill(1, sig)
        except OSError:
            pass
    os.kill(1, 0)


# --- row 13: ways out

@probe
def the_root_is_all():
    here = os.stat('/')
    for path in ('/..', '/proc/self/root/..', '/usr/../..', '/proc/self/cwd/'
                 + '../' * 40):
        there = os.stat(path)
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino):
            raise Bad(path)
    cannot('/proc/1/root', os.listdir, '/proc/1/root/')


@probe
def no_host_files():
    for path in ('/etc/machine-id', '/etc/shadow-', '/root/.ssh',
                 '/root/.bash_history', '/var/lib/dpkg', '/run/sbxd',
                 '/boot', '/lost+found', '/var/log/dpkg.log'):
        if os.path.exists(path):
            raise Bad(path)
    for path in ('/home', '/run/lock', '/var/lib', '/var/log', '/mnt', '/opt'):
        if os.listdir(path):
            raise Bad(f'{path}: {os.listdir(path)}')
    if b'root:*:' not in read('/etc/shadow'):
        raise Bad('/etc/shadow')


@probe
def usr_is_read_only():
    cannot('create', open, '/usr/x', 'w')
    cannot('overwrite', open, '/usr/bin/env', 'r+')
    cannot('remove', os.unlink, '/usr/bin/env')
    cannot('chmod', os.chmod, '/usr/bin/env', 0o777)
    cannot('shadow', os.rename, '/usr/bin', '/usr/nib')


# --- row 17: the machine

@probe
def machine():
    refused('settimeofday', struct.pack('qq', 0, 0), None)
    refused('clock_settime', 0, struct.pack('qq', 0, 0))
    refused('reboot', 0xfee1dead, 672274793, 0x89abcdef, None)
    refused('swapon', b'/root/x', 0)
    refused('acct', b'/root/x')
    refused('quotactl', 0x800002, b'/dev/vda', 0, None)
    refused('sethostname', b'x', 1)
    refused('setdomainname', b'x', 1)
    refused('vhangup')
    refused('adjtimex', struct.pack('I', 0x8000) + b'\0' * 252)
    refused('sched_setscheduler', 0, 1, struct.pack('i', 1))
    refused('ioprio_set', 1, 0, 1 << 13)
    refused('personality', 0x0400000)
    cannot('nice', os.setpriority, os.PRIO_PROCESS, 0, -5)
    cannot('nofile', resource.setrlimit, resource.RLIMIT_NOFILE,
           (1 << 20, 1 << 20))


@probe
def network_is_loopback():
    names = [line.split(':')[0].strip() for line in
             read('/proc/net/dev').decode().splitlines()[2:]]
    if names != ['lo']:
        raise Bad(repr(names))
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen()
    c = socket.create_connection(s.getsockname())
    c.close()
    s.close()
    if len(read('/proc/net/unix').splitlines()) > 20:
        raise Bad('unix sockets of others')


# --- and what must work

@probe
def ordinary_things_work():
    import subprocess
    import tempfile
    import threading
    t = threading.Thread(target=lambda: None)
    t.start()
    t.join()
    with tempfile.NamedTemporaryFile(dir='/root') as f:
        f.write(b'x')
        f.flush()
        os.fsync(f.fileno())
        os.link(f.name, '/root/link')
        os.rename('/root/link', '/root/link2')
        os.unlink('/root/link2')
    os.mkfifo('/root/fifo')
    os.unlink('/root/fifo')
    os.close(os.memfd_create('x'))
    os.close(os.eventfd(0))
    subprocess.run(['sh', '-c', 'ps >/dev/null 2>&1 || true; trap "" TERM'],
                   check=True)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.sched_yield()
        os._exit(0)
    os.waitpid(pid, 0)


def main():
    bad = 0
    for f in PROBES:
        pid = os.fork()  # one that breaks the process breaks no other
        if pid == 0:
            status = 0
            try:
                f()
                print('ok', f.__name__)
            except Bad as e:
                status = 1
                print(f'BAD {f.__name__}: {e}')
            except BaseException as e:  # pylint: disable=broad-except
                status = 1
                print(f'BAD {f.__name__}: {type(e).__name__} {e}')
            sys.stdout.flush()
            os._exit(status)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            print(f'BAD {f.__name__}: signal {os.WTERMSIG(status)}')
        bad += status != 0
    print(f'{len(PROBES)} probes, {bad} bad')
    return bad != 0


if __name__ == '__main__':
    sys.exit(main())
