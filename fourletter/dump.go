package fourletter

import (
	"strconv"
	"time"
)

func appendDump(b, _ []byte, s *Status) []byte {
	b = append(b, "SessionTracker dump:\n"...)
	b = appendSessions(b, s)
	b = append(b, "ephemeral nodes dump:\n"...)
	b = appendField(b, "Sessions with Ephemerals (", int64(len(s.Ephemerals)))
	b = append(b, "):\n"...)
	for _, e := range s.Ephemerals {
		b = append(b, e.Session.String()...)
		b = append(b, ":\n"...)
		b = appendIndented(b, e.Paths)
	}
	b = append(b, "Connections dump:\nConnections "...)
	return appendIdle(b, s.Idle)
}

// appendSessions shows the sessions as their expirer sees them, or on a server
// that expires none of the global ones, those with their timeouts.
func appendSessions(b []byte, s *Status) []byte {
	if s.Sessions.LocalEnabled {
		b = append(b, "Local Session "...)
		b = appendExpiry(b, s.Sessions.Local)
	}
	if s.Mode.ExpiresNobody() {
		b = appendField(b, "Global Sessions(", int64(len(s.Sessions.Timeouts)))
		b = append(b, "):\n"...)
		for _, t := range s.Sessions.Timeouts {
			b = append(b, t.Session.String()...)
			b = append(b, '\t')
			b = strconv.AppendInt(b, int64(t.TimeoutMs), 10)
			b = append(b, "ms\n"...)
		}
		return b
	}
	if s.Sessions.LocalEnabled {
		b = append(b, "Global "...)
	}
	b = append(b, "Session "...)
	return appendExpiry(b, s.Sessions.Global)
}

func appendExpiry(b []byte, buckets []SessionExpiry) []byte {
	members := 0
	for _, bucket := range buckets {
		members += len(bucket.Sessions)
	}
	b = appendSets(b, len(buckets), members)
	for _, bucket := range buckets {
		b = appendBucket(b, len(bucket.Sessions), bucket.At)
		for _, id := range bucket.Sessions {
			b = append(b, '\t')
			b = append(b, id.String()...)
			b = append(b, '\n')
		}
	}
	return b
}

func appendIdle(b []byte, buckets []ClientExpiry) []byte {
	members := 0
	for _, bucket := range buckets {
		members += len(bucket.Clients)
	}
	b = appendSets(b, len(buckets), members)
	for _, bucket := range buckets {
		b = appendBucket(b, len(bucket.Clients), bucket.At)
		for _, c := range bucket.Clients {
			b = append(b, "\tip: "...)
			b = appendAddr(b, c.Remote)
			b = append(b, " sessionId: "...)
			b = append(b, c.Session.String()...)
			b = append(b, '\n')
		}
	}
	return b
}

func appendSets(b []byte, buckets, members int) []byte {
	b = appendField(b, "Sets (", int64(buckets))
	b = appendField(b, ")/(", int64(members))
	return append(b, "):\n"...)
}

func appendBucket(b []byte, members int, at time.Time) []byte {
	b = strconv.AppendInt(b, int64(members), 10)
	b = append(b, " expire at "...)
	b = appendDate(b, at)
	return append(b, ":\n"...)
}
