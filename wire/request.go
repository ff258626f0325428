package wire

// ConnectRequest opens a connection: a new session (SessionID 0) or the
// re-attachment of one.
type ConnectRequest struct {
	ProtocolVersion int32
	LastZxidSeen    Zxid
	TimeoutMs       int32
	SessionID       SessionID
	Passwd          []byte
	ReadOnly        bool
	// HasReadOnly tells whether the byte is there at all: clients of 3.3 and
	// go-zookeeper/zk leave it out, and get an answer without it.
	HasReadOnly bool
}

// Append encodes r.
func (r *ConnectRequest) Append(b []byte) []byte {
	b = AppendInt32(b, r.ProtocolVersion)
	b = AppendInt64(b, int64(r.LastZxidSeen))
	b = AppendInt32(b, r.TimeoutMs)
	b = AppendInt64(b, int64(r.SessionID))
	b = AppendBuffer(b, r.Passwd)
	if r.HasReadOnly {
		b = AppendBool(b, r.ReadOnly)
	}
	return b
}

// Decode reads r.
func (r *ConnectRequest) Decode(d *Decoder) {
	r.ProtocolVersion = d.Int32()
	r.LastZxidSeen = Zxid(d.Int64())
	r.TimeoutMs = d.Int32()
	r.SessionID = SessionID(d.Int64())
	r.Passwd = d.Buffer()
	r.HasReadOnly = d.Err() == nil && d.Remaining() > 0
	r.ReadOnly = r.HasReadOnly && d.Bool()
}

// RequestHeader stands before every request but the ConnectRequest; 8 bytes.
type RequestHeader struct {
	Xid int32
	Op  OpCode
}

// Append encodes h.
func (h *RequestHeader) Append(b []byte) []byte {
	return AppendInt32(AppendInt32(b, h.Xid), int32(h.Op))
}

// Decode reads h.
func (h *RequestHeader) Decode(d *Decoder) {
	h.Xid = d.Int32()
	h.Op = OpCode(d.Int32())
}

// CreateRequest is the body of create, create2 and createContainer.
type CreateRequest struct {
	Path  string
	Data  []byte
	ACL   []ACL
	Flags int32
}

// Append encodes r.
func (r *CreateRequest) Append(b []byte) []byte {
	b = AppendString(b, r.Path)
	b = AppendBuffer(b, r.Data)
	b = AppendACLs(b, r.ACL)
	return AppendInt32(b, r.Flags)
}

// Decode reads r. A null path is an error, as in ZooKeeper, for create and for
// delete.
func (r *CreateRequest) Decode(d *Decoder) {
	r.Path = decodePath(d)
	r.Data = d.Buffer()
	r.ACL = requestACLs(d)
	r.Flags = d.Int32()
}

// CreateTTLRequest is the body of createTTL.
type CreateTTLRequest struct {
	CreateRequest
	TTLMs int64
}

// Append encodes r.
func (r *CreateTTLRequest) Append(b []byte) []byte {
	return AppendInt64(r.CreateRequest.Append(b), r.TTLMs)
}

// Decode reads r.
func (r *CreateTTLRequest) Decode(d *Decoder) {
	r.CreateRequest.Decode(d)
	r.TTLMs = d.Int64()
}

// DeleteRequest is the body of delete; Version -1 matches any.
type DeleteRequest struct {
	Path    string
	Version int32
}

// Append encodes r.
func (r *DeleteRequest) Append(b []byte) []byte {
	return AppendInt32(AppendString(b, r.Path), r.Version)
}

// decodePath reads a path that must not be null.
func decodePath(d *Decoder) string {
	path, ok := d.NullString()
	if !ok && d.Err() == nil {
		d.Fail("null path")
	}
	return path
}

// Decode reads r. A null path is an error.
func (r *DeleteRequest) Decode(d *Decoder) {
	r.Path = decodePath(d)
	r.Version = d.Int32()
}

// CheckVersionRequest is the body of check, which exists only inside multi.
type CheckVersionRequest = DeleteRequest

// WatchRequest is the body of exists, getData, getChildren and getChildren2.
type WatchRequest struct {
	Path  string
	Watch bool
	// NullPath tells a null path from an empty one.
	NullPath bool
}

// Append encodes r.
func (r *WatchRequest) Append(b []byte) []byte {
	return AppendBool(appendPath(b, r.Path, r.NullPath), r.Watch)
}

// appendPath encodes a path that may be null.
func appendPath(b []byte, path string, null bool) []byte {
	if null {
		return AppendInt32(b, -1)
	}
	return AppendString(b, path)
}

// Decode reads r.
func (r *WatchRequest) Decode(d *Decoder) {
	var ok bool
	r.Path, ok = d.NullString()
	r.NullPath = !ok
	r.Watch = d.Bool()
}

// PathRequest is the body of getACL, sync, getAllChildrenNumber and
// getEphemerals.
type PathRequest struct {
	Path string
	// NullPath tells a null path from an empty one.
	NullPath bool
}

// Append encodes r.
func (r *PathRequest) Append(b []byte) []byte { return appendPath(b, r.Path, r.NullPath) }

// Decode reads r.
func (r *PathRequest) Decode(d *Decoder) {
	var ok bool
	r.Path, ok = d.NullString()
	r.NullPath = !ok
}

// SetDataRequest is the body of setData; Version -1 matches any.
type SetDataRequest struct {
	Path    string
	Data    []byte
	Version int32
}

// Append encodes r.
func (r *SetDataRequest) Append(b []byte) []byte {
	return AppendInt32(AppendBuffer(AppendString(b, r.Path), r.Data), r.Version)
}

// Decode reads r.
func (r *SetDataRequest) Decode(d *Decoder) {
	r.Path = d.String()
	r.Data = d.Buffer()
	r.Version = d.Int32()
}

// SetACLRequest is the body of setACL; Version is the expected aversion, -1
// matches any.
type SetACLRequest struct {
	Path    string
	ACL     []ACL
	Version int32
}

// Append encodes r.
func (r *SetACLRequest) Append(b []byte) []byte {
	return AppendInt32(AppendACLs(AppendString(b, r.Path), r.ACL), r.Version)
}

// Decode reads r.
func (r *SetACLRequest) Decode(d *Decoder) {
	r.Path = d.String()
	r.ACL = requestACLs(d)
	r.Version = d.Int32()
}

// DeleteContainerRequest is the body of deleteContainer, which only a server
// may ask of itself. The path travels as a buffer.
type DeleteContainerRequest struct{ Path string }

// Append encodes r.
func (r *DeleteContainerRequest) Append(b []byte) []byte { return AppendBuffer(b, []byte(r.Path)) }

// Decode reads r.
func (r *DeleteContainerRequest) Decode(d *Decoder) { r.Path = d.String() }

// ReconfigRequest is the body of reconfig. The three texts may be null (nil).
type ReconfigRequest struct {
	Joining     *string
	Leaving     *string
	NewMembers  *string
	CurConfigID int64
}

func appendNullString(b []byte, s *string) []byte {
	if s == nil {
		return AppendInt32(b, -1)
	}
	return AppendString(b, *s)
}

func decodeNullString(d *Decoder) *string {
	s, ok := d.NullString()
	if !ok {
		return nil
	}
	return &s
}

// Append encodes r.
func (r *ReconfigRequest) Append(b []byte) []byte {
	b = appendNullString(b, r.Joining)
	b = appendNullString(b, r.Leaving)
	b = appendNullString(b, r.NewMembers)
	return AppendInt64(b, r.CurConfigID)
}

// Decode reads r.
func (r *ReconfigRequest) Decode(d *Decoder) {
	r.Joining = decodeNullString(d)
	r.Leaving = decodeNullString(d)
	r.NewMembers = decodeNullString(d)
	r.CurConfigID = d.Int64()
}

// WatcherTypeRequest is the body of checkWatches and removeWatches.
type WatcherTypeRequest struct {
	Path string
	Type WatcherType
}

// Append encodes r.
func (r *WatcherTypeRequest) Append(b []byte) []byte {
	return AppendInt32(AppendString(b, r.Path), int32(r.Type))
}

// Decode reads r; a type that does not exist is an error.
func (r *WatcherTypeRequest) Decode(d *Decoder) {
	r.Path = d.String()
	r.Type = WatcherType(d.Int32())
	if r.Type < WatcherChildren || r.Type > WatcherPersistentRecursive {
		d.Fail("unknown watcher type")
	}
}

// AddWatchRequest is the body of addWatch.
type AddWatchRequest struct {
	Path string
	Mode int32
}

// Append encodes r.
func (r *AddWatchRequest) Append(b []byte) []byte {
	return AppendInt32(AppendString(b, r.Path), r.Mode)
}

// Decode reads r; a mode that does not exist is an error.
func (r *AddWatchRequest) Decode(d *Decoder) {
	r.Path = d.String()
	r.Mode = d.Int32()
	if r.Mode != AddWatchPersistent && r.Mode != AddWatchPersistentRecursive {
		d.Fail("unknown addWatch mode")
	}
}

// SetWatchesRequest is the body of setWatches and, with Two set, of
// setWatches2, which has two more lists.
type SetWatchesRequest struct {
	Two                 bool // not encoded: which of the two forms this is
	RelativeZxid        Zxid
	Data                []string
	Exist               []string
	Child               []string
	Persistent          []string
	PersistentRecursive []string
}

// Append encodes r.
func (r *SetWatchesRequest) Append(b []byte) []byte {
	b = AppendInt64(b, int64(r.RelativeZxid))
	b = AppendStrings(b, r.Data)
	b = AppendStrings(b, r.Exist)
	b = AppendStrings(b, r.Child)
	if r.Two {
		b = AppendStrings(b, r.Persistent)
		b = AppendStrings(b, r.PersistentRecursive)
	}
	return b
}

// Decode reads r in the form that r.Two says. A null list is an error, as in
// ZooKeeper.
func (r *SetWatchesRequest) Decode(d *Decoder) {
	r.RelativeZxid = Zxid(d.Int64())
	lists := []*[]string{&r.Data, &r.Exist, &r.Child}
	if r.Two {
		lists = append(lists, &r.Persistent, &r.PersistentRecursive)
	}
	for _, l := range lists {
		if *l = d.Strings(); *l == nil {
			d.Fail("null list of watches")
			return
		}
	}
}

// AuthPacket is the body of auth.
type AuthPacket struct {
	Type   int32 // 0
	Scheme string
	Auth   []byte
}

// Append encodes r.
func (r *AuthPacket) Append(b []byte) []byte {
	return AppendBuffer(AppendString(AppendInt32(b, r.Type), r.Scheme), r.Auth)
}

// Decode reads r.
func (r *AuthPacket) Decode(d *Decoder) {
	r.Type = d.Int32()
	r.Scheme = d.String()
	r.Auth = d.Buffer()
}

// SASLPacket is the body of sasl and of its reply; a nil token is null.
type SASLPacket struct{ Token []byte }

// Append encodes r.
func (r *SASLPacket) Append(b []byte) []byte { return AppendBuffer(b, r.Token) }

// Decode reads r.
func (r *SASLPacket) Decode(d *Decoder) { r.Token = d.Buffer() }

// Empty is the body of requests and replies that have none.
type Empty struct{}

// Append encodes nothing.
func (Empty) Append(b []byte) []byte { return b }

// Decode reads nothing.
func (Empty) Decode(*Decoder) {}
