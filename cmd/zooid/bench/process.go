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
		if err != nil {
			return processSample{}
		}
		// The name in parentheses may hold blanks; what counts comes after it.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 22 {
			return processSample{}
		}
		number := func(i int) int64 {
			n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
			return n
		}
		s.cpu += time.Duration(number(11)+number(12)) * clockTick
		s.rss += number(21) * int64(os.Getpagesize())
	}
	return s
}
