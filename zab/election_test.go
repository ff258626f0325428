package zab

import (
	"slices"
	"testing"

	"zooid/wire"
)

// lookingElection is the election of sid in a new round at time 0; what it sent
// is forgotten.
func lookingElection(sid wire.SID, ens *Ensemble) *election {
	e := newElection(electionConfig(sid, ens))
	e.look(0, 5, 1)
	e.notices = nil
	return e
}

func lookingNotice(v wire.Vote, round int64) *wire.Notification {
	return &wire.Notification{State: wire.Looking, Vote: v, Round: round, Version: wire.NotificationVersion}
}

// told lists to whom the notices go, and forgets them.
func told(e *election) []wire.SID {
	var sids []wire.SID
	for _, n := range e.notices {
		sids = append(sids, n.To)
	}
	e.notices = nil
	return sids
}

// TestElectionTimeouts: without an answer everybody is told again after 200 ms,
// 400 ms and so on up to a minute, and those without a connection are dialled
// each tick.
func TestElectionTimeouts(t *testing.T) {
	e := newElection(electionConfig(1, majority(3, 1)))
	if e.deadline() != never {
		t.Errorf("a deadline before the first round")
	}
	e.look(0, 5, 1)
	if got := told(e); !slices.Equal(got, []wire.SID{2, 3}) {
		t.Fatalf("at first told %v", got)
	}
	e.linked(0, 2)
	told(e)
	var times, dials []int64
	for e.deadline() < 400_000 {
		now := e.deadline()
		e.tick(now)
		if len(told(e)) > 0 {
			times = append(times, now)
		}
		if e.connectAll {
			dials = append(dials, now)
		}
		e.connectAll = false
	}
	want := []int64{200, 600, 1400, 3000, 6200, 12600, 25400, 51000, 102200, 162200, 222200, 282200, 342200}
	if !slices.Equal(times, want) {
		t.Errorf("told again at %v", times)
	}
	if len(dials) != 199 || dials[0] != 2000 || dials[198] != 398_000 {
		t.Errorf("%d dials: %v", len(dials), dials)
	}
	e.linked(400_000, 3)
	if e.tick(400_000); e.connectAll {
		t.Errorf("dials although everybody has a connection")
	}
}

// TestElectionSilence: a quorum that agrees waits for 200 ms after the last
// word, if there is still somebody to wait for.
func TestElectionSilence(t *testing.T) {
	e := lookingElection(3, majority(5, 0))
	for _, sid := range []wire.SID{1, 2, 4, 5} {
		e.linked(0, sid)
	}
	mine := wire.Vote{Leader: 3, Zxid: 5, PeerEpoch: 1}
	worse := wire.Vote{Leader: 4, Zxid: 4, PeerEpoch: 1}
	e.notified(10, 1, lookingNotice(mine, 1))
	e.notified(20, 2, lookingNotice(mine, 1))
	if got := e.deadline(); got != 220 {
		t.Fatalf("deadline %d", got)
	}
	e.notified(100, 4, lookingNotice(worse, 1))
	if e.tick(220); e.decided != nil || e.deadline() != 300 {
		t.Fatalf("decided %v, deadline %d", e.decided, e.deadline())
	}
	// 2 changes its mind: there is no quorum any more.
	e.notified(250, 2, lookingNotice(worse, 1))
	if e.tick(450); e.decided != nil {
		t.Fatalf("decided %v", *e.decided)
	}
	e.notified(500, 2, lookingNotice(mine, 1))
	// A better vote ends the wait as well.
	e.notified(600, 5, lookingNotice(wire.Vote{Leader: 5, Zxid: 5, PeerEpoch: 1}, 1))
	if e.tick(750); e.decided != nil || e.vote.Leader != 5 {
		t.Fatalf("decided %v, voting %v", e.decided, e.vote)
	}
	five := e.vote
	e.notified(800, 1, lookingNotice(five, 1))
	if e.tick(1000); e.decided == nil || *e.decided != five || e.state != wire.Following {
		t.Fatalf("decided %v", e.decided)
	}
}

// TestElectionAnswersOnce: a voter whose vote is behind ours is told ours, but
// for the same vote not again: not before 200 ms have passed in case of an
// earlier round. An observer tells nobody.
func TestElectionAnswersOnce(t *testing.T) {
	one, better := wire.Vote{Leader: 1, Zxid: 4, PeerEpoch: 1}, wire.Vote{Leader: 1, Zxid: 5, PeerEpoch: 1}
	for _, round := range []int64{0, 1} {
		e, o := lookingElection(3, majority(3, 1)), lookingElection(4, majority(3, 1))
		for i, test := range []struct {
			at   int64
			v    wire.Vote
			want int
		}{{0, one, 1}, {0, one, 0}, {199, one, 0}, {200, one, 1 - int(round)}, {201, one, 0}, {201, better, 1}, {201, better, 0}} {
			e.notified(test.at, 1, lookingNotice(test.v, round))
			if got := told(e); len(got) != test.want {
				t.Errorf("round %d: after vote %d told %v", round, i, got)
			}
			o.vote = e.vote
			if o.notified(test.at, 1, lookingNotice(test.v, round)); len(o.notices) != 0 {
				t.Errorf("round %d: the observer told %v", round, told(o))
			}
		}
	}
}

// TestElectionAnswers: who has a leader answers voters that look, and anybody
// else that looks; a leader reports the voters.
func TestElectionAnswers(t *testing.T) {
	e := lookingElection(2, majority(2, 1))
	e.notified(0, 3, lookingNotice(wire.NoVote, 1))
	e.notified(0, 9, lookingNotice(wire.Vote{Leader: 9, Zxid: 99, PeerEpoch: 9}, 7))
	if got := told(e); !slices.Equal(got, []wire.SID{3, 9}) || e.round != 1 || e.vote.Leader != 2 {
		t.Errorf("told %v, round %d, vote %v", got, e.round, e.vote)
	}
	e.notified(0, 1, lookingNotice(e.vote, 1))
	if e.decided == nil || e.state != wire.Leading {
		t.Fatalf("state %v", e.state)
	}
	e.established(8)
	told(e)
	for _, sid := range []wire.SID{1, 3, 9, 2} {
		e.notified(0, sid, lookingNotice(wire.NoVote, 5))
	}
	want := wire.Notification{State: wire.Leading, Vote: wire.Vote{Leader: 2, Zxid: 5, PeerEpoch: 8}, Round: 1, Version: 2}
	for _, n := range e.notices {
		if describeNotification(&n.N) != describeNotification(&want) {
			t.Errorf("%d is told %s", n.To, describeNotification(&n.N))
		}
	}
	if got := told(e); !slices.Equal(got, []wire.SID{1, 3, 9}) || !slices.Equal(e.lookingSeen, []wire.SID{1}) {
		t.Errorf("told %v, reported %v", got, e.lookingSeen)
	}
	for _, state := range []wire.PeerState{wire.Following, wire.Leading, wire.Observing} {
		n := want
		n.State = state
		e.notified(0, 1, &n)
		e.notified(0, 9, &n)
	}
	if got := told(e); got != nil {
		t.Errorf("told %v, who did not ask", got)
	}
}

// TestElectionBetweenRoles: from the end of a role until the next round nobody
// is answered; what came meanwhile counts in that round.
func TestElectionBetweenRoles(t *testing.T) {
	e := lookingElection(2, majority(3, 0))
	e.notified(0, 1, lookingNotice(e.vote, 1))
	if e.state != wire.Leading {
		t.Fatalf("state %v", e.state)
	}
	told(e)
	e.settle(wire.Looking)
	three := wire.Vote{Leader: 3, Zxid: 9, PeerEpoch: 1}
	e.notified(10, 3, lookingNotice(wire.Vote{Leader: 1}, 2))
	e.notified(20, 3, lookingNotice(three, 2))
	e.tick(5000)
	if got := told(e); got != nil || e.deadline() != never || len(e.lookingSeen) != 0 {
		t.Errorf("told %v between roles", got)
	}
	e.decided = nil
	e.look(5000, 6, 1)
	if e.decided == nil || *e.decided != three || e.round != 2 {
		t.Errorf("round %d, vote %v, decided %v", e.round, e.vote, e.decided)
	}
	// It counts no more than it would later: the first word on a connection does
	// not elect at once, and a broken connection takes it back.
	for _, broken := range []bool{false, true} {
		e := newElection(electionConfig(2, majority(3, 0)))
		e.linked(0, 3)
		e.notified(0, 3, lookingNotice(three, 1))
		if broken {
			e.unlinked(0, 3)
		}
		e.look(0, 6, 1)
		if want := wire.SID(3); e.decided != nil || (e.vote.Leader == want) == broken {
			t.Errorf("vote %v, decided %v", e.vote, e.decided)
		}
	}
}

// TestElectionSilenced: a member that has resigned for good sends nothing of its
// own accord and begins no round, but lets others know not to wait.
func TestElectionSilenced(t *testing.T) {
	e := lookingElection(2, majority(3, 1))
	e.silence()
	e.look(10, 6, 1)
	e.linked(10, 1)
	e.tick(10_000)
	e.unlinked(10, 1)
	if got := told(e); got != nil || e.deadline() != never || e.state != wire.Looking {
		t.Errorf("told %v, state %v", got, e.state)
	}
	e.notified(20, 1, lookingNotice(wire.Vote{Leader: 1}, 7))
	e.notified(20, 1, &wire.Notification{State: wire.Following, Vote: wire.Vote{Leader: 3}, Round: 7})
	if len(e.notices) != 1 || e.notices[0].N.Vote != wire.NoVote || e.notices[0].N.Round != 7 || e.notices[0].N.State != wire.Looking {
		t.Errorf("answers %v", e.notices)
	}
	// Those that abstain do not make an observer without a vote believe that it
	// agrees with them.
	o := lookingElection(4, majority(3, 1))
	for _, sid := range []wire.SID{1, 2, 3} {
		o.notified(0, sid, lookingNotice(wire.NoVote, 1))
	}
	if o.tick(250); o.decided != nil {
		t.Errorf("elected %v", *o.decided)
	}
}

// TestElectionAlone: a voter without others decides in the same breath.
func TestElectionAlone(t *testing.T) {
	e := newElection(electionConfig(1, majority(1, 1)))
	if e.look(0, 5, 1); e.decided == nil || e.decided.Leader != 1 || e.state != wire.Leading {
		t.Errorf("decided %v", e.decided)
	}
}

// TestElectionDeadLeader: that a member led is forgotten with its connection;
// its followers alone cannot make us follow it.
func TestElectionDeadLeader(t *testing.T) {
	three := wire.Vote{Leader: 3, Zxid: 9, PeerEpoch: 1}
	for _, round := range []int64{1, 8} {
		settled := func(state wire.PeerState) *wire.Notification {
			return &wire.Notification{State: state, Vote: three, Round: round, Version: 2}
		}
		e := lookingElection(1, majority(3, 0))
		e.linked(0, 3)
		e.notified(0, 3, settled(wire.Leading))
		e.unlinked(0, 3)
		e.notified(0, 2, settled(wire.Following))
		if e.decided != nil {
			t.Errorf("follows %v", *e.decided)
		}
		if e.notified(0, 3, settled(wire.Leading)); e.decided == nil {
			t.Errorf("does not follow a leader that is back")
		}
	}
}

// TestElectionLooksAgain: a leader that looks again leads no more, whatever its
// followers still believe; and who has found a leader has no vote in our round.
func TestElectionLooksAgain(t *testing.T) {
	three := wire.Vote{Leader: 3, Zxid: 9, PeerEpoch: 1}
	settled := func(state wire.PeerState) *wire.Notification {
		return &wire.Notification{State: state, Vote: three, Round: 8, Version: 2}
	}
	e := lookingElection(1, majority(3, 0))
	e.notified(0, 3, settled(wire.Leading))
	e.notified(0, 3, lookingNotice(wire.Vote{Leader: 3, Zxid: 4, PeerEpoch: 1}, 1))
	e.notified(0, 2, settled(wire.Following))
	if e.decided != nil {
		t.Errorf("follows %v", *e.decided)
	}

	e = lookingElection(1, majority(5, 0))
	e.linked(0, 5)
	for _, sid := range []wire.SID{2, 4} {
		e.notified(0, sid, lookingNotice(e.vote, 1))
	}
	e.notified(0, 2, settled(wire.Following))
	if e.tick(300); e.decided != nil {
		t.Errorf("elected by %d and somebody that has a leader", len(e.votes))
	}
}

// TestElectionTakeover: a later round begins anew, with what this member itself
// has to offer.
func TestElectionTakeover(t *testing.T) {
	e := lookingElection(1, majority(5, 0))
	first := e.vote
	e.notified(0, 2, lookingNotice(wire.Vote{Leader: 2, Zxid: 9, PeerEpoch: 1}, 1))
	e.notified(0, 4, lookingNotice(wire.NoVote, 1))
	if e.vote.Leader != 2 {
		t.Fatalf("votes %v", e.vote)
	}
	e.notified(0, 3, lookingNotice(wire.Vote{Leader: 3, Zxid: 1, PeerEpoch: 1}, 4))
	if e.round != 4 || e.vote != first || len(e.votes) != 2 {
		t.Errorf("round %d, vote %v, %d votes", e.round, e.vote, len(e.votes))
	}
	better := wire.Vote{Leader: 5, Zxid: 8, PeerEpoch: 1}
	e.notified(0, 5, lookingNotice(better, 6))
	if e.round != 6 || e.vote != better {
		t.Errorf("round %d, vote %v", e.round, e.vote)
	}
}

// TestElectionHearsay: nobody is elected without waiting who has not said so
// himself, and no observer at all.
func TestElectionHearsay(t *testing.T) {
	five := wire.Vote{Leader: 5, Zxid: 8, PeerEpoch: 1}
	e := lookingElection(1, majority(5, 0))
	for _, sid := range []wire.SID{2, 3} {
		e.linked(0, sid)
		e.notified(0, sid, lookingNotice(five, 1))
		e.notified(0, sid, lookingNotice(five, 1))
	}
	if e.decided != nil || e.deadline() != 200 {
		t.Errorf("decided %v, deadline %d", e.decided, e.deadline())
	}
	o := lookingElection(4, majority(3, 1))
	for _, sid := range []wire.SID{1, 2, 3} {
		o.notified(0, sid, &wire.Notification{State: wire.Following, Vote: wire.Vote{Leader: 4}, Round: 1, Version: 2})
	}
	if o.decided != nil {
		t.Errorf("the observer leads")
	}
}
