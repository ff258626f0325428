package txnlog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"zooid/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/data/version-2"

// newFS is an empty memory file system with a durable log directory.
func newFS(t testing.TB) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	must(t, fs.MkdirAll(dir, 0o777))
	for _, d := range []string{"/", "/data", dir} {
		must(t, syncDir(fs, d))
	}
	return fs
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorded reads the log files of one recorded directory, by name.
func recorded(t testing.TB, name string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", name, "log.*.gz"))
	must(t, err)
	if len(paths) == 0 {
		t.Fatalf("no recorded logs in %s", name)
	}
	files := make(map[string][]byte)
	for _, p := range paths {
		f, err := os.Open(p)
		must(t, err)
		z, err := gzip.NewReader(f)
		must(t, err)
		b, err := io.ReadAll(z)
		must(t, err)
		f.Close()
		files[strings.TrimSuffix(filepath.Base(p), ".gz")] = b
	}
	return files
}

// putFile writes a file durably.
func putFile(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	must(t, err)
	_, err = f.Write(slices.Clone(b)) // Write may change what it is given
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	must(t, syncDir(fs, dir))
}

func getFile(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(fs.PathJoin(dir, name))
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return b
}

// payload is a setData transaction whose data are n bytes, a function of z.
func payload(z wire.Zxid, n int) []byte {
	data := make([]byte, n)
	r := rand.New(rand.NewPCG(uint64(z), uint64(n)))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return payloadOf(z, data)
}

func payloadOf(z wire.Zxid, data []byte) []byte {
	t := wire.Txn{
		TxnHeader: wire.TxnHeader{Session: 7, Cxid: int32(z), Zxid: z, TimeMs: 1, Op: wire.OpSetData},
		Body:      &wire.SetDataTxn{Path: "/a", Data: data, Version: int32(z)},
		Digest:    wire.TxnDigest{Version: wire.DigestVersion, Tree: uint64(z)},
	}
	return t.Append(nil)
}

// entries makes a batch of transactions first to last with n bytes of data.
func entries(first, last wire.Zxid, n int) []Entry {
	var batch []Entry
	for z := first; z <= last; z++ {
		batch = append(batch, Entry{Zxid: z, Payload: payload(z, n)})
	}
	return batch
}

// ledger remembers what a log reported.
type ledger struct {
	mu      sync.Mutex
	cond    sync.Cond
	durable wire.Zxid
	calls   int
	err     error
	errors  int
	syncs   []Sync
}

func newLedger() *ledger {
	g := new(ledger)
	g.cond.L = &g.mu
	return g
}

func (g *ledger) report(z wire.Zxid, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if g.durable = z; err != nil {
		g.err = err
		g.errors++
	}
	g.cond.Broadcast()
}

func (g *ledger) observe(s Sync) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.syncs = append(g.syncs, s)
}

// wait blocks until z is durable or the log has failed.
func (g *ledger) wait(z wire.Zxid) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.durable < z && g.err == nil {
		g.cond.Wait()
	}
	return g.err
}

func (g *ledger) get() wire.Zxid {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.durable
}

// options are those of most tests: small files in memory.
func options(fs vfs.FS, g *ledger) Options {
	return Options{Dir: dir, FS: fs, PreallocBytes: 8 << 10, Durable: g.report, Observe: g.observe}
}

// open opens a log that is closed at the end of the test.
func open(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// replayed is everything that a log replays after the given zxid.
func replayed(t testing.TB, l *Log, after wire.Zxid) []Entry {
	t.Helper()
	got, err := tryReplay(l, after)
	must(t, err)
	return got
}

func tryReplay(l *Log, after wire.Zxid) (got []Entry, err error) {
	err = l.Replay(after, func(p []byte, txn *wire.Txn) error {
		if again := txn.Append(nil); !bytes.Equal(again, p) && txn.Op != wire.OpError {
			return fmt.Errorf("%v decodes and encodes to other bytes", txn.Zxid)
		}
		got = append(got, Entry{Zxid: txn.Zxid, Payload: slices.Clone(p)})
		return nil
	})
	return got, err
}

func sameEntries(t testing.TB, got, want []Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Zxid != want[i].Zxid || !bytes.Equal(got[i].Payload, want[i].Payload) {
			t.Fatalf("record %d is %v, want %v", i, got[i].Zxid, want[i].Zxid)
		}
	}
}
