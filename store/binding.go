package store

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"strconv"

	"go.uber.org/zap"

	"zooid/txnlog"
	"zooid/wire"
)

// bindingName is the file in dataDir with the number of the member whose directory
// it is. What lies there are its promises to the ensemble: a second member that
// begins with a copy of them would count its vote twice.
const bindingName = "zooid.server"

// checkBinding refuses the directory of another member. One that is bound to
// nobody, as ZooKeeper leaves it, is whoever's it is.
func (s *Store) checkBinding() error {
	if s.o.ServerID == 0 {
		return nil
	}
	path := s.fs.PathJoin(s.o.DataDir, bindingName)
	text, err := s.readNote(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	owner, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%s should hold the number of the server that the directory belongs to, but holds %q: remove it if nobody else uses the directory", path, text)
	}
	if wire.SID(owner) != s.o.ServerID {
		return fmt.Errorf("dataDir %s belongs to server %d of the ensemble, and this is server %d: it was copied, or myid is wrong. "+
			"A member must not begin with what another has promised: give this one an empty dataDir and dataLogDir, it fetches the data from the leader by itself. "+
			"If server %d was given the number %d on purpose, and nobody else uses the directory, remove %s and start again",
			s.o.DataDir, owner, s.o.ServerID, owner, s.o.ServerID, path)
	}
	return nil
}

// bind writes down whose directory it is from now on. A full disk is no reason
// not to start: the next start does it.
func (s *Store) bind() error {
	if s.o.ServerID == 0 {
		return nil
	}
	if _, err := s.fs.Stat(s.fs.PathJoin(s.o.DataDir, bindingName)); err == nil {
		return nil
	}
	err := writeAtomically(s.fs, s.o.DataDir, bindingName, false, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%d\n", s.o.ServerID)
		return err
	})
	if txnlog.IsFull(err) {
		s.log.Warn("no room to write down which server the directory belongs to", zap.String("dir", s.o.DataDir), zap.Error(err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", bindingName, err)
	}
	return nil
}
