"""Operations and recipes of kazoo against a server.

Arguments: address, address of a proxy before it, a root node to make and use.
Prints a JSON line for each check, and asks for what should happen to the
proxy's connections the same way; see testenv.RunChecks.
"""

import json
import queue
import sys
import threading
import time
import traceback

from kazoo import exceptions as ex
from kazoo.client import KazooClient, KazooState
from kazoo.protocol.states import EventType
from kazoo.security import make_acl, make_digest_acl

ADDRESS, PROXY, ROOT = sys.argv[1:4]
COUNT = 0
CLIENTS = []


def line(**fields):
    print(json.dumps(fields), flush=True)


def ask(what):
    line(ask=what)
    answer = sys.stdin.readline().strip()
    if answer != "ok":
        raise RuntimeError("the test answered %r" % answer)


def check(name):
    """Decorates a function that raises if what it checks does not hold."""

    def run(f):
        global COUNT
        COUNT += 1
        try:
            f()
            line(check=name, ok=True)
        except BaseException:
            line(check=name, ok=False, detail=traceback.format_exc(limit=-4))
        return f

    return run


def same(want, got):
    if want != got:
        raise AssertionError("got %r, want %r" % (got, want))


def raises(kind, f, *args, **kw):
    try:
        got = f(*args, **kw)
    except kind:
        return
    raise AssertionError("no %s but %r" % (kind.__name__, got))


def wait_for(what, cond, limit=20):
    end = time.monotonic() + limit
    while not cond():
        if time.monotonic() > end:
            raise AssertionError("not within %s s: %s" % (limit, what))
        time.sleep(0.01)


def connect(address=None, **kw):
    c = KazooClient(hosts=address or ADDRESS, timeout=kw.pop("timeout", 10.0), **kw)
    c.start(timeout=20)
    CLIENTS.append(c)
    return c


class Events(queue.Queue):
    """A watcher that keeps what it was told."""

    def __call__(self, event):
        self.put((event.type, event.path))

    def expect(self, *want):
        for w in want:
            same(w, self.get(timeout=10))

    def nothing(self):
        zk.exists("/")
        same(True, self.empty())


zk = connect()
zk.create(ROOT)


@check("create variants")
def _():
    same(ROOT + "/p", zk.create(ROOT + "/p", b"data"))
    path, stat = zk.create(ROOT + "/e", b"x", ephemeral=True, include_data=True)
    same(zk.client_id[0], stat.ephemeralOwner)
    for n in range(3):
        same("%s/s-%010d" % (ROOT, n + 2), zk.create(ROOT + "/s-", sequence=True))
    same("%s/es-%010d" % (ROOT, 5), zk.create(ROOT + "/es-", ephemeral=True, sequence=True))
    same(ROOT + "/deep/er/est", zk.create(ROOT + "/deep/er/est", makepath=True))
    zk.ensure_path(ROOT + "/ensured/path")
    same(0, len(zk.get_children(ROOT + "/ensured/path")))
    raises(ex.NodeExistsError, zk.create, ROOT + "/p")
    raises(ex.NoNodeError, zk.create, ROOT + "/no/way")
    raises(ex.NoChildrenForEphemeralsError, zk.create, ROOT + "/e/x")
    raises(ex.InvalidACLError, zk.create, ROOT + "/acl", acl=[make_acl("nobody", "x", all=True)])


@check("get, set, exists, children, delete, versions")
def _():
    p = zk.create(ROOT + "/rw", b"1")
    data, stat = zk.get(p)
    same((b"1", 0, 1), (data, stat.version, stat.data_length))
    new = zk.set(p, b"22", version=0)
    same((1, 2, stat.czxid), (new.version, new.data_length, new.czxid))
    raises(ex.BadVersionError, zk.set, p, b"", version=0)
    raises(ex.BadVersionError, zk.delete, p, version=0)
    raises(ex.NoNodeError, zk.get, p + "/none")
    raises(ex.NoNodeError, zk.set, p + "/none", b"")
    same(None, zk.exists(p + "/none"))
    zk.create(p + "/b")
    zk.create(p + "/a")
    children, stat = zk.get_children(p, include_data=True)
    same((["a", "b"], 2, 2), (sorted(children), stat.numChildren, stat.cversion))
    raises(ex.NotEmptyError, zk.delete, p)
    zk.delete(p, recursive=True)
    same(None, zk.exists(p))
    same(ROOT, zk.sync(ROOT))


@check("data: empty, binary, UTF-8 path, one megabyte")
def _():
    for n, data in enumerate((b"", b"\x00\xff\n", b"m" * 1000000)):
        p = zk.create("%s/d\u00e4t\u4e2d%d" % (ROOT, n), data)
        same(data, zk.get(p)[0])


@check("one-shot watches")
def _():
    e, p = Events(), ROOT + "/w"
    zk.exists(p, watch=e)
    zk.create(p)
    e.expect((EventType.CREATED, p))
    zk.get(p, watch=e)
    zk.set(p, b"x")
    e.expect((EventType.CHANGED, p))
    zk.get_children(p, watch=e)
    zk.create(p + "/x")
    e.expect((EventType.CHILD, p))
    zk.get(p + "/x", watch=e)
    zk.delete(p + "/x")
    e.expect((EventType.DELETED, p + "/x"))
    zk.set(p, b"y")
    e.nothing()


@check("transactions")
def _():
    p = ROOT + "/txn"
    t = zk.transaction()
    t.create(p, b"1")
    t.create(p + "/s-", sequence=True)
    t.set_data(p, b"2", version=0)
    t.check(p, version=1)
    t.delete(p + "/s-0000000000")
    same([p, p + "/s-0000000000", 1, True, True], [getattr(r, "version", r) for r in t.commit()])
    t = zk.transaction()
    t.set_data(p, b"3")
    t.check(p, version=99)
    t.create(p + "/x")
    got = t.commit()
    same([ex.RolledBackError, ex.BadVersionError, ex.RuntimeInconsistency], [type(r) for r in got])
    same(b"2", zk.get(p)[0])


@check("ACLs and digest")
def _():
    bob = connect(auth_data=[("digest", "bob:pw")])
    acl = make_digest_acl("bob", "pw", all=True)
    p = bob.create(ROOT + "/bobs", b"d", acl=[acl])
    same([acl], bob.get_acls(p)[0])
    raises(ex.NoAuthError, zk.get, p)
    raises(ex.NoAuthError, zk.set, p, b"")
    bob.set_acls(p, [acl, make_acl("world", "anyone", read=True)])
    same(b"d", zk.get(p)[0])
    same("bob:x", zk.get_acls(p)[0][0].id.id)
    raises(ex.NoAuthError, zk.set, p, b"")
    sup = connect()
    sup.add_auth("digest", "super:secret")
    sup.set_acls(p, [make_digest_acl("carol", "pw", read=True)])
    sup.delete(p)
    own = bob.create(ROOT + "/own", acl=[make_acl("auth", "", all=True)])
    same([acl], bob.get_acls(own)[0])
    bob.delete(own)


@check("an unknown scheme is refused")
def _():
    c = connect()
    raises((ex.AuthFailedError, ex.ConnectionClosedError), c.add_auth, "nobody", "x")


@check("500 creates without waiting come back in order")
def _():
    p = zk.create(ROOT + "/async")
    results = [zk.create_async(p + "/n-", sequence=True) for _ in range(500)]
    same(["%s/n-%010d" % (p, n) for n in range(500)], [r.get(timeout=30) for r in results])


@check("lock: one holder at a time")
def _():
    inside, most, failures = [0], [0], []

    def work():
        try:
            c = connect()
            for _ in range(5):
                with c.Lock(ROOT + "/lock", "me"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    c.exists("/")
                    inside[0] -= 1
        except Exception:
            failures.append(traceback.format_exc())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    same(([], 1), (failures, most[0]))


@check("read and write locks, semaphore")
def _():
    a, b = connect(), connect()
    r1, r2, w = a.ReadLock(ROOT + "/rwlock"), b.ReadLock(ROOT + "/rwlock"), b.WriteLock(ROOT + "/rwlock")
    same(True, r1.acquire(timeout=10))
    same(True, r2.acquire(timeout=10))
    raises(ex.LockTimeout, w.acquire, timeout=0.2)
    r1.release()
    r2.release()
    same(True, w.acquire(timeout=10))
    w.release()
    s1, s2, s3 = [c.Semaphore(ROOT + "/sem", max_leases=2) for c in (zk, a, b)]
    same((True, True), (s1.acquire(timeout=10), s2.acquire(timeout=10)))
    same(False, s3.acquire(blocking=False))
    s1.release()
    same(True, s3.acquire(timeout=10))
    s2.release()
    s3.release()


@check("election: everyone leads once, one after the other")
def _():
    led, inside = [], threading.Lock()

    def lead(name):
        same(True, inside.acquire(blocking=False))
        led.append(name)
        zk.exists("/")
        inside.release()

    threads = [threading.Thread(target=connect().Election(ROOT + "/election", "c%d" % n).run, args=(lead, n)) for n in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    same([0, 1, 2], sorted(led))


@check("queue and locking queue")
def _():
    q = zk.Queue(ROOT + "/queue")
    for n, priority in ((1, 100), (2, 50), (3, 100)):
        q.put(b"%d" % n, priority=priority)
    same(3, len(q))
    same([b"2", b"1", b"3", None], [q.get() for _ in range(4)])
    lq = zk.LockingQueue(ROOT + "/lqueue")
    lq.put_all([b"a", b"b"])
    same(b"a", lq.get(timeout=10))
    same(True, lq.consume())
    same(b"b", lq.get(timeout=10))
    same(True, lq.consume())


@check("barriers")
def _():
    b = zk.Barrier(ROOT + "/barrier")
    b.create()
    passed = threading.Event()

    def wait():
        connect().Barrier(ROOT + "/barrier").wait(30)
        passed.set()

    t = threading.Thread(target=wait)
    t.start()
    same(False, passed.wait(0.2))
    b.remove()
    same(True, passed.wait(10))
    t.join()
    order = queue.Queue()

    def both(n):
        d = connect().DoubleBarrier(ROOT + "/double", 2)
        d.enter()
        order.put("in")
        d.leave()
        order.put("out")

    threads = [threading.Thread(target=both, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    same(["in", "in", "out", "out"], sorted(order.get(timeout=1) for _ in range(4)))


@check("counter: no addition is lost")
def _():
    def add():
        c = connect().Counter(ROOT + "/counter")
        for _ in range(20):
            c += 1

    threads = [threading.Thread(target=add) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    same(60, zk.Counter(ROOT + "/counter").value)


@check("party")
def _():
    a, b = connect(), connect()
    a.Party(ROOT + "/party", "a").join()
    pb = b.Party(ROOT + "/party", "b")
    pb.join()
    same(["a", "b"], sorted(zk.Party(ROOT + "/party")))
    b.stop()
    wait_for("the party without b", lambda: sorted(zk.Party(ROOT + "/party")) == ["a"])


@check("DataWatch and ChildrenWatch")
def _():
    p = zk.create(ROOT + "/dw", b"0")
    seen, kids = queue.Queue(), queue.Queue()
    zk.DataWatch(p, lambda data, stat: seen.put(data) or True)
    zk.ChildrenWatch(p, lambda names: kids.put(sorted(names)) or True)
    same((b"0", []), (seen.get(timeout=10), kids.get(timeout=10)))
    other = connect()
    for n in range(1, 4):
        other.set(p, b"%d" % n)
        same(b"%d" % n, seen.get(timeout=10))
    other.create(p + "/x")
    same(["x"], kids.get(timeout=10))
    other.create(p + "/y")
    same(["x", "y"], kids.get(timeout=10))
    other.delete(p, recursive=True)
    while seen.get(timeout=10) is not None:
        pass


@check("the session, its ephemerals and recipes live through a cut")
def _():
    states = queue.Queue()
    c = KazooClient(hosts=PROXY, timeout=15.0)
    c.add_listener(states.put)
    c.start(timeout=20)
    CLIENTS.append(c)
    session = c.client_id
    e = c.create(ROOT + "/cut-e", ephemeral=True)
    p = c.create(ROOT + "/cut", b"0")
    seen = queue.Queue()
    c.DataWatch(p, lambda data, stat: seen.put(data) or True)
    same(b"0", seen.get(timeout=10))
    lock = c.Lock(ROOT + "/cut-lock")
    lock.acquire(timeout=10)
    same(KazooState.CONNECTED, states.get(timeout=10))
    ask("cut")
    same(KazooState.SUSPENDED, states.get(timeout=10))
    zk.set(p, b"1")
    ask("heal")
    same(KazooState.CONNECTED, states.get(timeout=20))
    same(b"1", seen.get(timeout=10))
    same(session, c.client_id)
    same(session[0], zk.exists(e).ephemeralOwner)
    lock.release()
    zk.set(p, b"2")
    same(b"2", seen.get(timeout=10))


@check("a client that stayed away too long loses its session")
def _():
    states = queue.Queue()
    c = KazooClient(hosts=PROXY, timeout=4.0)
    c.add_listener(states.put)
    c.start(timeout=20)
    CLIENTS.append(c)
    session = c.client_id
    gone = Events()
    e = c.create(ROOT + "/lost", ephemeral=True)
    zk.exists(e, watch=gone)
    ask("cut")
    gone.expect((EventType.DELETED, e))
    ask("heal")
    same([KazooState.CONNECTED, KazooState.SUSPENDED, KazooState.LOST, KazooState.CONNECTED],
         [states.get(timeout=20) for _ in range(4)])
    same(False, session[0] == c.client_id[0])


@check("four-letter words")
def _():
    same((3, 9), zk.server_version()[:2])
    same(b"imok", zk.command(b"ruok").encode())
    same(True, "Mode: " in zk.command(b"srvr"))


@check("reconfig is refused")
def _():
    raises(ex.ReconfigDisabledError, zk.reconfig, joining="server.5=h:1:2;3", leaving=None, new_members=None)


for one in CLIENTS[1:]:
    one.stop()


@check("recursive delete")
def _():
    zk.delete(ROOT, recursive=True)
    same(None, zk.exists(ROOT))


zk.stop()
line(done=COUNT)
