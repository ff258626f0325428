package main

import (
	"fmt"
	"io"

	"zooid/wire"
	"zooid/zab"
)

// story is the end of a run in words: a ring of its last lines.
type story struct {
	lines []string
	next  int
	size  int
}

func newStory(size int) *story { return &story{size: size} }

func (s *story) add(line string) {
	if len(s.lines) < s.size {
		s.lines = append(s.lines, line)
		return
	}
	s.lines[s.next] = line
	s.next = (s.next + 1) % s.size
}

func (s *story) print(out io.Writer) {
	for i := range s.lines {
		fmt.Fprintln(out, s.lines[(s.next+i)%len(s.lines)])
	}
}

// tell adds a line, if anybody reads them.
func (w *world) tell(format string, args ...any) {
	if w.story != nil {
		w.story.add(fmt.Sprintf("%9.3f ms  ", float64(w.now)/float64(ms)) + fmt.Sprintf(format, args...))
	}
}

func (w *world) tellPacket(m *member, s *zab.Send) {
	if w.story == nil {
		return
	}
	to := "?"
	if c := w.conns[(s.Conn-1)/2]; c != nil {
		to = fmt.Sprint(c.ends[1-(int(s.Conn)-1)%2].node + 1)
	}
	extra := ""
	switch q := &s.Packet; q.Type {
	case wire.PacketProposal, wire.PacketInform:
		if t, err := wire.DecodeTxn(q.Data); err == nil {
			extra = fmt.Sprintf(" %v of %v %d", t.Op, t.Session, t.Cxid)
		}
	case wire.PacketAckEpoch:
		d := wire.NewDecoder(q.Data)
		extra = fmt.Sprintf(" current %d", d.Int32())
	case wire.PacketRequest:
		var r wire.ForwardedRequest
		d := wire.NewDecoder(q.Data)
		r.Decode(&d)
		extra = fmt.Sprintf(" %v of %v %d", r.Op, r.Session, r.Cxid)
	}
	w.tell("%d -> %s (%d) %v %v%s", m.sid, to, s.Conn, s.Packet.Type, s.Packet.Zxid, extra)
}

func (w *world) tellNotice(m *member, n *zab.Notice) {
	if w.story != nil {
		v := &n.N
		w.tell("%d -> %d vote: %v, for %d, zxid %v, epoch %d, round %d", m.sid, n.To, v.State, v.Leader, v.Zxid, v.PeerEpoch, v.Round)
	}
}

// pathOf is the path that a request is about.
func pathOf(body wire.Record) string {
	switch b := body.(type) {
	case *wire.CreateRequest:
		return b.Path
	case *wire.DeleteRequest:
		return b.Path
	case *wire.SetDataRequest:
		return b.Path
	case *wire.WatchRequest:
		return b.Path
	}
	return ""
}
