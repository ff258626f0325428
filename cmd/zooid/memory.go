package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// headroom is what the heap may grow by between two collections, beside a
	// share of what is live. Go's own rule lets it double: that is 100 MB too
	// much on a large tree, and on a small one a collection every few ms.
	headroom      = 32 << 20
	headroomShare = 8 // one eighth of the live heap
	// The bounds of what is set, in percent of the live heap.
	gcPercentMin, gcPercentMax = 15, 800
)

// gcPercent is the growth to allow on a live heap of so many bytes. The tree
// holds no pointers, so a collection costs about the same for any size of it.
func gcPercent(live uint64) int {
	if live == 0 {
		return gcPercentMax
	}
	room := headroom + live/headroomShare
	return int(min(max(room*100/live, gcPercentMin), gcPercentMax))
}

// tuneCollector keeps the collector's goal in step with the live heap until ctx
// ends. An operator who sets GOGC decides instead.
func tuneCollector(ctx context.Context) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for last := 0; ; {
		metrics.Read(sample)
		if next := gcPercent(sample[0].Value.Uint64()); next < last*9/10 || next > last*11/10 {
			debug.SetGCPercent(next)
			last = next
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
