package wire

// TxnBytesMax is the default of the largest encoded transaction in bytes: what
// Apache ZooKeeper with default settings reads back from a packet and from its
// log, jute.maxbuffer (0xfffff) and as much again as its extra size. Whoever
// prepares transactions refuses a request whose transaction would be larger;
// whoever finds a larger one in a log has Portable.
const TxnBytesMax = 2 * 0xfffff

// TxnOverhead is what a transaction takes beside its body, in bytes: its header
// and the digest of the tree.
const TxnOverhead = TxnHeaderSize + digestSize

// Size is how long the encoding of t is at most, in bytes.
func (t *Txn) Size() int { return TxnOverhead + TxnBodySize(t.Body) }

// TxnBodySize is how long the encoding of a body is at most, in bytes, whoever
// encodes it: the servers of an ensemble log a transaction each with their own
// encoder. 0 stands for no body.
func TxnBodySize(body TxnBody) int {
	switch t := body.(type) {
	case *CreateSessionTxn, *ErrorTxn:
		return 4
	case *CloseSessionTxn:
		n := 4
		for _, p := range t.Paths {
			n += pathSize(p)
		}
		return n
	case *CreateTxn:
		return CreateTxnSize(t.Path, t.Data, t.ACL)
	case *CreateTTLTxn:
		return CreateTxnSize(t.Path, t.Data, t.ACL)
	case *CreateContainerTxn:
		return CreateTxnSize(t.Path, t.Data, t.ACL)
	case *DeleteTxn:
		return pathSize(t.Path)
	case *SetDataTxn:
		return pathSize(t.Path) + 4 + len(t.Data) + 4
	case *SetACLTxn:
		return pathSize(t.Path) + aclsSize(t.ACL) + 4
	case *CheckVersionTxn:
		return pathSize(t.Path) + 4
	case *MultiTxn:
		n := 4
		for i := range t.Txns {
			n += SubTxnOverhead + TxnBodySize(t.Txns[i].Body)
		}
		return n
	}
	return 0
}

// SubTxnOverhead is what a part of a MultiTxn takes beside its body, in bytes.
const SubTxnOverhead = 4 + 4

// CreateTxnSize is TxnBodySize of the creation of a znode of any kind.
func CreateTxnSize(path string, data []byte, acl []ACL) int {
	const ttl = 8 // CreateTTLTxn has the most beside these
	return pathSize(path) + 4 + len(data) + aclsSize(acl) + 4 + ttl
}

func aclsSize(acl []ACL) int {
	n := 4
	for i := range acl {
		n += ACLEntrySize(&acl[i])
	}
	return n
}

// pathSize is the size of a path, in which there are no characters above U+FFFF.
func pathSize(path string) int { return 4 + len(path) }

// stringSize is the size of any other ustring. Java's encoder writes a character above
// U+FFFF, of four bytes, as two of three.
func stringSize(s string) int {
	n := 4 + len(s)
	for i := range len(s) {
		if s[i] >= 0xf0 {
			n += 2
		}
	}
	return n
}

// Portable gives the payload of a transaction in a form that every server can
// read, if there is one: servers of earlier versions logged the end of a session
// with all its paths however many they were. Without the paths it says the same,
// for they are the ephemerals that the session has at that time. Any other
// payload is returned as it is.
func Portable(payload []byte) []byte {
	if len(payload) <= TxnBytesMax {
		return payload
	}
	var h TxnHeader
	d := NewDecoder(payload)
	if h.Decode(&d); d.Err() != nil || h.Op != OpCloseSession {
		return payload
	}
	return append(make([]byte, 0, TxnHeaderSize), payload[:TxnHeaderSize]...)
}
