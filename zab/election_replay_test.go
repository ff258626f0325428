package zab

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"zooid/integration/recorded"
	"zooid/wire"
)

// replay is one server of a recorded ensemble of Apache ZooKeeper 3.9. What it
// received is given to our election at the recorded times, and what we send is
// compared with what it sent. What the records do not show, the end of its role
// and the state of its disk, is told by steps.
type replay struct {
	file    string
	sid     wire.SID
	from    float64 // when its process starts, in seconds of the record
	settled *wire.Notification
	steps   []replayStep
	// java are differences between it and us that we want; they are taken out of
	// both sides.
	java func(to wire.SID, n *wire.Notification) bool
	// lost is how many of our notifications to a member were not seen: it was
	// down, or a newer one took the place of one that waited to be sent.
	lost map[wire.SID]int
	want string
}

type replayStep struct {
	at float64
	do func(e *election, nowMs int64)
}

func looks(at float64, last wire.Zxid, epoch int64) replayStep {
	return replayStep{at, func(e *election, nowMs int64) {
		e.settle(wire.Looking)
		e.look(nowMs, last, epoch)
	}}
}

func establishes(at float64, epoch int64) replayStep {
	return replayStep{at, func(e *election, _ int64) { e.established(epoch) }}
}

// reconfigures tells a newer configuration from here on.
func reconfigures(at float64, from, to string) replayStep {
	return replayStep{at, func(e *election, _ int64) {
		e.ens.Text = bytes.Replace(e.ens.Text, []byte(from), []byte(to), 1)
	}}
}

func wasFollowing(state wire.PeerState) *wire.Notification {
	return &wire.Notification{State: state, Vote: wire.Vote{Leader: 3, PeerEpoch: 1}, Round: 1}
}

// observersAsked: while Java looks it answers an observer with whom it followed
// before; we answer with the proposal.
func observersAsked(to wire.SID, n *wire.Notification) bool {
	return to == 4 && n.State == wire.Looking
}

var replays = []replay{
	{file: "01-election-and-first-sync", sid: 1, steps: []replayStep{looks(2.1, 0, 0), establishes(2.8, 1)}, want: "FOLLOWING 3"},
	{file: "01-election-and-first-sync", sid: 2, steps: []replayStep{looks(2.2, 0, 0), establishes(2.8, 1)}, want: "FOLLOWING 3"},
	{file: "01-election-and-first-sync", sid: 3, steps: []replayStep{looks(2.1, 0, 0), establishes(2.8, 1)}, want: "LEADING 3"},
	{file: "01-election-and-first-sync", sid: 4, from: 3, steps: []replayStep{looks(4.7, 0, 0)}, want: "OBSERVING 3"},
	{file: "03-join-diff", sid: 1, steps: []replayStep{looks(0.8, 0x100000018, 1)}, want: "FOLLOWING 3"},
	{file: "05-leader-failure-epoch-2", sid: 1, settled: wasFollowing(wire.Following), java: observersAsked, lost: map[wire.SID]int{3: 1},
		steps: []replayStep{looks(0.01, 0x10000001f, 1), establishes(0.34, 2)}, want: "FOLLOWING 2"},
	{file: "05-leader-failure-epoch-2", sid: 2, settled: wasFollowing(wire.Following), java: observersAsked,
		steps: []replayStep{looks(0.03, 0x10000001f, 1), establishes(0.34, 2)}, want: "LEADING 2"},
	{file: "05-leader-failure-epoch-2", sid: 3, from: 1.4, steps: []replayStep{looks(2.2, 0x10000001f, 1)}, want: "FOLLOWING 2"},
	{file: "05-leader-failure-epoch-2", sid: 4, settled: wasFollowing(wire.Observing), lost: map[wire.SID]int{3: 3},
		steps: []replayStep{looks(0.2, 0x10000001f, 1), looks(0.94, 0x10000001f, 1)}, want: "OBSERVING 2"},
	{file: "07-reconfig", sid: 1, lost: map[wire.SID]int{3: 1}, steps: []replayStep{looks(1.6, 0, 0), establishes(2.3, 1), reconfigures(2.3, "version=0", "version=100000000")}, want: "FOLLOWING 3"},
	{file: "07-reconfig", sid: 2, steps: []replayStep{looks(1.6, 0, 0), establishes(2.3, 1), reconfigures(2.3, "version=0", "version=100000000")}, want: "FOLLOWING 3"},
	{file: "07-reconfig", sid: 3, steps: []replayStep{looks(1.7, 0, 0), establishes(2.3, 1), reconfigures(2.3, "version=0", "version=100000000")}, want: "LEADING 3"},
	{file: "13-counter-rollover", sid: 1, steps: []replayStep{
		looks(3.3, 0, 0), establishes(4.06, 1), looks(6.28, 0x1fffffffe, 1), looks(6.7, 0x1fffffffe, 1)}, want: "FOLLOWING 2"},
	{file: "13-counter-rollover", sid: 2, steps: []replayStep{
		looks(3.35, 0, 0), establishes(4.06, 1), looks(6.295, 0x1fffffffe, 1), looks(6.715, 0x1fffffffe, 1)}, want: "LEADING 2"},
	{file: "13-counter-rollover", sid: 3, steps: []replayStep{
		looks(3.35, 0, 0), establishes(4.06, 1), looks(6.33, 0x1fffffffe, 1)}, want: "FOLLOWING 2"},
	{file: "15-hierarchical", sid: 1, steps: []replayStep{looks(2.25, 0, 0)}, want: "FOLLOWING 2"},
	{file: "15-hierarchical", sid: 2, steps: []replayStep{looks(2.28, 0, 0)}, want: "LEADING 2"},
	{file: "15-hierarchical", sid: 3, steps: []replayStep{looks(2.09, 0, 0)}, want: "FOLLOWING 2"},
}

// TestElectionReplay plays what real servers told each other.
func TestElectionReplay(t *testing.T) {
	for _, r := range replays {
		t.Run(fmt.Sprintf("%s/%d", r.file, r.sid), func(t *testing.T) { r.run(t) })
	}
}

// sighting is one notification of a recording.
type sighting struct {
	atMs     int64
	from, to wire.SID
	n        wire.Notification
}

func readRecorded(t *testing.T, file string) (list []sighting) {
	t.Helper()
	for _, l := range recorded.Read(t, file) {
		if !l.IsNotification() {
			continue
		}
		r := sighting{atMs: int64(l.Sec * 1000), from: wire.SID(l.By), to: wire.SID(l.For)}
		message := l.Bytes[4:] // behind the length
		d := wire.NewDecoder(message)
		if r.n.Decode(&d); d.Err() != nil {
			t.Fatal(d.Err())
		}
		if !bytes.Equal(r.n.Append(nil), message) {
			t.Fatalf("%x is encoded otherwise", message)
		}
		list = append(list, r)
	}
	return list
}

// recordedEnsemble reads a configuration's text.
func recordedEnsemble(t *testing.T, text []byte) *Ensemble {
	ens := &Ensemble{Text: text}
	for _, line := range strings.Split(string(text), "\n") {
		key, value, _ := strings.Cut(line, "=")
		kind, number, _ := strings.Cut(key, ".")
		id, _ := strconv.ParseInt(number, 10, 64)
		switch kind {
		case "server":
			ens.Members = append(ens.Members, Member{SID: wire.SID(id), Observer: strings.HasSuffix(value, "observer")})
		case "group":
			if ens.Groups == nil {
				ens.Groups, ens.Weights = map[int64][]wire.SID{}, map[wire.SID]int64{}
			}
			for _, s := range strings.Split(value, ":") {
				sid, err := strconv.Atoi(s)
				if err != nil {
					t.Fatal(err)
				}
				ens.Groups[id] = append(ens.Groups[id], wire.SID(sid))
			}
		case "weight":
			w, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			ens.Weights[wire.SID(id)] = w
		}
	}
	return ens
}

func (r *replay) run(t *testing.T) {
	list := readRecorded(t, r.file)
	e := newElection(electionConfig(r.sid, recordedEnsemble(t, list[0].n.Config)))
	if s := r.settled; s != nil {
		e.vote, e.round = s.Vote, s.Round
		e.settle(s.State)
	}
	for _, m := range e.ens.Members { // there is somebody to wait for, as Java always does
		e.linked(0, m.SID)
	}
	ours, theirs := map[wire.SID][]string{}, map[wire.SID][]string{}
	put := func(to map[wire.SID][]string, sid wire.SID, n *wire.Notification) {
		text := describeNotification(n) + " " + string(n.Config)
		if said := to[sid]; r.java != nil && r.java(sid, n) || len(said) > 0 && said[len(said)-1] == text {
			return // saying something again makes no difference
		}
		to[sid] = append(to[sid], text)
	}
	drain := func() {
		for _, n := range e.notices {
			put(ours, n.To, &n.N)
		}
		e.notices, e.decided = nil, nil
	}
	steps := r.steps
	for _, rec := range append(list, sighting{atMs: 60_000}) {
		if rec.atMs < int64(r.from*1000) {
			continue
		}
		for {
			step := never
			if len(steps) > 0 {
				step = int64(steps[0].at * 1000)
			}
			if min(step, e.deadline()) > rec.atMs {
				break
			}
			if d := e.deadline(); d < step {
				e.tick(d)
			} else {
				steps[0].do(e, step)
				steps = steps[1:]
			}
			drain()
		}
		switch r.sid {
		case rec.from:
			put(theirs, rec.to, &rec.n)
		case rec.to:
			e.notified(rec.atMs, rec.from, &rec.n)
			drain()
		}
	}
	if got := fmt.Sprintf("%v %d", e.state, e.vote.Leader); !strings.EqualFold(got, r.want) {
		t.Errorf("ends %s, not %s", got, r.want)
	}
	for _, m := range append(slices.Clone(e.ens.Members), Member{SID: 4}) {
		if lost, ok := missing(ours[m.SID], theirs[m.SID]); !ok || lost != r.lost[m.SID] {
			t.Errorf("to %d: we sent\n\t%s\nand it sent\n\t%s", m.SID, strings.Join(ours[m.SID], "\n\t"), strings.Join(theirs[m.SID], "\n\t"))
		}
	}
}

// missing counts what stands in all and not in some; some must be a part of all,
// in the same order.
func missing(all, some []string) (n int, ok bool) {
	for _, text := range all {
		if len(some) > 0 && text == some[0] {
			some = some[1:]
		} else {
			n++
		}
	}
	return n, len(some) == 0
}
