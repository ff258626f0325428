package txnlog

import (
	"errors"
	"hash/crc32"
	"sync"

	"zooid/wire"
)

// Fingerprint tells a transaction from another one with the same zxid, which a
// history that was given up had: the CRC-32C of its encoding, and its length.
func Fingerprint(payload []byte) uint64 {
	return uint64(crc32.Checksum(payload, markTable))<<32 | uint64(uint32(len(payload)))
}

// Logged is what the log says of one transaction.
type Logged struct {
	Fingerprint uint64
	// Digest is the tree's after it, Version 0 if its file does not tell: error
	// transactions have none, so it may be that of one before.
	Digest wire.TxnDigest
}

// Find looks up a transaction on disk; false says that the log does not have it.
// It belongs before the first Append. Damage that hides it is an error.
func (l *Log) Find(z wire.Zxid) (found Logged, ok bool, err error) {
	files := l.Files()
	i := len(files) - 1
	for i >= 0 && files[i].First > z {
		i--
	}
	if i < 0 {
		return found, false, nil
	}
	path := l.fs.PathJoin(l.o.Dir, files[i].Name)
	var withDigest []byte // the newest payload that may have one
	tail, err := Scan(l.fs, path, func(r Record) error {
		if r.Zxid > z {
			return errEnough
		}
		if payloadOp(r.Payload) != wire.OpError {
			withDigest = append(withDigest[:0], r.Payload...)
		}
		if r.Zxid == z {
			found.Fingerprint, ok = Fingerprint(r.Payload), true
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return Logged{}, false, err
	case err == nil && tail.Reason != "" && !ok && i+1 < len(files) && !tail.endsBefore(z-1, files[i+1].First):
		return Logged{}, false, tail.damage(path)
	case !ok || withDigest == nil:
		return found, ok, nil
	}
	if txn, err := wire.DecodeTxn(withDigest); err == nil {
		found.Digest = txn.Digest
	}
	return found, true, nil
}

// printsMax is for how many of the newest transactions Fingerprint of a Log
// remembers: more than are in flight between the log and the tree. Of an older
// one it knows nothing.
const printsMax = 1 << 13

// prints remembers the fingerprints of the newest transactions in a ring.
type prints struct {
	sync.Mutex
	ring []zxidPrint
	next int
}

type zxidPrint struct {
	z   wire.Zxid
	sum uint64
}

func (p *prints) add(z wire.Zxid, payload []byte) {
	e := zxidPrint{z, Fingerprint(payload)}
	p.Lock()
	defer p.Unlock()
	if len(p.ring) < printsMax {
		p.ring = append(p.ring, e)
		return
	}
	p.ring[p.next] = e
	p.next = (p.next + 1) % printsMax
}

// drop forgets all: something was taken away from the log's end.
func (p *prints) drop() {
	p.Lock()
	defer p.Unlock()
	p.ring, p.next = nil, 0
}

// Fingerprint is that of a transaction that was written or replayed of late;
// false if it is too old, or not the log's. Any goroutine may ask.
func (l *Log) Fingerprint(z wire.Zxid) (uint64, bool) {
	l.prints.Lock()
	defer l.prints.Unlock()
	for _, e := range l.prints.ring {
		if e.z == z {
			return e.sum, true
		}
	}
	return 0, false
}
