package server

import (
	"net/netip"

	"zooid/fourletter"
	"zooid/wire"
	"zooid/znode"
)

// Member is what the server needs of the running peer. Its methods are called
// from many goroutines and do not block. The other direction is the methods of
// Server in clients.go and door.go.
type Member interface {
	// Tree is the member's tree.
	Tree() *znode.Tree
	// Submit hands requests over, in order; the slice may be reused afterwards,
	// the requests may not. The outcome of each comes by Server.Applied.
	Submit(reqs []*znode.Request)
	// Attach asks for a session for a connection: a new one if id is 0, else
	// that one if passwd is its password. timeoutMs is negotiated already. The
	// answer comes by Server.Attached; passwd must stay unchanged until then.
	Attach(conn znode.ConnID, id wire.SessionID, passwd []byte, timeoutMs int32)
	// SessionNow is the session clock in ms, rounded up: what a connection that
	// is heard from now is stamped with.
	SessionNow() int64
}

// Authority knows who may do what. Package auth's Registry is one.
type Authority interface {
	// InitialIDs are the identities of a connection that has proved nothing.
	InitialIDs(remote netip.Addr) []wire.ID
	// Authenticate gives the identities that an auth packet adds to ids. The
	// error wraps wire.ErrAuthFailed.
	Authenticate(scheme string, data []byte, remote netip.Addr, ids []wire.ID) ([]wire.ID, error)
	// Admits tells whether a connection with ids may make requests at all.
	Admits(ids []wire.ID) bool
	// Permits tells whether somebody with ids has the permission perm.
	Permits(acl []wire.ACL, perm int32, ids []wire.ID) bool
}

// Host is the process around the server, as far as the four-letter words speak
// of it. Its methods may be called from any goroutine.
type Host interface {
	// Describe fills in what the server cannot know: version, mode, uptime,
	// configuration, the place in the ensemble, sizes on disk, the sessions'
	// ends, the environment, and the instruments, the expensive ones only as far
	// as parts asks. Of the mode the server has the last word while it lets
	// nobody in, or only read-only clients.
	Describe(st *fourletter.Status, parts fourletter.Part)
	// ResetStats is the part of the word srst that lies outside of the server.
	ResetStats()
}
