package fourletter

import (
	"strings"
	"time"
)

// CompatibleWith is the release of Apache ZooKeeper whose behaviour is shown.
const CompatibleWith = "3.9.5"

// Version is the version that srvr, stat, envi and mntr show: the ZooKeeper
// release, then our own version, and when it was built. Clients read it as
// <release>-<word>, built on <date>; ZooKeeper writes the date as ISO, but
// go-zookeeper understands this older form only.
func Version(own string, built time.Time) string {
	word := strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r == '.', r == '-':
			return r
		}
		return '-' // of a version like 1.0+dirty clients would read half
	}, own)
	return CompatibleWith + "-zooid-" + word + ", built on " + built.UTC().Format("01/02/2006 15:04 UTC")
}
