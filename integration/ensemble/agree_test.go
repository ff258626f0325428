package ensemble

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// agreement compares what the members hold, each after a sync.
func (d *drill) agreement() error {
	var first string
	for _, m := range d.e.Members {
		text, err := holdings(m)
		if err != nil {
			return fmt.Errorf("what member %d holds: %w", m.SID, err)
		}
		if first == "" {
			first = text
		}
		if text != first {
			return fmt.Errorf("members 1 and %d hold different nodes:\n%s", m.SID, difference(first, text))
		}
	}
	return d.digests()
}

// holdings are all nodes of the drill that a member has, but of the many only
// the names.
func holdings(m *testenv.Member) (string, error) {
	c, err := attach(m, rawclient.Options{})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Call(wire.OpSync, &wire.PathRequest{Path: "/"}, nil); err != nil {
		return "", err
	}
	var b strings.Builder
	paths := []string{"/", "/history"}
	for len(paths) > 0 {
		p := paths[0]
		paths = paths[1:]
		data, st, err := c.GetData(p, false)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p, err)
		}
		names, err := c.Children(p, false)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p, err)
		}
		sort.Strings(names)
		fmt.Fprintf(&b, "%s %q %s\n", p, data, rawclient.StatString(&st))
		for _, n := range names {
			fmt.Fprintf(&b, "%s child %s\n", p, n)
			if p == "/history" {
				paths = append(paths, p+"/"+n)
			}
		}
	}
	return b.String(), c.CloseSession()
}

// attach opens a session with a member.
func attach(m *testenv.Member, o rawclient.Options) (*rawclient.Conn, error) {
	return attachTo(m.Server, o)
}

func attachTo(s *testenv.Server, o rawclient.Options) (*rawclient.Conn, error) {
	nc, err := s.Dial(5 * time.Second)
	if err != nil {
		return nil, err
	}
	c, err := rawclient.Handshake(nc, o)
	if err != nil {
		nc.Close()
	}
	return c, err
}

// difference shows the lines that only one of two texts has.
func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out strings.Builder
	for i, pair := range [2][2][]string{{as, bs}, {bs, as}} {
		for _, line := range pair[0] {
			if !slices.Contains(pair[1], line) && out.Len() < 4<<10 {
				fmt.Fprintf(&out, "%c %s\n", "-+"[i], line)
			}
		}
	}
	return out.String()
}

// digests compares the digests of the tree that the members remember, at the
// zxids that they have in common.
func (d *drill) digests() error {
	known := map[string]string{} // zxid → digest, and whose it is
	for _, m := range d.e.Members {
		text, err := m.Word("hash")
		if err != nil {
			return err
		}
		for line := range strings.SplitSeq(text, "\n") {
			words := strings.Fields(line)
			if len(words) < 3 {
				continue
			}
			zxid, digest := words[0], strings.Join(words[1:], " ")
			if other, ok := known[zxid]; ok && other != digest {
				return fmt.Errorf("at zxid %s one member's tree has the digest %s, member %d's %s", zxid, other, m.SID, digest)
			}
			known[zxid] = digest
		}
	}
	return nil
}
