package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"zooid/wire"
)

// recipe is a client's part in the usual recipe for an outcome that is not known:
// it creates a znode with a name of its own and digits behind it; if its connection
// ends before the answer, it goes elsewhere, syncs, looks, and asks again if there
// is none. There must be one in the end, and not two.
type recipe struct {
	name  string // "" while none is under way
	phase recipePhase
}

type recipePhase uint8

const (
	recipeWaits recipePhase = iota // for an answer
	recipeLost                     // the outcome is not known
)

const recipeDir = "/recipe"

// recipeBook is what the checks know of one znode that a recipe makes.
type recipeBook struct {
	made    []wire.Zxid
	told    bool  // that it is there
	leaders []led // to which its client has gone since it first asked
	excused bool
}

// led is an attachment that a leader granted on its own, to a client of its own.
type led struct {
	by    *process
	epoch int64
}

func (r *recipe) act(c *client) {
	switch {
	case r.name == "":
		c.serial++
		r.name = fmt.Sprintf("%d.%d-", c.i, c.serial)
		c.w.history.recipes[r.name] = &recipeBook{}
		r.ask(c)
	case r.phase == recipeLost:
		r.look(c)
	}
}

func (r *recipe) ask(c *client) {
	name := r.name
	r.phase = recipeWaits
	q := &wire.CreateRequest{Path: recipeDir + "/" + name, ACL: wire.OpenACL, Flags: wire.FlagPersistentSequential}
	c.write(wire.OpCreate, q, func(a *answer) {
		switch {
		case r.name != name:
		case a != nil && a.err == wire.OK:
			r.end(c, name)
		default:
			r.phase = recipeLost
		}
	})
	if !c.w.healed && c.rng.IntN(3) == 0 { // it is a client without patience
		c.leave()
	}
}

// look finds out whether what was asked is done.
func (r *recipe) look(c *client) {
	c.w.saw(rareRecipeLooks)
	name := r.name
	r.phase = recipeWaits
	c.readSure(wire.OpGetChildren, &wire.WatchRequest{Path: recipeDir}, recipeDir, func(a *answer) {
		switch {
		case r.name != name:
			return
		case a == nil || a.err != wire.OK || c.conn == nil:
			r.phase = recipeLost
			return
		}
		for _, child := range namesOf(a) {
			if strings.HasPrefix(child, name) {
				c.w.saw(rareRecipeFinds)
				r.end(c, name)
				return
			}
		}
		c.w.saw(rareRecipeAgain)
		r.ask(c)
	})
}

func (r *recipe) end(c *client, name string) {
	c.w.history.recipes[name].told = true
	*r = recipe{}
}

// attached notes that a leader has let the client in.
func (r *recipe) attached(c *client, a *answer) {
	if b := c.w.history.recipes[r.name]; b != nil && a.ledBy.by != nil {
		b.leaders = append(b.leaders, a.ledBy)
	}
}

// checkRecipe looks at a znode that is made for a recipe.
func (h *history) checkRecipe(w *world, t *wire.Txn, q *request) {
	create, ok := t.Body.(*wire.CreateTxn)
	if !ok || !strings.HasPrefix(create.Path, recipeDir+"/") {
		return
	}
	name, _, _ := strings.Cut(create.Path[len(recipeDir)+1:], "-")
	b := h.recipes[name+"-"]
	b.made = append(b.made, t.Zxid)
	if len(b.made) < 2 {
		return
	}
	if b.mayBeTwo(t, q) {
		w.saw(rareRecipeTwo)
		b.excused = true
		return
	}
	w.fail("18 recipe", "client's recipe %s: what was asked with an unknown outcome, looked for and asked again is done twice: %v", name, b.made)
}

// mayBeTwo is true in the one case that docs/protocol.md leaves open: the client
// had gone to a leader, which has gone since, and the member that it had left has
// not heard of it: there its request waited for the next leader, not for longer
// than a third of its session's timeout.
func (b *recipeBook) mayBeTwo(t *wire.Txn, q *request) bool {
	m := q.by
	if m == nil || m.resumedIn != int64(t.Zxid.Epoch()) || m.resumedAt < q.came || 3*(m.resumedAt-q.came) > int64(q.timeoutMs)*ms*11/10+3*loopMs*ms {
		return false
	}
	for _, l := range b.leaders {
		if l.epoch < m.resumedIn && l.by != m {
			return true
		}
	}
	return false
}

// settleRecipes demands that there is what clients were told is there.
func (h *history) settleRecipes(w *world) {
	for _, name := range slices.Sorted(maps.Keys(h.recipes)) {
		if b := h.recipes[name]; b.told && len(b.made) != 1 && !b.excused {
			w.fail("18 recipe", "%s was made %d times", name, len(b.made))
		}
	}
}
