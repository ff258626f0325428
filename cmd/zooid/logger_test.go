package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// tracedError prints its stack with %+v, as the errors of Pebble do.
type tracedError struct{}

func (tracedError) Error() string { return "a file is damaged" }

func (e tracedError) Format(s fmt.State, _ rune) {
	fmt.Fprint(s, e.Error())
	if s.Flag('+') {
		fmt.Fprint(s, "\n(1) attached stack trace")
	}
}

// TestLogHasNoStacks sees that an error in the log is its sentence only: pages of
// a library's functions hide from an operator what to do.
func TestLogHasNoStacks(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		logger, err := newLogger(&out, "info", asJSON)
		if err != nil {
			t.Fatal(err)
		}
		logger.With(zap.NamedError("with", tracedError{})).Warn("made again",
			zap.String("dir", "d"), zap.Error(tracedError{}), zap.Error(nil))
		logger.Debug("not wanted", zap.Error(tracedError{}))
		got := out.String()
		if strings.Contains(got, "stack") || strings.Contains(got, "Verbose") || strings.Contains(got, "not wanted") {
			t.Errorf("JSON %v: %s", asJSON, got)
		}
		if strings.Count(got, "a file is damaged") != 2 || !strings.Contains(got, `"dir"`) {
			t.Errorf("JSON %v: %s", asJSON, got)
		}
	}
}
