package history

import (
	"fmt"
	"slices"
	"time"

	"zooid/wire"
)

// clockSlack is what a server's clock, in whole milliseconds, may be off.
const clockSlack = int64(20 * time.Millisecond)

// life is what is known of a session.
type life struct {
	timeout int64   // nanoseconds
	heard   []int64 // when ops were asked that were answered: a server heard of them then or later
	closing int64   // when its end was asked for
	over    int64   // when its end was known, Never if it was not
}

// aliveAt tells whether the session was certainly there at the moment: heard of
// within its timeout, or later, and not asked to end.
func (l *life) aliveAt(t int64) bool {
	if l.closing <= t {
		return false
	}
	i, _ := slices.BinarySearch(l.heard, t+1)
	return i < len(l.heard) || i > 0 && l.heard[i-1]+l.timeout-clockSlack > t
}

func lives(ops []*Op) map[wire.SessionID]*life {
	known := map[wire.SessionID]*life{}
	of := func(id wire.SessionID) *life {
		if known[id] == nil {
			known[id] = &life{closing: Never, over: Never}
		}
		return known[id]
	}
	for _, o := range ops {
		l := of(o.Session)
		switch {
		case o.Kind == Expired:
			l.over = min(l.over, o.Return)
		case o.Kind == Close:
			l.closing = o.Call
			if o.Outcome == Done {
				l.over = min(l.over, o.Return)
			}
		case o.Kind == Event: // the server speaks, and has heard nothing
		case o.answered():
			l.heard = append(l.heard, o.Call)
			if o.Kind == Connect {
				l.timeout = int64(o.TimeoutMs) * int64(time.Millisecond)
			}
		}
	}
	return known
}

// checkSessions wants every session to live as long as its timeout after it was
// heard, and every ephemeral as long as its session or until it was deleted.
func (h *History) checkSessions(ops []*Op) (bad []string) {
	known := lives(ops)
	for _, o := range ops {
		l := known[o.Session]
		if o.Kind != Expired || l.closing < o.Return {
			continue
		}
		if i, _ := slices.BinarySearch(l.heard, o.Return); i > 0 && o.Return < l.heard[i-1]+l.timeout-clockSlack {
			silent := time.Duration(o.Return - l.heard[i-1])
			bad = append(bad, fmt.Sprintf("a session ends after %v of silence, its timeout is %v:\n  %v", silent, time.Duration(l.timeout), o))
		}
	}
	if h.opts.LooseSync {
		return bad // what is seen of ephemerals may be old
	}
	changes := map[string][]*Op{} // of each ephemeral's path, by when they were asked
	for _, o := range ops {
		if o.Kind == CreateOwn || o.Kind == DeleteOwn {
			changes[o.Path] = append(changes[o.Path], o)
		}
	}
	for _, o := range ops {
		if o.Kind != Look || o.Outcome == Unknown {
			continue
		}
		text := ""
		if o.Outcome == Done {
			text = seen(o, known[o.Owner], changes[o.Path])
		} else {
			text = unseen(o, known, changes[o.Path])
		}
		if text != "" {
			bad = append(bad, text+":\n  "+o.String())
		}
	}
	return bad
}

// seen judges the sight of an ephemeral: its session must not have been known
// to be over, nor it to be deleted, when the look began.
func seen(look *Op, l *life, changes []*Op) string {
	if l == nil {
		return "an ephemeral of a session that nobody had"
	}
	if l.over < look.Call {
		return "an ephemeral is there, its session was over"
	}
	deleted := false
	for _, o := range changes {
		switch {
		case o.Call > look.Return:
			return ""
		case o.Kind == CreateOwn:
			deleted = false
		case o.Outcome == Done && o.Return < look.Call:
			deleted = true
		}
	}
	if deleted {
		return "an ephemeral is there, it had been deleted"
	}
	return ""
}

// unseen judges that an ephemeral was not seen: if its creation was answered
// before the look began, it must have been possible that it was gone.
func unseen(look *Op, known map[wire.SessionID]*life, changes []*Op) string {
	var made *Op
	for _, o := range changes {
		switch {
		case o.Kind == CreateOwn && o.Outcome == Done && o.Return < look.Call:
			made = o
		case o.Kind == DeleteOwn && o.Call < look.Return:
			made = nil
		}
	}
	if made != nil && known[made.Session].aliveAt(look.Return) {
		return "an ephemeral is gone, its session was alive"
	}
	return ""
}
