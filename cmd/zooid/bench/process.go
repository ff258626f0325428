package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// processSample is the CPU time and resident memory of some processes at one
// moment; it is not valid if one of them cannot be read.
type processSample struct {
	cpu   time.Duration
	rss   int64 // bytes
	valid bool
}

// clockTick is the unit of CPU times in /proc, which Linux fixes for programs.
const clockTick = 10 * time.Millisecond

// sampleProcesses reads /proc; elsewhere than on Linux it gives nothing.
func sampleProcesses(pids []int) processSample {
	s := processSample{valid: len(pids) > 0}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || !s.add(stat) {
			return processSample{}
		}
	}
	return s
}

// Fields of /proc/<pid>/stat, counted from the one behind the name.
const (
	statUser, statSystem = 11, 12 // CPU time in clock ticks
	statResident         = 21     // pages
)

// add adds the content of a /proc/<pid>/stat. It is false if that makes no
// sense.
func (s *processSample) add(stat []byte) bool {
	// The name in parentheses may hold blanks and parentheses.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= statResident {
		return false
	}
	var n [3]int64
	for i, at := range []int{statUser, statSystem, statResident} {
		var err error
		if n[i], err = strconv.ParseInt(string(fields[at]), 10, 64); err != nil {
			return false
		}
	}
	s.cpu += time.Duration(n[0]+n[1]) * clockTick
	s.rss += n[2] * int64(os.Getpagesize())
	return true
}
