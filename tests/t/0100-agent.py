#!/usr/bin/env python3
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

AGENT = os.path.join(os.environ.get("SBX_BUILD", "build"), "sbx-agent")
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

    def __init__(self, *args):
        self.dir = tempfile.mkdtemp(prefix="sbx-agent-")
        self.path = self.dir + "/agent.sock"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(256)
        self.unshare = subprocess.Popen(
            ["unshare", "-pf", "--mount-proc", "--kill-child", "sh", "-c",
             'exec 3<&%d; exec "$@"' % self.listener.fileno(), "sh",
             AGENT, *args], pass_fds=[self.listener.fileno()])

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

    def __init__(self, client, script, stdin=False, env=None, cwd="/"):
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


def test_ports(agent, c):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen()
    port = s.getsockname()[1]
    found = c.call("sbx.ports")["listen"]
    assert {"port": port, "addr": "127.0.0.1"} in found, found
    assert found == sorted(found, key=lambda p: (p["port"], p["addr"]))
    s.close()


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
