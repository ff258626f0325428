package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

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
// over any session, so only the server's user may read it; members of an
// ensemble share it.
func sessionKey(fs vfs.FS, dataDir string, log *zap.Logger) ([]byte, error) {
	path := fs.PathJoin(dataDir, keyName)
	f, err := fs.Open(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return makeKey(fs, dataDir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); fs == vfs.Default && err == nil && st.Mode().Perm()&0o077 != 0 {
		log.Warn("others may read the session key, and could take over sessions: chmod 600 it", zap.String("file", path))
	}
	b, err := io.ReadAll(io.LimitReader(f, keySize+1))
	if err != nil {
		return nil, fmt.Errorf("session key %s: %w", path, err)
	}
	if len(b) != keySize {
		return nil, fmt.Errorf("session key %s is not %d bytes long: put the right file back, or remove it and open sessions cannot be resumed after this start", path, keySize)
	}
	return b, nil
}

func makeKey(fs vfs.FS, dataDir, path string) ([]byte, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	err := writeAtomically(fs, dataDir, keyName, true, func(w io.Writer) error {
		_, err := w.Write(key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("session key %s: %w", path, err)
	}
	return key, nil
}
