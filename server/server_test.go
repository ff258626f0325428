package server

import (
	"testing"

	"zooid/wire"
)

func TestSessionLife(t *testing.T) {
	f := start(t)
	c := f.connect()
	c.must(1, wire.OpCreate, createOf("/a", "one"), wire.OK)
	b := c.must(2, wire.OpGetData, pathOf("/a"), wire.OK)
	var r wire.GetDataResponse
	if err := wire.Unmarshal(b, &r); err != nil || string(r.Data) != "one" {
		t.Fatalf("getData: %q, %v", r.Data, err)
	}
	c.must(3, wire.OpGetData, pathOf("/nope"), wire.ErrNoNode)
	if h, _ := c.call(77, wire.OpPing, nil); h.Err != wire.OK {
		t.Fatal(h)
	}
	c.must(4, wire.OpCloseSession, nil, wire.OK)
	c.eof()
}
