package main

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"zooid/config"
	"zooid/quorum"
	"zooid/wire"
	"zooid/zab"
)

// three is an ensemble's zoo.cfg; keys after it win.
const three = `dataDir=/data
clientPort=2181
tickTime=500
initLimit=10
syncLimit=4
server.1=zoo1:2888:3888
server.2=zoo2:2888:3888
server.3=zoo3:2888:3888
`

// configured reads a zoo.cfg as server myid does.
func configured(t *testing.T, text, myid string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text), "zoo.cfg", nil, nil)
	if err == nil {
		err = errors.Join(c.Identify([]byte(myid)), c.Complete())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is fixed, as zoo.cfg has no key for it.
func fixed(z zab.Config) zab.Config {
	if z.Ensemble != nil {
		z.RecentBytes, z.DiffBytes = recentBytes, diffBytes
		z.FinalizeMs, z.DialTries = finalizeMs, dialTries
	}
	return z
}

func TestZabConfig(t *testing.T) {
	members := func(text string, list ...zab.Member) *zab.Ensemble {
		return &zab.Ensemble{Members: list, Text: []byte(text)}
	}
	const text = "server.1=zoo1:2888:3888:participant\nserver.2=zoo2:2888:3888:participant\nserver.3=zoo3:2888:3888:participant\n"
	voters := []zab.Member{{SID: 1}, {SID: 2}, {SID: 3}}
	usual := zab.Config{SID: 2, Ensemble: members(text+"version=0", voters...), TickMs: 500, InitLimit: 10, SyncLimit: 4,
		MinNotifyMs: 200, MaxNotifyMs: 60_000, MaxEpochWaitMs: -1}
	with := func(change func(z *zab.Config)) zab.Config {
		z := usual
		change(&z)
		return z
	}
	for _, c := range []struct {
		name, text, myid string
		want             zab.Config
	}{
		{"alone", "dataDir=/data\nclientPort=2181\ntickTime=500\n", "7", zab.Config{SID: 7, TickMs: 500}},
		{"alone with a line", "dataDir=/data\nclientPort=2181\nserver.1=a:1:2\n", "1", zab.Config{SID: 1, TickMs: 3000}},
		{"three", three, "2", usual},
		{"an ensemble of one", "dataDir=/data\nclientPort=2181\ntickTime=500\ninitLimit=10\nsyncLimit=4\nstandaloneEnabled=false\nserver.2=a:1:2\n", "2",
			with(func(z *zab.Config) {
				z.Ensemble = members("server.2=a:1:2:participant\nversion=0", zab.Member{SID: 2})
			})},
		{"an observer, of others", three + "server.9=o:2888:3888:observer;2181\n", "2", with(func(z *zab.Config) {
			z.Ensemble = members(text+"server.9=o:2888:3888:observer;0.0.0.0:2181\nversion=0", append(voters[:3:3], zab.Member{SID: 9, Observer: true})...)
		})},
		{"an observer, itself", three + "server.2=zoo2:2888:3888:observer\n", "2", with(func(z *zab.Config) {
			z.Ensemble = members("server.1=zoo1:2888:3888:participant\nserver.2=zoo2:2888:3888:observer\nserver.3=zoo3:2888:3888:participant\nversion=0",
				zab.Member{SID: 1}, zab.Member{SID: 2, Observer: true}, zab.Member{SID: 3})
			z.Observer = true
		})},
		{"groups and weights", three + "group.1=1:2\ngroup.2=3\nweight.1=2\nweight.3=0\n", "2", with(func(z *zab.Config) {
			z.Ensemble = members(text+"group.1=1:2\ngroup.2=3\nweight.1=2\nweight.2=1\nweight.3=0\nversion=0", voters...)
			z.Ensemble.Groups = map[int64][]wire.SID{1: {1, 2}, 2: {3}}
			z.Ensemble.Weights = map[wire.SID]int64{1: 2, 2: 1, 3: 0}
		})},
		{"a version", three + "version=100000005\n", "2", with(func(z *zab.Config) {
			z.Ensemble = members(text+"version=100000005", voters...)
			z.Ensemble.Version = 0x100000005
		})},
		{"times", three + "fastleader.minNotificationInterval=20\nfastleader.maxNotificationInterval=3000\nleader.maxTimeToWaitForEpoch=150\n", "2",
			with(func(z *zab.Config) { z.MinNotifyMs, z.MaxNotifyMs, z.MaxEpochWaitMs = 20, 3000, 150 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configured(t, c.text, c.myid)
			p := &process{cfg: cfg}
			if got, want := zabConfig(cfg, p.sid()), fixed(c.want); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v %+v\nwant %+v %+v", got, got.Ensemble, want, want.Ensemble)
			}
		})
	}
}

// Without a myid a server alone is the first, as in ZooKeeper.
func TestSIDOfAServerAlone(t *testing.T) {
	cfg, err := config.Parse([]byte(config.DefaultText), "zoo.cfg", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Identify(nil); err != nil {
		t.Fatal(err)
	}
	if sid := (&process{cfg: cfg}).sid(); sid != 1 {
		t.Errorf("sid %d", sid)
	}
	if n := networkOf(cfg); n != nil {
		t.Errorf("it has a network: %+v", n)
	}
}

func TestNetworkOf(t *testing.T) {
	const juteMax = 0xfffff
	usual := quorum.Ensemble{
		Members: map[wire.SID]quorum.Addresses{
			1: {Quorum: []string{"zoo1:2888"}, Election: []string{"zoo1:3888"}},
			2: {Quorum: []string{"zoo2:2888"}, Election: []string{"zoo2:3888"}},
			3: {Quorum: []string{"zoo3:2888"}, Election: []string{"zoo3:3888"}},
		},
		ListenQuorum: []string{"zoo2:2888"}, ListenElection: []string{"zoo2:3888"},
		CnxTimeout: 5 * time.Second, GreetTimeout: 2 * time.Second, BindTries: 3, MaxPacket: 2 * juteMax,
	}
	for _, c := range []struct {
		name, keys string
		change     func(n *quorum.Ensemble)
	}{
		{"as it stands", "", func(*quorum.Ensemble) {}},
		{"on all addresses", "quorumListenOnAllIPs=true\n", func(n *quorum.Ensemble) {
			n.ListenQuorum, n.ListenElection = []string{":2888"}, []string{":3888"}
		}},
		{"its own address is all of them", "server.2=0.0.0.0:2888:3888\n", func(n *quorum.Ensemble) {
			n.Members[2] = quorum.Addresses{Quorum: []string{"0.0.0.0:2888"}, Election: []string{"0.0.0.0:3888"}}
			n.ListenQuorum, n.ListenElection = []string{":2888"}, []string{":3888"}
		}},
		{"IPv6", "server.2=[::1]:2888:3888\nserver.3=[fe80::1%eth0]:1:2\n", func(n *quorum.Ensemble) {
			n.Members[2] = quorum.Addresses{Quorum: []string{"[0:0:0:0:0:0:0:1]:2888"}, Election: []string{"[0:0:0:0:0:0:0:1]:3888"}}
			n.Members[3] = quorum.Addresses{Quorum: []string{"[fe80:0:0:0:0:0:0:1%eth0]:1"}, Election: []string{"[fe80:0:0:0:0:0:0:1%eth0]:2"}}
			n.ListenQuorum, n.ListenElection = []string{"[0:0:0:0:0:0:0:1]:2888"}, []string{"[0:0:0:0:0:0:0:1]:3888"}
		}},
		{"several addresses", "multiAddress.enabled=true\nserver.2=b:2888:3888|a:2889:3889\n", func(n *quorum.Ensemble) {
			n.Members[2] = quorum.Addresses{Quorum: []string{"a:2889", "b:2888"}, Election: []string{"a:3889", "b:3888"}}
			n.ListenQuorum, n.ListenElection = n.Members[2].Quorum, n.Members[2].Election
		}},
		{"several addresses with one port, on all", "multiAddress.enabled=true\nquorumListenOnAllIPs=true\nserver.2=b:2888:3888|a:2888:3888\n", func(n *quorum.Ensemble) {
			n.Members[2] = quorum.Addresses{Quorum: []string{"a:2888", "b:2888"}, Election: []string{"a:3888", "b:3888"}}
			n.ListenQuorum, n.ListenElection = []string{":2888"}, []string{":3888"}
		}},
		{"times", "cnxTimeout=700\nquorumCnxnTimeoutMs=800\nconnectToLearnerMasterLimit=6\n", func(n *quorum.Ensemble) {
			n.CnxTimeout, n.GreetTimeout, n.ConnectTimeout = 700*time.Millisecond, 800*time.Millisecond, 3*time.Second
		}},
		{"sockets", "electionPortBindRetry=7\ntcpKeepAlive=true\n", func(n *quorum.Ensemble) { n.BindTries, n.KeepAlive = 7, true }},
		{"listening for ever", "electionPortBindRetry=0\n", func(n *quorum.Ensemble) { n.BindTries = math.MaxInt }},
		{"large packets", "jute.maxbuffer=4000000\n", func(n *quorum.Ensemble) { n.MaxPacket = 8_000_000 }},
		{"larger packets", "jute.maxbuffer=4000000\njute.maxbuffer.extrasize=5000000\n", func(n *quorum.Ensemble) { n.MaxPacket = 9_000_000 }},
		{"read-only", "readonlymode.enabled=true\n", func(n *quorum.Ensemble) { n.ReadOnlyAfter = 2 * time.Second }},
		{"read-only and slow", "readonlymode.enabled=true\ntickTime=2500\n", func(n *quorum.Ensemble) {
			n.ReadOnlyAfter, n.GreetTimeout = 2500*time.Millisecond, 10*time.Second
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := usual
			want.Members = map[wire.SID]quorum.Addresses{}
			for sid, a := range usual.Members {
				want.Members[sid] = a
			}
			c.change(&want)
			if got := networkOf(configured(t, three+c.keys, "2")); !reflect.DeepEqual(*got, want) {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		})
	}
}
