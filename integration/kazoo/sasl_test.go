package kazoo

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// TestSASLWithoutConfiguration has clients log in with SASL at a server that has
// none: the first step is answered with no token, a step without a token ends
// the connection. kazoo, which takes no token for the next challenge, goes on
// until its connection ends, and then says that its login failed.
func TestSASLWithoutConfiguration(t *testing.T) {
	testenv.EachTarget(t, testenv.Config{}, func(t *testing.T, s *testenv.Server) {
		open := func() *rawclient.Conn {
			c, err := rawclient.Open(s.Addr, rawclient.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		for _, token := range [][]byte{{}, []byte("x")} {
			var reply wire.SASLPacket
			h, err := open().Call(wire.OpSASL, &wire.SASLPacket{Token: token}, &reply)
			if err != nil || h.Err != wire.OK || h.Zxid != 0 || reply.Token != nil {
				t.Errorf("token %q is answered with %+v, %q, %v; want success and no token", token, h, reply.Token, err)
			}
		}
		c := open()
		if _, err := c.Send(wire.OpSASL, &wire.SASLPacket{}); err != nil {
			t.Fatal(err)
		}
		if err := c.AwaitEOF(); err != nil {
			t.Errorf("without a token: %v", err)
		}
		python := testenv.NeedPython(t, "kazoo==2.11.0", "pure-sasl==0.6.2")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, python, "testdata/sasl.py", s.Addr, "20").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "refused AuthFailedError") {
			t.Errorf("kazoo says %q, %v; want that its login is refused", out, err)
		}
	})
}
