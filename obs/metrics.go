package obs

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ferric"
)

// namespace begins the name of every metric of Ferric.
const namespace = "ferric"

// Metrics is a registry of Prometheus metrics. Names are given without the "ferric_" that they get; follow
// Prometheus' custom: a unit at the end (_seconds, _bytes), _total for counters. Asking twice for the same metric gives
// the same one, so a package can be used twice in a process.
//
// The methods work on a nil *Metrics, too: what they return counts, but nobody sees it. That is for tests.
type Metrics struct {
	registry *prometheus.Registry

	mu   sync.Mutex
	errs []error
}

// NewMetrics returns a registry with the metrics of the Go runtime and of the process.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// register enters a collector, or returns the one that is there already.
func register[C prometheus.Collector](m *Metrics, name string, c C) C {
	if m == nil {
		return c
	}
	err := m.registry.Register(c)
	if err == nil {
		return c
	}
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if old, ok := there.ExistingCollector.(C); ok {
			return old
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs = append(m.errs, ferric.Errorf(ferric.CodeInternal, "metric %s_%s: %w", namespace, name, err))
	return c
}

// Err returns what went wrong with metrics so far: names that are not allowed, or used twice with different labels
// or help. Such a metric counts, but is not shown. A test of the program should look that this is nil.
func (m *Metrics) Err() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.errs...)
}

// Counter returns a number that only grows, one per combination of the labels' values.
func (m *Metrics) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(m, name, prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

// Gauge returns a number that grows and shrinks, one per combination of the labels' values.
func (m *Metrics) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(m, name, prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels))
}

// GaugeFunc shows what fn returns when the metrics are read. fn must be quick and safe for concurrent use.
func (m *Metrics) GaugeFunc(name, help string, fn func() float64) {
	register(m, name, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, fn))
}

// Histogram returns a distribution, one per combination of the labels' values. buckets are the upper bounds, in
// growing order; nil is 5 ms to 10 s, for requests. For operations take OperationBuckets.
func (m *Metrics) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(m, name, prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels))
}

// OperationBuckets are histogram bounds in seconds for steps and operations: 100 ms to four hours.
func OperationBuckets() []float64 {
	return []float64{.1, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400}
}

// Register enters a collector of another package. CodeConflict when its metrics are there already.
func (m *Metrics) Register(c prometheus.Collector) error {
	if m == nil {
		return nil
	}
	if err := m.registry.Register(c); err != nil {
		return ferric.Errorf(ferric.CodeConflict, "register metrics: %w", err)
	}
	return nil
}

// Handler serves the metrics in Prometheus' text format, for /metrics. At most four readers at a time, ten seconds
// each.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		ErrorHandling:       promhttp.ContinueOnError, // one broken collector must not hide the others
	})
}
