// Package auth says who somebody is and what they may do: the authentication
// schemes of ZooKeeper and the rules by which an ACL is written and judged.
//
//	auth packet ─► Registry.Authenticate ─► identities of the connection
//	ACL of a create or setACL ─► Registry.Normalize ─► what is stored
//	stored ACL, permission, identities ─► Registry.Permits ─► yes or no
//
// Promises: nothing here keeps state, so any goroutine may call anything at any
// time; judging an ACL allocates nothing. An ACL entry of a scheme that is not
// configured matches nobody, and cannot be written. The identities of a connection
// and the ACL of a request are bounded (wire/bounds.go), and take time in proportion
// to their bytes.
//
// Schemes here: world and auth (words of an ACL, in which nobody can
// authenticate), digest, ip, and super (an identity that may do everything and
// cannot stand in an ACL). Another one, like x509 or sasl, is a value that
// implements Scheme and is passed to New.
//
// Who may connect at all, and the exchange of packets, is package server's;
// which permission an operation needs is package znode's, which sees a Registry
// as its Authority.
//
// Read registry.go, then digest.go and ip.go.
package auth
