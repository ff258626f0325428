package main

import (
	"net"
	"testing"
	"time"

	"zooid/integration/testenv"
)

// Nobody is left behind when the command itself is killed.
func TestEnsembleKilled(t *testing.T) {
	o := ensembleOptions{members: 1, observers: 1, dir: t.TempDir(), port: freePorts(t, 2, quorumPortsAbove, electionPortsAbove)}
	e := startEnsemble(t, o)
	if err := e.process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = e.cmd.Wait()
	for _, addr := range o.clientAddrs() {
		testenv.Await(t, 10*time.Second, "the server on "+addr+" ends", func() bool {
			nc, err := net.Dial("tcp", addr)
			if err == nil {
				nc.Close()
			}
			return err != nil
		})
	}
}
