package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/wire"
)

const epochDir = "/data/version-2/"

// TestEpochs reads the epoch files beside a log that ends in epoch 3, which
// ZooKeeper wrote. Where it refuses to start so do we, and nothing is changed.
func TestEpochs(t *testing.T) {
	const none = "-"
	for _, c := range []struct {
		name, accepted, current, tmp string
		wantAccepted, wantCurrent    int64
		refused                      string
	}{
		{name: "as they are", accepted: "3", current: "3", tmp: none, wantAccepted: 3, wantCurrent: 3},
		{name: "with line ends", accepted: "4\n", current: "3\r\n", tmp: none, wantAccepted: 4, wantCurrent: 3},
		{name: "a promise is open", accepted: "9", current: "3", tmp: none, wantAccepted: 9, wantCurrent: 3},
		{name: "none", accepted: none, current: none, tmp: none, wantAccepted: 3, wantCurrent: 3},
		{name: "no current", accepted: "5", current: none, tmp: none, wantAccepted: 5, wantCurrent: 3},
		{name: "no accepted", accepted: none, current: "3", tmp: none, wantAccepted: 3, wantCurrent: 3},
		{name: "left over", accepted: "4", current: "3", tmp: "4", wantAccepted: 4, wantCurrent: 3},
		{name: "left over and empty", accepted: "4", current: "3", tmp: "", wantAccepted: 4, wantCurrent: 3},

		{name: "older than the log", accepted: "3", current: "2", tmp: none,
			refused: "/data/version-2/currentEpoch says epoch 2, but the last transaction is 0x300000002 of epoch 3"},
		{name: "to be adopted", accepted: "3", current: "2", tmp: "3", wantAccepted: 3, wantCurrent: 3},
		{name: "in the middle of several", accepted: "7", current: "1", tmp: "1", wantAccepted: 7, wantCurrent: 3},
		{name: "to be adopted, but not promised", accepted: "3", current: "2", tmp: "4",
			refused: "/data/version-2/acceptedEpoch says epoch 3, less than 4 in /data/version-2/currentEpoch"},
		{name: "to be adopted, but empty", accepted: "3", current: "2", tmp: "", refused: "/data/version-2/currentEpoch.tmp is empty"},
		{name: "less promised than done", accepted: "3", current: "4", tmp: none,
			refused: "/data/version-2/acceptedEpoch says epoch 3, less than 4 in /data/version-2/currentEpoch"},
		{name: "promise lost", accepted: none, current: "4", tmp: none,
			refused: "/data/version-2/acceptedEpoch is missing, but /data/version-2/currentEpoch says epoch 4"},

		{name: "current is empty", accepted: "3", current: "", tmp: none, refused: "/data/version-2/currentEpoch is empty"},
		{name: "accepted is empty", accepted: "\n", current: "3", tmp: none, refused: "/data/version-2/acceptedEpoch is empty"},
		{name: "garbage", accepted: "3", current: "three", tmp: none, refused: `/data/version-2/currentEpoch holds "three", which is not a number`},
		{name: "binary", accepted: "\x00\x00\x00\x03", current: "3", tmp: none, refused: `/data/version-2/acceptedEpoch holds "\x00\x00\x00\x03", which is not a number`},
		{name: "two lines", accepted: "3\n3", current: "3", tmp: none, refused: "is not a number"},
		{name: "negative", accepted: "3", current: "-1", tmp: none, refused: "/data/version-2/currentEpoch holds -1, but epochs go from 0 to 2147483647"},
		{name: "beyond all zxids", accepted: "4294967296", current: "3", tmp: none, refused: "acceptedEpoch holds 4294967296, but"},
		{name: "beyond all numbers", accepted: "3", current: "99999999999999999999", tmp: none, refused: "is not a number"},
		{name: "long", accepted: strings.Repeat("3", 5000), current: "3", tmp: none, refused: "is not a number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, want := unpack(t, "quorum-server-1")
			if want.ownLogDir || wire.Zxid(want.LastZxid).Epoch() != 3 {
				t.Fatalf("the recorded directory ends at %v", wire.Zxid(want.LastZxid))
			}
			for name, text := range map[string]string{"acceptedEpoch": c.accepted, "currentEpoch": c.current, "currentEpoch.tmp": c.tmp} {
				if text != none {
					putFile(t, fs, epochDir+name, []byte(text))
				} else {
					must(t, removeIfThere(fs, epochDir+name))
				}
			}
			o := want.options(fs)
			o.DeferTail = true
			s := open(t, o)
			before := allEpochFiles(t, fs)
			accepted, current, err := s.Epochs()
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "Restore the epoch files") {
					t.Errorf("error %v, want one with %q", err, c.refused)
				}
				if after := allEpochFiles(t, fs); after != before {
					t.Errorf("files were %s, are %s", before, after)
				}
				return
			}
			must(t, err)
			if accepted != c.wantAccepted || current != c.wantCurrent {
				t.Errorf("accepted %d, current %d; want %d, %d", accepted, current, c.wantAccepted, c.wantCurrent)
			}
			checkEpochFiles(t, fs, c.wantAccepted, c.wantCurrent, want.LastZxid)
			mustClose(t, s)
			s = open(t, o)
			if a, b, err := s.Epochs(); a != accepted || b != current || err != nil {
				t.Errorf("the next start says %d, %d, %v", a, b, err)
			}
		})
	}
}

func allEpochFiles(t *testing.T, fs vfs.FS) string {
	t.Helper()
	text := ""
	for _, prefix := range []string{"accepted", "current"} {
		for _, name := range listDir(t, fs, epochDir, prefix) {
			text += fmt.Sprintf("%s %q ", name, getFile(t, fs, epochDir+name))
		}
	}
	return text
}

// checkEpochFiles asserts what ZooKeeper needs to start.
func checkEpochFiles(t *testing.T, fs vfs.FS, accepted, current int64, last hexNumber) {
	t.Helper()
	want := fmt.Sprintf("acceptedEpoch %q currentEpoch %q ", fmt.Sprint(accepted), fmt.Sprint(current))
	if accepted > current+1 {
		want += fmt.Sprintf("currentEpoch.tmp %q ", fmt.Sprint(current))
	}
	if got := strings.NewReplacer(`\r`, "", `\n`, "").Replace(allEpochFiles(t, fs)); got != want {
		t.Errorf("files: %swant %s", got, want)
	}
	if int64(wire.Zxid(last).Epoch()) > current {
		t.Errorf("the last zxid is of epoch %d, current is %d", wire.Zxid(last).Epoch(), current)
	}
}

// TestEpochsOfMemberAlone: who ran alone has no epoch files, and who was in an
// ensemble can run alone.
func TestEpochsOfMemberAlone(t *testing.T) {
	o, want := filled(t, 100)
	o.DeferTail = true
	s := open(t, o)
	accepted, current, err := s.Epochs()
	if accepted != 0 || current != 0 || err != nil {
		t.Errorf("epochs %d, %d, %v", accepted, current, err)
	}
	must(t, s.SaveEpochs(1, 1))
	tail, err := s.Tail()
	if len(tail) != 0 || err != nil {
		t.Errorf("tail %v, %v", tail, err)
	}
	mustClose(t, s)
	o.DeferTail = false
	compare(t, want, contentOf(t, open(t, o)))
}

// TestSaveEpochs writes only what has changed, and never takes a promise back.
func TestSaveEpochs(t *testing.T) {
	o := memOptions()
	o.DeferTail = true
	var mu sync.Mutex
	var ops []string
	mem := o.FS
	o.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind == errorfs.OpRename && strings.Contains(op.Path, "Epoch") {
			ops = append(ops, mem.PathBase(op.Path))
		}
		return nil
	}))
	s := open(t, o)
	for _, c := range []struct {
		accepted, current int64
		ok                bool
		ops               string
	}{
		{0, 0, true, "acceptedEpoch.new currentEpoch.new"}, // made
		{0, 0, true, ""},
		{1, 0, true, "acceptedEpoch.new"},
		{1, 1, true, "currentEpoch.new"},
		{1, 1, true, ""},
		{2, 2, true, "acceptedEpoch.new currentEpoch.new"},
		{5, 2, true, "currentEpoch.tmp.new acceptedEpoch.new"},
		{5, 6, false, ""},
		{4, 2, false, ""},
		{5, 1, false, ""},
		{5, 5, true, "currentEpoch.new"},
	} {
		ops = nil
		if err := s.SaveEpochs(c.accepted, c.current); (err == nil) != c.ok {
			t.Errorf("%d, %d: %v", c.accepted, c.current, err)
		}
		if got := strings.Join(ops, " "); got != c.ops {
			t.Errorf("%d, %d: renamed %q, want %q", c.accepted, c.current, got, c.ops)
		}
		if c.ok {
			checkEpochFiles(t, mem, c.accepted, c.current, 0)
		}
	}
}

// TestEpochsCrash crashes before every operation on the disk. What was promised
// is known afterwards, and the files can always be started with.
func TestEpochsCrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	type point struct {
		fs   *vfs.MemFS
		done int // index in steps
		op   string
	}
	steps := [][2]int64{{0, 0}, {1, 0}, {1, 1}, {4, 1}, {6, 1}, {6, 6}, {7, 7}}
	var points []point
	done := -1
	o := Options{DataDir: "/data", FS: mem, PreallocBytes: -1, DeferTail: true}
	mustClose(t, open(t, o))
	rng := rand.New(rand.NewPCG(1, 1))
	o.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.Contains(op.Path, "Epoch") || op.Path == "/data/version-2" {
			for _, percent := range []int{0, 50, 100} {
				points = append(points, point{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}), done, fmt.Sprint(op.Kind, op.Path)})
			}
		}
		return nil
	}))
	s := open(t, o)
	points = nil
	for i, step := range steps {
		must(t, s.SaveEpochs(step[0], step[1]))
		done = i
	}
	mustClose(t, s)
	for _, p := range points {
		o.FS = p.fs
		s := open(t, o)
		accepted, current, err := s.Epochs()
		if err != nil {
			t.Fatalf("crash before %s: %v", p.op, err)
		}
		was := [2]int64{}
		if p.done >= 0 {
			was = steps[p.done]
		}
		next := steps[min(p.done+1, len(steps)-1)]
		if accepted < was[0] || current < was[1] || accepted > next[0] || current > next[1] || accepted < current {
			t.Errorf("crash before %s: %d, %d; saved were %v, on the way %v", p.op, accepted, current, was, next)
		}
		mustClose(t, s)
	}
	t.Logf("%d crashes", len(points))
}

// TestEpochsAreCovered: a member that takes in the history of several epochs
// may crash in the middle of any.
func TestEpochsAreCovered(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := Options{DataDir: "/data", FS: mem, PreallocBytes: -1, DeferTail: true}
	l := startLoop(t, o)
	must(t, l.s.SaveEpochs(1, 1))
	must(t, l.s.SaveEpochs(5, 1))
	l.next = wire.MakeZxid(3, 1)
	l.create("/x", "", 0)
	l.apply()
	o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
	s := open(t, o)
	if accepted, current, err := s.Epochs(); accepted != 5 || current != 3 || err != nil {
		t.Errorf("epochs %d, %d, %v", accepted, current, err)
	}
}
