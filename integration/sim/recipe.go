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
	made []wire.Zxid
	told bool // that it is there
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

// checkRecipe looks at a znode that is made for a recipe.
func (h *history) checkRecipe(w *world, t *wire.Txn) {
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
	w.fail("18 recipe", "client's recipe %s: what was asked with an unknown outcome, looked for and asked again is done twice: %v", name, b.made)
}

// completeRecipes demands that there is what clients were told is there.
func (h *history) completeRecipes(w *world) {
	for _, name := range slices.Sorted(maps.Keys(h.recipes)) {
		if b := h.recipes[name]; b.told && len(b.made) != 1 {
			w.fail("18 recipe", "%s was made %d times", name, len(b.made))
		}
	}
}
