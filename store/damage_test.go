package store

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"zooid/txnlog"
	"zooid/wire"
)

// TestDamageInZeroPaddedStore flips one bit of an acknowledged record whose data
// hold whole sectors of zeros, after a crash and after an orderly end. The start
// is refused: nothing that was acknowledged is cut off as if it were torn.
func TestDamageInZeroPaddedStore(t *testing.T) {
	for _, orderly := range []bool{false, true} {
		o := memOptions()
		l := startLoop(t, o)
		l.propose(1, wire.OpCreateSession, nil)
		l.create("/x", "", 0)
		for range 9 {
			data := make([]byte, 4096)
			copy(data, "some fixed-size block")
			data[4095] = 1
			l.propose(1, wire.OpSetData, &wire.SetDataRequest{Path: "/x", Data: data, Version: -1})
			l.apply() // durable, and answered
		}
		if orderly {
			mustClose(t, l.s)
		}
		o.FS = o.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{}) // only what was synced
		name := "/data/version-2/log.1"
		b := getFile(t, o.FS, name)
		b[3*4200] ^= 4 // among the zeros of one of them
		putFile(t, o.FS, name, b)
		s, err := Open(o)
		if damage := (*txnlog.DamageError)(nil); !errors.As(err, &damage) {
			t.Errorf("orderly=%v: error %v", orderly, err)
		}
		if err == nil {
			t.Errorf("orderly=%v: opened at %v, repairs %v", orderly, s.tree.LastZxid(), s.txns.Repairs())
			must(t, s.Close())
		}
	}
}
