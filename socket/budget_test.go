package socket

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestBudgetCutsTheWorst has one connection of many hold the most: it alone is
// told to end, and what the others hold stands.
func TestBudgetCutsTheWorst(t *testing.T) {
	b := NewBudget(1000)
	cut := make(chan int, 10)
	accounts := make([]*Account, 10)
	for i := range accounts {
		accounts[i] = b.Open(func(held, limit int64) {
			if limit != 1000 {
				t.Errorf("told of a limit of %d", limit)
			}
			if held != 450 {
				t.Errorf("cut off with %d bytes", held)
			}
			cut <- i // it gives its memory back later
		})
	}
	for i, a := range accounts {
		a.Hold(50)
		if i == 3 {
			a.Hold(450)
		}
	}
	if got := b.Used(); got != 900 {
		t.Fatalf("%d bytes used, want 900", got)
	}
	accounts[5].Hold(200)
	select {
	case i := <-cut:
		if i != 3 {
			t.Errorf("connection %d was cut off, want 3", i)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was cut off")
	}
	if got := b.Used(); got != 600 {
		t.Errorf("%d bytes used afterwards, want 600", got)
	}
	select {
	case i := <-cut:
		t.Errorf("connection %d was cut off as well", i)
	default:
	}
	for _, a := range accounts {
		a.Close()
	}
	if got := b.Used(); got != 0 {
		t.Errorf("%d bytes used after the end", got)
	}
}

// TestBudgetUnderLoad has many add at once, more than fits: in the end the rest
// fits, although nobody who adds waits for anything.
func TestBudgetUnderLoad(t *testing.T) { synctest.Test(t, testBudgetUnderLoad) }

func testBudgetUnderLoad(t *testing.T) {
	const limit = 100_000
	b := NewBudget(limit)
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			var mu sync.Mutex // a connection's own lock, under which Hold is called
			ended, held := false, int64(0)
			a := b.Open(func(int64, int64) {
				mu.Lock()
				defer mu.Unlock()
				ended = true
			})
			for range 1000 {
				mu.Lock()
				if !ended {
					held += 10
					a.Hold(held)
				}
				mu.Unlock()
			}
		})
	}
	running.Wait()
	synctest.Wait() // whoever is to be cut off has been
	if b.Used() > limit {
		t.Fatalf("%d bytes used, the limit is %d", b.Used(), limit)
	}
	if b.Used() == 0 {
		t.Error("everybody was cut off")
	}
}
