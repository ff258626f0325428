package fourletter

import (
	"math"
	"strconv"
	"strings"
)

// appendMntr writes the lines that ZooKeeper's default metrics provider gives:
// one for a gauge or counter, five or nine for a summary. The keys have the
// prefix zk_; the key of a set stands before its metric's name, but behind it in
// the sets of our own, so that one prefix finds all of a set:
// zk_zooid_follower_lag_ms_2.
func appendMntr(b, _ []byte, s *Status) []byte {
	b = appendText(b, "version", s.Version)
	b = appendText(b, "server_state", s.Mode.String())
	if s.PeerState != "" {
		b = appendText(b, "peer_state", s.PeerState)
	}
	if s.Mode == ModeObserver {
		b = appendText(b, "observer_master_id", strconv.FormatInt(int64(s.ObserverMaster), 10))
	}
	if s.Mode == ModeLeader {
		// Releases up to 3.5 had it, and exporters still ask for it.
		b = appendWhole(b, "", "", "followers", float64(s.Leading.Learners-s.SyncedObservers))
	}
	for _, sample := range s.Samples() {
		b = appendSample(b, &sample)
	}
	return b
}

func appendText(b []byte, key, value string) []byte {
	b = appendKey(b, "", "", key)
	b = append(b, value...)
	return append(b, '\n')
}

func appendSample(b []byte, s *Sample) []byte {
	m := s.Metric
	if m.Kind == Gauge || m.Kind == Counter {
		if !m.Double {
			return appendWhole(b, "", s.Key, m.Name, s.Value)
		}
		b = appendKey(b, "", s.Key, m.Name)
		return append(appendDouble(b, s.Value), '\n')
	}
	b = appendKey(b, "avg_", s.Key, m.Name)
	b = append(appendDouble(b, average(s.Sum, s.Count)), '\n')
	b = appendWhole(b, "min_", s.Key, m.Name, s.Min)
	b = appendWhole(b, "max_", s.Key, m.Name, s.Max)
	b = appendWhole(b, "cnt_", s.Key, m.Name, float64(s.Count))
	b = appendWhole(b, "sum_", s.Key, m.Name, s.Sum)
	if m.Kind == Advanced {
		b = appendWhole(b, "p50_", s.Key, m.Name, s.Quantiles[0])
		b = appendWhole(b, "p95_", s.Key, m.Name, s.Quantiles[2])
		b = appendWhole(b, "p99_", s.Key, m.Name, s.Quantiles[3])
		b = appendWhole(b, "p999_", s.Key, m.Name, s.Quantiles[4])
	}
	return b
}

// appendWhole writes a line with a whole number, as ZooKeeper's are: fractions
// of a millisecond are cut off, and a quantile of nothing is 0.
func appendWhole(b []byte, prefix, key, name string, value float64) []byte {
	if math.IsNaN(value) {
		value = 0
	}
	b = appendKey(b, prefix, key, name)
	b = strconv.AppendInt(b, int64(value), 10)
	return append(b, '\n')
}

func appendKey(b []byte, prefix, key, name string) []byte {
	behind := strings.HasPrefix(name, ourPrefix)
	b = append(b, "zk_"...)
	b = append(b, prefix...)
	if key != "" && !behind {
		b = append(b, key...)
		b = append(b, '_')
	}
	b = append(b, name...)
	if key != "" && behind {
		b = append(b, '_')
		b = append(b, key...)
	}
	return append(b, '\t')
}

// ourPrefix begins the names of metrics that ZooKeeper does not have.
const ourPrefix = "zooid_"
