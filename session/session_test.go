package session

import (
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"zooid/wire"
)

func TestNegotiate(t *testing.T) {
	for _, c := range []struct{ ask, want int32 }{
		{0, 4000}, {1, 4000}, {-5, 4000}, {4000, 4000}, {10001, 10001},
		{40000, 40000}, {40001, 40000}, {math.MaxInt32, 40000}, {math.MinInt32, 4000},
	} {
		if got := Negotiate(c.ask, 4000, 40000); got != c.want {
			t.Errorf("Negotiate(%d) = %d, want %d", c.ask, got, c.want)
		}
	}
}

func TestIDs(t *testing.T) {
	// The layout is ZooKeeper's: server 1, then the ms, then 16 bits.
	ids := NewIDs(1, 0x0012_3456_789a)
	if got, want := ids.Next(), wire.SessionID(0x01_12_3456_789a_0000); got != want {
		t.Errorf("first id %v, want %v", got, want)
	}
	if got, want := ids.Next(), wire.SessionID(0x01_12_3456_789a_0001); got != want {
		t.Errorf("second id %v, want %v", got, want)
	}

	ids.Avoid(0x01_12_3456_789a_0000) // below: no effect
	ids.Avoid(0x02_ff_ffff_ffff_ffff) // another server's: no effect
	if got, want := ids.Next(), wire.SessionID(0x01_12_3456_789a_0002); got != want {
		t.Errorf("after Avoid of lower ids %v, want %v", got, want)
	}
	ids.Avoid(0x01_ee_0000_0000_0000)
	if got, want := ids.Next(), wire.SessionID(0x01_ee_0000_0000_0001); got != want {
		t.Errorf("after Avoid %v, want %v", got, want)
	}
}

// The ids that mean something else are skipped, and the counter wraps below
// the server's byte.
func TestIDsReserved(t *testing.T) {
	if got := NewIDs(0, 0).Next(); got != 1 {
		t.Errorf("id after 0 is %v, want 0x1", got)
	}
	if got, want := NewIDs(0x80, 0).Next(), wire.SessionID(math.MinInt64+1); got != want {
		t.Errorf("id after the container mark is %v, want %v", got, want)
	}
	ids := NewIDs(5, 0)
	ids.Avoid(0x05_ff_ffff_ffff_ffff)
	if got, want := ids.Next(), wire.SessionID(0x05_00_0000_0000_0000); got != want {
		t.Errorf("wrapped id %v, want %v", got, want)
	}
}

// The pairs come from a running Apache ZooKeeper 3.9.5.
func TestJavaPassword(t *testing.T) {
	for id, want := range map[wire.SessionID]string{
		72057649232347382: "ab0ca5d5e127036577c7149f793f1818",
		72057649232347383: "be2d9fd58173e2a96d0a7cca4dc82ce5",
		72057649232347142: "40408bd4df55e14e735571c227e7f18b",
	} {
		got := JavaPassword(id)
		if hex.EncodeToString(got[:]) != want {
			t.Errorf("JavaPassword(%v) = %x, want %s", id, got, want)
		}
	}
}

func TestCheck(t *testing.T) {
	const id = wire.SessionID(0x0100000cd9d80001)
	k := NewKeys([]byte("secret"))
	keyed, java := k.Password(id), JavaPassword(id)
	other := NewKeys([]byte("other")).Password(id)
	for _, c := range []struct {
		name   string
		id     wire.SessionID
		passwd []byte
		cxid   int32
		want   bool
	}{
		{"keyed", id, keyed[:], CxidKeyed, true},
		{"java", id, java[:], CxidJava, true},
		{"unknown, keyed", id, keyed[:], CxidUnknown, true},
		{"unknown, java", id, java[:], CxidUnknown, true},
		{"java password on a keyed session", id, java[:], CxidKeyed, false},
		{"keyed password on a java session", id, keyed[:], CxidJava, false},
		{"another secret", id, other[:], CxidUnknown, false},
		{"another id", id + 1, keyed[:], CxidUnknown, false},
		{"null", id, nil, CxidUnknown, false},
		{"short", id, keyed[:15], CxidUnknown, false},
		{"long", id, append(keyed[:], 0), CxidUnknown, false},
		{"another cxid", id, keyed[:], 2, false},
		{"no session", 0, func() []byte { p := JavaPassword(0); return p[:] }(), CxidJava, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := k.Check(c.id, c.passwd, c.cxid); got != c.want {
				t.Errorf("Check = %t, want %t", got, c.want)
			}
		})
	}
}

func TestClock(t *testing.T) {
	var c Clock
	for i, s := range []struct{ gap, want int64 }{
		{50, 50}, {48, 98}, {52, 148}, // ordinary ticks
		{90, 198}, {10, 248}, // one late, the next early: nothing is lost
		{101, 298}, {3_600_000, 348}, // stalls count as one gap each
		{-1000, 350}, {0, 350}, // a clock that was set back; the 2 owed are paid
		{2, 352},
	} {
		before := c.Now()
		c.Advance(s.gap, 50)
		if c.Now() > before+50 {
			t.Errorf("step %d: moved by %d, more than the ceiling of 50", i, c.Now()-before)
		}
		if c.Now() != s.want {
			t.Errorf("step %d: now %d, want %d", i, c.Now(), s.want)
		}
	}
}

// The times of ends that were measured on ZooKeeper with a tick of 2,000.
func TestTrackerBuckets(t *testing.T) {
	for _, c := range []struct {
		timeout int32
		heard   int64
		ends    int64
	}{
		{4000, 0, 6000}, {5000, 0, 6000}, {6000, 0, 8000}, {4000, 1999, 6000}, {4000, 2000, 8000},
	} {
		tr := NewTracker(2000)
		tr.Add(1, c.timeout, c.heard)
		if due := tr.Due(c.ends - 1); due != nil {
			t.Errorf("timeout %d, heard at %d: due at %d", c.timeout, c.heard, c.ends-1)
		}
		if due := tr.Due(c.ends); !slices.Equal(due, []wire.SessionID{1}) {
			t.Errorf("timeout %d, heard at %d: not due at %d", c.timeout, c.heard, c.ends)
		}
	}
}

func TestTrackerLife(t *testing.T) {
	tr := NewTracker(2000)
	for _, id := range []wire.SessionID{3, 1, 2, 4} {
		tr.Add(id, 4000, 0)
	}
	if !tr.Touch(2, 3000) || tr.Touch(9, 3000) {
		t.Error("Touch: want true for a tracked session, false for another")
	}
	tr.Touch(2, 1000) // older news change nothing
	tr.Remove(4)
	tr.Remove(4)
	if due := tr.Due(6000); !slices.Equal(due, []wire.SessionID{1, 3}) {
		t.Errorf("due at 6000: %v, want 1 and 3", due)
	}
	if due := tr.Due(6000); due != nil {
		t.Errorf("reported twice: %v", due)
	}
	if tr.Touch(1, 6001) {
		t.Error("a session that was reported due was touched back to life")
	}
	if tr.Len() != 3 {
		t.Errorf("%d tracked, want 3: those due stay until removed", tr.Len())
	}
	tr.Remove(1)
	tr.Remove(3)
	if due := tr.Due(8000); !slices.Equal(due, []wire.SessionID{2}) {
		t.Errorf("due at 8000: %v, want 2", due)
	}
	tr.Remove(2)
	if tr.Len() != 0 || len(tr.buckets) != 0 {
		t.Errorf("left behind: %d sessions, %d buckets", tr.Len(), len(tr.buckets))
	}
}

// A new timeout counts from when the session was last heard, shorter or longer.
func TestTrackerSetTimeout(t *testing.T) {
	tr := NewTracker(1000)
	tr.Add(1, 10_000, 500)
	tr.Add(2, 3000, 500)
	tr.SetTimeout(1, 2000)
	tr.SetTimeout(2, 8000)
	tr.SetTimeout(3, 8000)
	if due := tr.Due(3000); !slices.Equal(due, []wire.SessionID{1}) {
		t.Errorf("due at 3000: %v, want 1", due)
	}
	if due := tr.Due(8999); due != nil {
		t.Errorf("due at 8999: %v", due)
	}
	if due := tr.Due(9000); !slices.Equal(due, []wire.SessionID{2}) {
		t.Errorf("due at 9000: %v, want 2", due)
	}
}

func TestTrackerDump(t *testing.T) {
	tr := NewTracker(2000)
	tr.Add(5, 4000, 0)
	tr.Add(4, 4000, 100)
	tr.Add(6, 8000, 0)
	tr.Touch(5, 2000)
	got := tr.Buckets()
	want := []Bucket{{6000, []wire.SessionID{4}}, {8000, []wire.SessionID{5}}, {10000, []wire.SessionID{6}}}
	if !slices.EqualFunc(got, want, func(a, b Bucket) bool {
		return a.ExpiresAt == b.ExpiresAt && slices.Equal(a.Sessions, b.Sessions)
	}) {
		t.Errorf("Buckets() = %v, want %v", got, want)
	}
}

// Touches must stay cheap: every request batch of every connection ends in one.
func BenchmarkTouch(b *testing.B) {
	tr := NewTracker(2000)
	for id := range wire.SessionID(5000) {
		tr.Add(id+1, 10_000, 0)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		tr.Touch(wire.SessionID(i%5000+1), int64(i))
	}
}
