package zab

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"zooid/wire"
)

// reconfigTxn is the payload of a reconfiguration.
func reconfigTxn(z wire.Zxid) []byte {
	p := payload(z, "")
	binary.BigEndian.PutUint32(p[payloadOp:], uint32(wire.OpReconfig))
	return p
}

// TestReconfigurationStopsTheMember has a leader of ZooKeeper's change the members
// in each way in which a learner can hear of it. A member that went on would take
// two of its old three for a quorum, which may be a minority of the new list.
func TestReconfigurationStopsTheMember(t *testing.T) {
	z := zx(2, 1)
	served := func(h *hand) {
		h.serve(2)
		h.prop(z)
		h.Logged(z)
		h.do()
	}
	list := "server.1=a:1:2:participant\nserver.4=d:1:2:participant\n"
	cases := map[string]struct {
		observer bool
		do       func(h *hand)
		stops    bool
	}{
		"COMMITANDACTIVATE": {false, func(h *hand) {
			served(h)
			h.got(1, wire.PacketCommitAndActivate, z, wire.AppendInt64(nil, 3)...)
		}, true},
		"INFORMANDACTIVATE": {true, func(h *hand) {
			h.serve(2)
			h.got(1, wire.PacketInformAndActivate, z, append(wire.AppendInt64(nil, 3), reconfigTxn(z)...)...)
		}, true},
		"PROPOSAL": {false, func(h *hand) {
			h.serve(2)
			h.got(1, wire.PacketProposal, z, reconfigTxn(z)...)
		}, true},
		"PROPOSAL in the history": {false, func(h *hand) {
			h.follow(2)
			h.got(1, wire.PacketDiff, zx(1, 10))
			h.got(1, wire.PacketProposal, zx(1, 10), reconfigTxn(zx(1, 10))...)
		}, true},
		"INFORM": {true, func(h *hand) {
			h.serve(2)
			h.got(1, wire.PacketInform, z, reconfigTxn(z)...)
		}, true},
		"NEWLEADER": {false, func(h *hand) {
			h.follow(2)
			h.got(1, wire.PacketDiff, h.log.last())
			h.got(1, wire.PacketNewLeader, epochZxid(2), []byte(list+"version=200000000")...)
		}, true},
		"NEWLEADER with our version": {false, func(h *hand) {
			h.follow(2)
			h.got(1, wire.PacketDiff, h.log.last())
			h.got(1, wire.PacketNewLeader, epochZxid(2), []byte(list+"version=0")...)
		}, false},
		"NEWLEADER with a text that cannot be read": {false, func(h *hand) {
			h.follow(2)
			h.got(1, wire.PacketDiff, h.log.last())
			h.got(1, wire.PacketNewLeader, epochZxid(2), []byte("version=what")...)
		}, false},
		"a notification of a stranger": {false, func(h *hand) {
			served(h)
			h.Notified(3, &wire.Notification{State: wire.Looking, Round: 9, Version: 2, Config: []byte(list + "version=900000000")})
			h.do()
		}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := handConfig(1, 3, 0)
			if c.observer {
				cfg = handConfig(4, 3, 1)
			}
			h := newHand(t, cfg, Disk{Epochs: Epochs{1, 1}, Last: zx(1, 9), Committed: zx(1, 9), Recent: entries(zx(1, 9))})
			before := h.log.last()
			c.do(h)
			var stop *ReconfigError
			switch stopped := errors.As(h.rd.Stop, &stop); {
			case stopped != c.stops:
				t.Fatalf("stopped: %v, want %v (%v)", stopped, c.stops, h.rd.Stop)
			case !stopped:
				if h.learner == nil {
					t.Errorf("left the leader: %s", h.rd.Failed)
				}
				return
			}
			if h.learner != nil || !h.retired {
				t.Error("still takes part")
			}
			if got := h.log.last(); name != "COMMITANDACTIVATE" && got != before {
				t.Errorf("logged %v", got)
			}
			if text := stop.Error(); !strings.Contains(text, "dynamicConfigFile") || !strings.Contains(text, "leader 3") {
				t.Errorf("the message does not say what to do: %s", text)
			}
		})
	}
}

// TestReconfigurationOfThePast is a history with a reconfiguration that this
// member's list already is the outcome of.
func TestReconfigurationOfThePast(t *testing.T) {
	cfg := handConfig(1, 3, 0)
	cfg.Ensemble.Version = zx(1, 1)
	h := newHand(t, cfg, Disk{Epochs: Epochs{1, 1}})
	h.follow(2)
	h.got(1, wire.PacketDiff, zx(1, 1))
	h.got(1, wire.PacketProposal, zx(1, 1), reconfigTxn(zx(1, 1))...)
	h.got(1, wire.PacketCommitAndActivate, zx(1, 1), wire.AppendInt64(nil, 3)...)
	h.Logged(zx(1, 1))
	h.do()
	h.got(1, wire.PacketNewLeader, epochZxid(2), []byte("version=100000001")...)
	h.got(1, wire.PacketUpToDate, -1)
	if h.learner == nil || h.learner.phase != learnerServing || h.log.committed != zx(1, 1) {
		t.Errorf("does not serve: %s %v", h.rd.Failed, h.rd.Stop)
	}
}
