package oracle

import (
	"errors"
	"fmt"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/session"
	"zooid/wire"
)

// sessionStep makes a step that opens, leaves, or comes back to a session.
func (g *gen) sessionStep(st *step) {
	client := st.client
	timeout := pick(g, []int32{30000, 40000, 1, 1 << 30})
	name := fmt.Sprintf("s%d", g.r.Uint32())
	plain := g.chance(20)
	if !g.open(client) {
		st.text = fmt.Sprintf("open session %s, timeout %d, readOnly byte %v", name, timeout, !plain)
		st.session = func(s *side) []string {
			return s.openSession(client, rawclient.Options{TimeoutMs: timeout, NoROByte: plain}, name)
		}
		return
	}
	switch g.r.IntN(4) {
	case 0:
		st.text = "leave the connection and open another session"
		// The session stays without a connection, and its ephemerals with it.
		st.session = func(s *side) []string {
			s.drop(client)
			return s.openSession(client, rawclient.Options{TimeoutMs: 50_000_000, NoROByte: plain}, name)
		}
	case 1:
		st.text = fmt.Sprintf("leave the connection and come back to the session, timeout %d", timeout)
		st.session = func(s *side) []string { return s.reattach(client, timeout, nil, 0) }
	case 2:
		st.text = "leave the connection, try a wrong password, come back"
		st.session = func(s *side) []string { return s.reattach(client, 50_000_000, make([]byte, 16), 0) }
	case 3:
		st.text = "leave the connection, claim a zxid of the future, come back"
		st.session = func(s *side) []string { return s.reattach(client, 50_000_000, nil, 1<<50) }
	}
}

func (s *side) openSession(client int, o rawclient.Options, name string) []string {
	c, err := rawclient.Open(s.server.Addr, o)
	if err != nil {
		return []string{"no session: " + err.Error()}
	}
	s.conns[client] = c
	line := fmt.Sprintf("timeout %d, password of %d bytes", c.TimeoutMs, len(c.Passwd))
	if o.Session == 0 {
		s.names[c.Session] = name
	} else {
		line += " again as " + s.names[c.Session]
	}
	return []string{line}
}

// reattach leaves the connection and comes back to its session; before that it
// tries with a wrong password or a zxid ahead of the server's, if given.
func (s *side) reattach(client int, timeout int32, wrongPasswd []byte, ahead wire.Zxid) []string {
	old := s.conns[client]
	s.drop(client)
	o := s.again(old)
	o.TimeoutMs = timeout
	var lines []string
	if wrongPasswd != nil || ahead != 0 {
		wrong := o
		if wrongPasswd != nil {
			wrong.Passwd = wrongPasswd
		}
		wrong.LastZxid += ahead
		c, err := rawclient.Open(s.server.Addr, wrong)
		switch {
		case err == nil:
			c.Close()
			lines = append(lines, "a wrong handshake succeeds")
		case errors.Is(err, rawclient.ErrNoSession):
			lines = append(lines, "no such session")
		default:
			lines = append(lines, "the connection is closed")
		}
	}
	lines = append(lines, s.openSession(client, o, "")...)
	if c := s.conns[client]; c != nil {
		c.Passwd = old.Passwd // see again
	}
	return lines
}

// again says how to come back to a connection's session. A Java server takes no
// password but the one that follows from the session's id, also where Zooid made
// the session and gave out another; so the first one is kept, for Zooid.
func (s *side) again(old *rawclient.Conn) rawclient.Options {
	o := rawclient.Options{TimeoutMs: old.TimeoutMs, Session: old.Session, Passwd: old.Passwd, LastZxid: old.LastZxid}
	if s.server.Kind == testenv.KindJava {
		p := session.JavaPassword(old.Session)
		o.Passwd = p[:]
	}
	return o
}
