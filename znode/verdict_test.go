package znode

import (
	"fmt"
	"testing"

	"zooid/wire"
)

// judge counts what it is asked. It permits what an entry of the scheme "is" has the
// name of an identity for, and what the world may.
type judge struct {
	ruler
	asked int
}

func (j *judge) Permits(acl []wire.ACL, perm int32, ids []wire.ID) bool {
	j.asked++
	for _, a := range acl {
		if a.Perms&perm != 0 && a.ID.Scheme == "world" {
			return true
		}
		for _, id := range ids {
			if a.Perms&perm != 0 && a.ID == id {
				return true
			}
		}
	}
	return false
}

func named(perms int32, from, to int) (acl []wire.ACL) {
	for i := from; i < to; i++ {
		acl = append(acl, wire.ACL{Perms: perms, ID: wire.ID{Scheme: "is", ID: fmt.Sprint(i)}})
	}
	return acl
}

func namedIDs(from, to int) (ids []wire.ID) {
	for _, a := range named(0, from, to) {
		ids = append(ids, a.ID)
	}
	return ids
}

// A long ACL is judged once for a connection, until its identities change or the
// ACL does; what is remembered is bounded, and never of another ACL.
func TestVerdictsAreRemembered(t *testing.T) {
	j := &judge{}
	tree := New()
	tree.SetRules(Rules{Auth: j})
	load := func(tree *Tree, path string, acl []wire.ACL) {
		t.Helper()
		if err := tree.Load(path, &Record{ACL: acl}); err != nil {
			t.Fatal(err)
		}
	}
	load(tree, "/long", named(wire.PermRead, 0, 9000))
	r := &Reader{Conn: 1, IDs: namedIDs(9000, 9100)}
	q := wire.WatchRequest{}
	read := func(path string, want wire.ErrCode) {
		t.Helper()
		q.Path = path
		if _, err := tree.Read(wire.OpGetData, r, q.Append(nil), nil); wire.CodeOf(err) != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	expect := func(what string, asked int) {
		t.Helper()
		if j.asked != asked {
			t.Errorf("%s: judged %d times, want %d", what, j.asked, asked)
		}
		j.asked = 0
	}
	for range 200 {
		read("/long", wire.ErrNoAuth)
	}
	expect("200 reads", 1)
	body := readParts(wire.OpGetData, "/long", 3000)
	if _, err := tree.Read(wire.OpMultiRead, r, body, nil); err != nil {
		t.Error(err)
	}
	expect("a multiRead of 3000 parts", 0)

	r.IDs = append(make([]wire.ID, 0, 200), r.IDs...)
	read("/long", wire.ErrNoAuth)
	expect("the same identities in other memory", 1)
	r.IDs = append(r.IDs, namedIDs(8999, 9000)...)
	read("/long", wire.OK)
	expect("one identity more", 1)
	read("/long", wire.OK)
	expect("the same again", 0)
	if !tree.allowed(r, tree.lookup("/long"), wire.PermRead|wire.PermAdmin) || tree.allowed(r, tree.lookup("/long"), wire.PermAdmin) {
		t.Error("one permission was taken for another")
	}
	expect("two other questions", 2)

	// The id of the old ACL is used for the new one.
	tree.setACL(tree.lookup("/long"), nil)
	load(tree, "/other", named(wire.PermRead, 100, 1000))
	read("/other", wire.ErrNoAuth)
	expect("another ACL under the same number", 1)

	// Another member's state has numbers of its own.
	fresh := New()
	load(fresh, "/other", named(wire.PermRead, 8000, 9000))
	load(fresh, "/long", named(wire.PermRead, 0, 900))
	fresh.Loaded(1)
	tree.Adopt(fresh)
	read("/other", wire.OK)
	read("/long", wire.ErrNoAuth)
	expect("another tree", 2)

	for i := range 3 * verdictsMax {
		path := fmt.Sprint("/n", i)
		load(tree, path, named(wire.PermRead, i, i+100))
		read(path, wire.ErrNoAuth)
		if n := len(r.verdicts.known); n > verdictsMax {
			t.Fatalf("%d verdicts are remembered", n)
		}
	}
	j.asked = 0
	read(fmt.Sprint("/n", 3*verdictsMax-1), wire.ErrNoAuth)
	expect("a recent one", 0)
}

// An event is judged as a read is, and remembered with the reads.
func TestVerdictsOnEvents(t *testing.T) {
	j := &judge{}
	s := newSolo(t, Rules{Auth: j})
	s.session(1)
	create := reqCreate(wire.OpCreate, "/long", 0)
	create.Body.(*wire.CreateRequest).ACL = named(wire.PermAll, 0, 900)
	create = as(create, 1, namedIDs(0, 1)...)
	s.must(create)
	s.tree.watch("/long", 7, persistentWatch)
	in, out := &Reader{IDs: namedIDs(890, 920)}, &Reader{IDs: namedIDs(900, 930)}
	j.asked = 0
	for range 50 {
		a := s.must(as(reqSetData("/long", "x", -1), 1, namedIDs(0, 1)...))
		if len(a.Events) != 1 || !s.tree.MaySee(in, &a.Events[0]) || s.tree.MaySee(out, &a.Events[0]) {
			t.Fatalf("%+v", a.Events)
		}
	}
	if j.asked != 2+50 { // and each write, of a request of its own
		t.Errorf("judged %d times", j.asked)
	}
}

// The parts of a multi that ask the same of a long ACL have it judged once. What
// the multi itself changes is judged as changed.
func TestVerdictsInAMulti(t *testing.T) {
	j := &judge{}
	s := newSolo(t, Rules{Auth: j})
	s.session(1)
	s.must(as(reqCreate(wire.OpCreate, "/long", 0), 1))
	ids := namedIDs(899, 999)
	set := &Request{Op: wire.OpSetACL, Body: &wire.SetACLRequest{Path: "/long", ACL: named(wire.PermAll, 0, 900), Version: -1}}
	s.must(as(set, 1, ids...))
	multi := func(last *Request) *Request {
		parts := make([]*Request, 500)
		for i := range parts {
			parts[i] = reqSetData("/long", "x", -1)
		}
		return as(reqMulti(append(parts, last)...), 1, ids...)
	}
	j.asked = 0
	if a := s.must(multi(reqDelete("/none", -1))); a.Multi[500].Err != wire.ErrNoNode {
		t.Errorf("the last part: %v", a.Multi[500].Err)
	}
	// The root's ACL is short and judged each time.
	if j.asked != 1+1 {
		t.Errorf("judged %d times", j.asked)
	}
}
