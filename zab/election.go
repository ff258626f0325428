package zab

import (
	"maps"
	"math"
	"slices"

	"zooid/wire"
)

// never is a time that does not come.
const never int64 = math.MaxInt64

// election is the fast leader election of one member: ZooKeeper's, quorum.md
// §5, and what the member answers when others ask whom it follows.
//
//	look ─► propose myself ─► better vote heard? propose that ─┐
//	                    ▲                                      │
//	                    └──────────────────────────────────────┤
//	        a quorum proposes the same, and nobody is left     ▼
//	        who could still change that, or 200 ms pass ─► decided
//	        a quorum has a leader, and it says so ───────► decided
//
// Votes count within a round. The number of the round is not kept on disk; who
// hears of a later round joins it. An election need not be right, only likely
// to be: it is the epochs, agreed on by a quorum afterwards, that keep two
// leaders apart.
//
// Beyond ZooKeeper's, without any difference on the wire but in time: the wait
// for a better vote is left out when there is nobody to wait for, and a member
// that votes for less than we do is told our vote at once.
//
// The machine takes what stands in the first block after every call; any call
// may have decided the election.
type election struct {
	notices     []Notice
	connectAll  bool
	decided     *wire.Vote // whom the election has found, once
	lookingSeen []wire.SID // voters that have asked while this member leads

	cfg *Config
	ens *Ensemble
	// links has the members with an election connection, and how many
	// notifications each of these has brought.
	links map[wire.SID]int

	state  wire.PeerState // what others are told
	open   bool           // a round is under way; then state is Looking
	silent bool           // this member takes no part any more

	round int64
	// vote is the proposal while the round is open, and whom this member
	// follows or tried to follow afterwards; first is what it began the round
	// with.
	vote, first wire.Vote
	// votes holds the last vote of each member in this round, and settled the
	// last one of each that has a leader, whatever its round.
	votes, settled map[wire.SID]ballot
	// ownVotes holds what each member has last voted for itself, by the connection
	// that stands: an earlier process may have had another disk.
	ownVotes map[wire.SID]wire.Vote
	// answered holds the last answer in this round to each member's vote.
	answered map[wire.SID]answered
	// early are the last notifications that came between the end of a role and
	// the next round.
	early map[wire.SID]wire.Notification

	resendMs, resendAt int64 // how long the present wait for votes is, and until when
	dialAt             int64 // when members without a connection are dialled again
	finalAt            int64 // when the proposal is elected; never if no quorum shares it
}

// answered is an answer to a vote.
type answered struct {
	to   ballot
	atMs int64
}

func newElection(cfg *Config) *election {
	return &election{
		cfg:      cfg,
		ens:      cfg.Ensemble,
		links:    map[wire.SID]int{},
		votes:    map[wire.SID]ballot{},
		settled:  map[wire.SID]ballot{},
		ownVotes: map[wire.SID]wire.Vote{},
		answered: map[wire.SID]answered{},
		early:    map[wire.SID]wire.Notification{},
		finalAt:  never,
	}
}

// look begins a round. last is the last durable zxid, and currentEpoch the one
// on disk.
func (e *election) look(nowMs int64, last wire.Zxid, currentEpoch int64) {
	if e.silent {
		return
	}
	e.state, e.open = wire.Looking, true
	e.round++
	clear(e.votes)
	clear(e.settled)
	clear(e.answered)
	e.resendMs = e.cfg.MinNotifyMs
	e.resendAt = nowMs + e.resendMs
	e.dialAt = nowMs + e.cfg.TickMs

	e.first = wire.NoVote
	if !e.cfg.Observer {
		e.first = wire.Vote{Leader: wire.NoSID, Zxid: last, PeerEpoch: currentEpoch}
		if e.ens.votes(e.cfg.SID) {
			e.first.Leader = e.cfg.SID
		}
	}
	e.propose(e.first)
	e.count(nowMs)

	early := e.early
	e.early = map[wire.SID]wire.Notification{}
	for _, sid := range slices.Sorted(maps.Keys(early)) {
		n := early[sid]
		e.take(nowMs, sid, &n)
	}
}

// settle tells what the member is now. The election does it itself when it has
// decided. The machine does it, with Looking, as soon as a role ends: nobody
// hears of that role any more, although the next round may have to wait.
func (e *election) settle(state wire.PeerState) {
	e.state, e.open = state, false
	e.finalAt = never
}

// established puts the leader's epoch into the vote, so that all its members
// answer a newcomer alike.
func (e *election) established(epoch int64) { e.vote.PeerEpoch = epoch }

// silence ends this member's part in elections.
func (e *election) silence() {
	e.settle(wire.Looking)
	e.silent = true
	clear(e.early)
}

// notified takes a notification from another member. It looks at the vote only:
// a configuration that comes along is not ours to judge.
func (e *election) notified(nowMs int64, from wire.SID, n *wire.Notification) {
	if heard, ok := e.links[from]; ok {
		e.links[from] = heard + 1
	}
	if from != e.cfg.SID {
		if n.State == wire.Looking && n.Leader == from && e.ens.votes(from) {
			e.ownVotes[from] = n.Vote
		}
		e.take(nowMs, from, n)
	}
}

// yields tells whether a voter would have to follow v in an election, as far as
// it has told what it has.
func (e *election) yields(sid wire.SID, v wire.Vote) bool {
	own, ok := e.ownVotes[sid]
	return ok && !e.ens.beats(own, v)
}

// take hands a notification to what is going on now.
func (e *election) take(nowMs int64, from wire.SID, n *wire.Notification) {
	asks := n.State == wire.Looking
	switch {
	case e.silent:
		if asks {
			e.abstain(from, n.Round)
		}
	case e.state == wire.Looking && !e.open:
		e.early[from] = wire.Notification{State: n.State, Vote: n.Vote, Round: n.Round, Version: n.Version}
	case !e.ens.votes(from):
		if asks {
			e.send(from)
		}
	case e.open:
		e.hear(nowMs, from, n)
	case asks:
		if e.state == wire.Leading {
			e.lookingSeen = append(e.lookingSeen, from)
		}
		e.send(from)
	}
}

// hear takes a voter's notification into the open round.
func (e *election) hear(nowMs int64, from wire.SID, n *wire.Notification) {
	if e.finalAt != never {
		e.finalAt = nowMs + e.cfg.FinalizeMs // there was no silence
	}
	b := ballot{Vote: n.Vote, state: n.State, round: n.Round, version: n.Version}
	switch {
	case n.State == wire.Looking:
		e.hearLooking(nowMs, from, b)
	case n.State == wire.Observing || !e.ens.votes(n.Leader):
	default:
		e.hearSettled(from, b)
	}
}

// hearLooking takes the vote of a member that is looking as well.
func (e *election) hearLooking(nowMs int64, from wire.SID, b ballot) {
	delete(e.settled, from)
	if b.round < e.round {
		e.answer(nowMs, from, b)
		return
	}
	abstains := b.Leader == wire.NoSID && b.round == e.round
	if b.Zxid == -1 || !e.ens.votes(b.Leader) && !abstains {
		return
	}
	switch {
	case b.round > e.round:
		e.round = b.round
		clear(e.votes)
		if e.ens.beats(b.Vote, e.first) {
			e.propose(b.Vote)
		} else {
			e.propose(e.first)
		}
	case e.ens.beats(b.Vote, e.vote):
		e.propose(b.Vote)
	case e.ens.beats(e.vote, b.Vote) && !abstains && e.votes[from] != b:
		// It cannot have heard of our vote: perhaps it was not looking yet when
		// that came. Else it would have to wait for the next time we tell all.
		e.answer(nowMs, from, b)
	}
	e.votes[from] = b
	e.count(nowMs)
}

// hearSettled takes the vote of a member that has a leader, or is one. What it
// may have voted in this round before is no longer true.
func (e *election) hearSettled(from wire.SID, b ballot) {
	e.settled[from] = b
	if b.round == e.round {
		e.votes[from] = b
	} else {
		delete(e.votes, from)
	}
	switch {
	case b.round == e.round && e.led(e.votes, b):
		e.decide(b.Vote)
	case e.led(e.settled, b):
		e.round = b.round
		e.decide(b.Vote)
	case !e.ens.quorum(e.shared):
		e.finalAt = never
	}
}

// led says whether a quorum of the votes stands behind b and its leader leads:
// a leader must say so itself, as its followers may not know yet that it is
// gone. Of ourselves we believe it for the present round only.
func (e *election) led(votes map[wire.SID]ballot, b ballot) bool {
	if b.Leader == e.cfg.SID {
		if b.round != e.round {
			return false
		}
	} else if l, ok := votes[b.Leader]; !ok || l.state != wire.Leading {
		return false
	}
	return e.ens.quorum(func(sid wire.SID) bool {
		v, ok := votes[sid]
		return ok && v.agrees(b)
	})
}

// propose makes v this member's vote and tells every voter.
func (e *election) propose(v wire.Vote) {
	e.vote = v
	e.votes[e.cfg.SID] = e.own()
	e.finalAt = never
	e.sendAll()
}

// own is the proposal as a ballot.
func (e *election) own() ballot {
	return ballot{Vote: e.vote, state: wire.Looking, round: e.round, version: wire.NotificationVersion}
}

// shared says whether sid has voted for the proposal in this round.
func (e *election) shared(sid wire.SID) bool {
	b, ok := e.votes[sid]
	return ok && b.agrees(e.own())
}

// count elects the proposal if a quorum shares it, at once or after a wait for
// better votes.
func (e *election) count(nowMs int64) {
	switch {
	case e.vote.Leader == wire.NoSID || !e.ens.quorum(e.shared):
		e.finalAt = never
	case e.unopposed():
		e.decide(e.vote)
	default:
		e.finalAt = nowMs + e.cfg.FinalizeMs
	}
}

// unopposed says that no voter is left that might bring a better vote: each has
// voted for the proposal in this round, abstains, or has no connection with us.
// The one proposed must have voted, for without a connection it will hardly
// lead us. The first thing heard on a connection does not count here: it may be
// something that was said long ago, see quorum.md §3.3.
func (e *election) unopposed() bool {
	if !e.shared(e.vote.Leader) {
		return false
	}
	for _, m := range e.ens.Members {
		heard, linked := e.links[m.SID]
		if m.Observer || m.SID == e.cfg.SID || !linked {
			continue
		}
		abstains := e.votes[m.SID].Leader == wire.NoSID
		if heard < 2 || !e.shared(m.SID) && !abstains {
			return false
		}
	}
	return true
}

// decide ends the round.
func (e *election) decide(v wire.Vote) {
	e.vote = v
	e.decided = &v
	switch {
	case v.Leader == e.cfg.SID:
		e.settle(wire.Leading)
	case e.cfg.Observer:
		e.settle(wire.Observing)
	default:
		e.settle(wire.Following)
	}
}

// linked and unlinked tell of election connections.
func (e *election) linked(nowMs int64, sid wire.SID) {
	delete(e.ownVotes, sid)
	e.links[sid] = 0
	if e.open && e.ens.votes(sid) {
		e.send(sid) // what the network would repeat may be of another time
	}
}

// connected tells whether an election connection with a member stands.
func (e *election) connected(sid wire.SID) bool {
	_, ok := e.links[sid]
	return ok
}

func (e *election) unlinked(nowMs int64, sid wire.SID) {
	delete(e.ownVotes, sid)
	delete(e.links, sid)
	delete(e.settled, sid) // if it lives it will say so again
	delete(e.early, sid)
	if e.votes[sid].state != wire.Looking {
		delete(e.votes, sid)
	}
	if e.finalAt != never && e.unopposed() {
		e.decide(e.vote)
	}
}

// tick does what is due.
func (e *election) tick(nowMs int64) {
	if !e.open {
		return
	}
	if nowMs >= e.finalAt {
		e.decide(e.vote)
		return
	}
	if nowMs >= e.dialAt {
		e.dialAt = nowMs + e.cfg.TickMs
		e.connectAll = e.connectAll || e.lonely()
	}
	if e.finalAt == never && nowMs >= e.resendAt {
		e.resendMs = min(2*e.resendMs, e.cfg.MaxNotifyMs)
		e.resendAt = nowMs + e.resendMs
		e.sendAll()
	}
}

// deadline is when tick is due.
func (e *election) deadline() int64 {
	switch {
	case !e.open:
		return never
	case e.finalAt != never:
		return min(e.finalAt, e.dialAt)
	}
	return min(e.resendAt, e.dialAt)
}

// lonely says whether a voter has no connection with us. Notifications dial it
// too, but the waits between them grow to a minute.
func (e *election) lonely() bool {
	return slices.ContainsFunc(e.ens.Members, func(m Member) bool {
		_, linked := e.links[m.SID]
		return !m.Observer && m.SID != e.cfg.SID && !linked
	})
}

// sendAll tells every other voter where this member stands.
func (e *election) sendAll() {
	for _, m := range e.ens.Members {
		if !m.Observer && m.SID != e.cfg.SID {
			e.send(m.SID)
		}
	}
}

// answer tells a voter whose vote is behind ours what ours is; for the same vote
// not again soon, lest two that disagree on who votes, or whose vote is better,
// talk without a pause. The voters want no answers from anybody else.
func (e *election) answer(nowMs int64, to wire.SID, b ballot) {
	last, ok := e.answered[to]
	if !e.ens.votes(e.cfg.SID) || ok && last.to == b && nowMs < last.atMs+e.cfg.MinNotifyMs {
		return
	}
	e.answered[to] = answered{b, nowMs}
	e.send(to)
}

// send tells one member where this one stands.
func (e *election) send(to wire.SID) { e.notify(to, e.state, e.vote, e.round) }

// abstain answers a member in its own round that we want nobody as leader. No
// server counts that as a vote; ours do not wait for one of us then.
func (e *election) abstain(to wire.SID, round int64) {
	e.notify(to, wire.Looking, wire.NoVote, round)
}

func (e *election) notify(to wire.SID, state wire.PeerState, v wire.Vote, round int64) {
	e.notices = append(e.notices, Notice{To: to, N: wire.Notification{
		State: state, Vote: v, Round: round, Version: wire.NotificationVersion, Config: e.ens.Text,
	}})
}
