package znode

import (
	"fmt"

	"zooid/wire"
)

// prepareMulti serves multi: all its parts or none. Each part sees what those
// before it change. If one is refused the view is as if none had been tried,
// and the txn keeps the parts before it as they would have been, the code that
// refused it, and RUNTIMEINCONSISTENCY for each part behind it, as ZooKeeper
// writes it. The part with which the txn would be larger than it may be is
// refused: the parts count together.
func prepareMulti(v *View, r *Request, _ wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode) {
	parts := body.(*wire.MultiRequest).Ops
	txn := &wire.MultiTxn{Txns: make([]wire.SubTxn, 0, len(parts))}
	refused := false
	// Each part takes at least this, also as an error.
	v.left -= 4 + len(parts)*(wire.SubTxnOverhead+4)
	v.begin()
	for i := range parts {
		if refused {
			txn.Txns = append(txn.Txns, errorPart(wire.ErrRuntimeInconsistency))
			continue
		}
		op, body := partOf(&parts[i])
		sub, code := row(op).prepare(v, r, op, body)
		if code != wire.OK {
			refused = true
			txn.Txns = append(txn.Txns, errorPart(code))
			continue
		}
		txn.Txns = append(txn.Txns, wire.SubTxn{Op: op, Body: sub})
	}
	if refused {
		v.rollback()
	} else {
		v.keep()
	}
	return txn, wire.OK
}

func errorPart(code wire.ErrCode) wire.SubTxn {
	return wire.SubTxn{Op: wire.OpError, Body: &wire.ErrorTxn{Err: code}}
}

// partOf tells which operation a part of a multi is. Unlike at top level, the
// container flag makes a container, and a createTTL without a TTL flag is the
// create that its flags say.
func partOf(p *wire.MultiOp) (wire.OpCode, wire.Record) {
	switch req := p.Body.(type) {
	case *wire.CreateRequest:
		if req.Flags == wire.FlagContainer {
			return wire.OpCreateContainer, req
		}
	case *wire.CreateTTLRequest:
		switch {
		case req.Flags == wire.FlagContainer:
			return wire.OpCreateContainer, &req.CreateRequest
		case req.Flags >= wire.FlagPersistent && req.Flags < wire.FlagContainer:
			return wire.OpCreate, &req.CreateRequest
		}
	}
	return p.Op, p.Body
}

// checkParts refuses what ZooKeeper cannot decode in a multi, though it can at
// top level: a create with a null ACL, with flags that do not exist, or with
// flags that ask for a TTL which it lacks.
func checkParts(m *wire.MultiRequest) error {
	for i := range m.Ops {
		op := m.Ops[i].Op
		switch req := m.Ops[i].Body.(type) {
		case *wire.CreateRequest:
			if req.Flags < wire.FlagPersistent || req.Flags > wire.FlagContainer {
				return fmt.Errorf("part %d, %v with flags %d: %w", i, op, req.Flags, wire.ErrMarshalling)
			}
			if req.ACL == nil {
				return fmt.Errorf("part %d, %v with a null ACL: %w", i, op, wire.ErrMarshalling)
			}
		}
	}
	return nil
}
