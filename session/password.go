package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"zooid/wire"
)

// PasswordSize is the length in bytes of a session's password.
const PasswordSize = 16

// How the password of a session came about, as the cxid of its createSession
// txn tells: ZooKeeper leaves it 0, and so does Zooid in an ensemble that has, or
// may have, members of ZooKeeper's; else Zooid writes 1.
const (
	CxidJava    int32 = 0  // JavaPassword
	CxidKeyed   int32 = 1  // Keys.Password
	CxidUnknown int32 = -1 // the session came from a ZooKeeper snapshot, which does not say
)

// JavaPassword is the password that a ZooKeeper server gives to session id: the
// first 16 bytes of a java.util.Random seeded with the id and a fixed constant.
// Anyone can compute it; it is accepted for sessions that ZooKeeper made, so
// that their clients can move here, and given to those of an ensemble with members
// of ZooKeeper's, so that their clients can move to any member.
func JavaPassword(id wire.SessionID) (p [PasswordSize]byte) {
	const (
		superSecret = 0xB3415C00 // SessionTrackerImpl's constant
		multiplier  = 0x5DEECE66D
		mask        = 1<<48 - 1
	)
	seed := (uint64(id) ^ superSecret ^ multiplier) & mask
	for i := 0; i < PasswordSize; i += 4 {
		seed = (seed*multiplier + 0xB) & mask
		binary.LittleEndian.PutUint32(p[i:], uint32(seed>>16))
	}
	return p
}

// Keys makes and checks passwords with a secret, a member's own or that of its
// ensemble. It is immutable.
type Keys struct{ secret []byte }

// NewKeys uses secret, of which it keeps a copy.
func NewKeys(secret []byte) Keys { return Keys{secret: bytes.Clone(secret)} }

// Password is the password of a session made here: a keyed MAC of its id.
func (k Keys) Password(id wire.SessionID) (p [PasswordSize]byte) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(id))
	mac := hmac.New(sha256.New, k.secret)
	mac.Write(b[:])
	copy(p[:], mac.Sum(nil))
	return p
}

// Proves tells which way of making the password of session id leads to passwd:
// CxidKeyed or CxidJava, or ok is false if none does.
func (k Keys) Proves(id wire.SessionID, passwd []byte) (cxid int32, ok bool) {
	switch {
	case k.Check(id, passwd, CxidKeyed):
		return CxidKeyed, true
	case k.Check(id, passwd, CxidJava):
		return CxidJava, true
	}
	return 0, false
}

// Check tells whether passwd is the password of session id, whose createSession
// txn has the given cxid. Id 0, which no session has, is always refused.
func (k Keys) Check(id wire.SessionID, passwd []byte, cxid int32) bool {
	if id == 0 {
		return false
	}
	keyed, java := k.Password(id), JavaPassword(id)
	isKeyed := subtle.ConstantTimeCompare(passwd, keyed[:])
	isJava := subtle.ConstantTimeCompare(passwd, java[:])
	switch cxid {
	case CxidJava:
		return isJava == 1
	case CxidKeyed:
		return isKeyed == 1
	case CxidUnknown:
		return isKeyed|isJava == 1
	}
	return false
}
