package history

import (
	"fmt"
	"math"

	"zooid/wire"
)

// Kind is what an op did.
type Kind uint8

// The kinds. Those that read by way of sync are meant to be linearizable, a
// Read only sequentially consistent.
const (
	Write     Kind = iota // setData whatever the version
	WriteIf               // setData if the version is Asked
	Read                  // getData with a watch
	SyncRead              // sync, then getData
	CreateSeq             // create of a sequential node
	Pair                  // multi: both of two nodes or none
	CreateOwn             // create of the client's ephemeral
	DeleteOwn             // delete of it
	Look                  // sync, then exists of some client's ephemeral
	Event                 // a watch fired
	Connect               // the session was made or found again
	Expired               // the server says that the session is gone
	Close                 // closeSession
)

var kindNames = [...]string{"write", "writeIf", "read", "syncRead", "createSeq", "pair", "createOwn", "deleteOwn", "look", "event", "connect", "expired", "close"}

func (k Kind) String() string { return kindNames[k] }

// Outcome is what the client knows of an op.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota // no answer
	Done
	Refused // answered by the code in Code
)

// Never is the Return of an op without an answer.
const Never = math.MaxInt64

// Op is one request of a client, or what happened to it.
type Op struct {
	Client  int
	Server  int // the member that the client was connected to
	Conn    int // the client's connections are numbered
	Session wire.SessionID
	Kind    Kind
	Path    string
	Value   string // written, or read; every write's is its own
	Asked   int32  // version that WriteIf wants

	Call, Return int64 // nanoseconds since the history began
	Outcome      Outcome
	Code         wire.ErrCode

	Zxid      wire.Zxid // of the reply's header: a write's own, else how far the server was
	Mzxid     wire.Zxid // of the node
	Version   int32     // of the node
	Owner     wire.SessionID
	TimeoutMs int32 // of a Connect
}

// answered tells whether a server has heard of the op for certain.
func (o *Op) answered() bool { return o.Outcome != Unknown }

// changes tells whether the op is a transaction.
func (o *Op) changes() bool {
	switch o.Kind {
	case Write, WriteIf, CreateSeq, Pair, CreateOwn, DeleteOwn:
		return true
	}
	return false
}

// String shows the op in one line.
func (o *Op) String() string {
	end := "never"
	if o.Return != Never {
		end = fmt.Sprintf("%.6f", float64(o.Return)/1e9)
	}
	s := fmt.Sprintf("%.6f-%s client %d member %d conn %d session %v %v %s", float64(o.Call)/1e9, end,
		o.Client, o.Server, o.Conn, o.Session, o.Kind, o.Path)
	if o.Value != "" {
		s += fmt.Sprintf(" %q", o.Value)
	}
	if o.Kind == WriteIf {
		s += fmt.Sprintf(" if version %d", o.Asked)
	}
	switch o.Outcome {
	case Unknown:
		return s + ": unknown"
	case Refused:
		return s + fmt.Sprintf(": %v, zxid %v", o.Code, o.Zxid)
	}
	return s + fmt.Sprintf(": zxid %v mzxid %v version %d owner %v", o.Zxid, o.Mzxid, o.Version, o.Owner)
}
