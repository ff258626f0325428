package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"zooid/integration/recorded"
	"zooid/wire"
	"zooid/znode"
)

// recordedSnap is what a ZooKeeper leader sent to a learner.
type recordedSnap struct {
	label  wire.Zxid
	stream []byte
	txns   [][]byte // of the proposals that follow
}

func readSnap(t testing.TB, name string) *recordedSnap {
	t.Helper()
	snap := new(recordedSnap)
	conn := 0 // with the snapshot
	for _, l := range recorded.Read(t, name) {
		switch {
		case l.IsSnapshot():
			snap.stream, conn = l.Bytes, l.Conn
		case !l.IsPacket():
		case l.Decoded["type"] == "SNAP":
			p, _, err := wire.DecodeQuorumPacket(l.Bytes, 1<<20)
			must(t, err)
			snap.label = p.Zxid
		case l.Decoded["type"] == "PROPOSAL" && l.Conn == conn:
			p, _, err := wire.DecodeQuorumPacket(l.Bytes, 1<<20)
			must(t, err)
			snap.txns = append(snap.txns, p.Data)
		}
	}
	return snap
}

// follow logs and applies txns of a leader.
func (l *loop) follow(payloads [][]byte) {
	l.t.Helper()
	for _, p := range payloads {
		txn, err := wire.DecodeTxn(p)
		must(l.t, err)
		l.s.txns.Append([]wire.Entry{{Zxid: txn.Zxid, Payload: p}})
		l.flight = append(l.flight, txn)
	}
	l.apply()
}

// install lets l take over a state. The loop goes on in its epoch.
func (l *loop) install(stream []byte, label wire.Zxid) {
	l.t.Helper()
	r, err := l.s.Receive(bytes.NewReader(stream), label, int64(label.Epoch()))
	must(l.t, err)
	must(l.t, r.Install())
	l.view = znode.NewView(l.s.tree)
	l.next = label + 1
	l.txns = nil
}

// TestReceiveRecorded takes over what a ZooKeeper leader streamed, of which the
// third is fuzzy, with the transactions behind it. Their digests tell whether it
// is the leader's state; and a restart must lead to the same, from our store as
// well as from the snapshot file that ZooKeeper would read.
func TestReceiveRecorded(t *testing.T) {
	for _, name := range []string{"01-election-and-first-sync", "04-join-snap", "12-join-snap-under-load"} {
		t.Run(name, func(t *testing.T) {
			snap := readSnap(t, name)
			o := memOptions()
			o.DeferTail = true
			warned := watchLog(&o)
			l := startLoop(t, o)
			rest := []byte("and then the next packet")
			in := bytes.NewReader(append(bytes.Clone(snap.stream), rest...))
			r, err := l.s.Receive(iotest.HalfReader(in), snap.label, int64(snap.label.Epoch()))
			must(t, err)
			if left, _ := io.ReadAll(in); !bytes.Equal(left, rest) {
				t.Errorf("left of the stream: %q", left)
			}
			if l.s.tree.LastZxid() != 0 || len(listDir(t, o.FS, "/data/version-2", "snapshot.")) != 1 {
				t.Error("received is installed")
			}
			must(t, r.Install())
			file := getFile(t, o.FS, "/data/version-2/"+snapshotName(snap.label))
			if body := snap.stream[:len(snap.stream)-4-len(signature)]; !bytes.Equal(file[wire.FileHeaderSize:len(file)-sealSize], body) {
				t.Error("the file's body is not the stream's")
			}
			l.s.settle()
			crashed := o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
			l.follow(snap.txns)
			if n := l.s.tree.DigestMismatches(); n > 0 || len(snap.txns) > 50 && lastDigest(t, snap.txns) != l.s.tree.Digest() {
				t.Errorf("%d digests do not match", n)
			}
			want := contentOf(t, l.s)
			mustClose(t, l.s)
			compare(t, want, contentOf(t, open(t, o)))

			for _, removed := range []string{"", "/data/" + pebbleDir} {
				o.FS = crashed.CrashClone(vfs.CrashCloneCfg{})
				if removed != "" {
					must(t, o.FS.RemoveAll(removed))
				}
				l = startLoop(t, o)
				if l.s.tree.LastZxid() != snap.label {
					t.Errorf("restarted at %v", l.s.tree.LastZxid())
				}
				l.follow(snap.txns)
				compare(t, want, contentOf(t, l.s))
			}
			if warned("digest") {
				t.Error("a digest did not match")
			}
		})
	}
}

func lastDigest(t *testing.T, payloads [][]byte) uint64 {
	t.Helper()
	for i := len(payloads) - 1; i >= 0; i-- {
		txn, err := wire.DecodeTxn(payloads[i])
		must(t, err)
		if txn.Digest.Version == wire.DigestVersion {
			return txn.Digest.Tree
		}
	}
	return 0
}

// TestReceiveBroken: a stream that ends early, or is none, changes nothing.
func TestReceiveBroken(t *testing.T) {
	snap := readSnap(t, "04-join-snap")
	o := memOptions()
	l := startLoop(t, o)
	l.create("/x", "", 0)
	l.apply()
	want, before := contentOf(t, l.s), copyDir(t, o.FS, "/data/version-2")
	refused := func(why string, stream []byte, label wire.Zxid, epoch int64) {
		t.Helper()
		r, err := l.s.Receive(bytes.NewReader(stream), label, epoch)
		if err == nil {
			t.Errorf("%s: received", why)
			r.Discard()
		}
		if left := listDir(t, o.FS, "/data/version-2", receivedPrefix); len(left) > 0 {
			t.Fatalf("%s: %v is left", why, left)
		}
	}
	for n := range len(snap.stream) {
		refused(fmt.Sprintf("cut at %d", n), snap.stream[:n], snap.label, 1)
	}
	other := bytes.Clone(snap.stream)
	other[len(other)-1] = 's'
	refused("another signature", other, snap.label, 1)
	refused("a later epoch than the leader's", snap.stream, snap.label, 0)
	refused("no zxid", snap.stream, -1, 1)
	refused("a count that is none", append([]byte{0xff, 0xff, 0xff, 0xff}, snap.stream[4:]...), snap.label, 1)
	refused("a huge count", append([]byte{0x7f, 0xff, 0xff, 0xff}, snap.stream[4:]...), snap.label, 1)
	_, err := l.s.Receive(iotest.ErrReader(syscall.ECONNRESET), snap.label, 1)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v", err)
	}
	r, err := l.s.Receive(bytes.NewReader(snap.stream), snap.label, 1)
	must(t, err)
	r.Discard()
	r.Discard()
	if err := r.Install(); err == nil {
		t.Error("installed what was discarded")
	}
	compare(t, want, contentOf(t, l.s))
	if after := copyDir(t, o.FS, "/data/version-2"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Error("files have changed")
	}
}

// TestReceiveOnFullDisk ends with the disk's error and leaves nothing.
func TestReceiveOnFullDisk(t *testing.T) {
	snap := readSnap(t, "12-join-snap-under-load")
	for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWrite, errorfs.OpFileSync} {
		o := memOptions()
		var full atomic.Bool
		o.FS = errorfs.Wrap(o.FS, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && op.Kind == kind && strings.Contains(op.Path, receivedPrefix) {
				return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
			}
			return nil
		}))
		l := startLoop(t, o)
		full.Store(true)
		if _, err := l.s.Receive(bytes.NewReader(snap.stream), snap.label, 1); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("kind %v: %v", kind, err)
		}
		if left := listDir(t, o.FS, "/data/version-2", receivedPrefix); len(left) > 0 {
			t.Errorf("kind %v: %v is left", kind, left)
		}
		full.Store(false)
		l.install(snap.stream, snap.label)
	}
}

// FuzzReceive feeds garbage: an error, or a tree, but no panic and no hang.
func FuzzReceive(f *testing.F) {
	snap := readSnap(f, "04-join-snap")
	f.Add(snap.stream)
	f.Add(snap.stream[:100])
	o := memOptions()
	s, err := Open(o)
	must(f, err)
	f.Cleanup(func() { must(f, s.Close()) })
	f.Fuzz(func(t *testing.T, stream []byte) {
		r, err := s.Receive(bytes.NewReader(stream), 5, 1)
		if err == nil {
			r.Discard()
		}
		if left := listDir(t, o.FS, "/data/version-2", receivedPrefix); len(left) > 0 {
			t.Fatalf("%v is left", left)
		}
	})
}

// TestReceiveUnknownACL: a znode whose ACL the leader's table lacks permits
// nothing until a txn says what it is.
func TestReceiveUnknownACL(t *testing.T) {
	b := snapshotWithUnknownACL()
	stream := wire.AppendString(bytes.Clone(b[wire.FileHeaderSize:len(b)-sealSize]), signature)
	o := memOptions()
	o.DeferTail = true
	l := startLoop(t, o)
	l.install(stream, 5)
	check := func(s *Store, closed bool) {
		t.Helper()
		acl := contentOf(t, s).Nodes["/n"].ACL
		if closed != (len(acl) == 1 && acl[0].Perms == 0) || !closed && acl != nil {
			t.Errorf("acl %v", acl)
		}
	}
	check(l.s, true)
	mustClose(t, l.s)
	must(t, o.FS.RemoveAll("/data/"+pebbleDir))
	l = startLoop(t, o)
	_, err := l.s.Tail()
	must(t, err)
	check(l.s, true)
	txn := wire.Txn{TxnHeader: wire.TxnHeader{Zxid: 6, Op: wire.OpSetACL}, Body: &wire.SetACLTxn{Path: "/n", ACL: wire.OpenACL, Version: 1}}
	l.follow([][]byte{txn.Append(nil)})
	check(l.s, false)
}

// donor is a leader's state and its stream.
func donor(t testing.TB, seed uint64, label wire.Zxid) (*content, []byte) {
	t.Helper()
	o := memOptions()
	l := startLoop(t, o)
	l.some(rand.New(rand.NewPCG(seed, 9)), 38)
	l.propose(1, wire.OpCreateSession, nil)
	l.next = label
	l.create(fmt.Sprintf("/donor-%d", seed), "", 0)
	l.apply()
	want := contentOf(t, l.s)
	stream := streamOf(t, l.s, label)
	mustClose(t, l.s)
	return want, stream
}

func streamOf(t testing.TB, s *Store, atLeast wire.Zxid) []byte {
	t.Helper()
	st, err := s.Stream(context.Background(), atLeast)
	must(t, err)
	if st.Zxid < atLeast {
		t.Errorf("a stream at %v, %v was asked for", st.Zxid, atLeast)
	}
	var b bytes.Buffer
	n, err := st.WriteTo(&b)
	must(t, err)
	if n != int64(b.Len()) {
		t.Errorf("%d bytes are said to be written, %d are", n, b.Len())
	}
	must(t, st.Close())
	must(t, st.Close())
	return b.Bytes()
}
