package bench

import (
	"fmt"
	"io"
	"time"
)

// Progress shows a line that is rewritten, on a terminal.
type Progress struct {
	w     io.Writer
	begin time.Time
	plan  time.Duration
	what  string
	last  int64
	lastT time.Time
}

func newProgress(w io.Writer, plan time.Duration) *Progress {
	now := time.Now()
	return &Progress{w: w, begin: now, lastT: now, plan: plan}
}

func (p *Progress) phase(what string) {
	p.what, p.begin, p.last, p.lastT = what, time.Now(), 0, time.Now()
	p.update(0)
}

func (p *Progress) update(done int64) {
	if p.w == nil {
		return
	}
	now := time.Now()
	rate := ""
	if dt := now.Sub(p.lastT); dt > 100*time.Millisecond {
		rate = fmt.Sprintf(", %.0f/s", float64(done-p.last)/dt.Seconds())
	}
	p.last, p.lastT = done, now
	fmt.Fprintf(p.w, "\r\x1b[K%s: %.0fs of %.0fs, %d done%s", p.what, now.Sub(p.begin).Seconds(), p.plan.Seconds(), done, rate)
}

func (p *Progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
