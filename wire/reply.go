package wire

// ConnectResponse answers a ConnectRequest. The zero value but for 16 zero
// bytes of Passwd says that there is no such session.
type ConnectResponse struct {
	ProtocolVersion int32
	TimeoutMs       int32
	SessionID       SessionID
	Passwd          []byte
	ReadOnly        bool
	HasReadOnly     bool // mirrors ConnectRequest.HasReadOnly
}

// Append encodes r.
func (r *ConnectResponse) Append(b []byte) []byte {
	b = AppendInt32(b, r.ProtocolVersion)
	b = AppendInt32(b, r.TimeoutMs)
	b = AppendInt64(b, int64(r.SessionID))
	b = AppendBuffer(b, r.Passwd)
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

// Decode reads r.
func (r *ConnectResponse) Decode(d *Decoder) {
	r.ProtocolVersion = d.Int32()
	r.TimeoutMs = d.Int32()
	r.SessionID = SessionID(d.Int64())
	r.Passwd = d.Buffer()
	r.HasReadOnly = d.Err() == nil && d.Remaining() > 0
	r.ReadOnly = r.HasReadOnly && d.Bool()
}

// ReplyHeader stands before every reply and notification; 16 bytes. A body
// follows only if Err is OK (exceptions: sasl, and multiRead with a write op).
type ReplyHeader struct {
	Xid  int32
	Zxid Zxid
	Err  ErrCode
}

// ReplyHeaderSize is the encoded size of a ReplyHeader in bytes.
const ReplyHeaderSize = 16

// Append encodes h.
func (h *ReplyHeader) Append(b []byte) []byte {
	return AppendInt32(AppendInt64(AppendInt32(b, h.Xid), int64(h.Zxid)), int32(h.Err))
}

// Decode reads h.
func (h *ReplyHeader) Decode(d *Decoder) {
	h.Xid = d.Int32()
	h.Zxid = Zxid(d.Int64())
	h.Err = ErrCode(d.Int32())
}

// PathResponse is the reply body of create and sync.
type PathResponse struct{ Path string }

// Append encodes r.
func (r *PathResponse) Append(b []byte) []byte { return AppendString(b, r.Path) }

// Decode reads r.
func (r *PathResponse) Decode(d *Decoder) { r.Path = d.String() }

// Create2Response is the reply body of create2, createContainer and createTTL.
type Create2Response struct {
	Path string
	Stat Stat
}

// Append encodes r.
func (r *Create2Response) Append(b []byte) []byte { return r.Stat.Append(AppendString(b, r.Path)) }

// Decode reads r.
func (r *Create2Response) Decode(d *Decoder) {
	r.Path = d.String()
	r.Stat.Decode(d)
}

// GetDataResponse is the reply body of getData and reconfig.
type GetDataResponse struct {
	Data []byte
	Stat Stat
}

// Append encodes r.
func (r *GetDataResponse) Append(b []byte) []byte { return r.Stat.Append(AppendBuffer(b, r.Data)) }

// Decode reads r.
func (r *GetDataResponse) Decode(d *Decoder) {
	r.Data = d.Buffer()
	r.Stat.Decode(d)
}

// GetACLResponse is the reply body of getACL.
type GetACLResponse struct {
	ACL  []ACL
	Stat Stat
}

// Append encodes r.
func (r *GetACLResponse) Append(b []byte) []byte { return r.Stat.Append(AppendACLs(b, r.ACL)) }

// Decode reads r.
func (r *GetACLResponse) Decode(d *Decoder) {
	r.ACL = d.ACLs()
	r.Stat.Decode(d)
}

// StringsResponse is the reply body of getChildren and getEphemerals.
type StringsResponse struct{ Names []string }

// Append encodes r.
func (r *StringsResponse) Append(b []byte) []byte { return AppendStrings(b, r.Names) }

// Decode reads r.
func (r *StringsResponse) Decode(d *Decoder) { r.Names = d.Strings() }

// GetChildren2Response is the reply body of getChildren2.
type GetChildren2Response struct {
	Names []string
	Stat  Stat
}

// Append encodes r.
func (r *GetChildren2Response) Append(b []byte) []byte {
	return r.Stat.Append(AppendStrings(b, r.Names))
}

// Decode reads r.
func (r *GetChildren2Response) Decode(d *Decoder) {
	r.Names = d.Strings()
	r.Stat.Decode(d)
}

// Int32Response is the reply body of getAllChildrenNumber (the number of
// descendants) and of addWatch (an error code, always 0).
type Int32Response struct{ Value int32 }

// Append encodes r.
func (r *Int32Response) Append(b []byte) []byte { return AppendInt32(b, r.Value) }

// Decode reads r.
func (r *Int32Response) Decode(d *Decoder) { r.Value = d.Int32() }

// WhoAmIResponse is the reply body of whoAmI. The users of digest identities
// come without their hash.
type WhoAmIResponse struct{ IDs []ID }

// Append encodes r.
func (r *WhoAmIResponse) Append(b []byte) []byte {
	b = AppendInt32(b, int32(len(r.IDs)))
	for _, id := range r.IDs {
		b = AppendString(AppendString(b, id.Scheme), id.ID)
	}
	return b
}

// Decode reads r.
func (r *WhoAmIResponse) Decode(d *Decoder) {
	n := d.Count(8)
	r.IDs = nil
	for i := 0; i < n; i++ {
		r.IDs = append(r.IDs, ID{Scheme: d.String(), ID: d.String()})
	}
}

// WatcherEvent is the body of a notification.
type WatcherEvent struct {
	Type  EventType
	State int32
	Path  string
}

// Append encodes e.
func (e *WatcherEvent) Append(b []byte) []byte {
	return AppendString(AppendInt32(AppendInt32(b, int32(e.Type)), e.State), e.Path)
}

// Decode reads e.
func (e *WatcherEvent) Decode(d *Decoder) {
	e.Type = EventType(d.Int32())
	e.State = d.Int32()
	e.Path = d.String()
}
