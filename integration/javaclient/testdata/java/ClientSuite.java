import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Every operation of the Java client, one after the other. Arguments: address, address of a proxy, root node. */
public final class ClientSuite {
    private static String address;
    private static String proxy;
    private static String root;
    private static ZooKeeper zk;

    /** Collects events; session events apart from those of nodes. */
    static final class Events implements Watcher {
        final LinkedBlockingQueue<String> nodes = new LinkedBlockingQueue<>();
        final LinkedBlockingQueue<KeeperState> states = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent e) {
            if (e.getType() == EventType.None) {
                states.add(e.getState());
            } else {
                nodes.add(e.getType() + " " + e.getPath());
            }
        }

        void expect(String... want) throws Exception {
            for (String w : want) {
                Checks.same(w, nodes.poll(10, TimeUnit.SECONDS));
            }
        }

        /** Nothing further has come: a round trip to the server has been made since. */
        void nothing(ZooKeeper over) throws Exception {
            over.exists("/", false);
            Checks.same(null, nodes.poll());
        }

        void await(KeeperState want) throws Exception {
            KeeperState s;
            do {
                s = states.poll(20, TimeUnit.SECONDS);
                Checks.that(s != null, "the client did not come to state " + want);
            } while (s != want);
        }
    }

    interface Call {
        void run() throws Exception;
    }

    private static void fails(Code want, Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException e) {
            Checks.same(want, e.code());
            return;
        }
        throw new AssertionError("no error, want " + want);
    }

    private static ZooKeeper connect(String to, int timeout, Events events, boolean readOnly) throws Exception {
        ZooKeeper z = new ZooKeeper(to, timeout, events, readOnly);
        events.await(KeeperState.SyncConnected);
        return z;
    }

    private static ZooKeeper connect() throws Exception {
        return connect(address, 10000, new Events(), false);
    }

    private static String make(String path) throws Exception {
        return zk.create(path, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    public static void main(String[] args) throws Exception {
        address = args[0];
        proxy = args[1];
        root = args[2];
        zk = connect();
        make(root);
        creating();
        readingAndWriting();
        errors();
        multi();
        accessControl();
        watches();
        persistentWatches();
        removingWatches();
        reconnecting();
        sessions();
        reaping();
        small();
        Checks.check("recursive delete", () -> {
            Checks.that(ZKUtil.deleteRecursive(zk, root, 100), "deleteRecursive says no");
            Checks.same(null, zk.exists(root, false));
        });
        zk.close();
        Checks.done();
    }

    private static void creating() {
        for (CreateMode mode : CreateMode.values()) {
            Checks.check("create " + mode, () -> {
                Stat st = new Stat();
                String p = root + "/mode-" + mode.toFlag();
                String got = mode.isTTL()
                    ? zk.create(p, Checks.bytes("d"), Ids.OPEN_ACL_UNSAFE, mode, st, 3600_000)
                    : zk.create(p, Checks.bytes("d"), Ids.OPEN_ACL_UNSAFE, mode, st);
                Checks.that(mode.isSequential() ? got.matches(p + "\\d{10}") : got.equals(p), "path " + got);
                Checks.same(mode.isEphemeral() ? zk.getSessionId() : 0L, st.getEphemeralOwner());
                Checks.same(1, st.getDataLength());
                Checks.same(st, zk.exists(got, false));
                String plain = mode.isTTL() ? null : zk.create(p + "b", null, Ids.OPEN_ACL_UNSAFE, mode);
                if (plain != null) {
                    Checks.same(null, zk.getData(plain, false, null));
                }
            });
        }
        Checks.check("sequence numbers count every create", () -> {
            String p = make(root + "/seq");
            List<String> got = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                got.add(zk.create(p + "/n-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
            }
            zk.delete(p + "/n-0000000001", -1);
            make(p + "/plain");
            got.add(zk.create(p + "/x-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
            Checks.same(Arrays.asList(p + "/n-0000000000", p + "/n-0000000001", p + "/n-0000000002", p + "/x-0000000004"), got);
            Checks.same(6, zk.exists(p, false).getCversion());
        });
        Checks.check("data null, empty, binary, UTF-8 path", () -> {
            byte[][] all = {null, {}, {0, (byte) 0xff, 10}};
            for (int i = 0; i < all.length; i++) {
                String p = zk.create(root + "/dátä-\u4e2d" + i, all[i], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                Checks.that(Arrays.equals(all[i], zk.getData(p, false, null)), "data " + i);
            }
            Checks.that(zk.getChildren(root, false).contains("dátä-\u4e2d0"), "name in the list of children");
        });
    }

    private static void readingAndWriting() {
        Checks.check("setData and Stat", () -> {
            String p = make(root + "/rw");
            Stat before = zk.exists(p, false);
            Stat after = zk.setData(p, Checks.bytes("two"), 0);
            Checks.same(1, after.getVersion());
            Checks.same(before.getCzxid(), after.getCzxid());
            Checks.same(before.getCtime(), after.getCtime());
            Checks.that(after.getMzxid() > before.getMzxid(), "mzxid grows");
            Stat read = new Stat();
            Checks.same("two", Checks.text(zk.getData(p, false, read)));
            Checks.same(after, read);
        });
        Checks.check("children, with Stat and all descendants", () -> {
            String p = make(root + "/kids");
            for (String n : new String[] {"/a", "/b", "/a/x", "/a/x/y"}) {
                make(p + n);
            }
            Stat st = new Stat();
            Checks.same(new TreeSet<>(Arrays.asList("a", "b")), new TreeSet<>(zk.getChildren(p, false, st)));
            Checks.same(2, st.getNumChildren());
            Checks.same(2, st.getCversion());
            Checks.same(new TreeSet<>(Arrays.asList("a", "b")), new TreeSet<>(zk.getChildren(p, false)));
            Checks.same(4, zk.getAllChildrenNumber(p));
            Checks.same(0, zk.getAllChildrenNumber(p + "/b"));
        });
        Checks.check("ephemerals of the session", () -> {
            String p = make(root + "/eph");
            for (String n : new String[] {"/a", "/b"}) {
                zk.create(p + n, null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            }
            Checks.same(new TreeSet<>(Arrays.asList(p + "/a", p + "/b")), new TreeSet<>(zk.getEphemerals(p)));
            Checks.that(zk.getEphemerals().containsAll(zk.getEphemerals(p)), "all of them without a prefix");
            ZooKeeper other = connect();
            Checks.same(Collections.emptyList(), other.getEphemerals());
            other.close();
        });
        Checks.check("sync", () -> {
            CountDownLatch called = new CountDownLatch(1);
            zk.sync(root, (rc, path, ctx) -> {
                if (rc == 0 && path.equals(root)) {
                    called.countDown();
                }
            }, null);
            Checks.that(called.await(10, TimeUnit.SECONDS), "callback");
        });
        Checks.check("1,000 writes without waiting come back in order", () -> {
            String p = make(root + "/async");
            List<String> got = Collections.synchronizedList(new ArrayList<>());
            CountDownLatch all = new CountDownLatch(1000);
            for (int i = 0; i < 1000; i++) {
                zk.create(p + "/n-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL, (rc, path, ctx, name) -> {
                    got.add(rc + " " + name);
                    all.countDown();
                }, null);
            }
            Checks.that(all.await(30, TimeUnit.SECONDS), "1,000 callbacks");
            for (int i = 0; i < 1000; i++) {
                Checks.same(String.format("0 %s/n-%010d", p, i), got.get(i));
            }
        });
    }

    private static void errors() {
        Checks.check("errors of every operation", () -> {
            String none = root + "/none";
            String p = make(root + "/err");
            make(p + "/child");
            Checks.same(null, zk.exists(none, false));
            fails(Code.NONODE, () -> zk.getData(none, false, null));
            fails(Code.NONODE, () -> zk.getChildren(none, false));
            fails(Code.NONODE, () -> zk.getACL(none, null));
            fails(Code.NONODE, () -> zk.setData(none, null, -1));
            fails(Code.NONODE, () -> zk.setACL(none, Ids.OPEN_ACL_UNSAFE, -1));
            fails(Code.NONODE, () -> zk.delete(none, -1));
            fails(Code.NONODE, () -> zk.getAllChildrenNumber(none));
            fails(Code.NONODE, () -> make(none + "/child"));
            fails(Code.NODEEXISTS, () -> make(p));
            fails(Code.NODEEXISTS, () -> make("/"));
            fails(Code.NOTEMPTY, () -> zk.delete(p, -1));
            fails(Code.BADVERSION, () -> zk.delete(p, 5));
            fails(Code.BADVERSION, () -> zk.setData(p, null, 5));
            fails(Code.BADVERSION, () -> zk.setACL(p, Ids.OPEN_ACL_UNSAFE, 5));
            fails(Code.BADARGUMENTS, () -> zk.delete("/zookeeper/quota", -1));
            fails(Code.NOAUTH, () -> zk.setData("/zookeeper/config", null, -1));
            zk.create(p + "/e", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            fails(Code.NOCHILDRENFOREPHEMERALS, () -> make(p + "/e/child"));
        });
        Checks.check("reconfig is off", () -> {
            try (org.apache.zookeeper.admin.ZooKeeperAdmin admin =
                    new org.apache.zookeeper.admin.ZooKeeperAdmin(address, 10000, new Events())) {
                fails(Code.RECONFIGDISABLED, () -> admin.reconfigure("server.5=h:1:2;3", null, null, -1, new Stat()));
            }
            Checks.same(0, zk.getConfig(false, new Stat()).length);
        });
    }

    private static void multi() {
        Checks.check("multi: all or nothing", () -> {
            String p = root + "/multi";
            List<OpResult> ok = zk.multi(Arrays.asList(
                Op.create(p, Checks.bytes("1"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                Op.create(p + "/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL),
                Op.create(p + "/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                Op.create(p + "/t", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, 3600_000),
                Op.setData(p, Checks.bytes("2"), 0),
                Op.check(p, 1),
                Op.delete(p + "/s-0000000000", -1)));
            Checks.same(p + "/s-0000000000", ((OpResult.CreateResult) ok.get(1)).getPath());
            Checks.same(1, ((OpResult.SetDataResult) ok.get(4)).getStat().getVersion());
            try {
                zk.multi(Arrays.asList(Op.setData(p, Checks.bytes("3"), 1), Op.check(p, 99), Op.delete(p, -1)));
                throw new AssertionError("no error");
            } catch (KeeperException e) {
                Checks.same(Code.BADVERSION, e.code());
                List<Integer> codes = new ArrayList<>();
                for (OpResult r : e.getResults()) {
                    codes.add(((OpResult.ErrorResult) r).getErr());
                }
                Checks.same(Arrays.asList(0, Code.BADVERSION.intValue(), Code.RUNTIMEINCONSISTENCY.intValue()), codes);
            }
            Checks.same("2", Checks.text(zk.getData(p, false, null)));
            Checks.same(0, zk.multi(Collections.emptyList()).size());
        });
        Checks.check("multi of reads", () -> {
            String p = make(root + "/mread");
            make(p + "/a");
            List<OpResult> r = zk.multi(Arrays.asList(Op.getData(p), Op.getChildren(p), Op.getData(p + "/none")));
            Checks.same(1, ((OpResult.GetDataResult) r.get(0)).getStat().getNumChildren());
            Checks.same(Collections.singletonList("a"), ((OpResult.GetChildrenResult) r.get(1)).getChildren());
            Checks.same(Code.NONODE.intValue(), ((OpResult.ErrorResult) r.get(2)).getErr());
        });
        Checks.check("transaction builder", () -> {
            String p = root + "/txn";
            zk.transaction().create(p, null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).setData(p, Checks.bytes("x"), 0).commit();
            Checks.same("x", Checks.text(zk.getData(p, false, null)));
        });
    }

    private static void accessControl() {
        Checks.check("digest, auth and super", () -> {
            ZooKeeper bob = connect();
            bob.addAuthInfo("digest", Checks.bytes("bob:pw"));
            String p = bob.create(root + "/bobs", Checks.bytes("d"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            Id id = new Id("digest", DigestAuthenticationProvider.generateDigest("bob:pw"));
            Checks.same(Collections.singletonList(new ACL(Perms.ALL, id)), bob.getACL(p, new Stat()));
            fails(Code.NOAUTH, () -> zk.getData(p, false, null));
            fails(Code.NOAUTH, () -> zk.exists(p, false));
            fails(Code.NOAUTH, () -> zk.setData(p, null, -1));
            fails(Code.NOAUTH, () -> zk.getACL(p, null));
            fails(Code.NOAUTH, () -> zk.setACL(p, Ids.OPEN_ACL_UNSAFE, -1));
            fails(Code.NOAUTH, () -> make(p + "/x"));
            bob.setACL(p, Arrays.asList(new ACL(Perms.READ, Ids.ANYONE_ID_UNSAFE), new ACL(Perms.ALL, id)), 0);
            Checks.same("d", Checks.text(zk.getData(p, false, null)));
            Checks.same("bob:x", zk.getACL(p, new Stat()).get(1).getId().getId());
            ZooKeeper root = connect();
            root.addAuthInfo("digest", Checks.bytes("super:secret"));
            root.setACL(p, Collections.singletonList(new ACL(Perms.READ, id)), -1);
            root.setData(p, Checks.bytes("by super"), -1);
            root.delete(p, -1);
            root.close();
            bob.close();
        });
        Checks.check("ACLs that are refused", () -> {
            String p = root + "/badacl";
            Call[] calls = {
                () -> zk.create(p, null, Collections.singletonList(new ACL(Perms.ALL, new Id("nobody", "x"))), CreateMode.PERSISTENT),
                () -> zk.create(p, null, Collections.singletonList(new ACL(Perms.ALL, new Id("digest", "nocolon"))), CreateMode.PERSISTENT),
                () -> zk.create(p, null, Collections.singletonList(new ACL(Perms.ALL, new Id("ip", "300.1.1.1"))), CreateMode.PERSISTENT),
                () -> zk.create(p, null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT),
            };
            for (Call c : calls) {
                fails(Code.INVALIDACL, c);
            }
            zk.create(p, null, Collections.singletonList(new ACL(Perms.ALL, new Id("ip", "127.0.0.0/8"))), CreateMode.PERSISTENT);
            zk.setData(p, null, -1);
        });
        Checks.check("delete and create ask the parent's ACL", () -> {
            String p = zk.create(root + "/parent", null, Arrays.asList(
                new ACL(Perms.CREATE | Perms.READ, Ids.ANYONE_ID_UNSAFE)), CreateMode.PERSISTENT);
            make(p + "/x");
            fails(Code.NOAUTH, () -> zk.delete(p + "/x", -1));
            ZooKeeper sup = connect();
            sup.addAuthInfo("digest", Checks.bytes("super:secret"));
            sup.delete(p + "/x", -1);
            sup.close();
        });
        Checks.check("whoAmI", () -> {
            ZooKeeper bob = connect();
            bob.addAuthInfo("digest", Checks.bytes("bob:pw"));
            TreeSet<String> got = new TreeSet<>();
            for (ClientInfo i : bob.whoAmI()) {
                got.add(i.getAuthScheme() + ":" + i.getUser());
            }
            Checks.same(new TreeSet<>(Arrays.asList("digest:bob", "ip:127.0.0.1")), got);
            bob.close();
        });
        Checks.check("unknown scheme fails the client", () -> {
            Events e = new Events();
            ZooKeeper z = connect(address, 10000, e, false);
            z.addAuthInfo("nobody", Checks.bytes("x"));
            e.await(KeeperState.AuthFailed);
            z.close();
        });
    }

    private static void watches() {
        Checks.check("one-shot watches", () -> {
            Events e = new Events();
            String p = root + "/w";
            zk.exists(p, e);
            make(p);
            e.expect("NodeCreated " + p);
            zk.getData(p, e, null);
            zk.getChildren(p, e);
            zk.setData(p, null, -1);
            e.expect("NodeDataChanged " + p);
            zk.setData(p, null, -1);
            make(p + "/x");
            e.expect("NodeChildrenChanged " + p);
            zk.exists(p + "/x", e);
            zk.getChildren(p, e);
            zk.setData(p + "/x", null, -1);
            e.expect("NodeDataChanged " + p + "/x");
            zk.getData(p + "/x", e, null);
            zk.getChildren(p + "/x", e);
            zk.delete(p + "/x", -1);
            e.expect("NodeDeleted " + p + "/x", "NodeChildrenChanged " + p);
            e.nothing(zk);
        });
        Checks.check("a session's end fires watches on its ephemerals", () -> {
            Events e = new Events();
            ZooKeeper other = connect();
            String p = other.create(root + "/we", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            zk.exists(p, e);
            other.close();
            e.expect("NodeDeleted " + p);
        });
        Checks.check("the event comes before the data", () -> {
            String p = make(root + "/order");
            ZooKeeper writer = connect();
            for (int i = 0; i < 50; i++) {
                Events e = new Events();
                Stat st = new Stat();
                zk.getData(p, e, st);
                writer.setData(p, Checks.bytes("" + i), -1);
                Stat seen = new Stat();
                while (seen.getVersion() == 0 || seen.getVersion() == st.getVersion()) {
                    zk.getData(p, false, seen);
                }
                // Events and replies reach the client by one stream; its event thread may lag, so wait for it.
                e.expect("NodeDataChanged " + p);
            }
            writer.close();
        });
    }

    private static void persistentWatches() {
        Checks.check("addWatch persistent", () -> {
            Events e = new Events();
            String p = make(root + "/pw");
            zk.addWatch(p, e, AddWatchMode.PERSISTENT);
            zk.setData(p, null, -1);
            make(p + "/x");
            zk.setData(p + "/x", null, -1);
            zk.delete(p + "/x", -1);
            zk.delete(p, -1);
            make(p);
            e.expect("NodeDataChanged " + p, "NodeChildrenChanged " + p, "NodeChildrenChanged " + p, "NodeDeleted " + p, "NodeCreated " + p);
            e.nothing(zk);
        });
        Checks.check("addWatch persistent recursive", () -> {
            Events e = new Events();
            String p = make(root + "/pr");
            zk.addWatch(p, e, AddWatchMode.PERSISTENT_RECURSIVE);
            zk.setData(p, null, -1);
            make(p + "/x");
            make(p + "/x/y");
            zk.setData(p + "/x/y", null, -1);
            zk.delete(p + "/x/y", -1);
            e.expect("NodeDataChanged " + p, "NodeCreated " + p + "/x", "NodeCreated " + p + "/x/y",
                "NodeDataChanged " + p + "/x/y", "NodeDeleted " + p + "/x/y");
            e.nothing(zk);
        });
    }

    private static void removingWatches() {
        Checks.check("removeWatches of each type", () -> {
            String p = make(root + "/rm");
            Events data = new Events();
            Events child = new Events();
            Events pers = new Events();
            Events rec = new Events();
            zk.getData(p, data, null);
            zk.getChildren(p, child);
            zk.addWatch(p, pers, AddWatchMode.PERSISTENT);
            zk.addWatch(p, rec, AddWatchMode.PERSISTENT_RECURSIVE);
            zk.removeWatches(p, data, WatcherType.Data, false);
            zk.removeWatches(p, pers, WatcherType.Persistent, false);
            data.expect("DataWatchRemoved " + p);
            pers.expect("PersistentWatchRemoved " + p);
            make(p + "/x");
            child.expect("NodeChildrenChanged " + p);
            rec.expect("NodeCreated " + p + "/x");
            zk.removeWatches(p, rec, WatcherType.PersistentRecursive, false);
            rec.expect("PersistentWatchRemoved " + p);
            zk.setData(p, null, -1);
            for (Events e : new Events[] {data, child, pers, rec}) {
                e.nothing(zk);
            }
            fails(Code.NOWATCHER, () -> zk.removeAllWatches(p, WatcherType.Any, false));
            zk.getData(p, data, null);
            zk.getChildren(p, data);
            zk.removeAllWatches(p, WatcherType.Any, false);
            zk.setData(p, null, -1);
            List<String> got = Arrays.asList(data.nodes.poll(10, TimeUnit.SECONDS), data.nodes.poll(10, TimeUnit.SECONDS));
            Checks.same(new TreeSet<>(Arrays.asList("ChildWatchRemoved " + p, "DataWatchRemoved " + p)), new TreeSet<>(got));
            data.nothing(zk);
        });
    }

    private static void reconnecting() {
        Checks.check("watches, auth and ephemerals live through a cut", () -> {
            Events session = new Events();
            ZooKeeper z = connect(proxy, 15000, session, true);
            z.addAuthInfo("digest", Checks.bytes("bob:pw"));
            String p = make(root + "/cut");
            String mine = z.create(p + "/mine", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
            String eph = z.create(p + "/eph", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            for (String n : new String[] {"/data", "/still", "/gone", "/kids", "/pers", "/rec"}) {
                make(p + n);
            }
            Events e = new Events();
            Events calm = new Events();
            Events pers = new Events();
            Events rec = new Events();
            z.getData(p + "/data", e, null);
            z.getData(p + "/still", calm, null);
            z.getData(p + "/gone", e, null);
            z.exists(p + "/new", e);
            z.getChildren(p + "/kids", e);
            z.addWatch(p + "/pers", pers, AddWatchMode.PERSISTENT);
            z.addWatch(p + "/rec", rec, AddWatchMode.PERSISTENT_RECURSIVE);
            long id = z.getSessionId();
            Checks.ask("cut");
            session.await(KeeperState.Disconnected);
            zk.setData(p + "/data", null, -1);
            zk.delete(p + "/gone", -1);
            make(p + "/new");
            make(p + "/kids/x");
            zk.setData(p + "/pers", null, -1);
            Checks.ask("heal");
            session.await(KeeperState.SyncConnected);
            Checks.same(id, z.getSessionId());
            TreeSet<String> got = new TreeSet<>();
            for (int i = 0; i < 4; i++) {
                got.add(String.valueOf(e.nodes.poll(10, TimeUnit.SECONDS)));
            }
            Checks.same(new TreeSet<>(Arrays.asList("NodeDataChanged " + p + "/data", "NodeDeleted " + p + "/gone",
                "NodeCreated " + p + "/new", "NodeChildrenChanged " + p + "/kids")), got);
            z.setData(mine, Checks.bytes("auth was sent again"), -1);
            Checks.same(id, zk.exists(eph, false).getEphemeralOwner());
            zk.setData(p + "/still", null, -1);
            calm.expect("NodeDataChanged " + p + "/still");
            zk.setData(p + "/pers", null, -1);
            pers.expect("NodeDataChanged " + p + "/pers");
            make(p + "/rec/x");
            rec.expect("NodeCreated " + p + "/rec/x");
            e.nothing(z);
            z.close();
            ZooKeeper sup = connect();
            sup.addAuthInfo("digest", Checks.bytes("super:secret"));
            sup.delete(mine, -1);
            sup.close();
        });
        Checks.check("a dropped connection comes back at once", () -> {
            Events session = new Events();
            ZooKeeper z = connect(proxy, 15000, session, false);
            for (int i = 0; i < 3; i++) {
                Checks.ask("drop");
                session.await(KeeperState.Disconnected);
                session.await(KeeperState.SyncConnected);
                z.exists("/", false);
            }
            z.close();
        });
    }

    private static void sessions() {
        Checks.check("a second client takes a session over", () -> {
            Events first = new Events();
            ZooKeeper a = connect(address, 10000, first, false);
            String p = a.create(root + "/taken", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            Events second = new Events();
            ZooKeeper b = new ZooKeeper(address, 10000, second, a.getSessionId(), a.getSessionPasswd());
            second.await(KeeperState.SyncConnected);
            Checks.same(a.getSessionId(), b.getSessionId());
            first.await(KeeperState.Disconnected);
            Checks.that(zk.exists(p, false) != null, "the ephemeral stays");
            b.close();
            Checks.same(null, zk.exists(p, false));
            first.await(KeeperState.Expired);
            a.close();
        });
        Checks.check("a wrong password gets no session", () -> {
            Events e = new Events();
            ZooKeeper a = connect();
            long id = a.getSessionId();
            a.close();
            ZooKeeper b = new ZooKeeper(address, 10000, e, id, new byte[16]);
            e.await(KeeperState.Expired);
            b.close();
        });
        Checks.check("timeouts are clamped", () -> {
            int[][] asked = {{1000, 4000}, {10000, 10000}, {1000000, 40000}};
            for (int[] a : asked) {
                ZooKeeper z = connect(address, a[0], new Events(), false);
                Checks.same(a[1], z.getSessionTimeout());
                z.close();
            }
        });
        Checks.check("silence ends a session, with its ephemerals", () -> {
            Events session = new Events();
            ZooKeeper z = connect(proxy, 4000, session, false);
            String p = z.create(root + "/silent", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            Events gone = new Events();
            zk.exists(p, gone);
            Checks.ask("cut");
            long start = System.nanoTime();
            gone.expect("NodeDeleted " + p);
            long ms = (System.nanoTime() - start) / 1_000_000;
            Checks.that(ms >= 2500 && ms <= 8500, "a session of 4 s ended after " + ms + " ms");
            Checks.ask("heal");
            session.await(KeeperState.Expired);
            z.close();
        });
        Checks.check("canBeReadOnly against a read-write server", () -> {
            ZooKeeper z = connect(address, 10000, new Events(), true);
            Checks.same(ZooKeeper.States.CONNECTED, z.getState());
            z.create(root + "/notro", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            z.close();
        });
        Checks.check("chroot", () -> {
            make(root + "/chroot");
            Events e = new Events();
            ZooKeeper z = connect(address + root + "/chroot", 10000, e, false);
            Checks.same("/x", z.create("/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
            Events w = new Events();
            z.getData("/x", w, null);
            zk.setData(root + "/chroot/x", null, -1);
            w.expect("NodeDataChanged /x");
            z.close();
        });
    }

    /** The server is started with a sweep every second or so. */
    private static void reaping() {
        Checks.check("an emptied container goes, one never used stays", () -> {
            String used = zk.create(root + "/cont", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
            String fresh = zk.create(root + "/contnew", null, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
            Events e = new Events();
            make(used + "/x");
            zk.exists(used, e);
            zk.delete(used + "/x", -1);
            e.expect("NodeDeleted " + used);
            Checks.that(zk.exists(fresh, false) != null, "never used");
        });
        Checks.check("a TTL node goes when its time is over, not with a child", () -> {
            Stat st = new Stat();
            String p = zk.create(root + "/ttl", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, st, 500);
            String kept = zk.create(root + "/ttlkept", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, st, 500);
            make(kept + "/x");
            Events e = new Events();
            zk.exists(p, e);
            e.expect("NodeDeleted " + p);
            Checks.that(zk.exists(kept, e) != null, "has a child");
            zk.delete(kept + "/x", -1);
            e.expect("NodeDeleted " + kept);
        });
    }

    private static void small() {
        Checks.check("quota nodes keep count", () -> {
            String p = make(root + "/quota");
            org.apache.zookeeper.cli.SetQuotaCommand.createQuota(zk, p, quota(1000, 10));
            zk.create(p + "/x", Checks.bytes("12345"), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            Checks.same("count=2,bytes=5", Checks.text(zk.getData("/zookeeper/quota" + p + "/zookeeper_stats", false, null)));
            zk.setData(p + "/x", Checks.bytes("1"), -1);
            Checks.same("count=2,bytes=1", Checks.text(zk.getData("/zookeeper/quota" + p + "/zookeeper_stats", false, null)));
            zk.delete(p + "/x", -1);
            Checks.same("count=1,bytes=0", Checks.text(zk.getData("/zookeeper/quota" + p + "/zookeeper_stats", false, null)));
        });
        Checks.check("one megabyte of data", () -> {
            byte[] big = new byte[1_000_000];
            Arrays.fill(big, (byte) 7);
            String p = zk.create(root + "/big", big, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            Checks.that(Arrays.equals(big, zk.getData(p, false, null)), "it comes back");
            zk.delete(p, -1);
        });
    }

    private static org.apache.zookeeper.StatsTrack quota(long bytes, long count) {
        org.apache.zookeeper.StatsTrack q = new org.apache.zookeeper.StatsTrack();
        q.setBytes(bytes);
        q.setCount(count);
        return q;
    }
}
