package store

import (
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
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
//	the store's marker ≥ every snapshot → the store, if it is of this history
//	a snapshot newer than the marker    → ZooKeeper has run here meanwhile: that
//	                                      snapshot, or the next older state if it is
//	                                      damaged; it will replace the store
//	the store is damaged, or not of     → the newest snapshot, with a warning; it
//	this history                          will replace the store
//	neither log nor snapshot, but the   → the store, if the end before was a clean
//	store                                 one (recoverAhead)
//	no snapshot                         → a new, empty tree, if the log is empty or
//	                                      begins with the first transaction
//
// No state is passed over for an older one unless the log leads to it from there.
// It leaves s.tree at the base's zxid and tracking changes.
func (s *Store) recover() error {
	wrong, err := s.notedMismatch()
	if err != nil {
		return err
	}
	if wrong != 0 {
		return s.recoverBefore(wrong)
	}
	m, err := s.trustedMarker()
	if err != nil {
		return err
	}
	snaps, err := s.findSnapshots()
	if err != nil {
		return err
	}
	if m == nil {
		return s.recoverFromSnapshots()
	}
	s.closed, s.notClosed = s.findClosed(*m)
	newer := usable(snaps, m.zxid)
	if len(newer) > 0 && s.importNewest(newer) == nil {
		return nil
	}
	if err := s.checkReach(m.zxid, snaps); err != nil {
		return err
	}
	list := usable(snaps, -1)
	if last := s.txns.Last(); m.zxid > last && (len(list) == 0 || m.zxid > list[0].zxid) {
		return s.recoverAhead(*m, snaps)
	}
	err = s.checkMarker(*m)
	if err == nil {
		err = s.useStore(*m)
	}
	if err == nil {
		return nil
	}
	if refused := s.refusal(err); refused != nil {
		return refused
	}
	s.distrust(err)
	return s.recoverFromSnapshots()
}

// recoverBefore makes the tree again from snapshot and log, because the one of the
// process before was found to be wrong after z: snapshots from there on are of that
// tree, unless there are no others that the log leads on from.
func (s *Store) recoverBefore(z wire.Zxid) error {
	path := s.fs.PathJoin(s.o.DataDir, mismatchName)
	s.distrust(fmt.Errorf("after %v its digest did not match, see %s", z, path))
	snaps, err := s.findSnapshots()
	if err != nil {
		return err
	}
	older := slices.DeleteFunc(usable(snaps, -1), func(f snapshotFile) bool { return f.zxid >= z })
	if len(older) > 0 && s.importNewest(older) == nil && s.goesOn() {
		return nil
	}
	s.log.Warn("no snapshot from before that is left; a later one is used, which may hold the wrong tree", zap.String("file", path))
	return s.recoverFromSnapshots()
}

// goesOn tells whether the log leads from the base to its end without a hole.
func (s *Store) goesOn() bool {
	return s.base.zxid >= s.txns.Last() || s.txns.Replay(s.base.zxid, func([]byte, *wire.Txn) error { return nil }) == nil
}

// trustedMarker is the marker of the store, nil if there is no store, or none that
// can be read.
func (s *Store) trustedMarker() (*marker, error) {
	if s.db == nil {
		return nil, nil
	}
	m, err := readMarker(s.db)
	if err == nil {
		return &m, nil
	}
	if refused := s.refusal(err); refused != nil {
		return nil, refused
	}
	s.distrust(err)
	return nil, nil
}

// refusal is the error with which the start ends if the store cannot be used for
// a reason that is none to make it again; else nil.
func (s *Store) refusal(err error) error {
	if errors.Is(err, iofs.ErrPermission) || errors.Is(err, errNewerFormat) {
		return s.storeError(err)
	}
	return nil
}

// findSnapshots lists the snapshots and says which can be seen to be of no use,
// as ZooKeeper does. Directories are left out.
func (s *Store) findSnapshots() ([]snapshotFile, error) {
	snaps, err := listSnapshots(s.fs, s.snapDir)
	if err != nil {
		return nil, err
	}
	for i := range snaps {
		if f := &snaps[i]; f.problem != nil && !s.damaged[f.name] {
			s.damaged[f.name] = true
			s.log.Warn("a snapshot cannot be used, trying the next older state", zap.String("file", s.fs.PathJoin(s.snapDir, f.name)), zap.Error(f.problem))
		}
	}
	return slices.DeleteFunc(snaps, func(f snapshotFile) bool { return f.folder }), nil
}

// recoverFromSnapshots takes the newest usable snapshot as the base, or the
// beginning of the log.
func (s *Store) recoverFromSnapshots() error {
	snaps, err := s.findSnapshots()
	if err != nil {
		return err
	}
	err = s.importNewest(usable(snaps, -1))
	switch {
	case err == nil:
		err = s.checkReach(s.base.zxid, snaps)
	case len(snaps) == 0:
		err = s.recoverFromLog()
	default:
		err = fmt.Errorf("none of the %d snapshot files in %s can be used, put one from a backup there: %w", len(snaps), s.snapDir, err)
	}
	if err != nil && s.distrusted != nil {
		return errors.Join(err, s.storeError(s.distrusted))
	}
	return err
}

// recoverFromLog makes the tree of a directory without snapshots: an empty one,
// if the log is empty, or begins with the first transaction that there ever was.
func (s *Store) recoverFromLog() error {
	first := s.txns.First()
	switch {
	case first == 0 && s.distrusted != nil:
		return fmt.Errorf("neither %s nor %s holds anything to make the tree from. Put the files from a backup there; or, to begin with an empty tree and lose everything, remove %s", s.snapDir, s.logDir, s.dir)
	case first == 0:
		return s.startEmpty(0)
	case s.o.TrustEmpty:
		s.log.Warn("no snapshot: the log is replayed onto an empty tree, as snapshot.trust.empty says; what it does not hold is lost",
			zap.String("dir", s.snapDir), zap.Stringer("first", first))
		// Digests are those of a tree that had more.
		err := s.startEmpty(first - 1)
		s.tree.CompareDigestsAfter(s.txns.Last() + 1)
		return err
	case first.Epoch() <= 1 && first.Counter() == 1:
		tree := freshTree()
		tree.Loaded(0)
		if same, known := s.leadsOn(tree); same || !known {
			s.log.Warn("no snapshot: the log begins with the first transaction and is replayed from there", zap.String("dir", s.snapDir))
			return s.startEmpty(0)
		}
	}
	return fmt.Errorf("no snapshot found in %s, but there are log entries from %v to %v in %s: put the snapshot files back where they were (is dataDir right?); "+
		"or, to begin with an empty tree and lose what the log does not hold, set snapshot.trust.empty=true for one start",
		s.snapDir, first, s.txns.Last(), s.logDir)
}

// checkReach refuses to begin at base if a newer snapshot was there, is of no use,
// and the log does not reach its zxid: what is missing was acknowledged. One whose
// writing was interrupted says nothing.
func (s *Store) checkReach(base wire.Zxid, snaps []snapshotFile) error {
	for _, f := range snaps {
		if f.zxid <= base {
			break
		}
		if last := s.txns.Last(); s.damaged[f.name] && last < f.zxid {
			return fmt.Errorf("snapshot %s cannot be used, and the next older state with the log behind it reaches only to %v: "+
				"what came after that would be lost. Put the file from a backup there; or, to go on from %v and lose what came after it, move it away",
				s.fs.PathJoin(s.snapDir, f.name), max(base, last), max(base, last))
		}
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
// go on from them would drop what is here, to go on from it would hide that
// acknowledged txns may be missing behind it, or, after a clean end, bring back
// what the operator may have wanted to be rid of.
func (s *Store) aheadError(z wire.Zxid, snaps []snapshotFile) error {
	reach := s.txns.Last()
	if list := usable(snaps, -1); len(list) > 0 {
		reach = max(reach, list[0].zxid)
	}
	ends := fmt.Sprintf("the store %s holds the state at zxid %v, but the log in %s and the snapshots in %s end at %v: log files were removed, or an older copy of the directory was put back",
		s.dir, z, s.logDir, s.snapDir, reach)
	if s.closed != nil {
		return fmt.Errorf("%s. If files were lost, put them back; or move the log and snapshot files that are left out of the way, and the server goes on from the store, which held everything when it was stopped. "+
			"If an older state was put back on purpose, to go on from %v and lose what came after it, remove %s", ends, reach, s.dir)
	}
	return fmt.Errorf("%s. Put the missing files back; or, to go on from %v and lose what came after it, remove %s. The store alone cannot take their place: %w",
		ends, reach, s.dir, s.notClosed)
}

// storeError adds to what is wrong with Pebble's files what to do about it.
func (s *Store) storeError(err error) error {
	switch {
	case errors.Is(err, iofs.ErrPermission):
		return dirError(s.fs, s.dir, err)
	case errors.Is(err, errNewerFormat):
		return fmt.Errorf("store %s: %w", s.dir, err)
	}
	return fmt.Errorf("store %s: %w. It is a copy of what the snapshot files in %s and the log in %s hold, and is made again once these are in order",
		s.dir, err, s.snapDir, s.logDir)
}

// base is the state that recovery begins from.
type base struct {
	from     string // for the log
	zxid     wire.Zxid
	began    time.Time
	isStore  bool
	snapshot string
	// standsIn says that neither log nor snapshot leads here: the store is all that
	// there is.
	standsIn bool
	// unknownACL holds the znodes of a snapshot whose ACL its table lacks, with
	// their owners. The table is written before the znodes, while txns go on, so
	// a txn behind the snapshot must set each of them (ZOOKEEPER-4689).
	unknownACL map[string]int64
	// reach is the newest txn of which something may be in the base, as a
	// snapshot of ZooKeeper's is fuzzy.
	reach wire.Zxid
}

// startEmpty makes the tree of a first start, or of one from the log alone.
func (s *Store) startEmpty(z wire.Zxid) error {
	s.base = base{from: "nothing", zxid: z, began: time.Now()}
	s.newTree()
	s.tree.Loaded(z)
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
	cxid := int32(-1) // the file does not tell how its password was made
	if _, _, again := i.tree.Session(id); again {
		cxid = cxidKeyed // see snapshotWriter.sessions
	}
	i.tree.LoadSession(id, timeoutMs, cxid)
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
