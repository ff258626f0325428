package wire

// MultiHeader stands before each element of a multi and of its reply, and, with
// Done set, ends them; 9 bytes.
type MultiHeader struct {
	Op   OpCode
	Done bool
	Err  ErrCode
}

// MultiEnd ends a multi request and a multi reply.
var MultiEnd = MultiHeader{Op: OpError, Done: true, Err: -1}

// Append encodes h.
func (h *MultiHeader) Append(b []byte) []byte {
	return AppendInt32(AppendBool(AppendInt32(b, int32(h.Op)), h.Done), int32(h.Err))
}

// Decode reads h.
func (h *MultiHeader) Decode(d *Decoder) {
	h.Op = OpCode(d.Int32())
	h.Done = d.Bool()
	h.Err = ErrCode(d.Int32())
}

// MultiOp is one operation of a multi: Body is a *CreateRequest, a
// *CreateTTLRequest, a *DeleteRequest (delete and check), a *SetDataRequest or
// a *WatchRequest (getData and getChildren), as Op says.
type MultiOp struct {
	Op   OpCode
	Body Record
}

// MultiRequest is the body of multi (writes and checks) and, with Reads set, of
// multiRead (getData and getChildren).
type MultiRequest struct {
	Reads bool // not encoded: which of the two this is
	Ops   []MultiOp
}

// Append encodes r.
func (r *MultiRequest) Append(b []byte) []byte {
	for _, o := range r.Ops {
		h := MultiHeader{Op: o.Op, Err: -1}
		b = o.Body.Append(h.Append(b))
	}
	return MultiEnd.Append(b)
}

// Decode reads r in the form that r.Reads says; an operation of the other form,
// an unknown one, or a missing end is an error.
func (r *MultiRequest) Decode(d *Decoder) {
	r.Ops = nil
	for {
		var h MultiHeader
		h.Decode(d)
		if d.Err() != nil || h.Done {
			return
		}
		body := newMultiBody(h.Op, r.Reads)
		if body == nil {
			d.Fail(h.Op.String() + " is not allowed here in a multi")
			return
		}
		body.Decode(d)
		if d.Err() != nil {
			return
		}
		r.Ops = append(r.Ops, MultiOp{Op: h.Op, Body: body})
	}
}

func newMultiBody(op OpCode, reads bool) Record {
	if reads {
		if op == OpGetData || op == OpGetChildren {
			return new(WatchRequest)
		}
		return nil
	}
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer:
		return new(CreateRequest)
	case OpCreateTTL:
		return new(CreateTTLRequest)
	case OpDelete, OpCheck:
		return new(DeleteRequest)
	case OpSetData:
		return new(SetDataRequest)
	}
	return nil
}

// MultiResult is one element of a multi's reply. Op is OpError for a failure,
// with Err; else Path, Stat, Data and Names hold what the operation yields.
type MultiResult struct {
	Op    OpCode // OpCreate, OpCreate2, OpDelete, OpSetData, OpCheck, OpGetData, OpGetChildren, OpError
	Err   ErrCode
	Path  string
	Stat  Stat
	Data  []byte
	Names []string
}

// Append encodes r with its MultiHeader.
func (r *MultiResult) Append(b []byte) []byte {
	h := MultiHeader{Op: r.Op, Err: r.Err}
	b = h.Append(b)
	switch r.Op {
	case OpCreate:
		b = AppendString(b, r.Path)
	case OpCreate2:
		b = r.Stat.Append(AppendString(b, r.Path))
	case OpSetData:
		b = r.Stat.Append(b)
	case OpGetData:
		b = r.Stat.Append(AppendBuffer(b, r.Data))
	case OpGetChildren:
		b = AppendStrings(b, r.Names)
	case OpError:
		b = AppendInt32(b, int32(r.Err))
	}
	return b
}

// MultiResponse is the reply body of multi and multiRead.
type MultiResponse struct{ Results []MultiResult }

// Append encodes r.
func (r *MultiResponse) Append(b []byte) []byte {
	for i := range r.Results {
		b = r.Results[i].Append(b)
	}
	return MultiEnd.Append(b)
}

// Decode reads r.
func (r *MultiResponse) Decode(d *Decoder) {
	r.Results = nil
	for {
		var h MultiHeader
		h.Decode(d)
		if d.Err() != nil || h.Done {
			return
		}
		res := MultiResult{Op: h.Op, Err: h.Err}
		switch h.Op {
		case OpCreate:
			res.Path = d.String()
		case OpCreate2:
			res.Path = d.String()
			res.Stat.Decode(d)
		case OpSetData:
			res.Stat.Decode(d)
		case OpGetData:
			res.Data = d.Buffer()
			res.Stat.Decode(d)
		case OpGetChildren:
			res.Names = d.Strings()
		case OpError:
			res.Err = ErrCode(d.Int32())
		case OpDelete, OpCheck:
		default:
			d.Fail("unknown result of a multi: " + h.Op.String())
		}
		if d.Err() != nil {
			return
		}
		r.Results = append(r.Results, res)
	}
}
