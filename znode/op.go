package znode

import "zooid/wire"

// Op is what there is to know about one operation: the row of the one table in
// this file. To add an operation, add its row, and its records in package wire.
type Op struct {
	Code wire.OpCode
	Name string // in ZooKeeper's documentation
	// Short is the name in the four-letter words (lop of `cons`); "" leaves
	// there what was, for operations that are answered out of order.
	Short string
	// Quorum: goes through the member's loop (and so to the leader). Otherwise
	// it is answered by the member that has the connection: with Tree.Read, or,
	// auth and sasl, without asking the tree.
	Quorum bool

	from    origin
	newBody func() wire.Record // for the request's body; nil if it has none
	prepare prepareFunc        // makes the txn; nil if there is none (sync, reads)
	read    readFunc           // answers a read; nil for others
	reply   replyFunc          // the reply body of a success; nil if there is none
}

// origin tells who may ask for an operation.
type origin uint8

const (
	fromClient origin = iota
	// fromMember: clients may not, for such a request creates sessions or
	// deletes nodes without asking for permission. Apache ZooKeeper 3.9 lets
	// them.
	fromMember
	// inMulti: only as part of a multi.
	inMulti
)

// prepareFunc checks a request against the view and turns it into a txn body,
// noting what that will change. On a code other than OK nothing was noted. The
// body is what newBody made, or in a multi its part.
type prepareFunc func(v *View, r *Request, op wire.OpCode, body wire.Record) (wire.TxnBody, wire.ErrCode)

// readFunc answers a read: dst extended by the reply body.
type readFunc func(t *Tree, r *Reader, body, dst []byte) ([]byte, error)

// replyFunc appends the body of the reply to a write.
type replyFunc func(dst []byte, a *Applied) []byte

func newCreate() wire.Record    { return new(wire.CreateRequest) }
func newCreateTTL() wire.Record { return new(wire.CreateTTLRequest) }
func newDelete() wire.Record    { return new(wire.DeleteRequest) }
func newPath() wire.Record      { return new(wire.PathRequest) }

// ops is a function, not a variable, because the rows lead to functions that
// look operations up.
func ops() []Op {
	return []Op{
		{Code: wire.OpCreate, Short: "CREA", Quorum: true, newBody: newCreate, prepare: prepareCreate, reply: replyPath},
		{Code: wire.OpCreate2, Short: "CREA", Quorum: true, newBody: newCreate, prepare: prepareCreate, reply: replyPathStat},
		{Code: wire.OpCreateContainer, Short: "CREA", Quorum: true, newBody: newCreate, prepare: prepareCreate, reply: replyPathStat},
		{Code: wire.OpCreateTTL, Short: "CREA", Quorum: true, newBody: newCreateTTL, prepare: prepareCreate, reply: replyPathStat},
		{Code: wire.OpDelete, Short: "DELE", Quorum: true, newBody: newDelete, prepare: prepareDelete},
		{Code: wire.OpDeleteContainer, Short: "DELE", Quorum: true, from: fromMember, prepare: prepareDeleteContainer,
			newBody: func() wire.Record { return new(wire.DeleteContainerRequest) }},
		{Code: wire.OpSetData, Short: "SETD", Quorum: true, prepare: prepareSetData, reply: replyStat,
			newBody: func() wire.Record { return new(wire.SetDataRequest) }},
		{Code: wire.OpSetACL, Short: "SETA", Quorum: true, prepare: prepareSetACL, reply: replyStat,
			newBody: func() wire.Record { return new(wire.SetACLRequest) }},
		{Code: wire.OpCheck, Short: "CHEC", Quorum: true, from: inMulti, newBody: newDelete, prepare: prepareCheck},
		{Code: wire.OpMulti, Short: "MULT", Quorum: true, prepare: prepareMulti, reply: replyMulti,
			newBody: func() wire.Record { return new(wire.MultiRequest) }},
		{Code: wire.OpReconfig, Short: "RECO", Quorum: true, prepare: prepareReconfig, reply: replyDataStat,
			newBody: func() wire.Record { return new(wire.ReconfigRequest) }},
		{Code: wire.OpSync, Short: "SYNC", Quorum: true, newBody: newPath, reply: replyPath},
		{Code: wire.OpCreateSession, Short: "SESS", Quorum: true, from: fromMember, prepare: prepareCreateSession},
		{Code: wire.OpCloseSession, Short: "CLOS", Quorum: true, prepare: prepareCloseSession},

		{Code: wire.OpExists, Short: "EXIS", read: (*Tree).readExists},
		{Code: wire.OpGetData, Short: "GETD", read: (*Tree).readData},
		{Code: wire.OpGetACL, Short: "GETA", read: (*Tree).readACL},
		{Code: wire.OpGetChildren, Short: "GETC", read: readAs((*Tree).readChildren, wire.OpGetChildren)},
		{Code: wire.OpGetChildren2, Short: "GETC", read: readAs((*Tree).readChildren, wire.OpGetChildren2)},
		{Code: wire.OpGetAllChildrenNumber, Short: "GETACN", read: (*Tree).readAllChildrenNumber},
		{Code: wire.OpGetEphemerals, Short: "GETE", read: (*Tree).readEphemerals},
		{Code: wire.OpMultiRead, Short: "MLTR", read: (*Tree).readMulti},
		{Code: wire.OpSetWatches, Short: "SETW", read: readNothing((*Tree).setWatches, wire.OpSetWatches)},
		{Code: wire.OpSetWatches2, Short: "STW2", read: readNothing((*Tree).setWatches, wire.OpSetWatches2)},
		{Code: wire.OpAddWatch, Short: "ADDW", read: (*Tree).addWatch},
		{Code: wire.OpCheckWatches, Short: "CHKW", read: readNothing((*Tree).changeWatches, wire.OpCheckWatches)},
		{Code: wire.OpRemoveWatches, Short: "REMW", read: readNothing((*Tree).changeWatches, wire.OpRemoveWatches)},
		{Code: wire.OpWhoAmI, Short: "HOMI",
			read: func(t *Tree, r *Reader, _, dst []byte) ([]byte, error) { return t.readWhoAmI(r, dst), nil }},
		{Code: wire.OpPing, Short: "PING",
			read: func(_ *Tree, _ *Reader, _, dst []byte) ([]byte, error) { return dst, nil }},

		{Code: wire.OpAuth},
		{Code: wire.OpSASL},
	}
}

// readAs is a read that two operations share.
func readAs(read func(*Tree, wire.OpCode, *Reader, []byte, []byte) ([]byte, error), op wire.OpCode) readFunc {
	return func(t *Tree, r *Reader, body, dst []byte) ([]byte, error) { return read(t, op, r, body, dst) }
}

// readNothing is a request that two operations share and that has no reply body.
func readNothing(do func(*Tree, wire.OpCode, *Reader, []byte) error, op wire.OpCode) readFunc {
	return func(t *Tree, r *Reader, body, dst []byte) ([]byte, error) { return dst, do(t, op, r, body) }
}

// Opcodes lie between these two, so the table is an array.
const (
	opMin = wire.OpCloseSession
	opMax = wire.OpWhoAmI
)

var opTable [opMax - opMin + 1]*Op

func init() {
	rows := ops()
	for i := range rows {
		rows[i].Name = rows[i].Code.String()
		opTable[rows[i].Code-opMin] = &rows[i]
	}
}

// row finds an operation, whoever may ask for it; nil if there is none.
func row(code wire.OpCode) *Op {
	if code < opMin || code > opMax {
		return nil
	}
	return opTable[code-opMin]
}

// LookupOp finds an operation that a client may ask for at top level. Any
// other opcode is to be answered with wire.ErrUnimplemented and zxid -1, and
// the connection to be closed.
func LookupOp(code wire.OpCode) (*Op, bool) {
	o := row(code)
	if o == nil || o.from != fromClient {
		return nil, false
	}
	return o, true
}
