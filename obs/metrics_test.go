package obs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ferric"
	"ferric/obs"
)

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	m := obs.NewMetrics()
	m.Counter("operations_total", "Operations.", "verb").WithLabelValues("deploy").Add(2)
	m.Counter("operations_total", "Operations.", "verb").WithLabelValues("deploy").Inc()
	m.Gauge("nodes", "Nodes.", "state").WithLabelValues("active").Set(7)
	m.GaugeFunc("workers_busy", "Busy workers.", func() float64 { return 4 })
	m.Histogram("step_seconds", "Steps.", obs.OperationBuckets(), "step").WithLabelValues("write_image").Observe(45)
	if err := m.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "foreign_total", Help: "x"})); err != nil {
		t.Fatal(err)
	}
	if err := m.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "foreign_total", Help: "x"})); !ferric.IsCode(err, ferric.CodeConflict) {
		t.Errorf("registered twice: got %v, want conflict", err)
	}
	if err := m.Err(); err != nil {
		t.Error(err)
	}
	text := scrape(t, m.Handler())
	for _, line := range []string{
		`ferric_operations_total{verb="deploy"} 3`,
		`ferric_nodes{state="active"} 7`,
		`ferric_workers_busy 4`,
		`ferric_step_seconds_bucket{step="write_image",le="30"} 0`,
		`ferric_step_seconds_bucket{step="write_image",le="60"} 1`,
		`foreign_total 0`,
		`# TYPE go_goroutines gauge`,
		`# TYPE process_resident_memory_bytes gauge`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
}

func TestMetricsAreNotShared(t *testing.T) {
	a, b := obs.NewMetrics(), obs.NewMetrics()
	a.Counter("x_total", "X.").WithLabelValues().Inc()
	if strings.Contains(scrape(t, b.Handler()), "ferric_x_total") {
		t.Error("one registry shows the other's metric")
	}
}

func TestMetricDefects(t *testing.T) {
	m := obs.NewMetrics()
	m.Counter("a_total", "A.", "x")
	m.Counter("a_total", "A.", "y").WithLabelValues("v").Inc() // other labels: counts without being shown
	m.Gauge("a_total", "A.", "x").WithLabelValues("v").Set(1)  // another kind
	m.Gauge("bad_label", "B.", "\xff").WithLabelValues("v").Set(1)
	err := m.Err()
	if err == nil || !strings.Contains(err.Error(), "ferric_a_total") || !strings.Contains(err.Error(), "ferric_bad_label") || strings.Count(err.Error(), "ferric_a_total: ") != 2 {
		t.Errorf("got %v", err)
	}
	scrape(t, m.Handler())
}

func TestNilMetrics(t *testing.T) {
	var m *obs.Metrics
	m.Counter("a_total", "A.", "x").WithLabelValues("v").Inc()
	m.GaugeFunc("b", "B.", func() float64 { return 1 })
	if err := m.Register(prometheus.NewCounter(prometheus.CounterOpts{Name: "c"})); err != nil {
		t.Error(err)
	}
	if err := m.Err(); err != nil {
		t.Error(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}
