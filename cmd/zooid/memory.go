package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
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

// What clients' queues and unfinished frames may take together, in bytes: a
// share of the memory that the process may use, within bounds, and where that
// is not limited a size that any machine has.
const (
	clientMemoryShare   = 8 // one eighth
	clientMemoryMin     = 16 << 20
	clientMemoryMax     = 1 << 30
	clientMemoryDefault = 256 << 20
)

// clientMemory is the bound for all clients together under a limit of the
// process's memory, 0 for none.
func clientMemory(limit int64) int64 {
	if limit <= 0 {
		return clientMemoryDefault
	}
	return min(max(limit/clientMemoryShare, clientMemoryMin), clientMemoryMax)
}

// memoryLimit is how many bytes the process may use by GOMEMLIMIT and by its
// control group, 0 if neither says.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if text, err := os.ReadFile(file); err == nil {
			limit = min(limit, parseMemoryLimit(string(text)))
		}
	}
	if limit >= unlimitedMemory {
		return 0
	}
	return limit
}

// unlimitedMemory is more than any machine has: what systems say that mean no
// limit is beyond it.
const unlimitedMemory = 1 << 60

// parseMemoryLimit reads a control group's limit; "max" and nonsense are none.
func parseMemoryLimit(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}

// tuneEvery is the pause between two looks at the live heap. Until the next one a
// heap that has grown from a few MB may grow by as many percent as a small one.
const tuneEvery = 100 * time.Millisecond

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
	ticker := time.NewTicker(tuneEvery)
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
