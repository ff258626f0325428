package main

import (
	"zooid/wire"
	"zooid/zab"
)

// record is an entry of a log with the hash of its payload.
type record struct {
	wire.Entry
	hash uint64
}

// disk is what a member keeps: its log, its epoch files, and the copy of its
// tree. What is written is durable when a sync that began after it has ended;
// the epochs and the installing of a snapshot are atomic.
//
// Invariants: log[:durable] is on the platter; the log begins behind base.
type disk struct {
	m       *member
	base    wire.Zxid
	log     []record
	durable int
	epochs  zab.Epochs
	copied  *copyOfTree // the copy, in memory; nil while the member is down
	flushed *copyOfTree // … and as it would be after a crash

	// The log and the epoch files are written beside each other.
	lanes [2]lane

	full       bool
	stallUntil int64
	slowBy     int64 // factor
}

// lane does one job after the other.
type lane struct {
	job     job
	no      uint32
	waiting []job
}

const (
	laneLog = iota
	laneEpochs
)

// job is something that takes a disk time.
type job struct {
	kind    jobKind
	upTo    int // of the log, for a sync
	zxid    wire.Zxid
	epochs  zab.Epochs
	install *arrival
}

type jobKind uint8

const (
	jobNone jobKind = iota
	jobSync
	jobEpochs
	jobTruncate
	jobInstall
)

// last is the last zxid that is written, durable or not.
func (d *disk) last() wire.Zxid {
	if n := len(d.log); n > 0 {
		return d.log[n-1].Zxid
	}
	return d.base
}

// lastDurable is the last zxid that would be there after a crash.
func (d *disk) lastDurable() wire.Zxid {
	z := d.base
	if d.durable > 0 {
		z = d.log[d.durable-1].Zxid
	}
	return max(z, d.flushed.zxid)
}

// find is the place of a record in the log, -1 if it is not there.
func (d *disk) find(z wire.Zxid) int {
	lo, hi := 0, len(d.log)
	if hi == 0 || z > d.log[hi-1].Zxid {
		return -1
	}
	// Most often it is one of the last ones, and of the same epoch.
	if back := int64(d.log[hi-1].Zxid - z); back < int64(hi) && d.log[hi-1-int(back)].Zxid == z {
		return hi - 1 - int(back)
	}
	for lo < hi {
		if mid := (lo + hi) / 2; d.log[mid].Zxid < z {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if d.log[lo].Zxid == z {
		return lo
	}
	return -1
}

// holds tells whether a txn would be there after a crash: in the log, or in the
// state that the copy and the beginning of the log stand for.
func (d *disk) holds(z wire.Zxid) bool {
	if i := d.find(z); i >= 0 && i < d.durable {
		return true
	}
	return z <= max(d.base, d.flushed.zxid) && d.m.w.ledger.isFinal(z)
}

// has is holds for what is written.
func (d *disk) has(z wire.Zxid) bool { return d.find(z) >= 0 || d.holds(z) }

// append writes entries, and begins to make them durable.
func (d *disk) append(list []wire.Entry) {
	for _, e := range list {
		d.log = append(d.log, record{e, hashOf(e.Payload)})
	}
	d.work(laneLog)
}

// ask queues a job.
func (d *disk) ask(j job) {
	n := laneLog
	if j.kind == jobEpochs {
		n = laneEpochs
	}
	d.lanes[n].waiting = append(d.lanes[n].waiting, j)
	d.work(n)
}

// work begins a lane's next job, if there is one and none is under way.
func (d *disk) work(n int) {
	l := &d.lanes[n]
	if l.job.kind != jobNone || d.full {
		return
	}
	switch {
	case n == laneLog && d.durable < len(d.log):
		if len(d.log)-d.durable > 1 {
			d.m.w.saw(rareGroupCommit)
		}
		l.job = job{kind: jobSync, upTo: len(d.log)}
	case len(l.waiting) > 0:
		l.job = l.waiting[0]
		l.waiting = append(l.waiting[:0], l.waiting[1:]...)
	default:
		return
	}
	w := d.m.w
	t := w.plan.fsync/2 + int64(w.disks.Uint64N(uint64(w.plan.fsync)))
	if w.disks.Uint32()&15 == 0 {
		t *= 8
	}
	if l.job.kind != jobSync {
		t *= int64(1 + w.disks.IntN(3))
	}
	if l.job.kind == jobInstall {
		t *= int64(1 + w.disks.IntN(100)) // there is much to write
	}
	if d.slowBy > 1 {
		t *= d.slowBy
	}
	t = max(t, d.stallUntil-w.now)
	l.no++
	w.add(event{at: w.now + t, kind: atDisk, who: int32(d.m.i), arg: l.no<<1 | uint32(n)})
}

// hurry ends what a slow disk is doing within its usual time.
func (d *disk) hurry() {
	for n := range d.lanes {
		if l := &d.lanes[n]; l.job.kind != jobNone {
			l.no++
			d.m.w.add(event{at: d.m.w.now + d.m.w.plan.fsync, kind: atDisk, who: int32(d.m.i), arg: l.no<<1 | uint32(n)})
		}
	}
}

// goOn lets a disk that was full work again.
func (d *disk) goOn() {
	d.full = false
	d.work(laneLog)
	d.work(laneEpochs)
}

// done ends the job that is under way in a lane.
func (d *disk) done(arg uint32) {
	n := int(arg & 1)
	l := &d.lanes[n]
	if arg>>1 != l.no || l.job.kind == jobNone {
		return // a crash has ended it
	}
	if w := d.m.w; d.stallUntil > w.now {
		w.add(event{at: d.stallUntil, kind: atDisk, who: int32(d.m.i), arg: arg})
		return
	}
	j := l.job
	l.job = job{}
	p := d.m.process
	switch j.kind {
	case jobSync:
		d.durable = j.upTo
		d.m.checkDisk()
		p.arrive(item{kind: itLogged, zxid: d.log[j.upTo-1].Zxid})
		d.m.moment(momSynced)
	case jobEpochs:
		d.saveEpochs(j.epochs)
		p.arrive(item{kind: itEpochs, epochs: j.epochs})
		d.m.moment(momEpochsSaved)
	case jobTruncate:
		last, ok := d.truncate(j.zxid)
		p.arrive(item{kind: itTruncated, zxid: last, ok: ok})
		d.m.moment(momTruncated)
	case jobInstall:
		d.install(j.install)
		p.arrive(item{kind: itInstalled, zxid: j.install.zxid, ok: true, arrival: j.install})
		d.m.moment(momInstalled)
	}
	d.work(n)
}

func (d *disk) saveEpochs(e zab.Epochs) {
	if e.Accepted < d.epochs.Accepted {
		d.m.w.fail("13 promises", "member %d: acceptedEpoch goes back from %d to %d", d.m.sid, d.epochs.Accepted, e.Accepted)
	}
	if e.Current > d.epochs.Current {
		d.m.checkCurrent(e.Current)
	}
	d.epochs = e
	d.m.checkDisk()
}

// truncate cuts the log behind z; false if the copy, or the place where the
// log begins, is beyond it.
func (d *disk) truncate(z wire.Zxid) (last wire.Zxid, ok bool) {
	if z < d.base || z < d.copied.zxid || z < d.flushed.zxid || z < d.m.process.tree.LastZxid() {
		d.m.w.saw(rareTruncRefused)
		return 0, false
	}
	keep := len(d.log)
	for keep > 0 && d.log[keep-1].Zxid > z {
		keep--
	}
	d.m.checkCut(d.log[keep:])
	d.log = d.log[:keep:keep]
	d.durable = keep
	d.m.w.saw(rareTrunc)
	d.m.checkQuorum("TRUNC")
	if d.last() != z {
		d.m.w.saw(rareTruncElsewhere)
	}
	return d.last(), true
}

// install puts a snapshot in the place of all that is on the disk.
func (d *disk) install(a *arrival) {
	s := a.snapshot
	d.m.checkInstall(a)
	d.log, d.durable, d.base = nil, 0, a.zxid
	d.flushed, d.copied = s, s.clone()
	if int64(a.zxid.Epoch()) == a.epoch {
		d.epochs.Current = max(d.epochs.Current, a.epoch)
	}
	d.m.checkDisk()
	d.m.checkQuorum("SNAP")
}

// purge lets the beginning of the log go that the copy does not need.
func (d *disk) purge(keep int) {
	n := 0
	for n < d.durable-keep && d.log[n].Zxid <= d.flushed.zxid {
		n++
	}
	if n == 0 {
		return
	}
	d.base = d.log[n-1].Zxid
	d.log = append([]record(nil), d.log[n:]...)
	d.durable -= n
	if j := &d.lanes[laneLog].job; j.kind == jobSync {
		j.upTo -= n
	}
	d.m.w.saw(rarePurge)
}

// crash loses what was not durable, but for a random beginning of it, and
// leaves what was under way done, not done, or where it may be, half done.
func (d *disk) crash() {
	w := d.m.w
	keep := d.durable
	if lost := len(d.log) - keep; lost > 0 {
		w.saw(rareUnsyncedLost)
		switch w.disks.IntN(3) {
		case 0:
			keep = len(d.log)
		case 1:
			keep += w.disks.IntN(lost)
			// What was being written is torn, and is cut off.
			w.saw(rareTornRecord)
		}
	}
	d.log = d.log[:keep:keep]
	d.durable = keep
	if w.plan.alone {
		w.ledger.forgetBehind(max(d.last(), d.flushed.zxid))
	}
	jobs := [2]job{d.lanes[laneLog].job, d.lanes[laneEpochs].job}
	for i := range d.lanes {
		d.lanes[i].job, d.lanes[i].waiting = job{}, nil
	}
	if d.copied != nil && w.disks.IntN(4) == 0 {
		d.flushed = d.copied // Pebble happens to have written it
	}
	d.copied = nil
	for _, j := range jobs {
		d.halfDone(j)
	}
	// The log ends before the copy: what the copy has is durable without it.
	if d.last() < d.flushed.zxid {
		d.log, d.durable, d.base = nil, 0, d.flushed.zxid
		w.saw(rareLogBehindCopy)
	}
	d.m.checkDisk()
	d.m.checkQuorum("a crash")
}

// halfDone is a job that a crash has interrupted.
func (d *disk) halfDone(j job) {
	w := d.m.w
	switch j.kind {
	case jobEpochs:
		switch w.disks.IntN(3) {
		case 0:
			d.saveEpochs(j.epochs)
		case 1:
			d.saveEpochs(zab.Epochs{Accepted: j.epochs.Accepted, Current: d.epochs.Current})
		}
		w.saw(rareCrashInPromise)
	case jobTruncate:
		for len(d.log) > 0 && d.log[len(d.log)-1].Zxid > j.zxid && w.disks.IntN(4) > 0 {
			d.m.checkCut(d.log[len(d.log)-1:])
			d.log = d.log[:len(d.log)-1]
		}
		d.durable = len(d.log)
		w.saw(rareCrashInTrunc)
	case jobInstall:
		if w.disks.IntN(2) == 0 {
			d.install(j.install)
			d.copied = nil
		}
		w.saw(rareCrashInInstall)
	}
}

// hashOf is a quick hash of bytes.
func hashOf(b []byte) uint64 {
	h := uint64(len(b)) * 0x9e3779b97f4a7c15
	for len(b) >= 8 {
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h = (h ^ x) * 0xff51afd7ed558ccd
		h ^= h >> 32
		b = b[8:]
	}
	for _, x := range b {
		h = (h ^ uint64(x)) * 0x100000001b3
	}
	return h ^ h>>29
}
