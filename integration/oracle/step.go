package oracle

import (
	"fmt"
	"sort"
	"strings"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// request is one frame to send.
type request struct {
	op   wire.OpCode
	xid  int32                // 0: the connection's next
	body func(s *side) []byte // may hold zxids, which differ by side
	text string
}

// step is what one client does, in the same way on both sides.
type step struct {
	client int
	reqs   []request // sent in one write
	// session is set instead of reqs for what concerns the connection as such.
	session func(s *side) []string
	text    string
	// anyOrder: the events that the step causes have no defined order.
	anyOrder bool
}

func (st *step) String() string {
	texts := []string{}
	for _, r := range st.reqs {
		texts = append(texts, r.text)
	}
	if st.session != nil {
		texts = append(texts, st.text)
	}
	return fmt.Sprintf("client %d: %s", st.client, strings.Join(texts, " | "))
}

// outcome is what a step brought on one side.
type outcome struct {
	lines   []string
	created []string // paths
	err     error    // what ends the drill
}

// run does the step on one side and gathers everything that it caused.
func (s *side) run(st *step) outcome {
	var out outcome
	if st.session != nil {
		out.lines = st.session(s)
	} else {
		s.exchange(st, &out)
	}
	for i, c := range s.conns {
		if c == nil || out.err != nil {
			continue
		}
		if err := c.Ping(); err != nil {
			out.err = fmt.Errorf("ping of client %d: %w", i, err)
			return out
		}
		for _, e := range c.TakeEvents() {
			out.lines = append(out.lines, fmt.Sprintf("client %d: %s", i, s.event(e)))
		}
	}
	if st.anyOrder {
		sort.Strings(out.lines)
	}
	return out
}

func (s *side) event(e rawclient.Event) string {
	return fmt.Sprintf("event %v %q zxid %s", e.Type, e.Path, s.zxid(e.Zxid))
}

// exchange sends the step's requests and reads their replies.
func (s *side) exchange(st *step, out *outcome) {
	c := s.conns[st.client]
	s.applied = s.latest()
	var frames []byte
	xids := make([]int32, len(st.reqs))
	for i, r := range st.reqs {
		xids[i] = r.xid
		if r.xid == 0 {
			xids[i] = c.NextXid()
		}
		frames = rawclient.AppendRequest(frames, xids[i], r.op, rawBody(r.body(s)))
	}
	if out.err = c.SendBytes(frames); out.err != nil {
		return
	}
	for i := 0; i < len(st.reqs); {
		f, err := c.Next()
		if err != nil {
			out.lines = append(out.lines, "no reply: the connection ended")
			s.drop(st.client)
			return
		}
		if f.Event != nil {
			out.lines = append(out.lines, s.event(*f.Event))
			continue
		}
		out.lines = append(out.lines, s.reply(&st.reqs[i], xids[i], f, out))
		if ends(st.reqs[i].op, f.Header.Err) {
			if err := c.AwaitEOF(); err != nil {
				out.lines = append(out.lines, "the connection stays open: "+err.Error())
			}
			s.drop(st.client)
			return
		}
		i++
	}
}

// ends tells whether a server closes the connection behind such a reply.
func ends(op wire.OpCode, err wire.ErrCode) bool {
	switch op {
	case wire.OpCloseSession:
		return true
	case wire.OpAuth:
		return err == wire.ErrAuthFailed
	case wire.OpCheck, wire.OpNotification, wire.OpError, unknownOp:
		return true
	}
	return false
}

func (s *side) drop(client int) {
	if c := s.conns[client]; c != nil {
		c.Close()
		s.conns[client] = nil
	}
}

// rawBody is a body that is encoded already.
type rawBody []byte

func (b rawBody) Append(to []byte) []byte { return append(to, b...) }

// reply shows a reply.
func (s *side) reply(r *request, xid int32, f rawclient.Frame, out *outcome) string {
	if unheard(f.Header.Err) && f.Header.Zxid > s.applied {
		s.spent = append(s.spent, f.Header.Zxid)
	}
	s.applied = max(s.applied, f.Header.Zxid)
	head := fmt.Sprintf("err %d zxid %s", int32(f.Header.Err), s.zxid(f.Header.Zxid))
	if want := wantXid(r.op, xid); f.Header.Xid != want {
		head += fmt.Sprintf(" xid %d for %d", f.Header.Xid, want)
	}
	d := wire.NewDecoder(f.Body)
	text := ""
	if f.Header.Err == wire.OK {
		text = s.body(r.op, &d, out)
	}
	if d.Err() != nil {
		text += " undecodable: " + d.Err().Error()
	}
	if n := d.Remaining(); n > 0 {
		text += fmt.Sprintf(" and %d bytes % x", n, f.Body[d.Offset():])
	}
	return strings.TrimSpace(head + " " + text)
}

func wantXid(op wire.OpCode, xid int32) int32 {
	if op == wire.OpPing {
		return wire.XidPing
	}
	return xid
}

// body shows the body of a successful reply.
func (s *side) body(op wire.OpCode, d *wire.Decoder, out *outcome) string {
	switch op {
	case wire.OpCreate, wire.OpSync:
		var r wire.PathResponse
		r.Decode(d)
		if op == wire.OpCreate {
			out.created = append(out.created, r.Path)
		}
		return fmt.Sprintf("%q", r.Path)
	case wire.OpCreate2, wire.OpCreateContainer, wire.OpCreateTTL:
		var r wire.Create2Response
		r.Decode(d)
		out.created = append(out.created, r.Path)
		return fmt.Sprintf("%q %s", r.Path, s.stat(&r.Stat))
	case wire.OpExists, wire.OpSetData, wire.OpSetACL:
		var r wire.Stat
		r.Decode(d)
		return s.stat(&r)
	case wire.OpGetData, wire.OpReconfig:
		var r wire.GetDataResponse
		r.Decode(d)
		return bytesText(r.Data) + " " + s.stat(&r.Stat)
	case wire.OpGetACL:
		var r wire.GetACLResponse
		r.Decode(d)
		return s.acl(r.ACL) + " " + s.stat(&r.Stat)
	case wire.OpGetChildren, wire.OpGetEphemerals:
		var r wire.StringsResponse
		r.Decode(d)
		return namesText(r.Names)
	case wire.OpGetChildren2:
		var r wire.GetChildren2Response
		r.Decode(d)
		return namesText(r.Names) + " " + s.stat(&r.Stat)
	case wire.OpGetAllChildrenNumber, wire.OpAddWatch:
		var r wire.Int32Response
		r.Decode(d)
		return fmt.Sprint(r.Value)
	case wire.OpWhoAmI:
		var r wire.WhoAmIResponse
		r.Decode(d)
		sort.Slice(r.IDs, func(i, j int) bool { return fmt.Sprint(r.IDs[i]) < fmt.Sprint(r.IDs[j]) })
		return fmt.Sprintf("%q", r.IDs)
	case wire.OpMulti, wire.OpMultiRead:
		return s.multi(d, out)
	}
	return ""
}

func (s *side) multi(d *wire.Decoder, out *outcome) string {
	var r wire.MultiResponse
	r.Decode(d)
	var b strings.Builder
	for _, m := range r.Results {
		fmt.Fprintf(&b, "[%v %d", m.Op, int32(m.Err))
		switch m.Op {
		case wire.OpCreate:
			fmt.Fprintf(&b, " %q", m.Path)
		case wire.OpCreate2:
			fmt.Fprintf(&b, " %q %s", m.Path, s.stat(&m.Stat))
		case wire.OpSetData:
			b.WriteString(" " + s.stat(&m.Stat))
		case wire.OpGetData:
			b.WriteString(" " + bytesText(m.Data) + " " + s.stat(&m.Stat))
		case wire.OpGetChildren:
			b.WriteString(" " + namesText(m.Names))
		}
		if m.Path != "" {
			out.created = append(out.created, m.Path)
		}
		b.WriteString("] ")
	}
	return b.String()
}

func namesText(names []string) string {
	if names == nil {
		return "null list"
	}
	names = append([]string(nil), names...)
	sort.Strings(names)
	return fmt.Sprintf("%q", names)
}
