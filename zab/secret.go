package zab

import (
	"fmt"

	"zooid/wire"
)

// The members of an ensemble share a secret, from which the passwords of sessions
// are derived: a client that knows a session's id, which every ephemeral shows,
// must not be able to compute its password. A leader tells its own to learners of
// ours in LEADERINFO, and they have it on disk before they acknowledge anything of
// that leader's. So whoever has a leader's history, and may come to lead, has the
// secret with which the sessions in it were made.
//
// Members of ZooKeeper's compute passwords from ids. As long as there may be one,
// new sessions are given such passwords, so that their clients can move to it.

// Secret is the secret that this member shares with the others, see Config.
func (m *Machine) Secret() string { return m.secret }

// SecretSaved answers Ready.SaveSecret.
func (m *Machine) SecretSaved(secret string) {
	if m.adopting == "" || m.adopting != secret {
		panic("zab: a secret is saved which was not to be")
	}
	m.secret, m.adopting = secret, ""
	if l := m.learner; l != nil && l.phase == learnerAdopting {
		l.promise()
	}
	m.settle()
}

// SharesSecret tells whether the password of a new session may be derived from
// the secret. A leader knows: every member of the configuration has served with
// this one and was ours the last time, and so is every learner. A learner leaves
// it to its leader, if that is ours.
func (m *Machine) SharesSecret() bool {
	if m.secret == "" || m.cfg.Ensemble == nil {
		return false
	}
	if m.leader == nil {
		return m.learner != nil && m.zooids[m.learner.leader]
	}
	for _, k := range m.links {
		if k.stage >= linkJoined && !k.ours {
			return false
		}
	}
	for i := range m.cfg.Ensemble.Members {
		if sid := m.cfg.Ensemble.Members[i].SID; sid != m.cfg.SID && !m.zooids[sid] {
			return false
		}
	}
	return true
}

// IsJava tells whether a member is known to be ZooKeeper's: the last time that it
// served with this one it was.
func (m *Machine) IsJava(sid wire.SID) bool {
	ours, seen := m.zooids[sid]
	return seen && !ours
}

// IsZooid tells whether a learner, of this leader's, is ours.
func (m *Machine) IsZooid(conn ConnID) bool {
	k := m.link(conn)
	return k != nil && k.ours
}

// leaderInfoData is the data of LEADERINFO for a learner.
func (m *Machine) leaderInfoData(k *link) []byte {
	info := wire.LeaderInfo{ProtocolVersion: wire.ProtocolVersion}
	if k.ours {
		info.Secret = []byte(m.secret)
	}
	return info.Append(nil)
}

// saveLeaderSecret has the leader's secret written, if it is another, and tells whether that
// is to be waited for.
func (l *learner) saveLeaderSecret(secret []byte) bool {
	m := l.m
	if len(secret) == 0 || string(secret) == m.secret {
		return false
	}
	if m.adopting != "" {
		panic(fmt.Sprintf("zab: the secret of leader %d is to be saved while another is", l.leader))
	}
	l.phase, m.adopting = learnerAdopting, string(secret)
	m.ready.SaveSecret = m.adopting
	return true
}
