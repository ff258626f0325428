package ensemble

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// TestLostVersion2 takes the version-2 of one member, of two, and of all while the
// ensemble is stopped. After a clean end all that was acknowledged is there when it
// comes up, from the copies; a member that was killed is refused instead.
func TestLostVersion2(t *testing.T) {
	const zooid = testenv.KindZooid
	d := newDrill(t, []string{zooid, zooid, zooid}, setup{prepared: true})
	d.must(d.e.Start())
	d.leader()
	d.create(d.e.Members[0], "/history")
	written := 0
	for lost := 1; lost <= voters; lost++ {
		d.leader()
		for range 20 {
			d.create(d.e.Members[written%voters], fmt.Sprint("/history/", written))
			written++
		}
		d.awaitSameZxid()
		for _, m := range d.e.Members {
			code, err := m.Stop()
			d.must(err)
			if code != 0 {
				t.Errorf("member %d ends with exit code %d", m.SID, code)
			}
		}
		for _, m := range d.e.Members[voters-lost:] {
			d.must(os.RemoveAll(filepath.Join(m.DataDir, "version-2")))
		}
		d.must(d.e.Start())
		d.leader()
		for _, m := range d.e.Members[voters-lost:] {
			if !strings.Contains(m.Log(), "neither log nor snapshot is left; the copy of the tree held everything") {
				t.Errorf("member %d does not say that its copy stands in for version-2", m.SID)
			}
		}
		for _, m := range d.e.Members {
			text, err := holdings(m)
			d.must(err)
			if n := strings.Count(text, "/history child "); n != written {
				t.Errorf("with %d lost member %d has %d of %d nodes", lost, m.SID, n, written)
			}
		}
		d.must(d.agreement())
	}
	m := d.e.Others(d.leader())[0]
	m.Kill()
	d.must(os.RemoveAll(filepath.Join(m.DataDir, "version-2")))
	before := len(m.Log())
	d.must(m.Launch())
	code, err := m.AwaitExit(limit)
	d.must(err)
	if said := m.Log()[before:]; code != exitDataDir || !strings.Contains(said, "did not end in good order") {
		t.Errorf("after a kill: exit code %d, it says:\n%s", code, said)
	}
	d.must(os.RemoveAll(filepath.Join(m.DataDir, "zooid"))) // as the message says
	d.must(m.Restart())
	d.leader()
	d.awaitSameZxid()
	d.must(d.agreement())
}

// create makes a node through the member.
func (d *drill) create(m *testenv.Member, path string) {
	d.Helper()
	c, err := attach(m, rawclient.Options{})
	d.must(err)
	_, err = c.Call(wire.OpCreate, &wire.CreateRequest{Path: path, Data: []byte("kept"), ACL: wire.OpenACL}, nil)
	d.must(err)
	d.must(c.CloseSession())
}

// awaitSameZxid waits until all members have applied the same transactions. Nobody
// writes meanwhile.
func (d *drill) awaitSameZxid() {
	d.Helper()
	for until := time.Now().Add(limit); ; d.standstill(10 * time.Millisecond) {
		seen := map[string]bool{}
		for _, m := range d.e.Members {
			text, err := m.Word("srvr")
			d.must(err)
			_, rest, _ := strings.Cut(text, "Zxid: ")
			zxid, _, _ := strings.Cut(rest, "\n")
			seen[zxid] = true
		}
		if len(seen) == 1 {
			return
		}
		if time.Now().After(until) {
			d.Fatalf("the members are at %v", seen)
		}
	}
}
