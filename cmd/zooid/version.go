package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"zooid/fourletter"
)

// Version is Zooid's own version.
const Version = "0.1.0"

// buildTime is when the source was committed, if the binary knows that, else
// when the binary was written.
var buildTime = sync.OnceValue(func() time.Time {
	info, _ := debug.ReadBuildInfo()
	if t, ok := commitTime(info); ok {
		return t
	}
	if file, err := os.Executable(); err == nil {
		if stat, err := os.Stat(file); err == nil {
			return stat.ModTime()
		}
	}
	return time.Unix(0, 0)
})

// commitTime finds the time of the commit in what the linker wrote down. A
// binary that was built outside of a checkout has none.
func commitTime(info *debug.BuildInfo) (time.Time, bool) {
	if info == nil {
		return time.Time{}, false
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			t, err := time.Parse(time.RFC3339, s.Value)
			return t, err == nil
		}
	}
	return time.Time{}, false
}

// versionInfo is what "zooid version --json" prints.
type versionInfo struct {
	Version   string    `json:"version"`
	ZooKeeper string    `json:"zookeeper"` // the release that it is compatible with
	Built     time.Time `json:"built"`
	Go        string    `json:"go"`
	Platform  string    `json:"platform"`
}

func thisVersion() versionInfo {
	return versionInfo{Version, fourletter.CompatibleWith, buildTime().UTC().Truncate(time.Second),
		runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
}

func versionLine() string {
	v := thisVersion()
	return fmt.Sprintf("zooid %s (ZooKeeper %s), built %s, %s %s\n", v.Version, v.ZooKeeper,
		v.Built.Format("2006-01-02 15:04 UTC"), v.Go, v.Platform)
}

func newVersion() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Print the version, the release of ZooKeeper that it is compatible with, and what\nit was built with.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(thisVersion())
			}
			_, err := io.WriteString(cmd.OutOrStdout(), versionLine())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	return cmd
}
