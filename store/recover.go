package store

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"strings"
	"time"

	"go.uber.org/zap"

	"zooid/wire"
	"zooid/znode"
)

// pebbleDir is where the store lies below dataDir, beside version-2, where
// ZooKeeper does not look.
const pebbleDir = "zooid"

// snapshotsTried is how many snapshots are tried, from the newest on, as in
// ZooKeeper.
const snapshotsTried = 100

// recover is the one recovery rule. The newest state on disk is the base, and
// the log is replayed from there (ReplayTail):
//
//	the store's marker ≥ every snapshot → the store
//	a snapshot newer than the marker    → ZooKeeper has run here meanwhile: that
//	                                      snapshot, or the next older state if it is
//	                                      damaged; it will replace the store
//	neither, and an empty log           → a new, empty tree
//
// It leaves s.tree at the base's zxid and tracking changes.
func (s *Store) recover() error {
	var m marker
	inStore := s.db != nil
	if inStore {
		var err error
		if m, err = readMarker(s.db); err != nil {
			return s.storeError(err)
		}
	}
	snaps, err := listSnapshots(s.fs, s.snapDir)
	if err != nil {
		return err
	}
	last := s.txns.Last()
	switch {
	case !inStore && len(snaps) == 0 && last == 0:
		return s.startEmpty()
	case !inStore && len(snaps) == 0:
		return fmt.Errorf("no snapshot found in %s, but there are log entries up to %v in %s: put the snapshot files back where they were (is dataDir right?)",
			s.snapDir, last, s.logDir)
	case !inStore:
		return s.recoverFromSnapshots()
	}
	newer := usable(snaps, m.zxid)
	if len(newer) > 0 && s.importNewest(newer) == nil {
		return nil
	}
	if list := usable(snaps, -1); m.zxid > last && (len(list) == 0 || m.zxid > list[0].zxid) {
		return s.aheadError(m.zxid, snaps)
	}
	return s.useStore(m)
}

// recoverFromSnapshots takes the newest usable snapshot as the base.
func (s *Store) recoverFromSnapshots() error {
	snaps, err := listSnapshots(s.fs, s.snapDir)
	if err != nil {
		return err
	}
	list := usable(snaps, -1)
	if err := s.importNewest(list); err != nil {
		return fmt.Errorf("none of the %d snapshot files in %s can be used, put one from a backup there: %w", len(snaps), s.snapDir, err)
	}
	return nil
}

// importNewest imports the first of files that can be read.
func (s *Store) importNewest(files []snapshotFile) error {
	err := errors.New("none looks complete")
	for _, f := range files {
		if err = s.importSnapshot(f); err == nil {
			return nil
		}
		s.damaged[f.name] = true
		s.log.Warn("a snapshot cannot be used, trying the next older state", zap.Error(err))
	}
	return err
}

// usable is the complete ones among snaps, newest first, whose zxid is greater
// than after.
func usable(snaps []snapshotFile, after wire.Zxid) []snapshotFile {
	var list []snapshotFile
	for _, f := range snaps {
		if f.complete && f.zxid > after && len(list) < snapshotsTried {
			list = append(list, f)
		}
	}
	return list
}

// aheadError refuses a store that knows more than the log and the snapshots: to
// go on from it would hide that acknowledged txns may be missing behind it, to
// go on from them would drop some that are here.
func (s *Store) aheadError(z wire.Zxid, snaps []snapshotFile) error {
	reach := s.txns.Last()
	if list := usable(snaps, -1); len(list) > 0 {
		reach = max(reach, list[0].zxid)
	}
	return fmt.Errorf("the store %s holds the state at zxid %v, but the log in %s and the snapshots in %s end at %v: log files were removed, or an older copy of the directory was put back. "+
		"Put the missing files back; or, to go on from %v and lose what came after it, remove %s",
		s.dir, z, s.logDir, s.snapDir, reach, reach, s.dir)
}

// storeError adds to what is wrong with Pebble's files what to do about it.
func (s *Store) storeError(err error) error {
	switch {
	case errors.Is(err, iofs.ErrPermission):
		return dirError(s.fs, s.dir, err)
	case errors.Is(err, errNewerFormat):
		return fmt.Errorf("store %s: %w", s.dir, err)
	}
	return fmt.Errorf("store %s: %w. Nothing was changed. It is a copy of what the snapshot files in %s and the log in %s hold: it is safe to remove %s, the next start rebuilds it from them",
		s.dir, err, s.snapDir, s.logDir, s.dir)
}

// base is the state that recovery begins from.
type base struct {
	from     string // for the log
	zxid     wire.Zxid
	began    time.Time
	isStore  bool
	snapshot string
	// unknownACL holds the znodes of a snapshot whose ACL its table lacks, with
	// their owners. The table is written before the znodes, while txns go on, so
	// a txn behind the snapshot must set each of them (ZOOKEEPER-4689).
	unknownACL map[string]int64
	// reach is the newest txn of which something may be in the base, as a
	// snapshot of ZooKeeper's is fuzzy.
	reach wire.Zxid
}

// startEmpty makes the tree of a first start.
func (s *Store) startEmpty() error {
	s.base = base{from: "nothing", began: time.Now()}
	s.newTree()
	s.tree.Loaded(0)
	return nil
}

// newTree begins a tree that will replace the store.
func (s *Store) newTree() {
	s.tree = freshTree()
	s.edition.Store(newEdition())
	s.keeper.rebuild = true
}

// freshTree is an empty tree all of which counts as changed.
func freshTree() *znode.Tree {
	tree := znode.New()
	tree.TrackChanges()
	for i := range builtIn {
		if err := tree.Load(builtIn[i].path, &builtIn[i].record); err != nil {
			panic(err) // they are constants
		}
	}
	return tree
}

// builtIn are the nodes of an empty tree. A new tree has them, but only what is
// loaded counts as changed.
var builtIn = [...]struct {
	path   string
	record znode.Record
}{
	{"/", znode.Record{Data: []byte{}}},
	{"/zookeeper", znode.Record{Data: []byte{}}},
	{"/zookeeper/config", znode.Record{
		Data: []byte{},
		ACL:  []wire.ACL{{Perms: wire.PermRead, ID: wire.ID{Scheme: "world", ID: "anyone"}}},
		Stat: wire.StatPersisted{Aversion: -1},
	}},
	{"/zookeeper/quota", znode.Record{Data: []byte{}}},
}

// useStore builds the tree from the store.
func (s *Store) useStore(m marker) error {
	s.base = base{from: "store", zxid: m.zxid, began: time.Now(), isStore: true}
	tree, err := loadTree(s.db, m)
	if err != nil {
		return s.storeError(err)
	}
	s.tree = tree
	s.tree.TrackChanges()
	s.keeper.cut, s.keeper.rebuild = m.zxid, false
	e := newEdition()
	e.complete(s.db, m.zxid)
	s.edition.Store(e)
	s.keeper.owner = e
	return nil
}

// importSnapshot builds the tree from a ZooKeeper snapshot. What was read of a
// file that turns out to be damaged goes with its tree.
func (s *Store) importSnapshot(f snapshotFile) error {
	s.base = base{from: "snapshot", zxid: f.zxid, began: time.Now(), snapshot: f.name}
	s.newTree()
	in := importer{tree: s.tree}
	trailer, err := readSnapshotFile(s.fs, s.snapDir, f, &in)
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", s.fs.PathJoin(s.snapDir, f.name), err)
	}
	s.tree.Loaded(f.zxid)
	s.base.unknownACL = in.unknownACL
	s.base.reach = max(f.zxid, in.newest, trailer.digestZxid, trailer.lastZxid)
	s.expectDigest(f, trailer)
	return nil
}

// expectDigest sees to it that digests are compared only once the tree is at a
// state that ever existed: ZooKeeper's snapshots are fuzzy up to the zxid of
// their digest, and without a digest nobody knows how far.
func (s *Store) expectDigest(f snapshotFile, t snapshotTrailer) {
	switch {
	case !t.hasDigest || t.digestVersion != wire.DigestVersion:
		s.tree.CompareDigestsAfter(max(s.txns.Last()+1, s.base.reach))
	case t.digestZxid > f.zxid:
		s.tree.CompareDigestsAfter(t.digestZxid)
	case t.digestZxid == f.zxid && f.zxid > 0 && t.digest != s.tree.Digest():
		s.log.Warn("the digest of a snapshot is not that of its znodes", zap.String("file", f.name),
			zap.String("want", fmt.Sprintf("%#x", t.digest)), zap.String("have", fmt.Sprintf("%#x", s.tree.Digest())))
	}
}

// importer puts what is read from a snapshot into a tree.
type importer struct {
	tree       *znode.Tree
	unknownACL map[string]int64 // see base
	newest     wire.Zxid        // that any znode shows
}

// closedACL permits nothing. Znodes of which the ACL is not known have it until
// a txn says what it is.
var closedACL = []wire.ACL{{Perms: 0, ID: wire.OpenACL[0].ID}}

func (i *importer) session(id wire.SessionID, timeoutMs int32) error {
	i.tree.LoadSession(id, timeoutMs, -1) // the file does not tell how its password was made
	return nil
}

func (i *importer) node(path string, r *znode.Record, knownACL bool) error {
	i.newest = max(i.newest, r.Stat.Czxid, r.Stat.Mzxid, r.Stat.Pzxid)
	if knownACL {
		return i.tree.Load(path, r)
	}
	if i.unknownACL == nil {
		i.unknownACL = make(map[string]int64)
	}
	i.unknownACL[strings.Clone(path)] = r.Stat.EphemeralOwner // path aliases a buffer
	closed := *r
	closed.ACL = closedACL
	return i.tree.Load(path, &closed)
}
