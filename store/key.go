package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

const (
	// keyName is the file in dataDir with the secret that session passwords are
	// derived from.
	keyName = "session.key"
	keySize = 32
)

// sessionKey reads the secret, or makes it at first start. Who has it can take
// over any session, so only the server's user may read it. Members of an
// ensemble share one: a leader has its learners adopt its own, see SaveSecret.
func sessionKey(fs vfs.FS, dataDir string, log *zap.Logger) ([]byte, error) {
	path := fs.PathJoin(dataDir, keyName)
	f, err := fs.Open(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return makeKey(fs, dataDir)
	}
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		return nil, notAKey(path, "is no regular file")
	}
	if fs == vfs.Default && err == nil && st.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			log.Warn("others may read the session key, and could take over sessions: chmod 600 it", zap.String("file", path), zap.Error(err))
		} else {
			log.Warn("others could read the session key, now only its owner can", zap.String("file", path))
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return nil, fmt.Errorf("session key %s: %w", path, err)
	}
	if len(b) != keySize {
		return nil, notAKey(path, fmt.Sprintf("is not %d bytes long", keySize))
	}
	return b, nil
}

// notAKey says what is wrong with the file of the secret, and what to do.
func notAKey(path, what string) error {
	return fmt.Errorf("session key %s %s: put the right file back, or remove it; then sessions that are open cannot be resumed after this start", path, what)
}

func makeKey(fs vfs.FS, dataDir string) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	if err := writeKey(fs, dataDir, key); err != nil {
		return nil, err
	}
	return key, nil
}

func writeKey(fs vfs.FS, dataDir string, key []byte) error {
	err := writeAtomically(fs, dataDir, keyName, true, func(w io.Writer) error {
		_, err := w.Write(key)
		return err
	})
	if err != nil {
		return fmt.Errorf("session key %s: %w", fs.PathJoin(dataDir, keyName), err)
	}
	return nil
}

// SaveSecret makes the leader's secret, SessionSecret's length in bytes, this
// store's own from the next Open on. It blocks until that is durable. Any
// goroutine may call it, one at a time.
func (s *Store) SaveSecret(secret []byte) error {
	if len(secret) != keySize {
		return fmt.Errorf("session key: the leader's has %d bytes instead of %d", len(secret), keySize)
	}
	return writeKey(s.fs, s.o.DataDir, secret)
}
