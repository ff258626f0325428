//go:build defects

package main

import (
	"fmt"
	"os"
	"strings"
	"unicode"

	"zooid/zab"
)

// makeMistake has the program make one mistake from now on.
func makeMistake(name string) error {
	for _, d := range zab.Defects() {
		if d.String() == name {
			zab.Mistake = d
			return nil
		}
	}
	return fmt.Errorf("there is no mistake %q", name)
}

// found is how a mistake was found.
type found struct {
	seed   uint64
	events int // of all seeds until then
	err    *failure
}

// hunt looks for the first seed that shows a mistake.
func hunt(o *options, d zab.Defect) (f found) {
	zab.Mistake = d
	defer func() { zab.Mistake = zab.NoDefect }()
	forSeeds(o, func(seed uint64, r *result) bool {
		f.events += r.steps
		if r.err != nil && (f.err == nil || seed < f.seed) {
			f.seed, f.err = seed, r.err
		}
		return r.err == nil
	})
	return f
}

// whatItIs tells of each mistake in a line.
var whatItIs = map[zab.Defect]string{
	zab.AckBeforeDurable:    "a follower acknowledges a proposal before it is on its disk",
	zab.ForgetAcceptedEpoch: "an accepted epoch is acknowledged and not saved",
	zab.ForgetCurrentEpoch:  "a current epoch is acknowledged and not saved",
	zab.CommitWithoutQuorum: "a leader commits with one acknowledgement too few",
	zab.AckNewLeaderEarly:   "NEWLEADER is acknowledged before the history is on disk",
	zab.KeepBrokenSnapshot:  "a snapshot whose stream broke is taken for whole",
	zab.TruncateOneTooFew:   "TRUNC leaves one record too many",
	zab.SkipOutstanding:     "a learner that joins is not sent the proposals in flight",
	zab.CountObservers:      "acknowledgements of observers count",
	zab.CountPromiseTwice:   "an ACKEPOCH that must not count does",
	zab.ServeBeforeUpToDate: "a learner serves as soon as it has acknowledged NEWLEADER",
	zab.LoseTail:            "a new leader drops what its log holds behind its tree",
	zab.VoteByZxidOnly:      "votes are compared without their epochs",
	zab.OneVoteFewer:        "an election is decided with one vote too few",
	zab.EvictUnproven:       "whoever says a live learner's number throws it out",
	zab.FollowOlderEpoch:    "an epoch below the accepted one is offered, and followed",
	zab.SyncUnconfirmed:     "a sync is answered by a leader that may have been deposed",
	zab.AskGivenUp:          "a new leader is asked what its clients may have given up",
	zab.DropAbove:           "what was under way when a session came to a member may answer its requests there",
	zab.OldConnection:       "what an earlier connection of a session asked is done after its re-attachment",
	zab.DenyUnsure:          "a leader that may have been deposed denies a session",
	zab.ExpireEarly:         "a new leader gives sessions no fresh timeout",
	zab.ReplyBeforeCommit:   "a write is answered when it is proposed",
	zab.KeepEphemerals:      "the end of a session leaves its ephemerals in a tree that is synchronized",
	zab.ForgetMoved:         "a session that has moved is served at its old member too",
}

// tabulate hunts every mistake and prints the table of the docs.
func tabulate(o *options) int {
	missed := 0
	fmt.Println("| mistake | what it is | found at seed | by the check | events until then |")
	fmt.Println("|---|---|---|---|---|")
	for _, d := range zab.Defects() {
		f := hunt(o, d)
		if f.err == nil {
			missed++
			fmt.Printf("| %s | %s | not in %d seeds | | %s |\n", d, whatItIs[d], o.last-o.first+1, thousands(f.events))
			continue
		}
		fmt.Printf("| %s | %s | %d | %s | %s |\n", d, whatItIs[d], f.seed, strings.TrimLeftFunc(f.err.check, notLetter), thousands(f.events))
	}
	if missed > 0 {
		fmt.Fprintf(os.Stderr, "%d mistakes were not found\n", missed)
		return 1
	}
	return 0
}

// notLetter is true for the number with which the name of a check may begin.
func notLetter(r rune) bool { return !unicode.IsLetter(r) }

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
