#!/usr/bin/env python3
# limit 240
"""The real sbx-agent as process 1 of fresh pid and mount namespaces, driven
over its socket: jobs, files, and what a hostile peer would send."""
import array
import base64
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.environ.get("SBX_BUILD") or os.environ.get("B") or "build"
AGENT = os.path.abspath(os.path.join(BUILD, "sbx-agent"))
JSON, BINARY, PING = 1, 2, 3


def frame(kind, payload):
    return struct.pack(">BI", kind, len(payload)) + payload


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]


class Client:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(20)
        self.s.connect(path)
        self.data = b""
        self.next_id = 0
        self.bin = None
        self.notes = []

    def close(self):
        self.s.close()

    def send_fds(self, data, fds):
        if not fds:
            self.s.sendall(data)
            return
        n = self.s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     array.array("i", fds))])
        self.s.sendall(data[n:])

    def request(self, method, params=None, binary=None, fds=()):
        self.next_id += 1
        if binary is not None:
            self.s.sendall(frame(BINARY, binary))
            params["binary"] = True
        text = json.dumps({"jsonrpc": "2.0", "id": self.next_id,
                           "method": method, "params": params or {}})
        self.send_fds(frame(JSON, text.encode()), fds)
        return self.next_id

    def notify(self, method, params):
        self.s.sendall(frame(JSON, json.dumps(
            {"jsonrpc": "2.0", "method": method, "params": params}).encode()))

    def recv_frame(self):
        while True:
            if len(self.data) >= 5:
                kind, n = struct.unpack(">BI", self.data[:5])
                if len(self.data) >= 5 + n:
                    payload = self.data[5:5 + n]
                    self.data = self.data[5 + n:]
                    return kind, payload
            more = self.s.recv(1 << 18)
            if not more:
                raise EOFError
            self.data += more

    def recv(self):
        """The next JSON message; a binary one before it is in self.bin."""
        self.bin = None
        while True:
            kind, payload = self.recv_frame()
            if kind == BINARY:
                self.bin = payload
            elif kind == JSON:
                return json.loads(payload)
            else:
                return {"pong": payload}

    def reply(self, want):
        while True:
            m = self.recv()
            if "id" in m:
                assert m["id"] == want, m
                if "error" in m:
                    raise Refused(m["error"])
                return m["result"]
            self.notes.append(m)

    def call(self, method, params=None, **kw):
        return self.reply(self.request(method, params, **kw))

    def fs(self, method, **params):
        return self.call("sbx.fs." + method, params)

    def note(self, job):
        """The exit notification of a job."""
        while True:
            for m in self.notes:
                if m["params"]["job"] == job:
                    self.notes.remove(m)
                    assert m["method"] == "sbx.job.exit"
                    return m["params"]
            self.notes.append(self.recv())


class Agent:
    """One agent; its root is this machine's, under a private /proc."""

    def __init__(self, *args, root=None):
        agent = ["chroot", root, "/agent"] if root else [AGENT]
        self.dir = tempfile.mkdtemp(prefix="sbx-agent-")
        self.path = self.dir + "/agent.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(256)
        self.unshare = subprocess.Popen(
            ["unshare", "-pf", "--mount-proc", "--kill-child", "sh", "-c",
             'exec 3<&%d; exec "$@"' % self.listener.fileno(), "sh",
             *agent, *args], pass_fds=[self.listener.fileno()])

    def pid(self):
        p = self.unshare.pid
        with open(f"/proc/{p}/task/{p}/children") as f:
            return int(f.read().split()[0])

    def stop(self):
        self.unshare.kill()
        self.unshare.wait()
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Job:
    numbers = 0

    def __init__(self, client, script, stdin=False, env=None, cwd="/",
                 size=None):
        if isinstance(script, str):
            script = script.encode()
        Job.numbers += 1
        self.client = client
        self.n = Job.numbers
        self.out, out_w = os.pipe()
        self.err, err_w = os.pipe()
        fds = [out_w, self.out, err_w, self.err]
        params = {"job": self.n, "cwd": cwd}
        self.inp = -1
        if stdin:
            in_r, self.inp = os.pipe()
            fds += [in_r, self.inp]
            params["stdin"] = True
        if env:
            params["env"] = env
        if size:
            params["rows"], params["cols"] = size
        try:
            self.pid = client.call("sbx.job.start", params, binary=script,
                                   fds=fds)["pid"]
        except Refused:
            os.close(self.out)
            os.close(self.err)
            raise
        finally:
            os.close(out_w)
            os.close(err_w)
            if stdin:
                os.close(in_r)

    def exit(self):
        r = self.client.note(self.n)
        os.set_blocking(self.out, False)
        os.set_blocking(self.err, False)
        self.stdout = drain(self.out)
        self.stderr = drain(self.err)
        return r

    def ack(self):
        self.client.notify("sbx.job.ack", {"job": self.n})
        os.close(self.out)
        os.close(self.err)

    def done(self):
        """Exit code (or -signal), stdout; acknowledged."""
        r = self.exit()
        self.ack()
        return -r["signal"] if r["signal"] else r["code"], self.stdout


def drain(fd):
    data = b""
    while True:
        try:
            more = os.read(fd, 1 << 16)
        except BlockingIOError:
            return data
        if not more:
            return data
        data += more


def fails(code, fn, *args, **kw):
    try:
        fn(*args, **kw)
    except Refused as e:
        assert e.code == code, (e.code, code, str(e))
        return str(e)
    raise AssertionError(f"{args} {kw} did not fail with {code}")


def eventually(fn, what):
    for _ in range(200):
        if fn():
            return
        time.sleep(0.02)
    raise AssertionError(what)


def agent_fds(agent):
    return len(os.listdir(f"/proc/{agent.pid()}/fd"))


# Jobs


def test_job_output_and_code(agent, c):
    job = Job(c, "echo out; echo err >&2; exit 3")
    r = job.exit()
    assert (r["code"], r["signal"]) == (3, 0), r
    assert abs(r["ended"] / 1000 - time.time()) < 10, r
    assert (job.stdout, job.stderr) == (b"out\n", b"err\n")
    job.ack()


def test_job_environment(agent, c):
    c.call("sbx.env.set", {"vars": {"A": "1", "B": "two", "PATH": "/bin"}})
    _, out = Job(c, "pwd; echo $A $B $PATH $HOME $LANG; umask; echo $$; "
                 "[ $HOSTNAME = $(uname -n) ] && echo host",
                 env={"B": "3", "HOME": "/h"}, cwd="/tmp").done()
    lines = out.decode().split("\n")
    assert lines[0] == "/tmp" and lines[1] == "1 3 /bin /h C.UTF-8", lines
    assert lines[2] == "0022" and lines[4] == "host", lines
    c.call("sbx.env.set", {"vars": {}})
    assert Job(c, "echo $A").done() == (0, b"\n")
    for bad in ({"": "x"}, {"a=b": "x"}, {"a": "x\0y"}, {"a": 1}):
        assert "vars" in fails(-22, c.call, "sbx.env.set", {"vars": bad})


def test_job_is_clean(agent, c):
    # its own session and group, no descriptor but three, no signal changed
    _, out = Job(c, "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' "
                 "/proc/self/status | grep -vc '0000000000000000'; "
                 "cut -d' ' -f5,6 /proc/$$/stat; echo $$").done()
    n, sigs, ids, pid = out.decode().split("\n")[:4]
    assert n == "4", out  # and the directory that ls reads
    assert sigs == "0", out
    assert ids == f"{pid} {pid}", out


def test_job_signals(agent, c):
    job = Job(c, "sleep 100 & wait")
    c.call("sbx.job.signal", {"job": job.n, "signal": 15})
    assert job.done() == (-15, b"")
    fails(-3, c.call, "sbx.job.signal", {"job": job.n, "signal": 9})
    job = Job(c, "exec sleep 100")
    c.call("sbx.job.signal", {"job": job.n, "signal": 9, "timed_out": True})
    assert job.done()[0] == -9
    assert Job(c, "kill -SEGV $$").done()[0] == -11


def test_job_stdin(agent, c):
    job = Job(c, "cat; echo end", stdin=True)
    os.write(job.inp, b"hello ")
    os.close(job.inp)
    time.sleep(0.1)  # the agent's copy keeps it open
    assert not [m for m in c.notes if m["params"]["job"] == job.n]
    c.call("sbx.job.eof", {"job": job.n})
    assert job.done() == (0, b"hello end\n")
    assert Job(c, "cat; echo null").done() == (0, b"null\n")


def test_job_terminal(agent, c):
    job = Job(c, "stty size; cat; stty size", stdin=True, size=(24, 80))
    assert c.call("sbx.hello")["jobs"][0]["cols"] == 80
    assert os.read(job.out, 100) == b"24 80\r\n"
    c.call("sbx.job.winsize", {"job": job.n, "rows": 9, "cols": 65535})
    os.write(job.inp, b"line\n\4")
    code, out = job.done()
    os.close(job.inp)
    assert code == 0, code
    assert out.replace(b"\r\n", b"|") == b"line|line|9 65535|", out
    # what a full pipe has no room for waits, and is all there at the end
    job = Job(c, "seq 1 100000", stdin=True, size=(1, 1))
    got = b""
    while b"100000" not in got:
        time.sleep(0.001)
        got += os.read(job.out, 1 << 16)
    assert got.split() == [b"%d" % i for i in range(1, 100001)]
    job.done()
    os.close(job.inp)
    # one that nobody reads any more, and something still holds it
    job = Job(c, "seq 1 1000; seq 1 100000 &", stdin=True, size=(1, 1))
    r = job.exit()
    assert r["code"] == 0, r
    job.ack()
    os.close(job.inp)
    eventually(lambda: agent_fds(agent) == agent.fds, "terminals are left")
    sized = {"job": 9999, "rows": 1, "cols": 1, "cwd": "/"}
    fails(-22, c.call, "sbx.job.start", dict(sized), binary=b"true")
    assert "rows" in fails(-32602, c.call, "sbx.job.start",
                           dict(sized, rows=65536), binary=b"true")
    fails(-3, c.call, "sbx.job.winsize", {"job": 9999, "rows": 1, "cols": 1})
    job = Job(c, "sleep 9")
    fails(-25, c.call, "sbx.job.winsize",
          {"job": job.n, "rows": 1, "cols": 1})
    c.call("sbx.job.signal", {"job": job.n, "signal": 9})
    assert job.done()[0] == -9


def test_job_background_holds_pipe(agent, c):
    job = Job(c, "(sleep 1; echo late) & echo now")
    r = job.exit()
    assert r["code"] == 0 and job.stdout == b"now\n", job.stdout
    c.notify("sbx.job.ack", {"job": job.n})
    hello = c.call("sbx.hello")
    assert hello["jobs"] == [], hello
    assert [x["job"] for x in hello["left"]] == [job.n], hello
    os.set_blocking(job.out, True)
    assert os.read(job.out, 100) == b"late\n"
    eventually(lambda: agent_fds(agent) == agent.fds, "pipes stay open")
    assert c.call("sbx.hello")["left"] == []
    os.close(job.out)
    os.close(job.err)


def test_job_output_survives_front(agent, c):
    # nobody reads, the front goes away; its end is still in the agent
    other = Client(agent.path)
    other.call("sbx.hello")
    job = Job(other, "echo kept; echo e >&2; exit 4")
    os.close(job.out)
    os.close(job.err)
    other.close()
    def ended():
        jobs = c.call("sbx.hello")["jobs"]
        return [x for x in jobs if x["job"] == job.n
                and x["state"] == "ended"]
    eventually(ended, "the job is not listed")
    r = ended()[0]
    assert r["code"] == 4 and r["in"] == -1, r
    fd = os.open(f"/proc/{agent.pid()}/fd/{r['out']}", os.O_RDONLY)
    assert os.read(fd, 100) == b"kept\n"
    os.close(fd)
    c.notify("sbx.job.ack", {"job": job.n})
    assert c.call("sbx.hello")["jobs"] == []
    c.notes.clear()  # it may have ended after our first hello


def test_job_scripts(agent, c):
    assert Job(c, "#!/bin/cat\nx\n").done() == (0, b"#!/bin/cat\nx\n")
    assert Job(c, "#!/bin/sh -e\necho $0; false; echo no\n").done() == \
        (1, b"/dev/fd/3\n")
    big = "# " + "x" * 300000 + "\necho $((6*7))\nexit 5\n"
    assert Job(c, big).done() == (5, b"42\n")
    assert Job(c, "").done() == (0, b"")
    assert Job(c, b"printf '\xff\xfe'").done() == (0, b"\xff\xfe")


def test_job_that_cannot_start(agent, c):
    text = fails(-2, Job, c, "true", cwd="/no/such")
    assert "/no/such" in text, text
    text = fails(-2, Job, c, "#!/no/such\n")
    assert "script" in text, text
    eventually(lambda: agent_fds(agent) == agent.fds, "descriptors are left")


def test_job_requests_refused(agent, c):
    r, w = os.pipe()
    fails(-22, c.call, "sbx.job.start", {"job": 9999}, binary=b"true")
    fails(-22, c.call, "sbx.job.start", {"job": 9999}, binary=b"true",
          fds=[r, w])
    assert "binary" in fails(-32602, c.call, "sbx.job.start", {"job": 9999})
    assert "job" in fails(-32602, c.call, "sbx.job.start", {"job": 0},
                          binary=b"true")
    assert "cwd" in fails(-32602, c.call, "sbx.job.start",
                          {"job": 9999, "cwd": 5}, binary=b"true")
    assert "job" in fails(-32602, c.call, "sbx.job.signal", {"signal": 1})
    # descriptors where none is expected are closed
    for _ in range(50):
        c.call("sbx.ping", {}, fds=[r, w])
    c.s.sendall(frame(PING, b"\0"))
    assert c.recv() == {"pong": b"\1"}
    eventually(lambda: agent_fds(agent) == agent.fds, "descriptors are left")
    os.close(r)
    os.close(w)
    job = Job(c, "sleep 100")
    Job.numbers -= 1
    fails(-17, Job, c, "true")
    c.call("sbx.job.signal", {"job": job.n, "signal": 9})
    job.done()


def test_job_hundred_at_once(agent, c):
    jobs = [Job(c, f"sleep 0.1; echo {i}; exit {i}") for i in range(100)]
    for i, job in enumerate(jobs):
        assert job.done() == (i, b"%d\n" % i)
    c.call("sbx.ping")
    eventually(lambda: agent_fds(agent) == agent.fds, "descriptors are left")


def test_job_cpu_time(agent, c):
    job = Job(c, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
    r = job.exit()
    assert r["cpu_usec"] > 10000, r
    job.ack()


def test_process_one_is_safe(agent, c):
    _, out = Job(c, "for s in HUP INT TERM USR1 PIPE SEGV CHLD STOP KILL RTMIN; "
                 "do kill -s $s 1; done; cat /proc/1/comm; "
                 "grep SigQ /proc/1/status").done()
    assert out.startswith(b"sbx-agent\n"), out
    c.call("sbx.ping")
    # orphans are reaped
    Job(c, "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done").done()
    time.sleep(0.4)
    _, out = Job(c, "grep -l '^State:.*Z' /proc/[0-9]*/status | wc -l").done()
    assert out == b"0\n", out


# Files


def scratch(agent, name):
    path = f"{agent.dir}/{name}"
    os.mkdir(path)
    return path


def b64(name):
    return {"base64": base64.b64encode(name).decode()}


def test_fs_read_write(agent, c):
    d = scratch(agent, "rw")
    fails(-2, c.fs, "open", path=f"{d}/f", flags="r")
    fails(-2, c.fs, "open", path=f"{d}/a/b/f", flags="w", create=True)
    f = c.fs("open", path=f"{d}/a/b/f", flags="rw", create=True, mode=0o640,
             parents=True)
    assert (f["type"], f["size"], f["mode"]) == ("file", 0, 0o640), f
    assert os.stat(f"{d}/a/b").st_mode & 0o777 == 0o755
    h, data = f["h"], os.urandom(3 << 20)
    for off in range(0, len(data), 1 << 20):
        r = c.call("sbx.fs.write", {"h": h, "off": off},
                   binary=data[off:off + (1 << 20)])
        assert r == {"len": 1 << 20}, r
    with open(f"{d}/a/b/f", "rb") as g:
        assert g.read() == data
    r = c.fs("read", h=h, off=1000, len=1 << 20)
    assert r == {"len": 1 << 20, "binary": True}
    i = c.request("sbx.fs.read", {"h": h, "off": (3 << 20) - 7, "len": 100})
    kind, payload = c.recv_frame()
    assert kind == BINARY and payload == data[-7:]
    assert c.reply(i)["len"] == 7
    i = c.request("sbx.fs.read", {"h": h, "off": 5 << 20, "len": 100})
    assert c.recv_frame() == (BINARY, b"")
    assert c.reply(i)["len"] == 0
    c.fs("fsync", h=h)
    st = c.fs("getattr", h=h)
    assert st["size"] == 3 << 20 and st["ino"] == os.stat(
        f"{d}/a/b/f").st_ino, st
    c.fs("close", h=h)
    for method in ("close", "getattr", "fsync"):
        fails(-9, c.fs, method, h=h)
    fails(-9, c.fs, "read", h=h, off=0, len=1)
    assert "len" in fails(-32602, c.fs, "read", h=h, off=0, len=(1 << 20) + 1)
    assert "off" in fails(-32602, c.fs, "read", h=h, off=-1, len=1)
    assert "flags" in fails(-22, c.fs, "open", path=d, flags="x")
    f = c.fs("open", path=f"{d}/a/b/f", flags="w", trunc=True)
    assert f["size"] == 0 and os.path.getsize(f"{d}/a/b/f") == 0
    fails(-17, c.fs, "open", path=f"{d}/a/b/f", flags="w", create=True,
          excl=True)
    c.fs("close", h=f["h"])


def test_fs_kinds(agent, c):
    d = scratch(agent, "kinds")
    os.mkfifo(f"{d}/fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{d}/sock")
    fails(-21, c.fs, "open", path=d, flags="r")
    for flags in ("r", "w", "rw"):
        fails(-6, c.fs, "open", path=f"{d}/fifo", flags=flags)
        fails(-6, c.fs, "open", path=f"{d}/sock", flags=flags)
    open(f"{d}/f", "w").close()
    fails(-20, c.fs, "open", path=f"{d}/f", flags="d")
    kinds = {n: c.fs("lookup", path=f"{d}/{n}")["type"]
             for n in ("fifo", "sock", "f", ".", "../kinds")}
    assert kinds == {"fifo": "fifo", "sock": "socket", "f": "file",
                     ".": "dir", "../kinds": "dir"}, kinds
    assert c.fs("lookup", path="/")["type"] == "dir"
    assert c.fs("lookup", path="")["type"] == "dir"
    s.close()


def test_fs_links_are_not_followed(agent, c):
    d = scratch(agent, "links")
    os.mkdir(f"{d}/real")
    with open(f"{d}/real/f", "w") as g:
        g.write("data")
    os.symlink("real", f"{d}/dir")
    os.symlink("real/f", f"{d}/file")
    os.symlink(f"{d}/new", f"{d}/dangling")
    os.symlink("loop", f"{d}/loop")
    for path in ("file", "dir/f", "dangling", "loop"):
        for flags in ("r", "w"):
            fails(-40, c.fs, "open", path=f"{d}/{path}", flags=flags)
            fails(-40, c.fs, "open", path=f"{d}/{path}", flags=flags,
                  create=True, parents=True)
        fails(-40, c.fs, "open", path=f"{d}/{path}", flags="w", atomic=True)
        fails(-40, c.fs, "unlink", path=f"{d}/{path}/x")
        fails(-40, c.fs, "mkdir", path=f"{d}/{path}/x")
        fails(-40, c.fs, "remove", path=f"{d}/{path}/x")
    assert not os.path.exists(f"{d}/new")
    assert c.fs("lookup", path=f"{d}/dir")["type"] == "symlink"
    assert c.fs("readlink", path=f"{d}/dir") == {"target": "real"}
    fails(-22, c.fs, "readlink", path=f"{d}/real")
    fails(-95, c.fs, "setattr", path=f"{d}/file", mode=0o600)
    c.fs("setattr", path=f"{d}/file", mtime=5000)
    assert os.lstat(f"{d}/file").st_mtime == 5
    assert os.stat(f"{d}/real/f").st_mtime > 10
    # with follow they are, as a process inside would
    for path in ("file", "dir/f"):
        f = c.fs("open", path=f"{d}/{path}", flags="r", follow=True)
        assert f["size"] == 4
        c.fs("close", h=f["h"])
    assert c.fs("lookup", path=f"{d}/dir", follow=True)["type"] == "dir"
    fails(-40, c.fs, "lookup", path=f"{d}/loop", follow=True)
    fails(-40, c.fs, "open", path=f"{d}/loop", flags="w", atomic=True,
          follow=True)
    f = c.fs("open", path=f"{d}/dangling", flags="w", create=True, follow=True)
    c.fs("close", h=f["h"])
    assert os.path.isfile(f"{d}/new")
    for path in ("..", "/..", "x/../..", "/../etc/passwd"):
        fails(-18, c.fs, "lookup", path=path)
    fails(-36, c.fs, "lookup", path="x" * 300)
    fails(-36, c.fs, "lookup", path="x/" * 3000)


def test_fs_atomic(agent, c):
    d = scratch(agent, "atomic")
    x = Client(agent.path)

    def begin(path, **kw):
        f = x.fs("open", path=f"{d}/{path}", flags="w", atomic=True, **kw)
        x.call("sbx.fs.write", {"h": f["h"], "off": 0}, binary=b"new")
        return f["h"]

    def text(path):
        with open(f"{d}/{path}") as g:
            return g.read()
    with open(f"{d}/f", "w") as g:
        g.write("old")
    os.chmod(f"{d}/f", 0o751)
    h = begin("f")
    assert text("f") == "old" and len(os.listdir(d)) == 2
    x.fs("close", h=h)
    assert text("f") == "old" and os.listdir(d) == ["f"]
    h = begin("f")
    x.fs("close", h=h, commit=True)
    assert text("f") == "new" and os.listdir(d) == ["f"]
    assert os.stat(f"{d}/f").st_mode & 0o777 == 0o751
    x.fs("close", h=begin("p/q/g", parents=True, mode=0o600), commit=True)
    assert text("p/q/g") == "new"
    assert os.stat(f"{d}/p/q/g").st_mode & 0o777 == 0o600
    os.symlink("p", f"{d}/link")
    os.symlink("../f", f"{d}/p/up")
    with open(f"{d}/f", "w") as g:
        g.write("old")
    x.fs("close", h=begin("link/up", follow=True), commit=True)
    assert text("f") == "new" and os.path.islink(f"{d}/p/up")
    fails(-21, begin, "p")
    fails(-17, begin, "f", excl=True)
    begin("cut")
    assert [n for n in os.listdir(d) if n.startswith(".sbx-put-")]
    x.close()
    eventually(lambda: sorted(os.listdir(d)) == ["f", "link", "p"],
               "a cut-off upload left something")


def test_fs_readdir(agent, c):
    d = scratch(agent, "list")
    names = [b"n%d" % i for i in range(2500)] + [
        b"\xff\xfe", b"new\nline", b'"quote"', "é".encode(), b"\x01" * 255]
    for n in names:
        open(d.encode() + b"/" + n, "w").close()
    h = c.fs("open", path=d, flags="d")["h"]
    found, after, pages = [], None, 0
    while True:
        r = c.fs("readdir", h=h, **({} if after is None else
                                    {"after": after}))
        assert len(r["entries"]) <= 1000
        found += r["entries"]
        pages += 1
        after = r["next"]
        if after is None:
            break
    assert pages == 3, pages

    def raw(n):
        return base64.b64decode(n["base64"]) if isinstance(n, dict) \
            else n.encode()
    assert sorted(raw(e["name"]) for e in found) == sorted(names)
    assert all(e["type"] == "file" and e["nlink"] == 1 for e in found)
    assert len(c.fs("readdir", h=h)["entries"]) == 1000  # again from the top
    fails(-21, c.fs, "read", h=h, off=0, len=1)
    c.fs("close", h=h)
    for n in names:
        c.fs("unlink", path=b64(d.encode() + b"/" + n))
    assert os.listdir(d) == []
    assert "path" in fails(-32602, c.fs, "unlink", path={"base64": "*"})
    assert "path" in fails(-32602, c.fs, "unlink", path="a\0b")
    assert "path" in fails(-32602, c.fs, "unlink", path=7)
    assert "path" in fails(-32602, c.fs, "unlink")


def test_fs_names(agent, c):
    d = scratch(agent, "names")
    c.fs("mkdir", path=f"{d}/a", mode=0o700)
    assert os.stat(f"{d}/a").st_mode & 0o777 == 0o700
    fails(-17, c.fs, "mkdir", path=f"{d}/a")
    c.fs("mkdir", path=f"{d}/a", parents=True)
    fails(-2, c.fs, "mkdir", path=f"{d}/x/y")
    c.fs("mkdir", path=f"{d}/x/y/z", parents=True)
    c.fs("symlink", path=f"{d}/s", target="/nowhere at all")
    assert os.readlink(f"{d}/s") == "/nowhere at all"
    open(f"{d}/f", "w").close()
    c.fs("link", **{"from": f"{d}/f", "to": f"{d}/g"})
    assert os.stat(f"{d}/g").st_nlink == 2
    c.fs("rename", **{"from": f"{d}/g", "to": f"{d}/a/h"})
    fails(-17, c.fs, "rename", **{"from": f"{d}/f", "to": f"{d}/a/h",
                                  "flags": 1})
    fails(-32602, c.fs, "rename", **{"from": f"{d}/f", "to": f"{d}/a/h",
                                     "flags": 4})
    fails(-39, c.fs, "rmdir", path=f"{d}/x")
    fails(-21, c.fs, "unlink", path=f"{d}/x")
    fails(-20, c.fs, "rmdir", path=f"{d}/f")
    c.fs("setattr", path=f"{d}/f", mode=0o600, size=77, mtime=1234567890123)
    st = os.stat(f"{d}/f")
    assert (st.st_mode & 0o777, st.st_size, st.st_mtime_ns) == \
        (0o600, 77, 1234567890123000000)
    assert c.fs("lookup", path=f"{d}/f")["mtime"] == 1234567890123
    assert c.fs("statfs")["bsize"] > 0
    for path in ("/", "", "."):
        fails(-16, c.fs, "rmdir", path=path)
        fails(-16, c.fs, "remove", path=path)


def test_fs_system_is_closed(agent, c):
    for top in ("proc", "dev", "sys"):
        for method in ("rmdir", "unlink", "remove"):
            fails(-16, c.fs, method, path=f"/{top}")
            fails(-1, c.fs, method, path=f"/{top}/x")
            fails(-1, c.fs, method, path=f"/tmp/../{top}/x/y")
        fails(-16, c.fs, "rename", **{"from": f"/{top}", "to": "/tmp/x"})
        fails(-1, c.fs, "rename", **{"from": "/tmp/x", "to": f"/{top}/x"})
        fails(-1, c.fs, "mkdir", path=f"/{top}/x", parents=True)
        fails(-17, c.fs, "mkdir", path=f"/{top}")
        for kw in ({}, {"create": True}, {"atomic": True}, {"follow": True}):
            fails(-1, c.fs, "open", path=f"/{top}/version", flags="w", **kw)
    d = scratch(agent, "system")
    os.symlink("/dev", f"{d}/dev")
    os.symlink("/proc/self/mem", f"{d}/mem")
    for kw in ({"create": True}, {"atomic": True}):
        fails(-1, c.fs, "open", path=f"{d}/dev/x", flags="w", follow=True,
              **kw)
    fails(-1, c.fs, "open", path=f"{d}/mem", flags="r", follow=True)
    fails(-1, c.fs, "open", path="/proc", flags="d")
    assert not os.path.exists("/dev/x")


def test_fs_remove(agent, c):
    d = scratch(agent, "remove")
    os.mkdir(f"{d}/keep")
    open(f"{d}/keep/f", "w").close()
    os.mkdir(f"{d}/t")
    os.symlink("../keep", f"{d}/t/dir")
    os.symlink("../keep/f", f"{d}/t/file")
    os.symlink("t", f"{d}/link")
    os.mkdir(f"{d}/t/closed", 0)
    here = os.open(f"{d}/t", os.O_RDONLY)
    for i in range(700):  # deeper than a path is long
        os.mkdir("deep-deep-deep", dir_fd=here)
        down = os.open("deep-deep-deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = down
    os.close(here)
    for i in range(3000):
        open(f"{d}/t/n{i}", "w").close()
    c.fs("remove", path=f"{d}/link")
    assert os.path.isdir(f"{d}/t")
    c.fs("remove", path=f"{d}/t")
    assert os.listdir(d) == ["keep"] and os.listdir(f"{d}/keep") == ["f"]
    fails(-2, c.fs, "remove", path=f"{d}/t")
    c.fs("remove", path=f"{d}/keep/f")
    assert os.listdir(f"{d}/keep") == []


def test_fs_as_a_mount_needs_it(agent, c):
    d = scratch(agent, "mount")
    made = c.fs("mkdir", path=f"{d}/sub", mode=0o700)
    assert made["type"] == "dir" and made["mode"] == 0o700, made
    assert c.fs("mknod", path=f"{d}/p", mode=0o620)["type"] == "fifo"
    assert c.fs("symlink", path=f"{d}/l", target="x")["type"] == "symlink"
    fails(-17, c.fs, "mknod", path=f"{d}/p")
    h = c.fs("open", path=f"{d}/f", flags="rw", create=True)["h"]
    fd = c.fs("open", path=f"{d}/f", flags="w", append=True)["h"]
    c.call("sbx.fs.write", {"h": h, "off": 0}, binary=b"abc")
    c.call("sbx.fs.write", {"h": fd, "off": 0}, binary=b"def")
    assert c.fs("getattr", h=h)["size"] == 6
    assert c.fs("link", **{"from": f"{d}/f", "to": f"{d}/g"})["nlink"] == 2
    st = c.fs("setattr", h=h, mode=0o640, mtime_ns=1234567890123456789,
              size=1 << 20)
    assert st["mtime_ns"] == 1234567890123456789 and st["mode"] == 0o640, st
    assert os.stat(f"{d}/g").st_mtime_ns == 1234567890123456789
    st = c.fs("setattr", path=f"{d}/g", atime_ns=-1500000000, mtime_now=True)
    assert st["atime_ns"] == -1500000000 and st["mtime"] > 10 ** 12, st
    fails(-9, c.fs, "setattr", h=999, mode=0o600)
    c.fs("fallocate", h=h, off=1 << 20, len=4096)
    assert c.fs("getattr", h=h)["size"] == (1 << 20) + 4096
    fails(-9, c.fs, "fallocate", h=fd + 1, off=0, len=1)
    assert c.fs("lseek", h=h, off=0, whence=3)["off"] == 0
    fails(-6, c.fs, "lseek", h=h, off=1 << 30, whence=3)
    to = c.fs("open", path=f"{d}/to", flags="w", create=True)["h"]
    n = c.fs("copy_range", h=h, off=3, to_h=to, to_off=1, len=3)["len"]
    assert n == 3 and open(f"{d}/to", "rb").read() == b"\0def"
    assert c.fs("statfs", path=d)["blocks"] > 0
    fails(-2, c.fs, "statfs", path=f"{d}/nothing")
    c.fs("unlink", path=f"{d}/f")
    c.fs("unlink", path=f"{d}/g")
    assert c.fs("setattr", h=h, size=0)["nlink"] == 0
    for each in (h, fd, to):
        c.fs("close", h=each)


def test_fs_open_again(agent, c):
    d = scratch(agent, "again")
    h = c.fs("open", path=f"{d}/f", flags="r", create=True)["h"]
    os.unlink(f"{d}/f")
    os.symlink("x", f"{d}/f")
    w = c.fs("open", h=h, flags="w")
    assert w["nlink"] == 0 and w["type"] == "file", w
    c.call("sbx.fs.write", {"h": w["h"], "off": 0}, binary=b"old")
    fails(-9, c.call, "sbx.fs.write", {"h": h, "off": 0}, binary=b"x")
    assert c.fs("read", h=h, off=0, len=9)["len"] == 3
    t = c.fs("open", h=h, flags="rw", trunc=True, create=True, excl=True)
    assert t["size"] == 0 and c.fs("getattr", h=h)["size"] == 0
    fails(-20, c.fs, "open", h=h, flags="d")
    fails(-9, c.fs, "open", h=1000, flags="r")
    for each in h, w["h"], t["h"]:
        c.fs("close", h=each)


def test_fs_xattr(agent, c):
    d = scratch(agent, "xattr")
    open(f"{d}/f", "w").close()
    os.mkfifo(f"{d}/fifo")
    os.symlink("f", f"{d}/l")
    os.setxattr(d, "trusted.x", b"no")
    h = c.fs("open", path=f"{d}/f", flags="r")["h"]

    def put(value, **what):
        return c.call("sbx.fs.setxattr", what, binary=value)

    def get(method="getxattr", **what):
        i = c.request("sbx.fs." + method, what)
        got = c.recv()  # its binary message is in c.bin
        if "error" in got:
            return got["error"]["code"]
        assert got == {"jsonrpc": "2.0", "id": i, "result": {
            "len": len(c.bin), "binary": True}}, got
        return c.bin

    for what in {"path": d}, {"path": f"{d}/f"}, {"h": h}:
        put(b"a\0b", name="user.a", **what)
        put(b"", name="user.empty", **what)
        assert get(name="user.a", **what) == b"a\0b"
        assert get(name="user.empty", **what) == b""
        assert sorted(get("listxattr", **what).split(b"\0")) == [
            b"", b"user.a", b"user.empty"]
        fails(-17, put, b"", name="user.a", flags=1, **what)
        fails(-61, put, b"", name="user.b", flags=2, **what)
        fails(-32602, put, b"", name="user.b", flags=4, **what)
        fails(-34, put, b"", name="user." + "n" * 300, **what)
        fails(-7, put, b"x" * 65537, name="user.a", **what)
        for name in "security.capability", "trusted.x", "system.x", "user", "":
            fails(-95, put, b"x", name=name, **what)
            assert get(name=name, **what) == -95
            fails(-95, c.fs, "removexattr", name=name, **what)
        put(b"n", name=b64(b"user.\xff"), **what)
        assert get(name=b64(b"user.\xff"), **what) == b"n"
        for name in "user.a", "user.empty", b64(b"user.\xff"):
            c.fs("removexattr", name=name, **what)
        fails(-61, c.fs, "removexattr", name="user.a", **what)
        assert get("listxattr", **what) == b""
    big = os.urandom(3000)
    put(big, h=h, name="user.big")
    assert get(path=f"{d}/f", name="user.big") == big
    # neither is opened, nor followed
    for name in "fifo", "l":
        fails(-1, put, b"x", path=f"{d}/{name}", name="user.x")
    assert get(path=f"{d}/l", name="user.big") == -61
    assert get(path=f"{d}/l/x", name="user.big") in (-20, -40)
    assert get(path="/proc", name="user.x") == -95
    assert get(path="/proc/self/exe", name="user.x") == -95
    assert get(path="../x", name="user.x") == -18
    assert get(path=f"{d}/none", name="user.x") == -2
    assert get(h=1000, name="user.x") == -9
    fails(-32602, c.call, "sbx.fs.setxattr", {"h": h, "name": "user.x"})
    assert "name" in fails(-32602, c.fs, "getxattr", h=h)
    c.fs("close", h=h)
    # where it went for a path, it does not stay
    assert os.readlink(f"/proc/{agent.pid()}/cwd") == "/"


def test_fs_handles_end(agent, c):
    x = Client(agent.path)
    d = scratch(agent, "handles")
    for _ in range(1024):
        x.fs("open", path=d, flags="d")
    fails(-24, x.fs, "open", path=d, flags="d")
    fails(-9, c.fs, "getattr", h=0)  # another's are not ours
    x.fs("close", h=17)
    assert x.fs("open", path=d, flags="d")["h"] == 17
    x.close()
    eventually(lambda: agent_fds(agent) == agent.fds, "handles are left")


def test_fs_root_without_proc(agent, c):
    # files mode, its root a directory of ours: links cannot leave it
    root = scratch(agent, "root")
    shutil.copy(AGENT, f"{root}/agent")
    os.makedirs(f"{root}/etc")
    os.makedirs(f"{root}/dev")
    os.symlink("/etc", f"{root}/abs")
    os.symlink("../../../../../../etc", f"{root}/up")
    files = Agent("--files", root=root)
    try:
        x = Client(files.path)
        fails(-95, x.call, "sbx.hello")
        fails(-2, x.fs, "open", path="/etc/passwd", flags="r")
        for link in ("abs", "up"):
            fails(-2, x.fs, "open", path=f"{link}/passwd", flags="r",
                  follow=True)
            h = x.fs("open", path=f"{link}/{link}", flags="w", atomic=True,
                     follow=True)["h"]
            x.fs("close", h=h, commit=True)
            assert os.path.isfile(f"{root}/etc/{link}")
        fails(-1, x.fs, "mkdir", path="/dev/x")
        x.close()
        time.sleep(5)
        x = Client(files.path)
        x.call("sbx.ping")
        x.close()
        began = time.time()
        assert files.unshare.wait(timeout=20) == 0
        assert 9 < time.time() - began < 12
    finally:
        files.stop()


# A hostile peer


def ended(s):
    try:
        while s.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def test_hostile_frames(agent, c):
    for bad in (b"\0\0\0\0\1x", b"\x04\0\0\0\1x", b"\x01\xff\xff\xff\xff",
                b"\x01\x00\xa0\x00\x01", b"\x03\0\0\0\2ab", b"\x03\0\0\0\0",
                frame(BINARY, b"x") * 2, frame(BINARY, b"x") +
                frame(PING, b"\0"), b"\x80" * 100):
        x = Client(agent.path)
        x.s.sendall(bad)
        assert ended(x.s), bad
        x.close()
    for part in (b"\x01", b"\x01\0\0", b"\x01\0\0\0\x10{\"id\""):
        x = Client(agent.path)
        x.s.sendall(part)
        x.close()
    c.call("sbx.ping")


def test_hostile_json(agent, c):
    def answer(text):
        c.s.sendall(frame(JSON, text))
        return c.recv()["error"]
    for bad in (b"", b"{", b"[1 2]", b'{"id":1,}', b'{"a"}', b"nul", b"01",
                b'"\xff"', b'"\\x"', b'"a\nb"', b"{}{}", b"[" * 33 + b"]" * 33,
                b"[" * 1000000, b"[" + b"1," * 70000 + b"1]", b'{"id":1}\0'):
        assert answer(bad)["code"] == -32700, bad[:20]
    assert answer(b'{"id":"x","method":"sbx.ping"}')["code"] == -32600
    assert answer(b'{"id":1.5,"method":"sbx.ping"}')["code"] == -32600
    assert answer(b'{"id":1}')["code"] == -32600
    assert answer(b'{"id":1,"method":7}')["code"] == -32600
    assert answer(b"[]")["code"] == -32600
    assert answer(b'{"id":1,"method":"sbx.nope"}')["code"] == -32601
    assert answer(b'{"id":1,"method":"' + b"x" * 99999 + b'"}')["code"] == \
        -32600
    e = answer(b'{"id":1,"method":"sbx.ping","params":[]}')
    assert e["code"] == -32602 and "params" in e["message"]
    c.notify("sbx.nope", {})
    c.notify("sbx.job.start", {"job": "x"})
    c.call("sbx.ping")


def test_many_tiny_messages(agent, c):
    x = Client(agent.path)
    one = frame(JSON, b'{"jsonrpc":"2.0","id":7,"method":"sbx.ping"}')
    n = 100000
    t = threading.Thread(target=lambda: x.s.sendall(one * n))
    t.start()
    c.call("sbx.ping")  # others are served meanwhile
    for _ in range(n):
        assert x.recv()["id"] == 7
    t.join()
    x.close()


def test_reader_that_does_not_read(agent, c):
    x = Client(agent.path)
    x.s.setblocking(False)
    one = frame(JSON, b'{"jsonrpc":"2.0","id":7,"method":"sbx.ping"}') * 1000
    sent, stuck = 0, 0
    while stuck < 20 and sent < 1 << 28:
        try:
            sent += x.s.send(one[sent % len(one):])
            stuck = 0
        except BlockingIOError:
            stuck += 1
            time.sleep(0.01)
    assert sent < 1 << 26, "requests are taken without end"
    with open(f"/proc/{agent.pid()}/status") as f:
        rss = [int(l.split()[1]) for l in f if l.startswith("VmRSS")][0]
    assert rss < 64 << 10, rss
    c.call("sbx.ping")
    x.close()


def test_many_connections(agent, c):
    many = [Client(agent.path) for _ in range(100)]
    c.call("sbx.ping")
    assert agent_fds(agent) <= agent.fds + 64
    for x in many[:60]:
        x.call("sbx.ping")
    waiting = many[90]
    i = waiting.request("sbx.ping")
    for x in many[:60]:
        x.close()
    waiting.reply(i)  # served once others have gone
    for x in many[60:]:
        x.close()
    eventually(lambda: agent_fds(agent) == agent.fds, "connections are left")


def main():
    if os.geteuid() != 0:
        print("needs root, for the namespaces")
        return 77
    if not os.access(AGENT, os.X_OK):
        print(f"no {AGENT}: make builds it")
        return 1
    agent = Agent()
    c = None
    try:
        c = Client(agent.path)
        hello = c.call("sbx.hello")
        assert hello["version"] == 1 and hello["jobs"] == [], hello
        c.fs("lookup", path="/")  # opens the root once
        agent.fds = agent_fds(agent)
        only = sys.argv[1:]
        for name, fn in list(globals().items()):
            if name.startswith("test_") and (not only or name in only):
                began = time.time()
                fn(agent, c)
                assert not c.notes, c.notes
                print(f"ok {name} {time.time() - began:.2f} s", flush=True)
    finally:
        agent.stop()
    return 0


if __name__ == "__main__":
    signal.alarm(240)
    sys.exit(main())
