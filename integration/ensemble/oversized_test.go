package ensemble

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// oversized are clients that ask for what no member could read from a packet, or
// from its log. Each is told no, or done; how does not matter here.
var oversized = map[string]func(c *rawclient.Conn) error{
	"1,030 identities": func(c *rawclient.Conn) error {
		for i := range 1030 {
			if err := c.Auth("digest", fmt.Sprintf("user%d:secret", i)); err != nil {
				return err
			}
		}
		_, err := c.SetData("/oversized", []byte("x"), -1)
		return err
	},
	"identities of 2.7 MB": func(c *rawclient.Conn) error {
		for i := range 3 {
			if err := c.Auth("digest", strings.Repeat(fmt.Sprint(i), 900_000)+":secret"); err != nil {
				return err
			}
		}
		_, err := c.SetData("/oversized", []byte("x"), -1)
		return err
	},
	"an ACL that stands for 2.5 MB": func(c *rawclient.Conn) error {
		for i := range 50 {
			if err := c.Auth("digest", fmt.Sprintf("%d%s:secret", i, strings.Repeat("x", 500))); err != nil {
				return err
			}
		}
		var acl []wire.ACL
		for perms := range int32(31) {
			for range 4 {
				acl = append(acl, wire.ACL{Perms: perms + 1, ID: wire.ID{Scheme: "auth"}})
			}
		}
		_, err := c.Call(wire.OpCreate, &wire.CreateRequest{Path: "/oversized/acl", ACL: acl}, nil)
		return err
	},
	"the end of a session with 18,000 ephemerals": func(c *rawclient.Conn) error {
		return endOfSession(c, 18_000, 112)
	},
	"the end of a session with four ephemerals of 900 kB": func(c *rawclient.Conn) error {
		return endOfSession(c, 4, 900_000)
	},
}

// endOfSession makes ephemerals with names of so many bytes, and ends their
// session.
func endOfSession(c *rawclient.Conn, count, length int) error {
	for i := 0; i < count; {
		m := new(wire.MultiRequest)
		for size := 0; i < count && size+length < 1_000_000; i++ {
			size += length + 100
			m.Ops = append(m.Ops, wire.MultiOp{Op: wire.OpCreate, Body: &wire.CreateRequest{
				Path: fmt.Sprintf("/oversized/%0*d", length, i), ACL: wire.OpenACL, Flags: wire.FlagEphemeral}})
		}
		if _, err := c.Call(wire.OpMulti, m, nil); err != nil {
			return fmt.Errorf("%d of %d ephemerals: %w", i, count, err)
		}
	}
	return c.CloseSession()
}

// TestOversizedRequestsDeposeNobody has a client at the leader and one at each
// other member ask for what is too large. Under all of it the leader stays the
// leader and writes go on; then all members are killed and start again, one of
// them as Java's on the directory that Zooid has written.
func TestOversizedRequestsDeposeNobody(t *testing.T) {
	for _, kinds := range [][]string{
		{testenv.KindZooid, testenv.KindZooid, testenv.KindZooid},
		{testenv.KindJava, testenv.KindZooid, testenv.KindZooid},
	} {
		t.Run(strings.Join(kinds, "+"), func(t *testing.T) {
			d := newMixed(t, mixed(t, kinds...))
			leader := d.leader()
			epoch := zxidOf(d, leader).Epoch()
			looked := func(m *testenv.Member) int { return strings.Count(m.Log(), "looking for a leader") }
			before := map[int]int{} // the leader was chosen by killing others
			for _, m := range d.e.Members {
				before[m.SID] = looked(m)
			}
			owner, err := attach(leader, rawclient.Options{})
			d.must(err)
			_, _, err = owner.Create("/oversized", nil, 0)
			d.must(err)
			d.must(owner.CloseSession())
			for _, name := range slices.Sorted(maps.Keys(oversized)) {
				for _, m := range d.e.Members {
					c, err := attach(m, rawclient.Options{TimeoutMs: 60_000})
					d.must(err)
					d.Logf("%s at member %d: %v", name, m.SID, oversized[name](c))
					c.Close()
					d.progress()
				}
			}
			if now := d.leader(); now != leader || zxidOf(d, now).Epoch() != epoch {
				t.Errorf("member %d leads in epoch %d instead of %d in epoch %d", now.SID, zxidOf(d, now).Epoch(), leader.SID, epoch)
			}
			for _, m := range d.e.Members {
				if n := looked(m) - before[m.SID]; n > 0 {
					t.Errorf("member %d has looked for a leader %d times", m.SID, n)
				}
			}
			d.noEphemeralsLeft()
			d.e.KillAll()
			if slices.Contains(kinds, testenv.KindJava) {
				d.e.Member(2).SetKind(testenv.KindJava)
			}
			d.check()
		})
	}
}

// zxidOf is the last zxid that a member has told a client.
func zxidOf(d *drill, m *testenv.Member) wire.Zxid {
	d.Helper()
	c, err := attach(m, rawclient.Options{})
	d.must(err)
	defer c.Close()
	if _, err := c.Exists("/", false); err != nil {
		d.Fatal(err)
	}
	return c.LastZxid
}

// noEphemeralsLeft demands that no member has any of the ephemerals.
func (d *drill) noEphemeralsLeft() {
	d.Helper()
	for _, m := range d.e.Members {
		c, err := attach(m, rawclient.Options{})
		d.must(err)
		if _, err := c.Call(wire.OpSync, &wire.PathRequest{Path: "/"}, nil); err != nil {
			d.Fatal(err)
		}
		names, err := c.Children("/oversized", false)
		if err != nil && !errors.Is(err, wire.ErrNoNode) || len(names) > 0 {
			d.Errorf("member %d has %d ephemerals of sessions that have ended, %v", m.SID, len(names), err)
		}
		d.must(c.CloseSession())
	}
}
