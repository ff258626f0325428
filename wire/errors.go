package wire

import (
	"errors"
	"fmt"
)

// ErrCode is an error code of the client protocol; as an error it is the cause
// that CodeOf finds again under any wrapping. OK is not an error: compare with
// it before returning an ErrCode as one.
type ErrCode int32

// The codes of ZooKeeper 3.9 (KeeperException.Code).
const (
	OK                          ErrCode = 0
	ErrSystem                   ErrCode = -1
	ErrRuntimeInconsistency     ErrCode = -2
	ErrDataInconsistency        ErrCode = -3
	ErrConnectionLoss           ErrCode = -4
	ErrMarshalling              ErrCode = -5
	ErrUnimplemented            ErrCode = -6
	ErrOperationTimeout         ErrCode = -7
	ErrBadArguments             ErrCode = -8
	ErrUnknownSession           ErrCode = -12
	ErrNewConfigNoQuorum        ErrCode = -13
	ErrReconfigInProgress       ErrCode = -14
	ErrAPI                      ErrCode = -100
	ErrNoNode                   ErrCode = -101
	ErrNoAuth                   ErrCode = -102
	ErrBadVersion               ErrCode = -103
	ErrNoChildrenForEphemerals  ErrCode = -108
	ErrNodeExists               ErrCode = -110
	ErrNotEmpty                 ErrCode = -111
	ErrSessionExpired           ErrCode = -112
	ErrInvalidCallback          ErrCode = -113
	ErrInvalidACL               ErrCode = -114
	ErrAuthFailed               ErrCode = -115
	ErrSessionMoved             ErrCode = -118
	ErrNotReadOnly              ErrCode = -119
	ErrEphemeralOnLocalSession  ErrCode = -120
	ErrNoWatcher                ErrCode = -121
	ErrRequestTimeout           ErrCode = -122
	ErrReconfigDisabled         ErrCode = -123
	ErrSessionClosedRequireSASL ErrCode = -124
	ErrQuotaExceeded            ErrCode = -125
	ErrThrottledOp              ErrCode = -127
)

var errNames = map[ErrCode]string{
	OK:                          "ok",
	ErrSystem:                   "system error",
	ErrRuntimeInconsistency:     "runtime inconsistency",
	ErrDataInconsistency:        "data inconsistency",
	ErrConnectionLoss:           "connection loss",
	ErrMarshalling:              "marshalling error",
	ErrUnimplemented:            "unimplemented",
	ErrOperationTimeout:         "operation timeout",
	ErrBadArguments:             "bad arguments",
	ErrUnknownSession:           "unknown session",
	ErrNewConfigNoQuorum:        "no quorum of the new configuration is connected",
	ErrReconfigInProgress:       "a reconfiguration is in progress",
	ErrAPI:                      "API error",
	ErrNoNode:                   "no node",
	ErrNoAuth:                   "not authorized",
	ErrBadVersion:               "bad version",
	ErrNoChildrenForEphemerals:  "ephemeral nodes have no children",
	ErrNodeExists:               "node exists",
	ErrNotEmpty:                 "node has children",
	ErrSessionExpired:           "session expired",
	ErrInvalidCallback:          "invalid callback",
	ErrInvalidACL:               "invalid ACL",
	ErrAuthFailed:               "authentication failed",
	ErrSessionMoved:             "session moved",
	ErrNotReadOnly:              "not a read-only call",
	ErrEphemeralOnLocalSession:  "ephemeral node on a local session",
	ErrNoWatcher:                "no such watcher",
	ErrRequestTimeout:           "request timeout",
	ErrReconfigDisabled:         "reconfiguration is disabled",
	ErrSessionClosedRequireSASL: "session closed: authentication required",
	ErrQuotaExceeded:            "quota exceeded",
	ErrThrottledOp:              "throttled",
}

// Error gives a short lower-case name.
func (c ErrCode) Error() string {
	if s, ok := errNames[c]; ok {
		return s
	}
	return fmt.Sprintf("error code %d", int32(c))
}

// CodeOf is the only road from a Go error to a number on the wire: OK for nil,
// the code found under any wrapping, or ErrSystem for an error without one.
func CodeOf(err error) ErrCode {
	if err == nil {
		return OK
	}
	if c, ok := err.(ErrCode); ok {
		return c // a code as it is, which errors.As would allocate for
	}
	var c ErrCode
	if errors.As(err, &c) {
		return c
	}
	return ErrSystem
}
