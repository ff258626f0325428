package session

import (
	"slices"

	"zooid/wire"
)

// Tracker knows when each session was last heard from and which have not been
// for too long. Sessions expire in buckets one tick wide, as in ZooKeeper: a
// session last heard at t ends at ((t + timeout) / tick + 1) · tick.
//
// All times are ms of one Clock.
type Tracker struct {
	tickMs   int64
	sessions map[wire.SessionID]*entry
	// buckets holds the sessions that are not yet reported, by the time at which
	// they must be looked at. A touch does not move its session: whoever is found
	// alive when its bucket is looked at moves on then.
	buckets map[int64]map[wire.SessionID]struct{}
}

type entry struct {
	timeoutMs int64
	heard     int64
	bucket    int64 // bucket <= expiry of this entry, while not reported
	reported  bool
}

// NewTracker expires in buckets of tickMs, which must be positive.
func NewTracker(tickMs int64) *Tracker {
	if tickMs <= 0 {
		panic("session: tick must be positive")
	}
	return &Tracker{
		tickMs:   tickMs,
		sessions: map[wire.SessionID]*entry{},
		buckets:  map[int64]map[wire.SessionID]struct{}{},
	}
}

func (t *Tracker) expiry(e *entry) int64 {
	return ((e.heard+e.timeoutMs)/t.tickMs + 1) * t.tickMs
}

func (t *Tracker) place(id wire.SessionID, e *entry) {
	e.bucket = t.expiry(e)
	b := t.buckets[e.bucket]
	if b == nil {
		b = map[wire.SessionID]struct{}{}
		t.buckets[e.bucket] = b
	}
	b[id] = struct{}{}
}

func (t *Tracker) unplace(id wire.SessionID, e *entry) {
	b := t.buckets[e.bucket]
	delete(b, id)
	if len(b) == 0 {
		delete(t.buckets, e.bucket)
	}
}

// Add begins to track id, heard from at now. An id that is tracked already
// starts anew.
func (t *Tracker) Add(id wire.SessionID, timeoutMs int32, now int64) {
	t.Remove(id)
	e := &entry{timeoutMs: int64(timeoutMs), heard: now}
	t.sessions[id] = e
	t.place(id, e)
}

// Touch reports that id was heard from at the time at; an older time than the
// last one changes nothing. It is false if id is not tracked or has been
// reported due: such a session can not be saved any more.
func (t *Tracker) Touch(id wire.SessionID, at int64) bool {
	e := t.sessions[id]
	if e == nil || e.reported {
		return false
	}
	e.heard = max(e.heard, at)
	return true
}

// Timeout is the timeout of id in ms, 0 if it is not tracked.
func (t *Tracker) Timeout(id wire.SessionID) int32 {
	if e := t.sessions[id]; e != nil {
		return int32(e.timeoutMs)
	}
	return 0
}

// SetTimeout changes the timeout of id, counted from when it was last heard.
func (t *Tracker) SetTimeout(id wire.SessionID, timeoutMs int32) {
	e := t.sessions[id]
	if e == nil || e.reported {
		return
	}
	e.timeoutMs = int64(timeoutMs)
	if t.expiry(e) < e.bucket {
		t.unplace(id, e)
		t.place(id, e)
	}
}

// Remove forgets id: its session has ended.
func (t *Tracker) Remove(id wire.SessionID) {
	e := t.sessions[id]
	if e == nil {
		return
	}
	t.unplace(id, e)
	delete(t.sessions, id)
}

// Len is the number of sessions that are tracked.
func (t *Tracker) Len() int { return len(t.sessions) }

// Due lists, sorted, the sessions whose time has come. Each is listed once; it
// stays tracked, dead to Touch, until it is removed.
func (t *Tracker) Due(now int64) []wire.SessionID {
	var due []wire.SessionID
	for at, ids := range t.buckets {
		if at > now {
			continue
		}
		delete(t.buckets, at)
		for id := range ids {
			e := t.sessions[id]
			if t.expiry(e) > now {
				t.place(id, e)
				continue
			}
			e.reported = true
			due = append(due, id)
		}
	}
	slices.Sort(due)
	return due
}

// Bucket is the sessions that end at the same time if they are not heard from.
type Bucket struct {
	ExpiresAt int64 // ms of the clock
	Sessions  []wire.SessionID
}

// Buckets lists the sessions by the time of their end, both sorted, for the word
// dump. Sessions that were reported due are left out.
func (t *Tracker) Buckets() []Bucket {
	byEnd := map[int64][]wire.SessionID{}
	for id, e := range t.sessions {
		if !e.reported {
			byEnd[t.expiry(e)] = append(byEnd[t.expiry(e)], id)
		}
	}
	out := make([]Bucket, 0, len(byEnd))
	for at, ids := range byEnd {
		slices.Sort(ids)
		out = append(out, Bucket{ExpiresAt: at, Sessions: ids})
	}
	slices.SortFunc(out, func(a, b Bucket) int { return int(a.ExpiresAt - b.ExpiresAt) })
	return out
}
