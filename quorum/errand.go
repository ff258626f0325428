package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"zooid/store"
	"zooid/txnlog"
	"zooid/wire"
	"zooid/zab"
)

// This file has what the peer wants of the disk for the sake of the ensemble:
// the epoch files, the cut of the log, snapshots in and out, and the log for
// learners. All of it blocks and is done by goroutines of its own, which post
// what came of it.

// saveEpochs keeps the promises.
func (n *network) saveEpochs(e zab.Epochs) {
	n.promise("its epoch files", func() error { return n.e.Disk.SaveEpochs(e.Accepted, e.Current) },
		func() { n.m.peer.EpochsSaved(e) })
}

// saveSecret keeps the leader's secret, which comes before the promise to it.
func (n *network) saveSecret(secret string) {
	n.promise("the secret of its ensemble", func() error { return n.e.Disk.SaveSecret([]byte(secret)) },
		func() { n.m.peer.SecretSaved(secret) })
}

// promise has save make durable what the others are then told of, and done called
// in the loop. Where the disk is full that waits for room.
func (n *network) promise(what string, save func() error, done func()) {
	n.work.Go(func() {
		for told := false; ; told = true {
			err := save()
			if err == nil {
				break
			}
			if !txnlog.IsFull(err) {
				n.lost(fmt.Errorf("save %s: %w; what this server promised the others is uncertain, so it stops", what, err))
				return
			}
			if !told {
				n.log.Warn("the disk is full: this server can join no quorum until there is room for "+what, zap.Error(err))
			}
			if !pause(n.ctx, fullDiskPause) {
				return
			}
		}
		n.m.post(done)
	})
}

// lost ends the member because of its disk.
func (n *network) lost(err error) {
	n.m.inbox.Lock()
	n.m.inbox.err = err
	n.m.inbox.Unlock()
	n.m.knock()
}

func (n *network) truncate(z wire.Zxid) {
	n.work.Go(func() {
		last, ok, err := n.e.Disk.Truncate(z)
		if err != nil {
			n.lost(fmt.Errorf("cut the transaction log behind %v, as the leader asks: %w", z, err))
			return
		}
		if ok {
			n.log.Info("the log was cut: what lay behind was never committed", zap.Stringer("behind", z), zap.Stringer("last", last))
		} else {
			n.log.Warn("the log cannot be cut, the state here is beyond that: the leader's state will take its place",
				zap.Stringer("behind", z), zap.Stringer("last", last))
		}
		n.m.post(func() {
			if ok {
				n.m.o.Count.Truncated(1)
			}
			n.m.peer.Truncated(last, ok)
		})
	})
}

// install has the snapshot that the leader sends read, in the goroutine that
// reads the connection, and then puts it in the place of what this member had.
// A leader whose machine is gone says nothing any more, so that has a limit.
func (n *network) install(in zab.Install) {
	began := n.m.o.Now()
	n.log.Info("receiving the leader's snapshot", zap.Stringer("zxid", in.Zxid))
	read := func(r io.Reader) error {
		received, err := n.e.Disk.Receive(r, in.Zxid, in.Epoch)
		if err == nil {
			n.received.Store(received)
		}
		return err
	}
	n.channels.SetTimeout(in.Conn, n.patience())
	n.channels.Receive(in.Conn, read, func(err error) {
		n.channels.SetTimeout(in.Conn, 0)
		n.m.post(func() { n.installed(in, err, began) })
	})
}

// installed is what follows when the stream has ended. It is the one thing in
// the loop that waits for the disk: the tree and the disk change over together.
// The connection may have ended meanwhile, which is no reason against what is
// complete, and is of the leader.
func (n *network) installed(in zab.Install, err error, began time.Time) {
	received := n.received.Swap(nil)
	if err != nil {
		n.log.Warn("the leader's snapshot was not received", zap.Error(err))
		n.m.peer.Installed(in.Zxid, false)
		return
	}
	n.m.dropAll("this server takes over its leader's snapshot")
	if err := received.Install(); err != nil {
		// The switch has begun, and nobody knows how far it got.
		n.m.fail(fmt.Errorf("install the leader's snapshot of %v: %w; the next start finds out how far that got", in.Zxid, err))
		return
	}
	n.log.Info("installed the leader's snapshot", zap.Stringer("zxid", in.Zxid),
		zap.Int("znodes", n.m.tree.NodeCount()), zap.Duration("took", n.m.o.Now().Sub(began)))
	n.m.o.Count.Installed(1)
	n.m.suspect.Store(nil)
	n.m.peer.Installed(in.Zxid, true)
}

// sendSnapshot streams the state to a learner, from the durable copy as soon as
// that has it. Nothing else goes to the learner until the peer knows that it is
// sent, so that this needs no turn of the loop.
func (n *network) sendSnapshot(s zab.SendSnapshot) {
	n.m.o.Store.Keep(true)
	began, to := n.m.o.Now(), zap.Int64("server", int64(n.sidOf(s.Conn)))
	n.log.Info("synchronizing a learner by SNAP", to, zap.Stringer("zxid", s.AtLeast))
	n.work.Go(func() {
		stream, err := n.e.Disk.Stream(n.ctx, s.AtLeast)
		if err != nil {
			n.log.Warn("no snapshot for a learner", to, zap.Error(err))
			n.m.post(func() { n.m.peer.SnapshotSent(s.Conn, 0, false) })
			return
		}
		n.stream(s, stream, to, began)
	})
}

// stream sends a snapshot.
func (n *network) stream(s zab.SendSnapshot, stream *store.Stream, to zap.Field, began time.Time) {
	z := stream.Zxid
	n.channels.Queue(s.Conn, &wire.QuorumPacket{Type: wire.PacketSnap, Zxid: max(z, s.Label)})
	write := func(_ context.Context, w io.Writer) error {
		_, err := stream.WriteTo(w)
		return err
	}
	count := &n.m.o.Count
	count.SnapshotsOut(int64(n.streaming.Add(1)))
	n.channels.SendSnapshot(s.Conn, write, func(err error) {
		err = errors.Join(err, stream.Close())
		count.SnapshotsOut(int64(n.streaming.Add(-1)))
		if err != nil {
			n.log.Warn("a learner did not take its snapshot", to, zap.Stringer("zxid", z), zap.Error(err))
		} else {
			count.SnapshotsSent(1)
			n.log.Info("sent a snapshot to a learner", to, zap.Stringer("zxid", z), zap.Duration("took", n.m.o.Now().Sub(began)))
		}
		n.m.post(func() { n.m.peer.SnapshotSent(s.Conn, z, err == nil) })
	})
}

// readLog reads records for a learner once it has taken what was queued for it
// before: a learner that is far behind costs one part of the log in memory.
func (n *network) readLog(r zab.ReadLog) {
	nothing := func(context.Context, io.Writer) error { return nil }
	n.channels.SendSnapshot(r.Conn, nothing, func(err error) {
		if err != nil {
			return // its end is told elsewhere
		}
		n.work.Go(func() { n.readPart(r) })
	})
}

func (n *network) readPart(r zab.ReadLog) {
	part, err := n.e.Disk.ReadLog(r.After, r.MaxBytes)
	if err != nil {
		n.log.Info("the log does not serve a learner", zap.Stringer("after", r.After), zap.Error(err))
	}
	chunk := zab.LogChunk{After: r.After, Prev: part.Prev, Entries: part.Entries, Behind: part.Behind, Err: err}
	n.m.post(func() { n.m.peer.LogRead(r.Conn, chunk) })
}
