import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryForever;
import org.apache.zookeeper.CreateMode;

/** Recipes of Curator. Arguments: address, address of a proxy, root node. */
public final class CuratorSuite {
    private static final List<CuratorFramework> clients = new ArrayList<>();
    private static final ExecutorService pool = Executors.newCachedThreadPool();
    private static String address;
    private static String proxy;
    private static String namespace;
    private static CuratorFramework zk;

    private static CuratorFramework connect(String to) throws Exception {
        CuratorFramework c = CuratorFrameworkFactory.builder().connectString(to).namespace(namespace)
            .sessionTimeoutMs(10000).connectionTimeoutMs(5000).retryPolicy(new RetryForever(50)).build();
        c.start();
        Checks.that(c.blockUntilConnected(20, TimeUnit.SECONDS), "connected");
        clients.add(c);
        return c;
    }

    private static CuratorFramework connect() throws Exception {
        return connect(address);
    }

    interface Job {
        void run(int n) throws Exception;
    }

    /** Runs a job a number of times at once and waits for all. */
    private static void together(int times, Job job) throws Exception {
        List<Future<?>> all = new ArrayList<>();
        for (int i = 0; i < times; i++) {
            int n = i;
            all.add(pool.submit(() -> {
                job.run(n);
                return null;
            }));
        }
        for (Future<?> f : all) {
            f.get(60, TimeUnit.SECONDS);
        }
    }

    public static void main(String[] args) throws Exception {
        address = args[0];
        proxy = args[1];
        namespace = args[2].substring(1);
        zk = connect();
        basics();
        locks();
        leaders();
        caches();
        nodes();
        barriersAndCounters();
        for (CuratorFramework c : clients.subList(1, clients.size())) {
            c.close();
        }
        Checks.check("recursive delete", () -> {
            CuratorFramework top = zk.usingNamespace(null);
            top.delete().guaranteed().deletingChildrenIfNeeded().forPath("/" + namespace);
            Checks.same(null, top.checkExists().forPath("/" + namespace));
        });
        zk.close();
        pool.shutdownNow();
        Checks.done();
    }

    private static void basics() {
        Checks.check("protected and container parents", () -> {
            String p = zk.create().creatingParentContainersIfNeeded().withProtection()
                .withMode(CreateMode.EPHEMERAL_SEQUENTIAL).forPath("/basic/parents/n-");
            Checks.that(p.matches("/basic/parents/_c_[0-9a-f-]{36}-n-\\d{10}"), p);
            Checks.same(1, zk.getChildren().forPath("/basic/parents").size());
        });
        Checks.check("compressed data, orSetData", () -> {
            zk.create().orSetData().compressed().forPath("/basic/z", Checks.bytes("one"));
            zk.create().orSetData().compressed().forPath("/basic/z", Checks.bytes("two"));
            Checks.same("two", Checks.text(zk.getData().decompressed().forPath("/basic/z")));
        });
        Checks.check("transaction", () -> {
            List<CuratorTransactionResult> r = zk.transaction().forOperations(
                zk.transactionOp().create().forPath("/basic/t", Checks.bytes("1")),
                zk.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/basic/t/s-"),
                zk.transactionOp().setData().withVersion(0).forPath("/basic/t", Checks.bytes("2")),
                zk.transactionOp().check().withVersion(1).forPath("/basic/t"),
                zk.transactionOp().delete().forPath("/basic/t/s-0000000000"));
            Checks.same("/basic/t/s-0000000000", r.get(1).getResultPath());
            Checks.same(1, r.get(2).getResultStat().getVersion());
            try {
                zk.transaction().forOperations(
                    zk.transactionOp().setData().forPath("/basic/t", Checks.bytes("3")),
                    zk.transactionOp().check().withVersion(99).forPath("/basic/t"));
                throw new AssertionError("no error");
            } catch (org.apache.zookeeper.KeeperException.BadVersionException e) {
                Checks.same("2", Checks.text(zk.getData().forPath("/basic/t")));
            }
        });
    }

    private static void locks() {
        Checks.check("InterProcessMutex with contenders", () -> {
            AtomicInteger inside = new AtomicInteger();
            AtomicInteger total = new AtomicInteger();
            together(4, n -> {
                InterProcessMutex m = new InterProcessMutex(connect(), "/locks/mutex");
                for (int i = 0; i < 5; i++) {
                    Checks.that(m.acquire(30, TimeUnit.SECONDS), "acquired");
                    Checks.that(m.acquire(30, TimeUnit.SECONDS), "acquired again by its holder");
                    Checks.same(1, inside.incrementAndGet());
                    total.incrementAndGet();
                    zk.checkExists().forPath("/");
                    inside.decrementAndGet();
                    m.release();
                    m.release();
                }
            });
            Checks.same(20, total.get());
        });
        Checks.check("InterProcessReadWriteLock", () -> {
            InterProcessReadWriteLock a = new InterProcessReadWriteLock(connect(), "/locks/rw");
            InterProcessReadWriteLock b = new InterProcessReadWriteLock(connect(), "/locks/rw");
            Checks.that(a.readLock().acquire(10, TimeUnit.SECONDS), "first reader");
            Checks.that(b.readLock().acquire(10, TimeUnit.SECONDS), "second reader");
            Future<Boolean> writer = pool.submit(() -> b.writeLock().acquire(100, TimeUnit.MILLISECONDS));
            Checks.same(false, writer.get());
            a.readLock().release();
            b.readLock().release();
            Checks.that(b.writeLock().acquire(10, TimeUnit.SECONDS), "writer");
            b.writeLock().release();
        });
        Checks.check("InterProcessSemaphoreV2", () -> {
            InterProcessSemaphoreV2 s = new InterProcessSemaphoreV2(zk, "/locks/sem", 2);
            Lease one = s.acquire(10, TimeUnit.SECONDS);
            Lease two = s.acquire(10, TimeUnit.SECONDS);
            Checks.same(null, s.acquire(100, TimeUnit.MILLISECONDS));
            s.returnLease(one);
            Lease three = s.acquire(10, TimeUnit.SECONDS);
            Checks.that(three != null, "a lease that was given back");
            s.returnLease(two);
            s.returnLease(three);
        });
    }

    private static void leaders() {
        Checks.check("LeaderLatch: the next one leads when the leader goes", () -> {
            List<LeaderLatch> all = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                LeaderLatch l = new LeaderLatch(connect(), "/leader/latch", "c" + i);
                l.start();
                all.add(l);
            }
            while (!all.isEmpty()) {
                Checks.await("one leader", () -> all.stream().filter(LeaderLatch::hasLeadership).count() == 1);
                LeaderLatch leader = all.stream().filter(LeaderLatch::hasLeadership).findFirst().get();
                Checks.same(all.size(), leader.getParticipants().size());
                all.remove(leader);
                leader.close();
            }
        });
        Checks.check("LeaderSelector: each leads, one at a time", () -> {
            AtomicInteger inside = new AtomicInteger();
            LinkedBlockingQueue<String> led = new LinkedBlockingQueue<>();
            List<LeaderSelector> all = new ArrayList<>();
            for (int i = 0; i < 3; i++) {
                String name = "c" + i;
                LeaderSelector s = new LeaderSelector(connect(), "/leader/selector", new LeaderSelectorListenerAdapter() {
                    @Override
                    public void takeLeadership(CuratorFramework c) throws Exception {
                        led.add(inside.incrementAndGet() == 1 ? name : name + " beside another");
                        c.checkExists().forPath("/");
                        inside.decrementAndGet();
                    }
                });
                s.start();
                all.add(s);
            }
            TreeSet<String> got = new TreeSet<>();
            for (int i = 0; i < 3; i++) {
                got.add(String.valueOf(led.poll(20, TimeUnit.SECONDS)));
            }
            Checks.same(new TreeSet<>(Arrays.asList("c0", "c1", "c2")), got);
            for (LeaderSelector s : all) {
                s.close();
            }
        });
    }

    private static void caches() {
        Checks.check("CuratorCache follows a tree, also through a lost connection", () -> {
            CuratorFramework c = connect(proxy);
            LinkedBlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
            c.getConnectionStateListenable().addListener((x, s) -> states.add(s));
            zk.create().creatingParentsIfNeeded().forPath("/cache/a/b", Checks.bytes("1"));
            CuratorCache cache = CuratorCache.build(c, "/cache");
            CountDownLatch ready = new CountDownLatch(1);
            LinkedBlockingQueue<String> seen = new LinkedBlockingQueue<>();
            cache.listenable().addListener(CuratorCacheListener.builder()
                .forInitialized(ready::countDown)
                .forAll((type, before, now) -> {
                    if (ready.getCount() == 0) {
                        seen.add(type + " " + (now != null ? now : before).getPath());
                    }
                }).build());
            cache.start();
            Checks.that(ready.await(20, TimeUnit.SECONDS), "initialized");
            Checks.same(3, cache.size());
            zk.setData().forPath("/cache/a/b", Checks.bytes("2"));
            Checks.same("NODE_CHANGED /cache/a/b", seen.poll(10, TimeUnit.SECONDS));
            zk.create().forPath("/cache/a/c");
            Checks.same("NODE_CREATED /cache/a/c", seen.poll(10, TimeUnit.SECONDS));
            zk.delete().forPath("/cache/a/c");
            Checks.same("NODE_DELETED /cache/a/c", seen.poll(10, TimeUnit.SECONDS));
            Checks.ask("cut");
            until(states, ConnectionState.SUSPENDED);
            zk.setData().forPath("/cache/a/b", Checks.bytes("3"));
            zk.create().forPath("/cache/a/d");
            Checks.ask("heal");
            until(states, ConnectionState.RECONNECTED);
            Checks.await("the cache has what it missed", () -> cache.size() == 4
                && cache.get("/cache/a/b").map(d -> "3".equals(Checks.text(d.getData()))).orElse(false));
            cache.close();
        });
    }

    private static void until(LinkedBlockingQueue<ConnectionState> states, ConnectionState want) throws Exception {
        ConnectionState s;
        do {
            s = states.poll(20, TimeUnit.SECONDS);
            Checks.that(s != null, "no state " + want);
        } while (s != want);
    }

    private static void nodes() {
        Checks.check("PersistentNode comes back when it is deleted", () -> {
            PersistentNode n = new PersistentNode(connect(), CreateMode.EPHEMERAL, false, "/nodes/p", Checks.bytes("d"));
            n.start();
            Checks.that(n.waitForInitialCreate(20, TimeUnit.SECONDS), "created");
            long first = zk.checkExists().forPath(n.getActualPath()).getCzxid();
            zk.delete().forPath(n.getActualPath());
            Checks.await("created again", () -> {
                org.apache.zookeeper.data.Stat st = zk.checkExists().forPath("/nodes/p");
                return st != null && st.getCzxid() > first;
            });
            n.close();
            Checks.await("gone", () -> zk.checkExists().forPath("/nodes/p") == null);
        });
        Checks.check("a persistent ephemeral lives through a lost connection", () -> {
            CuratorFramework c = connect(proxy);
            LinkedBlockingQueue<ConnectionState> states = new LinkedBlockingQueue<>();
            c.getConnectionStateListenable().addListener((x, s) -> states.add(s));
            PersistentNode n = new PersistentNode(c, CreateMode.EPHEMERAL, false, "/nodes/cut", Checks.bytes("d"));
            n.start();
            Checks.that(n.waitForInitialCreate(20, TimeUnit.SECONDS), "created");
            Checks.ask("cut");
            until(states, ConnectionState.SUSPENDED);
            Checks.that(zk.checkExists().forPath("/nodes/cut") != null, "still there without a connection");
            zk.delete().forPath("/nodes/cut");
            Checks.ask("heal");
            until(states, ConnectionState.RECONNECTED);
            Checks.await("there again", () -> zk.checkExists().forPath("/nodes/cut") != null);
            n.close();
        });
        Checks.check("PersistentTtlNode is kept alive", () -> {
            PersistentTtlNode n = new PersistentTtlNode(zk, "/nodes/ttl", 1500, Checks.bytes("d"));
            n.start();
            Checks.that(n.waitForInitialCreate(20, TimeUnit.SECONDS), "created");
            long end = System.nanoTime() + 4_000_000_000L;
            while (System.nanoTime() < end) {
                Checks.that(zk.checkExists().forPath("/nodes/ttl") != null, "kept");
                Thread.sleep(50);
            }
            n.close();
        });
    }

    private static void barriersAndCounters() {
        Checks.check("DistributedBarrier", () -> {
            DistributedBarrier b = new DistributedBarrier(zk, "/barrier/one");
            b.setBarrier();
            Future<Boolean> waits = pool.submit(() -> new DistributedBarrier(connect(), "/barrier/one").waitOnBarrier(30, TimeUnit.SECONDS));
            Thread.sleep(100);
            Checks.that(!waits.isDone(), "it waits");
            b.removeBarrier();
            Checks.same(true, waits.get(20, TimeUnit.SECONDS));
        });
        Checks.check("DistributedDoubleBarrier", () -> {
            List<String> order = Collections.synchronizedList(new ArrayList<>());
            together(3, n -> {
                DistributedDoubleBarrier b = new DistributedDoubleBarrier(connect(), "/barrier/two", 3);
                Checks.that(b.enter(30, TimeUnit.SECONDS), "enter");
                order.add("in");
                Checks.that(b.leave(30, TimeUnit.SECONDS), "leave");
                order.add("out");
            });
            Checks.same(Arrays.asList("in", "in", "in", "out", "out", "out"), order);
        });
        Checks.check("SharedCount: one of two that saw the same value wins", () -> {
            SharedCount a = new SharedCount(connect(), "/count", 0);
            SharedCount b = new SharedCount(connect(), "/count", 0);
            a.start();
            b.start();
            Checks.that(a.trySetCount(a.getVersionedValue(), 5), "first");
            Checks.await("the other sees it", () -> b.getCount() == 5);
            Checks.that(b.trySetCount(b.getVersionedValue(), 6), "second");
            Checks.await("the first sees it", () -> a.getCount() == 6);
            a.close();
            b.close();
        });
        Checks.check("DistributedAtomicLong loses no addition", () -> {
            together(3, n -> {
                DistributedAtomicLong l = new DistributedAtomicLong(connect(), "/long", new RetryForever(1));
                for (int i = 0; i < 10; i++) {
                    while (!l.increment().succeeded()) {
                        Thread.sleep(1);
                    }
                }
            });
            Checks.same(30L, new DistributedAtomicLong(zk, "/long", new RetryForever(1)).get().postValue());
        });
    }
}
