package server

import (
	"fmt"
	"strings"
	"testing"

	"zooid/wire"
)

// A client that proves one identity after another is cut off at the bound, and the
// log says who and why; what it sent before is done, and nobody else notices.
func TestTooManyIdentities(t *testing.T) {
	for _, tc := range []struct {
		name, user string
		accepted   int
	}{
		{"by count", "user", wire.ClientIDsMax - 1},
		{"by bytes", strings.Repeat("u", 900_000), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, logs := limited(t, 1<<30)
			other, c := f.connect(), f.connect()
			prove := func(i int) wire.ErrCode {
				h, _ := c.call(int32(i), wire.OpAuth, &wire.AuthPacket{Scheme: "digest", Auth: fmt.Appendf(nil, "%s%d:p", tc.user, i)})
				return h.Err
			}
			for i := range tc.accepted {
				if code := prove(i); code != wire.OK {
					t.Fatalf("identity %d: %v", i, code)
				}
			}
			c.must(1000, wire.OpCreate, createOf("/a", ""), wire.OK)
			if code := prove(tc.accepted); code != wire.ErrAuthFailed {
				t.Errorf("one more: %v", code)
			}
			c.eof()
			other.must(1, wire.OpExists, pathOf("/a"), wire.OK)
			said := logs.FilterMessageSnippet("authentication refused").All()
			if len(said) != 1 {
				t.Fatalf("%d lines in the log", len(said))
			}
			fields := fmt.Sprint(said[0].ContextMap())
			for _, want := range []string{c.nc.LocalAddr().String(), "scheme digest", "at most"} {
				if !strings.Contains(fields, want) {
					t.Errorf("the log line %s does not say %s", fields, want)
				}
			}
		})
	}
}
