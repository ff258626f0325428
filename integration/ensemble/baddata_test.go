package ensemble

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// Exit codes of zooid serve that these drills meet.
const (
	exitUsage   = 2
	exitDataDir = 3
)

// ours skips the members of kinds whose messages and exit codes are not ours.
func ours(t *testing.T, kinds []string) {
	t.Helper()
	if slices.Contains(kinds, testenv.KindJava) {
		t.Skip("the messages and exit codes are Zooid's own")
	}
}

// TestEpochFiles stops a follower, does something to its epoch files and starts
// it: it serves again, or refuses with the file's name and changes nothing. The
// others go on meanwhile.
func TestEpochFiles(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		ours(t, kinds)
		tests := []struct {
			name    string
			change  map[string]string // file → content; "-" removes it
			refused []string          // what the message says; nil if it serves
		}{
			{"both missing", map[string]string{"currentEpoch": "-", "acceptedEpoch": "-"}, nil},
			{"accepted missing", map[string]string{"acceptedEpoch": "-"}, nil},
			{"current missing", map[string]string{"currentEpoch": "-"}, nil},
			{"current empty", map[string]string{"currentEpoch": ""}, []string{"currentEpoch", "empty"}},
			{"accepted empty", map[string]string{"acceptedEpoch": ""}, []string{"acceptedEpoch", "empty"}},
			{"not a number", map[string]string{"currentEpoch": "one"}, []string{"currentEpoch", "one", "not a number"}},
			{"negative", map[string]string{"acceptedEpoch": "-5"}, []string{"acceptedEpoch", "-5"}},
			{"too great", map[string]string{"acceptedEpoch": "4294967296"}, []string{"acceptedEpoch", "4294967296"}},
			{"of another member, behind the log", map[string]string{"currentEpoch": "0", "acceptedEpoch": "0"}, []string{"currentEpoch"}},
			{"promise below what it took over", map[string]string{"currentEpoch": "7", "acceptedEpoch": "6"}, []string{"acceptedEpoch", "currentEpoch"}},
		}
		d := newDrill(t, kinds, setup{})
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				d := d.in(t)
				m := d.e.Others(d.leader())[0]
				_, err := m.Stop()
				d.must(err)
				folder := filepath.Join(m.DataDir, "version-2")
				saved := d.alter(folder, tt.change)
				if tt.refused != nil {
					d.refused(m, exitDataDir, tt.refused...)
					for name, text := range tt.change {
						if now, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(now) != text {
							t.Errorf("%s holds %q after the refusal, %q before (%v)", name, now, text, err)
						}
					}
					d.alter(folder, saved)
				}
				d.must(m.Restart())
				d.progress()
			})
		}
		d.check()
	})
}

// alter writes the files, and returns what they held.
func (d *drill) alter(folder string, change map[string]string) (saved map[string]string) {
	d.Helper()
	saved = map[string]string{}
	for name, text := range change {
		file := filepath.Join(folder, name)
		old, err := os.ReadFile(file)
		d.must(err)
		saved[name] = string(old)
		if text == "-" {
			d.must(os.Remove(file))
			continue
		}
		d.must(os.WriteFile(file, []byte(text), 0o644))
	}
	return saved
}

// refused starts a member that must end by itself, with the exit code and a
// message that holds every text, while the others go on.
func (d *drill) refused(m *testenv.Member, code int, texts ...string) {
	d.Helper()
	before := len(m.Log())
	d.must(m.Launch())
	got, err := m.AwaitExit(limit)
	if err != nil {
		m.Kill()
	}
	d.must(err)
	said := m.Log()
	said = said[min(before, len(said)):]
	if got != code {
		d.Errorf("exit code %d, want %d; it says:\n%s", got, code, said)
	}
	for _, text := range texts {
		if !strings.Contains(said, text) {
			d.Errorf("it does not say %q, but:\n%s", text, said)
		}
	}
	d.progress()
}

// TestMyID gives a stopped follower an id that is not its own, or none.
func TestMyID(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		ours(t, kinds)
		d := newDrill(t, kinds, setup{})
		m := d.e.Others(d.leader())[0]
		_, err := m.Stop()
		d.must(err)
		for _, tt := range []struct {
			name, myid string
			env        []string
			texts      []string
		}{
			{"not a number", "three", nil, []string{"myid", "three"}},
			{"empty", "", nil, []string{"myid"}},
			{"no such member", "77", nil, []string{"myid", "77", "server.77"}},
			{"contradicts ZOO_MY_ID", fmt.Sprint(m.SID), []string{"ZOO_MY_ID=66"}, []string{"ZOO_MY_ID", "66", "myid"}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				d := d.in(t)
				d.must(m.WriteMyID(tt.myid))
				m.SetContainer(tt.env...)
				d.refused(m, exitUsage, tt.texts...)
			})
		}
		t.Run("missing", func(t *testing.T) {
			d := d.in(t)
			d.must(os.Remove(filepath.Join(m.DataDir, "myid")))
			d.refused(m, exitUsage, "myid")
		})
		m.SetContainer()
		d.must(m.WriteMyID(fmt.Sprint(m.SID)))
		d.must(m.Restart())
		d.check()
	})
}

// TestForeignDirectory starts a follower on the directory of another ensemble.
// Behind ours in epochs, it is brought to our history and keeps nothing of its
// own; ahead of ours, it cannot follow and may not disturb the others, and it or
// the leader says why.
func TestForeignDirectory(t *testing.T) {
	testenv.EachEnsemble(t, voters, func(t *testing.T, kinds []string) {
		ours(t, kinds)
		d := newDrill(t, kinds, setup{})
		m := d.e.Others(d.leader())[0]
		for _, epoch := range []string{"", "1000"} {
			leader, before := d.leader(), d.epoch()
			m.Kill()
			d.foreign(m, epoch)
			d.must(m.Launch())
			if epoch == "" {
				d.leader()
				d.progress()
				continue
			}
			d.must(d.h.AwaitAcked(10*enough, limit))
			testenv.Await(t, limit, "somebody says what is wrong", func() bool {
				return slices.ContainsFunc(d.e.Members, func(m *testenv.Member) bool { return strings.Contains(m.Log(), "epoch "+epoch) })
			})
			if mode, err := m.Mode(); err == nil {
				t.Errorf("a member with another ensemble's history is %s", mode)
			}
			if now := d.elsewhere(m); now != leader || d.epoch() != before {
				t.Errorf("member %d leads in epoch %d beside a foreign member, member %d in %d before", now.SID, d.epoch(), leader.SID, before)
			}
			m.Kill()
			d.must(m.Wipe())
			d.must(m.Restart())
		}
		d.check()
	})
}

// foreign fills the stopped member's directory with what another server wrote,
// in the epoch if one is given.
func (d *drill) foreign(m *testenv.Member, epoch string) {
	d.Helper()
	d.must(m.Wipe())
	other := testenv.Start(d, m.Kind, testenv.Config{DataDir: m.DataDir})
	if err := fillForeign(other); err != nil {
		d.Fatal(err)
	}
	if _, err := other.Stop(); err != nil {
		d.Fatal(err)
	}
	if epoch == "" {
		return
	}
	for _, name := range []string{"currentEpoch", "acceptedEpoch"} {
		d.must(os.WriteFile(filepath.Join(m.DataDir, "version-2", name), []byte(epoch), 0o644))
	}
}

func fillForeign(s *testenv.Server) error {
	c, err := attachTo(s, rawclient.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	for range 50 {
		if _, _, err := c.Create("/foreign-", bytes.Repeat([]byte("x"), 100), wire.FlagPersistentSequential); err != nil {
			return err
		}
	}
	return c.CloseSession()
}
