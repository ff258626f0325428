package peer

import (
	"zooid/wire"
	"zooid/znode"
)

const (
	// chunkBytes is how much memory is taken at once for the encodings of
	// transactions and forwarded requests, which share it: an allocation of its
	// own for each would be the dearest part of a small write.
	chunkBytes = 64 << 10
	// chunkShare is the largest encoding that shares a chunk, in bytes. A larger
	// one gets memory of its own. The chunk stays as long as anything in it is in
	// use, so this, and the space for one more at its end, bounds what is kept alive
	// in vain.
	chunkShare = chunkBytes / 8
)

// memory gives an empty slice of the given capacity. A chunk is never grown: it
// is replaced by another one.
func (p *Peer) memory(size int) []byte {
	if size > chunkShare {
		return make([]byte, 0, size)
	}
	if cap(p.chunk)-len(p.chunk) < size {
		p.chunk = make([]byte, 0, chunkBytes)
	}
	start := len(p.chunk)
	p.chunk = p.chunk[:start+size]
	return p.chunk[start:start:len(p.chunk)]
}

// encode encodes a transaction.
func (p *Peer) encode(txn *wire.Txn) []byte { return txn.Append(p.memory(txn.Size())) }

// encodeRequest encodes the data of REQUEST.
func (p *Peer) encodeRequest(r *znode.Request) []byte {
	f := wire.ForwardedRequest{Session: r.Session, Cxid: r.Cxid, Op: r.Op, Body: r.Raw}
	switch {
	case r.Op == wire.OpCreateSession:
		f.Body = wire.AppendInt32(p.memory(4), r.TimeoutMs)
	case r.Raw == nil && r.Body != nil:
		f.Body = r.Body.Append(nil)
	}
	return f.Append(p.memory(f.Size()))
}
