package zab

import (
	"slices"
	"strings"
	"testing"

	"zooid/wire"
)

var (
	ownSecret   = strings.Repeat("o", wire.SecretSize)
	otherSecret = strings.Repeat("l", wire.SecretSize)
)

// A learner has its leader's secret on disk before it promises anything.
func TestSecretIsAdoptedBeforeThePromise(t *testing.T) {
	for _, promised := range []bool{false, true} {
		cfg := handConfig(1, 3, 0)
		cfg.Secret = ownSecret
		accepted := int64(5)
		if promised {
			accepted = 7
		}
		h := newHand(t, cfg, Disk{Epochs: Epochs{accepted, 5}, Last: zx(5, 9), Committed: zx(5, 9), Recent: entries(zx(5, 9))})
		h.elect.settle(wire.Following)
		h.begin(3)
		h.do()
		h.Dialled(1)
		h.do()
		h.sent = nil
		info := wire.LeaderInfo{ProtocolVersion: wire.ProtocolVersion, Secret: []byte(otherSecret)}
		h.got(1, wire.PacketLeaderInfo, epochZxid(7), info.Append(nil)...)
		if h.rd.SaveSecret != otherSecret || h.rd.SaveEpochs != nil || len(h.sent) > 0 || h.Secret() != ownSecret {
			t.Fatalf("promised=%t: wants secret %q and epochs %v saved, has sent %v", promised, h.rd.SaveSecret, h.rd.SaveEpochs, h.packets(1))
		}
		if h.drained() {
			t.Errorf("promised=%t: would look for another leader while the secret goes to disk", promised)
		}
		h.Tick(10_000) // a slow disk of its own is no reason to leave
		h.SecretSaved(otherSecret)
		h.do()
		if got := h.packets(1); !slices.Equal(got, []string{"ACKEPOCH 5:9"}) || h.Secret() != otherSecret {
			t.Errorf("promised=%t: sent %v, has secret %q", promised, got, h.Secret())
		}
	}
}

// A learner keeps its own where the leader has none to give, as ZooKeeper's.
func TestSecretIsKeptUnderAJavaLeader(t *testing.T) {
	cfg := handConfig(1, 3, 0)
	cfg.Secret = ownSecret
	h := newHand(t, cfg, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 9), Committed: zx(1, 9), Recent: entries(zx(1, 9))})
	h.serve(2)
	if h.Secret() != ownSecret || h.SharesSecret() {
		t.Errorf("secret %q, shared %t", h.Secret(), h.SharesSecret())
	}
}

// A leader tells its secret to members of ours only, and takes it for shared when
// every member has shown that it is one.
func TestSecretIsSharedOnlyAmongOurs(t *testing.T) {
	cfg := handConfig(3, 3, 1)
	cfg.Secret = ownSecret
	h := newHand(t, cfg, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 9), Committed: zx(1, 9), Recent: entries(zx(1, 9))})
	h.elect.settle(wire.Leading)
	h.begin(3)
	h.do()
	told := map[ConnID]string{}
	join := func(conn ConnID, sid wire.SID, typ wire.PacketType, version int32) {
		h.greet(conn, sid, typ, 1, version)
		for _, s := range h.sent {
			if s.Conn == conn && s.Packet.Type == wire.PacketLeaderInfo {
				told[conn] = string(s.Packet.Data[4:])
			}
		}
		h.ackEpoch(conn, zx(1, 9), 1)
		h.got(conn, wire.PacketAck, epochZxid(h.leader.epoch))
	}
	expect := func(what string, shared bool) {
		t.Helper()
		if got := h.SharesSecret(); got != shared {
			t.Errorf("%s: shared %t", what, got)
		}
	}
	join(1, 1, wire.PacketFollowerInfo, wire.ProtocolVersionZooid)
	expect("two members are not known", false)
	join(2, 2, wire.PacketFollowerInfo, wire.ProtocolVersionZooid)
	expect("one member is not known", false)
	join(4, 4, wire.PacketObserverInfo, wire.ProtocolVersionZooid)
	expect("all are ours", true)
	h.Closed(2, "")
	expect("one of them is away", true)
	join(5, 2, wire.PacketFollowerInfo, wire.ProtocolVersion)
	expect("it comes back as ZooKeeper's", false)
	h.Closed(5, "")
	expect("and goes", false)
	for conn, want := range map[ConnID]string{1: ownSecret, 2: ownSecret, 4: ownSecret, 5: ""} {
		if told[conn] != want {
			t.Errorf("connection %d was told %q", conn, told[conn])
		}
	}
}
