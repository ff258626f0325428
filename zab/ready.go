package zab

import "zooid/wire"

// ConnID numbers a connection between a learner and its leader. The shell
// gives every connection, dialled or accepted, a number of its own, above 0 and
// never used again.
type ConnID int64

// Ready is what a Machine wants done. The slices are valid until the next call
// of Ready; payloads and packets' data are shared and must not be changed.
//
// The parts may be carried out in any order, except that the Sends of one
// connection keep theirs, come before its Close, and a SendSnapshot comes behind
// the Sends that were handed out with or before it.
type Ready struct {
	// Truncate, if not nil, is carried out first: the log loses every record with
	// a greater zxid, durably, and snapshots of later states go. The answer is
	// Machine.Truncated. Nothing is appended before.
	Truncate *wire.Zxid
	// Entries go to the log, in this order; Machine.Logged tells when they are on
	// disk.
	Entries []wire.Entry
	// SaveEpochs, if not nil, goes to the epoch files, durably; the answer is
	// Machine.EpochsSaved. At most one is under way.
	SaveEpochs *Epochs
	// SaveSecret, if not empty, takes the place of Config.Secret on disk, durably;
	// the answer is Machine.SecretSaved. At most one is under way.
	SaveSecret string
	// Install, if not nil, has the snapshot that follows on a connection read:
	// made durable in place of all that the disk holds, the log emptied, and the
	// tree replaced. The answer is Machine.Installed, also if the connection is
	// closed meanwhile.
	Install *Install

	// Notices go to members by the election's connections. Who has none is
	// dialled; of several notices to one member the last one is enough.
	Notices []Notice
	// ConnectAll asks the election's network to dial every member that it has no
	// connection with.
	ConnectAll bool

	// Dial, if not nil, asks for a connection to a leader's quorum port; the
	// answer is Machine.Dialled or Machine.DialFailed. It replaces an earlier one
	// that is not answered yet: what comes of that is closed, and not told.
	Dial *Dial
	// Sends are packets for the connections.
	Sends []Send
	// Snapshots asks for snapshots to be streamed to learners. The answer is
	// Machine.SnapshotSent.
	Snapshots []SendSnapshot
	// Reads asks for parts of the log; the answer is Machine.LogRead. A shell that
	// answers only once the connection has taken what was sent before keeps a long
	// DIFF from piling up.
	Reads []ReadLog
	// Close names connections to be closed once what was sent is written.
	Close []ConnID

	// Refused tells of learners whose connections are among Close, and Failed, if
	// not empty, why an attempt to lead or to follow has ended before it served.
	// Both are for the log only.
	Refused []Refused
	Failed  string
	// Stop, if not nil, says that the member must end: it cannot take part any
	// more before somebody has done what the error says.
	Stop error

	// What follows is for the peer above.

	// Committed entries are final, in order, each of them once.
	Committed []wire.Entry
	// Role, if not nil, is a change of what the member is. If it begins to serve,
	// Committed holds only entries of the new role; if it stops, only entries of
	// the old one, which come before. A role that has begun and ended between two
	// calls of Ready shows only in its end.
	Role *RoleChange
	// Forwarded are the requests, revalidations and touches of learners, in the
	// order of their arrival; only while leading.
	Forwarded []Forwarded
	// Synced is how many SYNC have arrived, each for the oldest sync that the
	// peer has forwarded; only while following or observing.
	Synced int
	// Revalidated are the leader's answers; only while following or observing.
	Revalidated []wire.Revalidated
	// PingsDue asks the peer for the sessions that it has heard from since the
	// last time, once for each: Machine.Pong answers; only while following or
	// observing.
	PingsDue int
	// Confirmed is the number of the last Machine.Confirm for which a quorum has
	// shown, after it was asked, that it still follows; only while leading.
	Confirmed int64
}

// emptied is r without its content; the slices keep their memory, but nothing
// that they pointed to.
func (r *Ready) emptied() Ready {
	return Ready{
		Entries:     emptied(r.Entries),
		Notices:     emptied(r.Notices),
		Sends:       emptied(r.Sends),
		Snapshots:   r.Snapshots[:0],
		Reads:       r.Reads[:0],
		Close:       r.Close[:0],
		Refused:     emptied(r.Refused),
		Committed:   emptied(r.Committed),
		Forwarded:   emptied(r.Forwarded),
		Revalidated: r.Revalidated[:0],
	}
}

// readyKept is how many elements of a slice of Ready the memory is kept for: a
// learner that catches up is sent very many packets once.
const readyKept = 1 << 13

func emptied[T any](s []T) []T {
	if cap(s) > readyKept {
		return nil
	}
	clear(s)
	return s[:0]
}

// Epochs are the two promises on disk, disk.md §7. Accepted >= Current.
type Epochs struct{ Accepted, Current int64 }

// Install is a snapshot on its way in.
type Install struct {
	Conn ConnID
	Zxid wire.Zxid // of SNAP: the state is at least that new
	// Epoch: if Zxid is of this epoch the snapshot becomes visible on disk with
	// currentEpoch.tmp holding it, see disk.md §11.5.
	Epoch int64
}

// Notice is a notification to one member.
type Notice struct {
	To wire.SID
	N  wire.Notification
}

// Dial is a connection wanted.
type Dial struct {
	Leader wire.SID
	// Attempt counts the tries for this leader from 1 on.
	Attempt int
}

// Send is one packet for one connection.
type Send struct {
	Conn   ConnID
	Packet wire.QuorumPacket
}

// SendSnapshot wants, on one connection, the packet SNAP and the stream of a
// snapshot behind it. The state must be committed and at least as new as AtLeast.
// SNAP carries the zxid of the state, or Label if that is greater.
type SendSnapshot struct {
	Conn    ConnID
	AtLeast wire.Zxid
	Label   wire.Zxid
}

// ReadLog wants the records of the log behind After, as many as fit in
// MaxBytes of payload, but at least one.
type ReadLog struct {
	Conn     ConnID
	After    wire.Zxid
	MaxBytes int
}

// LogChunk is the answer to a ReadLog.
type LogChunk struct {
	After wire.Zxid // of the ReadLog
	// Prev is the newest record at or before After (0 if there is none): equal to
	// After if that is in the log, or is where the log begins.
	Prev wire.Zxid
	// Entries are the records behind Prev, in order and without a hole.
	Entries []wire.Entry
	// Behind is about how many bytes the log holds behind Entries.
	Behind int64
	// Err says that the log does not reach back to After, or cannot be read.
	Err error
}

// RoleChange tells what the member is now.
type RoleChange struct {
	State wire.PeerState // Looking: no role; the others: serving in that role
	// Leader and Epoch are those of the new role; NoSID and 0 while looking.
	Leader wire.SID
	Epoch  int64
	// Conn is the connection to the leader while following or observing.
	Conn ConnID
	// Base is the last entry of the initial history: the role serves once the
	// peer has applied it.
	Base wire.Zxid
	// Reason says in a few words why the previous role ended, and SilentMs how long
	// ago the leader was last heard from then; of a leader, a quorum of its voters.
	Reason   string
	SilentMs int64
}

// Forwarded is a packet of a learner that is for the peer: REQUEST, REVALIDATE,
// or PING with the sessions that it has heard from.
type Forwarded struct {
	Conn   ConnID
	SID    wire.SID
	Packet wire.QuorumPacket
}

// Refused is a learner whose connection this leader has ended.
type Refused struct {
	Conn   ConnID
	SID    wire.SID // 0 if it has not said
	Reason string
}
