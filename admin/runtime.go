package admin

import (
	"math"
	"runtime/metrics"

	"github.com/prometheus/client_golang/prometheus"
)

// heapCollector shows the Go heap under the names that dashboards made for
// ZooKeeper know the Java heap by. The rest of the jvm_ family has no
// counterpart and is left out.
type heapCollector struct{}

var (
	heapUsedDesc = prometheus.NewDesc("jvm_memory_bytes_used",
		"bytes of the heap in use, or not yet found to be free", []string{"area"}, nil)
	heapCommittedDesc = prometheus.NewDesc("jvm_memory_bytes_committed",
		"bytes of the heap that the system has provided", []string{"area"}, nil)
	heapMaxDesc = prometheus.NewDesc("jvm_memory_bytes_max",
		"the memory limit of the process (GOMEMLIMIT), -1 without one", []string{"area"}, nil)
)

// Describe implements prometheus.Collector.
func (*heapCollector) Describe(out chan<- *prometheus.Desc) {
	out <- heapUsedDesc
	out <- heapCommittedDesc
	out <- heapMaxDesc
}

// Collect implements prometheus.Collector.
func (*heapCollector) Collect(out chan<- prometheus.Metric) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/gomemlimit:bytes"},
	}
	metrics.Read(samples)
	used := float64(samples[0].Value.Uint64())
	committed := used + float64(samples[1].Value.Uint64()) + float64(samples[2].Value.Uint64())
	limit := -1.0
	if n := samples[3].Value.Uint64(); n != math.MaxInt64 {
		limit = float64(n)
	}
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, "heap")
	}
	gauge(heapUsedDesc, used)
	gauge(heapCommittedDesc, committed)
	gauge(heapMaxDesc, limit)
}
