package ensemble

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
	"zooid/wire"
)

// TestWrongTree starts a follower on a snapshot whose checksums are right and whose
// data are not: its tree differs from the others'. The digests of the transactions
// that follow tell; it says so, counts them, takes over the leader's state and
// serves what the others serve.
func TestWrongTree(t *testing.T) {
	e := testenv.StartEnsemble(t, testenv.EnsembleConfig{Kinds: []string{testenv.KindZooid, testenv.KindZooid, testenv.KindZooid},
		Keys: map[string]string{"snapCount": "20"}})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	leader, err := e.AwaitServing(limit)
	must(err)
	wrong := e.Others(leader)[0]
	c, err := rawclient.Open(leader.Addr, rawclient.Options{})
	must(err)
	defer c.Close()
	const text = "what everybody has"
	_, _, err = c.Create("/told", []byte(text), 0)
	must(err)
	until := func(what string, so func() bool) {
		t.Helper()
		for end := time.Now().Add(limit); !so(); {
			if time.Now().After(end) {
				t.Fatalf("in vain: %s\n%s", what, wrong.Log())
			}
			_, _, err := c.Create("/n-", nil, wire.FlagPersistentSequential)
			must(err)
		}
	}
	folder := filepath.Join(wrong.DataDir, "version-2")
	until("a snapshot of the follower", func() bool { return len(snapshotsWith(t, folder, text)) > 0 })
	_, err = wrong.Stop()
	must(err)
	for _, file := range snapshotsWith(t, folder, text) {
		must(alterSnapshot(file, text, "what nobody wrote."))
	}
	must(os.RemoveAll(filepath.Join(wrong.DataDir, "zooid")))
	must(wrong.Restart())
	must(wrong.AwaitMode(limit, "follower"))
	until("the digests tell", func() bool { return strings.Contains(wrong.Log(), "takes over the leader's state") })
	must(wrong.AwaitMode(limit, "follower"))
	values, err := wrong.Monitor()
	must(err)
	if err := sane(wrong, false); err == nil || values["digest_mismatches_count"] == "0" {
		t.Errorf("the drills would not notice: digest_mismatches_count is %q", values["digest_mismatches_count"])
	}
	if values["zooid_tree_suspect"] != "0" {
		t.Error("the tree that was taken over is suspected")
	}
	r, err := rawclient.Open(wrong.Addr, rawclient.Options{})
	must(err)
	defer r.Close()
	data, _, err := r.GetData("/told", false)
	must(err)
	if string(data) != text {
		t.Errorf("it serves %q", data)
	}
}

// snapshotsWith are the whole snapshots of a folder that hold a text.
func snapshotsWith(t *testing.T, folder, text string) (list []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "snapshot.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && !strings.HasSuffix(f, ".tmp") && bytes.Contains(b, []byte(text)) {
			list = append(list, f)
		}
	}
	return list
}

// alterSnapshot writes other data of the same length into a plain snapshot with
// both parts of the trailer, and makes its checksums right.
func alterSnapshot(file, from, to string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(from) != len(to) {
		return fmt.Errorf("%q is not as long as %q", to, from)
	}
	b = bytes.Replace(b, []byte(from), []byte(to), 1)
	const seal, digest, last = 13, 20, 8
	for _, at := range []int{len(b) - 3*seal - digest - last, len(b) - 2*seal - last, len(b) - seal} {
		binary.BigEndian.PutUint64(b[at:], uint64(adler32.Checksum(b[:at])))
	}
	return os.WriteFile(file, b, 0o640)
}
