package zab

import "zooid/wire"

// Ensemble is who belongs to an ensemble, and what makes a quorum. It is not
// changed once it is in use.
type Ensemble struct {
	Members []Member // in order of their SIDs
	// Groups maps each group to its members and Weights has the weight of each
	// participant; both are nil where a majority decides.
	Groups  map[int64][]wire.SID
	Weights map[wire.SID]int64
	Version wire.Zxid
	// Text is the configuration as notifications and NEWLEADER carry it.
	Text []byte
}

// Member is one member of an ensemble.
type Member struct {
	SID      wire.SID
	Observer bool // follows, but neither votes nor counts
}
