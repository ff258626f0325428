package history

import (
	"fmt"

	"zooid/wire"
)

// checkWatches follows each client's watches through its ops. A watch is set by
// a Read and outlives connections, for the client sets it again.
func (h *History) checkWatches() (bad []string) {
	for _, c := range h.clients {
		w := watches{armed: map[string]wire.Zxid{}, fired: map[string]wire.Zxid{}}
		for i := range c.ops {
			if text := w.see(&c.ops[i]); text != "" {
				bad = append(bad, text)
			}
		}
	}
	return bad
}

// watches are those of one client, with the mzxid on which they were set.
type watches struct {
	armed map[string]wire.Zxid
	fired map[string]wire.Zxid // whose change the client has not seen yet
}

func (w *watches) see(o *Op) (bad string) {
	if o.Kind == Event {
		set, ok := w.armed[o.Path]
		if !ok {
			return fmt.Sprintf("an event without a watch:\n  %v", o)
		}
		delete(w.armed, o.Path)
		w.fired[o.Path] = set
		return ""
	}
	if o.Outcome != Done || !holdsData(o) {
		return ""
	}
	if set, ok := w.armed[o.Path]; ok && o.Mzxid > set {
		bad = fmt.Sprintf("a change is seen before the event of the watch that was set on mzxid %v:\n  %v", set, o)
		delete(w.armed, o.Path)
	}
	if set, ok := w.fired[o.Path]; ok && o.Mzxid <= set {
		bad = fmt.Sprintf("an event without a change since the watch was set, on mzxid %v:\n  %v", set, o)
	}
	delete(w.fired, o.Path)
	if _, ok := w.armed[o.Path]; !ok && o.Kind == Read {
		w.armed[o.Path] = o.Mzxid
	}
	return bad
}
