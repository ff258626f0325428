package zab

import (
	"fmt"
	"slices"

	"zooid/wire"
)

// This file has the disks of a machineNet.

// toDisk queues what the disk is to do.
func (x *node) toDisk(r *Ready) {
	at := x.net.now + x.net.diskMs
	if r.Truncate != nil {
		x.ops = append(x.ops, &diskOp{at: at, truncate: r.Truncate})
	}
	if len(r.Entries) > 0 {
		x.ops = append(x.ops, &diskOp{at: at, entries: slices.Clone(r.Entries)})
	}
	if r.SaveEpochs != nil {
		x.saves = append(x.saves, &diskOp{at: x.net.now + x.net.epochsMs, epochs: r.SaveEpochs})
	}
	for i := range r.Reads {
		read := r.Reads[i]
		x.ops = append(x.ops, &diskOp{at: at, read: &read})
	}
	if r.Install != nil {
		x.install = r.Install
	}
}

// nextOp is what the disk does next.
func (x *node) nextOp() *diskOp {
	switch {
	case len(x.saves) > 0 && (len(x.ops) == 0 || x.saves[0].at < x.ops[0].at):
		return x.saves[0]
	case len(x.ops) > 0:
		return x.ops[0]
	}
	return nil
}

// doDisk does it.
func (x *node) doDisk() {
	n, op := x.net, x.nextOp()
	if op.epochs != nil {
		x.saves = x.saves[1:]
	} else {
		x.ops = x.ops[1:]
	}
	x.Tick(n.now)
	switch {
	case op.entries != nil:
		x.log = append(x.log, op.entries...)
		n.log("%d: durable %s", x.sid, brief(op.entries[len(op.entries)-1].Zxid))
		x.Logged(op.entries[len(op.entries)-1].Zxid)
	case op.epochs != nil:
		if op.epochs.Accepted < x.epochs.Accepted || op.epochs.Current < x.epochs.Current || op.epochs.Accepted < op.epochs.Current {
			n.fail("server %d: epochs %v after %v", x.sid, *op.epochs, x.epochs)
		}
		x.epochs = *op.epochs
		x.EpochsSaved(*op.epochs)
	case op.truncate != nil:
		x.truncate(*op.truncate)
	case op.read != nil:
		x.LogRead(op.read.Conn, x.readLog(op.read))
	case op.install != nil:
		p := op.install
		x.state, x.stateZ = slices.Clone(p.stream), p.streamZ
		x.tree, x.treeZ = slices.Clone(p.stream), p.streamZ
		x.log, x.logBase = nil, p.streamZ
		if e := int64(p.streamZ.Epoch()); e > x.epochs.Current { // as currentEpoch.tmp
			x.epochs.Current = e
		}
		n.delivered(x)
		n.log("%d: installed %s", x.sid, brief(p.streamZ))
		x.Installed(p.streamZ, true)
	}
	if last := x.durable(); int64(last.Epoch()) > x.epochs.Current {
		n.fail("server %d: %v on disk in epoch %d", x.sid, last, x.epochs.Current)
	}
	x.carry()
}

// durable is the end of what is on disk.
func (x *node) durable() wire.Zxid {
	if k := len(x.log); k > 0 {
		return max(x.stateZ, x.log[k-1].Zxid)
	}
	return x.stateZ
}

func (x *node) truncate(z wire.Zxid) {
	if x.treeZ > z || x.logBase > z {
		x.net.log("%d: cannot truncate to %s", x.sid, brief(z))
		x.Truncated(x.treeZ, false)
		return
	}
	for len(x.log) > 0 && x.log[len(x.log)-1].Zxid > z {
		x.net.log("%d: dropped %s", x.sid, brief(x.log[len(x.log)-1].Zxid))
		x.log = x.log[:len(x.log)-1]
	}
	x.Truncated(max(x.durable(), x.logBase), true)
}

func (x *node) readLog(r *ReadLog) LogChunk {
	c := LogChunk{After: r.After, Prev: x.logBase}
	if r.After < x.logBase {
		c.Err = fmt.Errorf("the log begins behind %v", x.logBase)
		return c
	}
	size := 0
	for _, e := range x.log {
		switch {
		case e.Zxid <= r.After:
			c.Prev = e.Zxid
		case len(c.Entries) == 0 || size+len(e.Payload) <= r.MaxBytes:
			c.Entries = append(c.Entries, e)
			size += len(e.Payload)
		default:
			c.Behind += int64(len(e.Payload))
			r.MaxBytes = 0
		}
	}
	return c
}
