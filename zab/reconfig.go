package zab

import (
	"bytes"
	"fmt"
	"strconv"

	"zooid/wire"
)

// ReconfigError says that the ensemble's members have changed while this member
// runs with the list that it was started with. Two of an old list of three may be
// no quorum of the new one, so it must not go on with either.
type ReconfigError struct {
	Leader wire.SID  // who told
	Ours   wire.Zxid // version of the configuration that this member has
	Theirs wire.Zxid // version that the ensemble has, or is about to have
}

// Error says what has happened and what is to be done.
func (e *ReconfigError) Error() string {
	return fmt.Sprintf("leader %d brings configuration version %x, this server has version %x: "+
		"the members of the ensemble were changed by reconfig, which this server cannot follow while it runs. "+
		"Give it the server lines of the new configuration (zoo.cfg.dynamic.%[2]x of another server) as its dynamicConfigFile, and start it again",
		e.Leader, uint64(e.Theirs), uint64(e.Ours))
}

// reconfigured stops the member if the leader that it follows has a newer
// configuration, and tells whether it did. Only the leader that a quorum has
// elected, dialled at its configured address, is believed; anybody else could end a
// member by a forged notification. An older version is history: the member was
// started with what came of it.
func (l *learner) reconfigured(version wire.Zxid) bool {
	m := l.m
	ours := m.cfg.Ensemble.Version
	if version <= ours {
		return false
	}
	err := &ReconfigError{Leader: l.leader, Ours: ours, Theirs: version}
	m.Resign(err.Error())
	m.ready.Stop = err
	return true
}

// versionKey begins the line of a configuration's text that has its version, in
// hexadecimal digits.
var versionKey = []byte("version=")

// ConfigVersion finds the version in the text of a configuration, as NEWLEADER and
// notifications carry it. It is false if there is none that can be read.
func ConfigVersion(text []byte) (wire.Zxid, bool) {
	for line := range bytes.Lines(text) {
		digits, ok := bytes.CutPrefix(bytes.TrimSpace(line), versionKey)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(string(digits), 16, 64)
		return wire.Zxid(v), err == nil
	}
	return 0, false
}
