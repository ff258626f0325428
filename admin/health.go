package admin

import (
	"encoding/json"
	"net/http"

	"zooid/fourletter"
)

// health is the body of /livez and /readyz.
type health struct {
	Status string `json:"status"` // ok, or what it is not
	Reason string `json:"reason,omitempty"`
	Mode   string `json:"mode,omitempty"`
	Zxid   string `json:"zxid,omitempty"`
	// Leader and Epoch are those of a member of an ensemble.
	Leader int64 `json:"leader,omitempty"`
	Epoch  int64 `json:"epoch,omitempty"`
}

// livez answers whether the process is worth keeping: 503 asks whoever runs it
// to start it anew. A server without a quorum, or with a full disk, is alive.
func livez(live func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := live(); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, health{Status: "not alive", Reason: err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, health{Status: "ok"})
	}
}

// readyz answers whether clients should be sent here: 503 while the server is
// not serving, which in an ensemble it does when it has a role and has applied
// the history that comes with it. A read-only server turns most clients away,
// so it is not ready, and who restarts one member after the other must not go
// on to the next. One with too little room on its disk takes no writes, or soon
// will not.
func readyz(status func(fourletter.Part) *fourletter.Status) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s := status(0)
		if s.Mode == fourletter.ModeNotServing {
			reason := s.NotServing
			if reason == "" {
				reason = "the server is not serving requests"
			}
			writeJSON(w, http.StatusServiceUnavailable, health{Status: "not ready", Reason: reason})
			return
		}
		h := health{Status: "ok", Mode: s.Mode.String(), Zxid: s.Zxid.String()}
		if s.Mode == fourletter.ModeReadOnly {
			h.Status, h.Reason = "not ready", "no quorum: only read-only clients are served"
			writeJSON(w, http.StatusServiceUnavailable, h)
			return
		}
		if s.Mode.Ensemble() {
			h.Leader, h.Epoch = int64(s.Leader), s.Epoch
		}
		if s.Suspect != "" {
			h.Reason = "the tree may be wrong: " + s.Suspect
		}
		if s.DiskFull || s.DiskShort != "" {
			h.Status, h.Reason = "not ready", "the disk is nearly full, reads are served"
			if s.DiskShort != "" {
				h.Reason += ": " + s.DiskShort
			}
			writeJSON(w, http.StatusServiceUnavailable, h)
			return
		}
		writeJSON(w, http.StatusOK, h)
	}
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(text, '\n')) // an error means that the client is gone
}
