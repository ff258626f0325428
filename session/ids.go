package session

import "zooid/wire"

// Negotiate is the timeout in ms that a session gets when its client asks for
// requestedMs: clamped to minMs…maxMs, not rounded to ticks.
func Negotiate(requestedMs, minMs, maxMs int32) int32 {
	return min(max(requestedMs, minMs), maxMs)
}

const (
	serverShift = 56
	counterMask = int64(1)<<serverShift - 1
	// reserved is the id that ZooKeeper skips, because an ephemeralOwner of this
	// value marks a container.
	reserved = wire.SessionID(wire.ContainerOwner)
)

// IDs hands out session ids: the low byte of the server's id on top, below it
// the time of the start in ms (40 bits) and 16 bits to count from, as in
// ZooKeeper. Tools read the server's id out of the top byte.
type IDs struct {
	server int64 // the top byte, in place
	next   int64 // the low 56 bits of the next id
}

// NewIDs begins at unixMs for the server sid; a standalone server is 1, as in
// ZooKeeper. With TTL nodes on, sid must be below 255: ids with 0xff on top
// would look like the owner of a TTL node.
func NewIDs(sid wire.SID, unixMs int64) *IDs {
	return &IDs{server: int64(sid) << serverShift, next: unixMs << 16 & counterMask}
}

// Avoid keeps clear of id, which exists already: later ids of this server lie
// above it. It is called for the sessions that the tree holds at start, so that
// a clock that was set back cannot make an id twice.
func (s *IDs) Avoid(id wire.SessionID) {
	if counter := int64(id) & counterMask; int64(id)&^counterMask == s.server && counter >= s.next {
		s.next = (counter + 1) & counterMask
	}
}

// Next is an id that was not handed out before. It is never 0.
func (s *IDs) Next() wire.SessionID {
	for {
		id := wire.SessionID(s.server | s.next)
		s.next = (s.next + 1) & counterMask
		if id != 0 && id != reserved {
			return id
		}
	}
}
