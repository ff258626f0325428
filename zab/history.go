package zab

import (
	"fmt"
	"slices"

	"zooid/wire"
)

// history is the member's log as its machine knows it: the newest records with
// their payloads, and how far the whole is on disk and final. Older records are
// on disk only; a leader asks for them with ReadLog.
//
// Records have positions, which count up from where the process began and stay
// the same when older records are forgotten.
//
// Invariants: base <= committed <= last, durable <= last, and every record that
// is not both durable and committed is in memory.
type history struct {
	base    wire.Zxid    // what the oldest record in memory follows: a record, or a state
	records []wire.Entry // behind base, from head on; before head nothing is kept
	head    int
	first   int // position of records[head]

	durable   wire.Zxid // the log has everything up to here on disk
	committed wire.Zxid // the last record handed to the peer, or the state it began with
	next      int       // position of the first record behind committed

	kept  int64 // bytes of the records in memory before next, see recordBytes
	limit int64 // most bytes of committed records that are kept
}

// recordOverhead is what a record in memory takes beside its payload, in bytes:
// its place in the list, and what stands beside it in the memory that it came in,
// the heads of PROPOSAL and COMMIT. Of small records it is most.
const recordOverhead = 96

// recordBytes is how much memory a record keeps alive. Whoever hands in payloads
// lets a large one have memory of its own, or nearly.
func recordBytes(e *wire.Entry) int64 { return int64(len(e.Payload)) + recordOverhead }

// newHistory takes over what the disk holds.
func newHistory(d Disk, limit int64) history {
	if d.Last < d.Committed {
		panic(fmt.Sprintf("zab: the log ends at %v, before the state at %v", d.Last, d.Committed))
	}
	h := history{base: d.Committed, durable: d.Last, committed: d.Committed, limit: limit}
	recent := d.Recent
	if n := len(recent); n == 0 || recent[n-1].Zxid != d.Last {
		// The log ends before the state: what it holds is not joined to what comes.
		if d.Last != d.Committed {
			panic(fmt.Sprintf("zab: records behind the state at %v are missing, the log ends at %v", d.Committed, d.Last))
		}
		recent = nil
	}
	if len(recent) > 0 && recent[0].Zxid <= d.Committed {
		// What the oldest one follows is not known, so it serves as that itself.
		h.base, recent = recent[0].Zxid, recent[1:]
	}
	h.records = slices.Clone(recent)
	for _, e := range h.records {
		if e.Zxid <= d.Committed {
			h.next++
			h.kept += recordBytes(&e)
		}
	}
	h.trim()
	return h
}

// last is the last record, on disk or on its way there.
func (h *history) last() wire.Zxid {
	if h.head < len(h.records) {
		return h.records[len(h.records)-1].Zxid
	}
	return h.base
}

// end is the position that the next record will have.
func (h *history) end() int { return h.first + len(h.records) - h.head }

// at is the record at a position, which must be in memory.
func (h *history) at(pos int) *wire.Entry { return &h.records[h.head+pos-h.first] }

// append adds a record.
func (h *history) append(e wire.Entry) {
	if e.Zxid <= h.last() {
		panic(fmt.Sprintf("zab: appending %v behind %v", e.Zxid, h.last()))
	}
	h.records = append(h.records, e)
}

// behind finds the position of the first record with a zxid greater than z, and
// says whether z itself is known: a record, or the base. z must not be before
// the base.
func (h *history) behind(z wire.Zxid) (pos int, known bool) {
	i, found := slices.BinarySearchFunc(h.records[h.head:], z, func(e wire.Entry, z wire.Zxid) int {
		switch {
		case e.Zxid < z:
			return -1
		case e.Zxid > z:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return h.first + i, found || z == h.base
}

// before is the zxid of the record, or base, in front of a position.
func (h *history) before(pos int) wire.Zxid {
	if pos > h.first {
		return h.at(pos - 1).Zxid
	}
	return h.base
}

// logged tells that everything up to z is on disk. The caller trims, once it has
// acknowledged that.
func (h *history) logged(z wire.Zxid) {
	if z < h.durable || z > h.last() {
		panic(fmt.Sprintf("zab: durable %v outside of [%v, %v]", z, h.durable, h.last()))
	}
	h.durable = z
}

// commitTo makes the records in front of a position final and appends them to out.
func (h *history) commitTo(pos int, out []wire.Entry) []wire.Entry {
	for ; h.next < pos; h.next++ {
		e := h.at(h.next)
		h.committed = e.Zxid
		h.kept += recordBytes(e)
		out = append(out, *e)
	}
	h.trim()
	return out
}

// trim forgets the oldest committed records beyond the limit.
func (h *history) trim() {
	n := 0
	for h.kept > h.limit && h.first+n < h.next {
		e := &h.records[h.head+n]
		if e.Zxid > h.durable {
			break // its own ACK is still to come
		}
		h.kept -= recordBytes(e)
		h.base = e.Zxid
		*e = wire.Entry{}
		n++
	}
	h.head += n
	h.first += n
	switch live := len(h.records) - h.head; {
	case live == 0:
		h.records, h.head = h.records[:0], 0
	case h.head >= 1024 && h.head >= live:
		copy(h.records, h.records[h.head:])
		clear(h.records[live:])
		h.records, h.head = h.records[:live], 0
	}
}

// truncated drops the records behind z, which the disk has dropped.
func (h *history) truncated(z wire.Zxid) {
	if z < h.committed {
		panic(fmt.Sprintf("zab: truncated to %v, before the state at %v", z, h.committed))
	}
	pos, _ := h.behind(z)
	keep := h.head + pos - h.first
	clear(h.records[keep:])
	h.records = h.records[:keep]
	if h.last() != z {
		panic(fmt.Sprintf("zab: the log ends at %v, its last record in memory is %v", z, h.last()))
	}
	h.durable = z
}

// reset starts anew behind a state at z.
func (h *history) reset(z wire.Zxid) {
	clear(h.records)
	h.first = h.end()
	h.next = h.first
	h.records, h.head = h.records[:0], 0
	h.base, h.durable, h.committed, h.kept = z, z, z, 0
}
