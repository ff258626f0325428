package quorum

import (
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// thinEvery is the time in which at most thinLines lines of one kind are
	// written. What is left out is counted, and told with the next one.
	thinEvery = 10 * time.Second
	thinLines = 5
	// thinKinds is how many kinds are told apart; beyond it all count as one.
	thinKinds = 100
)

// thinned is a logger for what somebody else can make happen as often as he
// likes. Lines are of one kind if message and error differ
// in numbers only.
func thinned(log *zap.Logger) *zap.Logger {
	t := &thinner{kinds: map[string]*thinKind{}}
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return thinCore{c, t} }))
}

// thinner counts lines by their kinds.
type thinner struct {
	sync.Mutex
	kinds map[string]*thinKind
}

type thinKind struct {
	since  time.Time
	lines  int
	hidden int64
}

// take tells whether a line is to be written, and how many like it were not.
func (t *thinner) take(message string, now time.Time) (hidden int64, ok bool) {
	kind := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, message)
	t.Lock()
	defer t.Unlock()
	k := t.kinds[kind]
	if k == nil && len(t.kinds) >= thinKinds {
		kind = ""
		k = t.kinds[kind]
	}
	if k == nil {
		k = &thinKind{since: now}
		t.kinds[kind] = k
	}
	if now.Sub(k.since) >= thinEvery {
		k.since, k.lines = now, 0
	}
	if k.lines++; k.lines > thinLines {
		k.hidden++
		return 0, false
	}
	hidden, k.hidden = k.hidden, 0
	return hidden, true
}

// thinCore leaves out lines.
type thinCore struct {
	zapcore.Core
	t *thinner
}

// With implements zapcore.Core.
func (c thinCore) With(fields []zapcore.Field) zapcore.Core {
	return thinCore{c.Core.With(fields), c.t}
}

// Check implements zapcore.Core.
func (c thinCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c thinCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	kind := e.Message
	for i := range fields {
		if err, ok := fields[i].Interface.(error); ok {
			kind += err.Error()
		}
	}
	hidden, ok := c.t.take(kind, e.Time)
	switch {
	case !ok:
		return nil
	case hidden > 0:
		fields = append(fields[:len(fields):len(fields)], zap.Int64("suppressed", hidden))
	}
	// By way of Check, for a core that is made of others leaves the choice of those
	// that write to that.
	if ce := c.Core.Check(e, nil); ce != nil {
		ce.Write(fields...)
	}
	return nil
}
