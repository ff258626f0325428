package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/zap"

	"zooid/fourletter"
)

// contentType is that of ZooKeeper's page. There is no negotiation: OpenMetrics
// would have counters renamed to end in _total, which no dashboard asks for.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// scrapesMax is how many requests for /metrics are worked on at once; one more
// is told to come back.
const scrapesMax = 4

// metricsPage is /metrics.
type metricsPage struct {
	registry *prometheus.Registry
	log      *zap.Logger
	slots    chan struct{}
}

func newMetricsPage(o *Options) *metricsPage {
	p := &metricsPage{registry: prometheus.NewRegistry(), log: o.Log, slots: make(chan struct{}, scrapesMax)}
	p.registry.MustRegister(
		&statusCollector{status: o.Status, version: o.Version},
		&heapCollector{},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return p
}

func (p *metricsPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests for metrics at once", http.StatusServiceUnavailable)
		return
	}
	// What could be gathered is shown even if something else could not.
	families, err := p.registry.Gather()
	if err != nil {
		p.log.Warn("some metrics could not be gathered", zap.Error(err))
	}
	w.Header().Set("Content-Type", contentType)
	shown := make(map[string]bool, len(families))
	text := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if text.Encode(family) != nil {
			return // the client is gone
		}
		shown[family.GetName()] = true
	}
	// A set without keys has no samples, and yet its two lines in ZooKeeper.
	for i := range fourletter.Metrics {
		d := &fourletter.Metrics[i]
		if d.Set && d.Kind != fourletter.Gauge && !shown[d.Name] {
			fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", d.Name, help(d), d.Name, typeName(d))
		}
	}
}

func typeName(d *fourletter.Metric) string {
	switch d.Kind {
	case fourletter.Gauge:
		return "gauge"
	case fourletter.Counter:
		return "counter"
	}
	return "summary"
}

// help is never empty; ZooKeeper's own help texts are the names.
func help(d *fourletter.Metric) string {
	if d.Help == "" {
		return d.Name
	}
	return d.Help
}

// statusCollector turns the samples of a Status into Prometheus's metrics.
type statusCollector struct {
	status  func(fourletter.Part) *fourletter.Status
	version string
}

// descs has the description of each of fourletter.Metrics.
var descs = func() map[*fourletter.Metric]*prometheus.Desc {
	all := make(map[*fourletter.Metric]*prometheus.Desc, len(fourletter.Metrics))
	for i := range fourletter.Metrics {
		d := &fourletter.Metrics[i]
		var labels []string
		if d.Set {
			labels = []string{cmp.Or(d.Label, "key")}
		}
		all[d] = prometheus.NewDesc(d.Name, help(d), labels, nil)
	}
	return all
}()

var infoDesc = prometheus.NewDesc("zooid_info", "1, with the version as a label", []string{"version"}, nil)

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range descs {
		out <- desc
	}
	out <- infoDesc
}

// Collect implements prometheus.Collector.
func (c *statusCollector) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, c.version)
	for _, s := range c.status(fourletter.PartMetrics).Samples() {
		out <- constMetric(&s)
	}
}

func constMetric(s *fourletter.Sample) prometheus.Metric {
	desc := descs[s.Metric]
	var labels []string
	if s.Metric.Set {
		labels = []string{strings.ToValidUTF8(s.Key, "\uFFFD")}
	}
	switch s.Metric.Kind {
	case fourletter.Gauge:
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, s.Value, labels...)
	case fourletter.Counter:
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, s.Value, labels...)
	}
	quantiles := map[float64]float64{0.5: s.Quantiles[0]}
	if s.Metric.Kind == fourletter.Advanced {
		quantiles[0.9], quantiles[0.99] = s.Quantiles[1], s.Quantiles[3]
	}
	return prometheus.MustNewConstSummary(desc, uint64(s.Count), s.Sum, quantiles, labels...)
}
