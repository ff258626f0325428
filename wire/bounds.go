package wire

// Bounds of what a client can have others judge or carry. ZooKeeper has none of
// them: there one client can make a request that no other member takes, and an
// ACL that takes minutes to judge.
const (
	// ClientIDsMax is how many identities one connection may have, its address
	// among them. The one that would be too many is refused with AUTHFAILED, and
	// the connection is closed.
	ClientIDsMax = 128
	// ClientIDBytesMax is how many bytes the identities of one connection may
	// take, as IDsSize counts them. They travel in each REQUEST packet, beside
	// data of up to TxnBytesMax. What would be too many is refused as above.
	ClientIDBytesMax = 64 << 10
	// ACLEntriesMax is how many entries the ACL of a request may have, as it was
	// sent and with its `auth` entries expanded. A longer one is INVALIDACL. A
	// longer one that a data directory holds already stays in force.
	ACLEntriesMax = 1000
	// ACLBytesMax is how many bytes such an ACL may take, as ACLEntrySize counts
	// them. A larger one is INVALIDACL.
	ACLBytesMax = 256 << 10
)

// IDsSize is what identities take in a packet at most, in bytes.
func IDsSize(ids []ID) int {
	n := 0
	for i := range ids {
		n += stringSize(ids[i].Scheme) + stringSize(ids[i].ID)
	}
	return n
}

// ACLEntrySize is what an entry of an ACL takes in a transaction at most, in
// bytes.
func ACLEntrySize(a *ACL) int { return 4 + stringSize(a.ID.Scheme) + stringSize(a.ID.ID) }
