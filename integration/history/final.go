package history

import (
	"errors"
	"fmt"
	"strings"

	"zooid/integration/rawclient"
	"zooid/wire"
)

// final is what was there when the clients had ended.
type final struct {
	ops   []*Op           // sync'ed reads of the registers
	seq   map[string]bool // paths of the sequential nodes
	pairs map[string]bool // paths of the nodes of pairs
}

// Finish reads everything at the end, at a member, after a sync.
func (h *History) Finish(server int) error {
	conn, err := h.open(server)
	if err != nil {
		return fmt.Errorf("the last look: %w", err)
	}
	defer conn.Close()
	f := &final{}
	for _, path := range h.registers {
		o := &Op{Client: len(h.clients), Server: server, Session: conn.Session, Kind: SyncRead, Path: path, Call: h.now(), Outcome: Done}
		if err := syncOn(conn, path); err != nil {
			return err
		}
		var r wire.GetDataResponse
		header, err := conn.Call(wire.OpGetData, &wire.WatchRequest{Path: path}, &r)
		if err != nil {
			return err
		}
		o.Return, o.Zxid = h.now(), header.Zxid
		o.Value, o.Mzxid, o.Version = string(r.Data), r.Stat.Mzxid, r.Stat.Version
		f.ops = append(f.ops, o)
	}
	if f.seq, err = listing(conn, seqPath); err != nil {
		return err
	}
	if f.pairs, err = listing(conn, pairPath); err != nil {
		return err
	}
	h.final = f
	return conn.CloseSession()
}

func syncOn(conn *rawclient.Conn, path string) error {
	_, err := conn.Call(wire.OpSync, &wire.PathRequest{Path: path}, nil)
	return err
}

func listing(conn *rawclient.Conn, path string) (map[string]bool, error) {
	names, err := conn.Children(path, false)
	there := map[string]bool{}
	for _, n := range names {
		there[path+"/"+n] = true
	}
	return there, err
}

// checkFinal compares what was there at the end with what was acknowledged.
func (h *History) checkFinal(ops []*Op) (bad []string) {
	if h.final == nil {
		return []string{"nobody looked at the end"}
	}
	there := h.final.seq
	unknown, known := 0, map[string]bool{}
	for _, o := range ops {
		switch {
		case o.Kind == CreateSeq && o.Outcome == Unknown:
			unknown++
		case o.Kind == CreateSeq && o.Outcome == Done:
			if !there[o.Path] {
				bad = append(bad, fmt.Sprintf("an acknowledged node is missing:\n  %v", o))
			}
			if known[o.Path] {
				bad = append(bad, fmt.Sprintf("a sequential name was given twice:\n  %v", o))
			}
			known[o.Path] = true
		}
	}
	if extra := len(there) - len(known); extra > unknown {
		bad = append(bad, fmt.Sprintf("%d sequential nodes are there that nobody was told of, of %d attempts without an answer", extra, unknown))
	}
	return append(bad, h.checkPairs(ops)...)
}

func (h *History) checkPairs(ops []*Op) (bad []string) {
	there := h.final.pairs
	for path := range there {
		base := strings.TrimSuffix(strings.TrimSuffix(path, pairSides[0]), pairSides[1])
		if !there[base+pairSides[0]] || !there[base+pairSides[1]] {
			bad = append(bad, fmt.Sprintf("half a multi is there: %s", path))
		}
	}
	for _, o := range ops {
		if o.Kind == Pair && o.Outcome == Done && !there[o.Path+pairSides[0]] {
			bad = append(bad, fmt.Sprintf("an acknowledged multi is missing:\n  %v", o))
		}
	}
	return bad
}

// Check judges the whole history; the clients must have ended. Pictures and
// the ops go to the folder if something is wrong, unless its name is empty.
func (h *History) Check(folder string) error {
	ops := h.Ops()
	var bad []string
	for _, found := range [][]string{
		checkCodes(ops), h.checkOrder(ops), h.checkClients(), h.checkStates(ops), h.checkWatches(),
		h.checkSessions(ops), h.checkFinal(ops), h.checkRegisters(ops, folder),
	} {
		bad = append(bad, found...)
	}
	if len(bad) == 0 {
		return nil
	}
	if folder != "" {
		if err := h.Save(folder); err != nil {
			bad = append(bad, err.Error())
		}
	}
	const shown = 10
	text := fmt.Sprintf("%d violations", len(bad))
	if len(bad) > shown {
		text += fmt.Sprintf(", of which the first %d", shown)
		bad = bad[:shown]
	}
	return errors.New(text + ":\n" + strings.Join(bad, "\n"))
}
