package wire

import (
	"encoding/binary"
	"fmt"
)

// TxnHeader stands before the body of every transaction, in the log and in a
// proposal; 32 bytes.
type TxnHeader struct {
	Session SessionID
	Cxid    int32 // the client's number for the request
	Zxid    Zxid
	TimeMs  int64 // ms since 1970, by the leader's clock
	Op      OpCode
}

// TxnHeaderSize is the encoded size of a TxnHeader in bytes.
const TxnHeaderSize = 32

// Append encodes h.
func (h *TxnHeader) Append(b []byte) []byte {
	b = AppendInt64(b, int64(h.Session))
	b = AppendInt32(b, h.Cxid)
	b = AppendInt64(b, int64(h.Zxid))
	b = AppendInt64(b, h.TimeMs)
	return AppendInt32(b, int32(h.Op))
}

// Decode reads h.
func (h *TxnHeader) Decode(d *Decoder) {
	h.Session = SessionID(d.Int64())
	h.Cxid = d.Int32()
	h.Zxid = Zxid(d.Int64())
	h.TimeMs = d.Int64()
	h.Op = OpCode(d.Int32())
}

// DigestVersion is the version of the tree digest that ZooKeeper 3.9 computes.
const DigestVersion int32 = 2

// EmptyTreeDigest is the digest of a tree with only its built-in nodes.
const EmptyTreeDigest uint64 = 0x51c6d660

// TxnDigest is the digest of the whole tree after a transaction. Version 0
// says that there is none.
type TxnDigest struct {
	Version int32
	Tree    uint64
}

// TxnBody is what a transaction changes: one of the *…Txn types of this file.
type TxnBody = Record

// Txn is a state change that can be applied without asking anything. Its
// encoding is the payload of a log record and the data of a proposal.
type Txn struct {
	TxnHeader
	// Body is nil only for a closeSession written without its list of paths.
	Body   TxnBody
	Digest TxnDigest
}

// Append encodes t.
func (t *Txn) Append(b []byte) []byte {
	b = t.TxnHeader.Append(b)
	if t.Body != nil {
		b = t.Body.Append(b)
	}
	if t.Digest.Version != 0 {
		b = AppendInt32(b, t.Digest.Version)
		b = AppendInt64(b, int64(t.Digest.Tree))
	}
	return b
}

const digestSize = 12

// DecodeTxn reads a log record's payload. What it returns aliases b. A type
// that no server writes is an error.
func DecodeTxn(b []byte) (*Txn, error) {
	d := NewDecoder(b)
	t := new(Txn)
	t.TxnHeader.Decode(&d)
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("txn header: %w", err)
	}
	// Written without its list of paths, a closeSession has no body, or only a
	// digest; a list of two paths takes more bytes than a digest.
	bodyless := t.Op == OpCloseSession && (d.Remaining() == 0 ||
		d.Remaining() == digestSize && binary.BigEndian.Uint32(b[d.Offset():]) == uint32(DigestVersion))
	if !bodyless {
		if t.Body = newTxnBody(t.Op); t.Body == nil {
			return nil, fmt.Errorf("txn %v: unknown type %d: %w", t.Zxid, int32(t.Op), ErrMarshalling)
		}
		t.Body.Decode(&d)
	}
	// An error txn may carry the body of the operation that it replaced.
	if t.Op != OpError && d.Remaining() >= digestSize {
		t.Digest = TxnDigest{Version: d.Int32(), Tree: uint64(d.Int64())}
	}
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("txn %v %v: %w", t.Zxid, t.Op, err)
	}
	return t, nil
}

func newTxnBody(op OpCode) TxnBody {
	switch op {
	case OpCreateSession:
		return new(CreateSessionTxn)
	case OpCloseSession:
		return new(CloseSessionTxn)
	case OpError:
		return new(ErrorTxn)
	case OpCreate, OpCreate2:
		return new(CreateTxn)
	case OpCreateTTL:
		return new(CreateTTLTxn)
	case OpCreateContainer:
		return new(CreateContainerTxn)
	case OpDelete, OpDeleteContainer:
		return new(DeleteTxn)
	case OpSetData, OpReconfig:
		return new(SetDataTxn)
	case OpSetACL:
		return new(SetACLTxn)
	case OpCheck:
		return new(CheckVersionTxn)
	case OpMulti:
		return new(MultiTxn)
	}
	return nil
}

// CreateSessionTxn enters a session in the table.
type CreateSessionTxn struct{ TimeoutMs int32 }

// Append encodes t.
func (t *CreateSessionTxn) Append(b []byte) []byte { return AppendInt32(b, t.TimeoutMs) }

// Decode reads t.
func (t *CreateSessionTxn) Decode(d *Decoder) { t.TimeoutMs = d.Int32() }

// CloseSessionTxn ends a session and deletes its ephemerals.
type CloseSessionTxn struct{ Paths []string }

// Append encodes t.
func (t *CloseSessionTxn) Append(b []byte) []byte {
	b = AppendInt32(b, int32(len(t.Paths)))
	for _, p := range t.Paths {
		b = AppendString(b, p)
	}
	return b
}

// Decode reads t.
func (t *CloseSessionTxn) Decode(d *Decoder) { t.Paths = d.Strings() }

// ErrorTxn records that a request failed: it takes a zxid and changes nothing.
type ErrorTxn struct{ Err ErrCode }

// Append encodes t.
func (t *ErrorTxn) Append(b []byte) []byte { return AppendInt32(b, int32(t.Err)) }

// Decode reads t.
func (t *ErrorTxn) Decode(d *Decoder) { t.Err = ErrCode(d.Int32()) }

// CreateTxn creates a persistent or ephemeral znode. Path is final: a
// sequential suffix is already in it.
type CreateTxn struct {
	Path           string
	Data           []byte
	ACL            []ACL
	Ephemeral      bool
	ParentCversion int32 // the parent's stored cversion afterwards; -1 in files older than 3.5
}

// Append encodes t.
func (t *CreateTxn) Append(b []byte) []byte {
	b = AppendString(b, t.Path)
	b = AppendBuffer(b, t.Data)
	b = AppendACLs(b, t.ACL)
	b = AppendBool(b, t.Ephemeral)
	return AppendInt32(b, t.ParentCversion)
}

// Decode reads t. A body that ends before ParentCversion is CreateTxnV0's.
func (t *CreateTxn) Decode(d *Decoder) {
	t.Path = d.String()
	t.Data = d.Buffer()
	t.ACL = d.ACLs()
	t.Ephemeral = d.Bool()
	t.ParentCversion = -1
	if d.Err() == nil && d.Remaining() > 0 {
		t.ParentCversion = d.Int32()
	}
}

// CreateTTLTxn creates a TTL znode.
type CreateTTLTxn struct {
	Path           string
	Data           []byte
	ACL            []ACL
	ParentCversion int32
	TTLMs          int64
}

// Append encodes t.
func (t *CreateTTLTxn) Append(b []byte) []byte {
	b = AppendString(b, t.Path)
	b = AppendBuffer(b, t.Data)
	b = AppendACLs(b, t.ACL)
	b = AppendInt32(b, t.ParentCversion)
	return AppendInt64(b, t.TTLMs)
}

// Decode reads t.
func (t *CreateTTLTxn) Decode(d *Decoder) {
	t.Path = d.String()
	t.Data = d.Buffer()
	t.ACL = d.ACLs()
	t.ParentCversion = d.Int32()
	t.TTLMs = d.Int64()
}

// CreateContainerTxn creates a container.
type CreateContainerTxn struct {
	Path           string
	Data           []byte
	ACL            []ACL
	ParentCversion int32
}

// Append encodes t.
func (t *CreateContainerTxn) Append(b []byte) []byte {
	b = AppendString(b, t.Path)
	b = AppendBuffer(b, t.Data)
	b = AppendACLs(b, t.ACL)
	return AppendInt32(b, t.ParentCversion)
}

// Decode reads t.
func (t *CreateContainerTxn) Decode(d *Decoder) {
	t.Path = d.String()
	t.Data = d.Buffer()
	t.ACL = d.ACLs()
	t.ParentCversion = d.Int32()
}

// DeleteTxn deletes a znode, for delete and deleteContainer.
type DeleteTxn struct{ Path string }

// Append encodes t.
func (t *DeleteTxn) Append(b []byte) []byte { return AppendString(b, t.Path) }

// Decode reads t.
func (t *DeleteTxn) Decode(d *Decoder) { t.Path = d.String() }

// SetDataTxn sets data, and the version to Version; for setData and reconfig.
type SetDataTxn struct {
	Path    string
	Data    []byte
	Version int32 // the new version
}

// Append encodes t.
func (t *SetDataTxn) Append(b []byte) []byte {
	return AppendInt32(AppendBuffer(AppendString(b, t.Path), t.Data), t.Version)
}

// Decode reads t.
func (t *SetDataTxn) Decode(d *Decoder) {
	t.Path = d.String()
	t.Data = d.Buffer()
	t.Version = d.Int32()
}

// SetACLTxn sets the ACL, and the aversion to Version.
type SetACLTxn struct {
	Path    string
	ACL     []ACL
	Version int32 // the new aversion
}

// Append encodes t.
func (t *SetACLTxn) Append(b []byte) []byte {
	return AppendInt32(AppendACLs(AppendString(b, t.Path), t.ACL), t.Version)
}

// Decode reads t.
func (t *SetACLTxn) Decode(d *Decoder) {
	t.Path = d.String()
	t.ACL = d.ACLs()
	t.Version = d.Int32()
}

// CheckVersionTxn stands for a check that held; it changes nothing. Version is
// the version that was checked plus one.
type CheckVersionTxn struct {
	Path    string
	Version int32
}

// Append encodes t.
func (t *CheckVersionTxn) Append(b []byte) []byte {
	return AppendInt32(AppendString(b, t.Path), t.Version)
}

// Decode reads t.
func (t *CheckVersionTxn) Decode(d *Decoder) {
	t.Path = d.String()
	t.Version = d.Int32()
}

// SubTxn is one change of a MultiTxn.
type SubTxn struct {
	Op   OpCode
	Body TxnBody
}

// MultiTxn is several changes under one zxid. If one of them is an error the
// multi failed, and none is applied.
type MultiTxn struct{ Txns []SubTxn }

// Append encodes t.
func (t *MultiTxn) Append(b []byte) []byte {
	b = AppendInt32(b, int32(len(t.Txns)))
	for _, s := range t.Txns {
		b = AppendInt32(b, int32(s.Op))
		start := len(b)
		b = s.Body.Append(BeginFrame(b))
		b = EndFrame(b, start) // a buffer has the form of a frame
	}
	return b
}

// Decode reads t. A part of type error may carry more bytes than its code: a
// Java leader that serves a failed multi from memory leaves the old body there.
func (t *MultiTxn) Decode(d *Decoder) {
	n := d.Count(8)
	t.Txns = nil
	for i := 0; i < n; i++ {
		s := SubTxn{Op: OpCode(d.Int32())}
		sub := NewDecoder(d.Buffer())
		if s.Op == OpCreateSession || s.Op == OpCloseSession || s.Op == OpMulti || s.Op == OpSetACL {
			d.Fail(s.Op.String() + " inside a multi txn")
		} else if s.Body = newTxnBody(s.Op); s.Body == nil {
			d.Fail("unknown type inside a multi txn")
		}
		if d.Err() != nil {
			return
		}
		if s.Body.Decode(&sub); sub.Err() != nil {
			d.Fail("part of a multi txn: " + sub.Err().Error())
			return
		}
		t.Txns = append(t.Txns, s)
	}
}

// Entry is a transaction on its way to the log: its zxid and its encoding.
type Entry struct {
	Zxid    Zxid
	Payload []byte
}
