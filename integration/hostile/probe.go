package hostile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"zooid/integration/rawclient"
	"zooid/integration/testenv"
)

// probe is one who asks for little, again and again.
type probe struct {
	name string
	// ask asks once. An error is a failure of the server's, not a gap.
	ask func() error

	answers int
	longest time.Duration
}

// probes are all that are sent to a server. The znode /probe must exist.
func probes(addr string) (list []*probe, end func(), err error) {
	c, err := rawclient.Open(addr, rawclient.Options{Wait: time.Minute})
	if err != nil {
		return nil, nil, err
	}
	w, err := rawclient.Open(addr, rawclient.Options{Wait: time.Minute})
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	word := func(word, want string) func() error {
		return func() error {
			text, err := testenv.Word(addr, word)
			if err == nil && !strings.Contains(text, want) {
				err = fmt.Errorf("answer %q", text)
			}
			return err
		}
	}
	list = []*probe{
		{name: "read", ask: func() error { _, _, err := c.GetData("/probe", false); return err }},
		{name: "write", ask: func() error { _, err := w.SetData("/probe", []byte("x"), -1); return err }},
		{name: "ruok", ask: word("ruok", "imok")},
		{name: "srvr", ask: word("srvr", "Mode: ")},
	}
	return list, func() { c.Close(); w.Close() }, nil
}

// probePause is between two questions of a probe.
const probePause = 5 * time.Millisecond

// run sends the probes until ctx ends; all of them get a last answer.
func run(ctx context.Context, list []*probe) error {
	var running sync.WaitGroup
	errs := make([]error, len(list))
	for i, p := range list {
		running.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				if err := p.ask(); err != nil {
					errs[i] = fmt.Errorf("%s, after %d answers and %v: %w", p.name, p.answers, time.Since(began), err)
					return
				}
				p.answers++
				p.longest = max(p.longest, time.Since(began))
				time.Sleep(probePause)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
