package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

// closedMember is a directory of member 3 that has promised epoch 7, runs in 5 and
// was stopped in good order.
func closedMember(t *testing.T, logDir string) (Options, *content) {
	t.Helper()
	o := memOptions()
	o.LogDir, o.ServerID, o.DeferTail = logDir, 3, true
	l := startLoop(t, o)
	must(t, l.s.SaveEpochs(5, 5))
	l.next = wire.MakeZxid(5, 1)
	l.some(rand.New(rand.NewPCG(1, 2)), 50)
	l.apply()
	must(t, l.s.SaveEpochs(7, 5))
	want := contentOf(t, l.s)
	mustClose(t, l.s)
	return o, want
}

// loseHistory removes what ZooKeeper knows of in version-2: log and snapshots.
func loseHistory(t *testing.T, o Options) {
	t.Helper()
	o.setDefaults()
	for _, dir := range []string{o.DataDir, o.LogDir} {
		for _, prefix := range []string{"log.", "snapshot."} {
			for _, name := range listDir(t, o.FS, dir+"/version-2", prefix) {
				must(t, o.FS.Remove(dir+"/version-2/"+name))
			}
		}
	}
}

// standsIn is the one warning that the copy takes the place of version-2.
const standsIn = "neither log nor snapshot is left; the copy of the tree held everything when the server was stopped, and takes their place. " +
	"To begin with nothing instead, remove it as well"

// TestCopyStandsIn: after a clean end the copy is enough. What comes up has all
// znodes and promises, serves learners nothing that is no more there, and is whole
// again for ZooKeeper before it serves.
func TestCopyStandsIn(t *testing.T) {
	for _, c := range []struct {
		name, logDir string
		lose         func(t *testing.T, o Options)
	}{
		{"no version-2", "", func(t *testing.T, o Options) { must(t, o.FS.RemoveAll("/data/version-2")) }},
		{"log and snapshots", "", loseHistory},
		{"log and snapshots in two places", "/log", loseHistory},
		{"what is left is no snapshot", "", func(t *testing.T, o Options) {
			loseHistory(t, o)
			putFile(t, o.FS, "/data/version-2/snapshot.20", []byte("ZKSN and then nothing"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, want := closedMember(t, c.logDir)
			c.lose(t, o)
			warned := watchLog(&o)
			l := startLoop(t, o)
			if !warned(standsIn) {
				t.Error("there is no warning")
			}
			if exists(o.FS, "/data/zooid.closed") {
				t.Error("the note of the clean end is still there")
			}
			if f, ok := l.s.existing(want.Zxid); !ok {
				t.Errorf("no snapshot %s", f)
			}
			compare(t, want, contentOf(t, l.s))
			if accepted, current, err := l.s.Epochs(); accepted != 7 || current != 5 || err != nil {
				t.Errorf("epochs %d, %d, %v", accepted, current, err)
			}
			must(t, l.s.SaveEpochs(8, 8))
			l.next = wire.MakeZxid(8, 1)
			l.some(rand.New(rand.NewPCG(5, 6)), 30)
			l.apply()
			expectTooOld(t, l.s, want.Zxid-1)
			expectRead(t, l.s, want.Zxid, wire.MakeZxid(8, 1), wire.MakeZxid(8, 30))
			want = contentOf(t, l.s)
			mustClose(t, l.s)
			must(t, o.FS.RemoveAll("/data/zooid")) // as ZooKeeper
			o.DeferTail = false
			compare(t, want, contentOf(t, open(t, o)))
		})
	}
}

// TestCopyStandsInAlone is the same for a server alone, which has no epochs.
func TestCopyStandsInAlone(t *testing.T) {
	o, want := filled(t, 80)
	loseHistory(t, o)
	s := open(t, o)
	compare(t, want, contentOf(t, s))
	mustClose(t, s)
	if files := fmt.Sprint(listDir(t, o.FS, "/data/version-2", "")); files != "[snapshot.50 zooid.base]" {
		t.Errorf("version-2 holds %s", files)
	}
	compare(t, want, contentOf(t, open(t, o)))
}

// TestCopyDoesNotStandIn: in every other case the start is refused and says why,
// changes nothing, and goes on once the operator has decided.
func TestCopyDoesNotStandIn(t *testing.T) {
	note := func(t *testing.T, o Options, from, to string) {
		t.Helper()
		text := string(getFile(t, o.FS, "/data/zooid.closed"))
		if !strings.Contains(text, from) {
			t.Fatalf("the note is %q", text)
		}
		putFile(t, o.FS, "/data/zooid.closed", []byte(strings.Replace(text, from, to, 1)))
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, o *Options)
		says   string
	}{
		{"no note", func(t *testing.T, o *Options) { must(t, o.FS.Remove("/data/zooid.closed")) }, "did not end in good order, as there is no /data/zooid.closed"},
		{"an altered note", func(t *testing.T, o *Options) { note(t, *o, "accepted 7", "accepted 6") }, "its checksum is wrong"},
		{"half a note", func(t *testing.T, o *Options) { note(t, *o, " current 5 server 3", "\n") }, "does not say how the server ended"},
		{"another member", func(t *testing.T, o *Options) {
			must(t, o.FS.Remove("/data/zooid.server"))
			o.ServerID = 2
		}, "is about server 3, and this is server 2"},
		{"a server alone", func(t *testing.T, o *Options) { o.ServerID = 0 }, "is about server 3, and this is server 0"},
		{"a newer promise", func(t *testing.T, o *Options) {
			putFile(t, o.FS, "/data/version-2/acceptedEpoch", []byte("9"))
		}, "the epoch files in /data/version-2 say 9 and -1"},
		{"an older promise", func(t *testing.T, o *Options) {
			putFile(t, o.FS, "/data/version-2/currentEpoch", []byte("4"))
		}, "the epoch files in /data/version-2 say -1 and 4"},
		{"a note of an earlier end", func(t *testing.T, o *Options) {
			old := getFile(t, o.FS, "/data/zooid.closed")
			l := startLoop(t, *o)
			l.create("/more", "", 0)
			l.apply()
			mustClose(t, l.s)
			putFile(t, o.FS, "/data/zooid.closed", old)
		}, "is about another copy than this one, which ended at 0x500000032"},
		{"a copy of an earlier end", func(t *testing.T, o *Options) {
			old := copyDir(t, o.FS, "/data/zooid")
			l := startLoop(t, *o)
			l.create("/more", "", 0)
			l.apply()
			mustClose(t, l.s)
			must(t, o.FS.RemoveAll("/data/zooid"))
			for name, b := range old {
				putFile(t, o.FS, "/data/zooid/"+name, b)
			}
		}, "is about another copy than this one, which ended at 0x500000033"},
		{"a crash", func(t *testing.T, o *Options) {
			l := startLoop(t, *o)
			l.create("/more", "", 0)
			l.apply()
			l.s.settle()
			must(t, l.s.edition.Load().flush())
			o.FS = o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
		}, "did not end in good order"},
		{"acknowledged, not committed", func(t *testing.T, o *Options) {
			l := startLoop(t, *o)
			l.create("/more", "", 0)
			must(t, l.s.txns.Await(l.next-1)) // what the leader is told
			mustClose(t, l.s)
		}, "did not end in good order"},
		{"acknowledged before a start that took up no role", func(t *testing.T, o *Options) {
			l := startLoop(t, *o)
			l.create("/more", "", 0)
			must(t, l.s.txns.Await(l.next-1))
			mustClose(t, l.s)
			mustClose(t, open(t, *o))
		}, "did not end in good order"},
		{"a wrong tree", func(t *testing.T, o *Options) {
			s := open(t, *o)
			s.mismatchNoted.Store(true)
			mustClose(t, s)
		}, "did not end in good order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := closedMember(t, "")
			must(t, o.FS.Remove("/data/version-2/currentEpoch"))
			must(t, o.FS.Remove("/data/version-2/acceptedEpoch"))
			c.change(t, &o)
			loseHistory(t, o)
			before := fmt.Sprint(copyDir(t, o.FS, "/data/version-2"))
			expectRefused(t, o, c.says)
			expectRefused(t, o, "remove /data/zooid")
			if after := fmt.Sprint(copyDir(t, o.FS, "/data/version-2")); after != before {
				t.Error("version-2 has changed")
			}
			must(t, o.FS.RemoveAll("/data/zooid"))
			if s := open(t, o); s.tree.LastZxid() != 0 {
				t.Errorf("at %v", s.tree.LastZxid())
			}
		})
	}
}

// TestEarlierStateBesideCopy: where version-2 holds a state that ends earlier than
// the copy nobody can tell a loss from a backup that was put back on purpose. The
// refusal names both ways to go on, and both work.
func TestEarlierStateBesideCopy(t *testing.T) {
	for _, c := range []struct {
		name  string
		leave func(t *testing.T, o Options, backup map[string][]byte)
		at    wire.Zxid
	}{
		{"the log was lost", func(t *testing.T, o Options, _ map[string][]byte) {
			for _, name := range listDir(t, o.FS, "/data/version-2", "log.") {
				must(t, o.FS.Remove("/data/version-2/"+name))
			}
		}, 0},
		{"a backup was put back", func(t *testing.T, o Options, backup map[string][]byte) {
			must(t, o.FS.RemoveAll("/data/version-2"))
			for name, b := range backup {
				putFile(t, o.FS, "/data/version-2/"+name, b)
			}
		}, 40},
	} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", keep=", keep), func(t *testing.T) {
				o := memOptions()
				l := startLoop(t, o)
				rng := rand.New(rand.NewPCG(1, 2))
				l.some(rng, 40)
				l.apply()
				backup := copyDir(t, o.FS, "/data/version-2")
				l.some(rng, 60)
				l.apply()
				txns := l.txns
				mustClose(t, l.s)
				c.leave(t, o, backup)
				expectRefused(t, o, "end at "+c.at.String())
				expectRefused(t, o, "move the log and snapshot files that are left out of the way, and the server goes on from the store")
				expectRefused(t, o, fmt.Sprintf("to go on from %v and lose what came after it, remove /data/zooid", c.at))
				want := c.at
				if keep {
					want = 100
					loseHistory(t, o)
				} else {
					must(t, o.FS.RemoveAll("/data/zooid"))
				}
				s := open(t, o)
				compare(t, model(t, txns, want), contentOf(t, s))
			})
		}
	}
}

// TestDamagedCopyAlone is not the same as none: there was something.
func TestDamagedCopyAlone(t *testing.T) {
	o, _ := filled(t, 50)
	loseHistory(t, o)
	for _, name := range listDir(t, o.FS, "/data/zooid", "") {
		if strings.HasSuffix(name, ".sst") {
			b := getFile(t, o.FS, "/data/zooid/"+name)
			b[len(b)/3] ^= 1
			putFile(t, o.FS, "/data/zooid/"+name, b)
		}
	}
	expectRefused(t, o, "remove /data/zooid")
}

// TestBaseWithoutLog: where a snapshot is all that is left behind the copy's zxid,
// the log's base of before does not hold: learners would miss what is gone.
func TestBaseWithoutLog(t *testing.T) {
	o, want := closedMember(t, "")
	l := startLoop(t, o)
	_, _, err := l.s.Snapshot()
	must(t, err)
	mustClose(t, l.s)
	for _, name := range listDir(t, o.FS, "/data/version-2", "log.") {
		must(t, o.FS.Remove("/data/version-2/"+name))
	}
	l = startLoop(t, o)
	l.next = wire.MakeZxid(7, 1)
	l.create("/more", "", 0)
	l.apply()
	expectTooOld(t, l.s, want.Zxid-1)
	expectRead(t, l.s, want.Zxid, l.next-1, l.next-1)
}

// TestEpochFilesLost: what a member has promised is known from its clean end, too.
func TestEpochFilesLost(t *testing.T) {
	for _, lost := range [][]string{{acceptedName}, {currentName}, {acceptedName, currentName}} {
		o, want := closedMember(t, "")
		for _, name := range lost {
			must(t, o.FS.Remove("/data/version-2/"+name))
		}
		s := open(t, o)
		if accepted, current, err := s.Epochs(); accepted != 7 || current != 5 || err != nil {
			t.Errorf("without %v: epochs %d, %d, %v", lost, accepted, current, err)
		}
		compare(t, want, contentOf(t, s))
	}
}

// lostPoint is a crash, and what had been acknowledged and promised before it.
type lostPoint struct {
	crashPoint
	promised int64
}

// TestLossAfterEveryWrite crashes a member before every single operation that
// writes, over two lives of which each ends in good order and the second begins
// without version-2. Each crash leaves a directory that comes up with all that was
// acknowledged and promised; and if version-2 is lost on top of it, the start is
// refused or has all of it just the same, once the copy holds anything.
func TestLossAfterEveryWrite(t *testing.T) {
	inner := vfs.NewCrashableMem()
	var mu sync.Mutex
	var points []lostPoint
	var acked, promised atomic.Int64
	tear := rand.New(rand.NewPCG(8, 0)) // mu's
	o := Options{DataDir: "/data", PreallocBytes: -1, ServerID: 3, FlushTxns: 10}
	o.FS = errorfs.Wrap(lockFS{inner, &mu}, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			p := lostPoint{promised: promised.Load()}
			p.acked = wire.Zxid(acked.Load())
			p.fs = inner.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (len(points) % 2), RNG: tear})
			p.op = fmt.Sprint(op.Kind, " ", op.Path)
			points = append(points, p)
		}
		return nil
	}))
	life := func(epoch int64) {
		l := startLoop(t, o)
		must(t, l.s.SaveEpochs(epoch, epoch))
		promised.Store(epoch)
		l.next = wire.MakeZxid(uint32(epoch), 1)
		for range 3 {
			l.some(rand.New(rand.NewPCG(7, uint64(epoch))), 8)
			l.apply()
			acked.Store(int64(l.next - 1))
			l.s.Keep(true)
			l.s.waitIdle()
		}
		mustClose(t, l.s)
	}
	life(1)
	mu.Lock()
	first := len(points)
	must(t, inner.RemoveAll("/data/version-2"))
	must(t, syncDir(inner, "/data"))
	mu.Unlock()
	life(2)
	t.Logf("%d crashes in the first life, %d in the second", first, len(points)-first)
	o.FS = nil
	cameUp := 0
	for _, p := range points {
		clone := p.fs.CrashClone(vfs.CrashCloneCfg{})
		checkLoss(t, p, o, "crash")
		must(t, clone.RemoveAll("/data/version-2"))
		p.fs = clone
		if checkLoss(t, p, o, "crash and loss") && p.acked > 0 {
			cameUp++
		}
		if t.Failed() {
			return
		}
	}
	if cameUp == 0 {
		t.Error("no start without version-2 came up")
	}
	t.Logf("%d came up without version-2", cameUp)
}

// checkLoss opens what p has left; whether it came up.
func checkLoss(t *testing.T, p lostPoint, o Options, what string) bool {
	t.Helper()
	o.FS = p.fs
	s, err := Open(o)
	if err != nil {
		if what == "crash" || !strings.Contains(err.Error(), "remove /data/zooid") {
			t.Errorf("%s before %s: %v", what, p.op, err)
		}
		return false
	}
	accepted, _, err := s.Epochs()
	if s.tree.LastZxid() == 0 && what != "crash" {
		// Nothing was durable but in version-2: this is a first start, as for
		// ZooKeeper.
		mustClose(t, s)
		return false
	}
	if z := s.tree.LastZxid(); z < p.acked || accepted < p.promised || err != nil {
		t.Errorf("%s before %s: acknowledged up to %v, promised %d; recovered up to %v, promised %d, %v", what, p.op, p.acked, p.promised, z, accepted, err)
	}
	mustClose(t, s)
	return true
}
