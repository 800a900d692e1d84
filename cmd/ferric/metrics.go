package main

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/driver/ipmi"
	"ferric/obs"
	"ferric/store"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are Ferric's Prometheus metrics.
type metrics struct {
	http.Handler
	all        *obs.Metrics
	requests   *prometheus.HistogramVec
	steps      *prometheus.HistogramVec
	power      *prometheus.HistogramVec
	passes     *prometheus.HistogramVec
	heartbeats *prometheus.CounterVec

	takeovers, leasesLost, renewals, repetitions *prometheus.CounterVec
	leases, ringMembers, ringNodes               *prometheus.GaugeVec
	lateness                                     *prometheus.HistogramVec

	notices      *prometheus.CounterVec
	noticesLate  *prometheus.HistogramVec
	noticesTried *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{all: obs.NewMetrics()}
	m.requests = m.all.Histogram("api_request_seconds", "Time to answer an API request.", nil, "method", "route", "status")
	m.steps = m.all.Histogram("step_seconds", "Duration of the steps of operations.", obs.OperationBuckets(), "operation", "step", "status")
	m.power = m.all.Histogram("power_sync_seconds", "Time to ask a machine for its power state, by what came of it: ok, or the cause of the failure.", nil, "result")
	m.passes = m.all.Histogram("power_sync_pass_seconds", "Time in which all machines that answer were asked for their power states.", nil)
	m.heartbeats = m.all.Counter("agent_heartbeats_total", "Heartbeats of agents.")
	m.takeovers = m.all.Counter("operations_taken_over_total", "Operations carried on that another conductor had begun.", "operation")
	m.leases = m.all.Gauge("leases_held", "Nodes whose lease this conductor held at the last round of renewals.")
	m.leasesLost = m.all.Counter("leases_lost_total", "Leases that were lost while work relied on them.")
	m.renewals = m.all.Counter("lease_renewal_failures_total", "Rounds of lease renewals that failed.")
	m.lateness = m.all.Histogram("lease_renewal_late_seconds", "How long after its time a round of lease renewals was done.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2, 3})
	m.ringMembers = m.all.Gauge("ring_members", "Conductors that are alive, as this one sees it.")
	m.ringNodes = m.all.Gauge("ring_nodes", "Nodes that the ring gives to this conductor.")
	m.repetitions = m.all.Counter("call_repetitions_total", "Calls of the API that were repeated because a conductor did not answer.")
	m.notices = m.all.Counter("notifications_total", "Notifications by what came of them: delivered, refused by their receiver, or dropped because they could not be delivered in time.", "sink", "result")
	m.noticesTried = m.all.Counter("notification_failures_total", "Attempts to deliver notifications that failed; they are repeated.", "sink")
	m.noticesLate = m.all.Histogram("notification_delay_seconds", "Age of the oldest notification of those delivered together.", obs.OperationBuckets(), "sink")
	for _, g := range []*prometheus.GaugeVec{m.leases, m.ringMembers, m.ringNodes} {
		g.WithLabelValues()
	}
	for _, c := range []*prometheus.CounterVec{m.leasesLost, m.renewals, m.repetitions} {
		c.WithLabelValues()
	}
	m.Handler = m.all.Handler()
	return m
}

// Delivered implements notify.Observer.
func (m *metrics) Delivered(sink string, count int, delay time.Duration) {
	m.notices.WithLabelValues(sink, "delivered").Add(float64(count))
	m.noticesLate.WithLabelValues(sink).Observe(max(0, delay.Seconds()))
}

// Refused implements notify.Observer.
func (m *metrics) Refused(sink string) { m.notices.WithLabelValues(sink, "refused").Inc() }

// DeliveryFailed implements notify.Observer.
func (m *metrics) DeliveryFailed(sink string) { m.noticesTried.WithLabelValues(sink).Inc() }

// dropped counts notifications that were thrown away.
func (m *metrics) dropped(sink string, count int64) {
	m.notices.WithLabelValues(sink, "dropped").Add(float64(count))
}

// request is told of every answered request of the API.
func (m *metrics) request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// StepEnded implements conductor.Metrics.
func (m *metrics) StepEnded(kind, step, status string, d time.Duration) {
	m.steps.WithLabelValues(kind, step, status).Observe(d.Seconds())
}

// PowerSynced implements conductor.Metrics.
func (m *metrics) PowerSynced(failure ferric.Code, d time.Duration) {
	m.power.WithLabelValues(cmp.Or(string(failure), "ok")).Observe(d.Seconds())
}

// PowerPass implements conductor.Metrics.
func (m *metrics) PowerPass(_ int, d time.Duration) { m.passes.WithLabelValues().Observe(d.Seconds()) }

// watchPower adds what a conductor knows of its nodes' power states.
func (m *metrics) watchPower(now func() conductor.PowerSyncState) {
	m.all.GaugeFunc("power_sync_nodes", "Nodes of this conductor whose power states are looked at.", func() float64 { return float64(now().Nodes) })
	m.all.GaugeFunc("power_sync_silent_nodes", "Of these, the ones whose BMC did not answer when it was asked last.", func() float64 { return float64(now().Silent) })
	m.all.GaugeFunc("power_state_oldest_seconds", "Age of the oldest power state of the others.", func() float64 { return now().Oldest.Seconds() })
	m.all.GaugeFunc("power_sync_last_pass_seconds", "Duration of the last pass.", func() float64 { return now().Pass.Seconds() })
}

// watchBMCs adds what the IPMI driver knows of its sessions.
func (m *metrics) watchBMCs(now func() ipmi.Stats) {
	m.all.GaugeFunc("ipmi_sessions", "IPMI sessions that are open.", func() float64 { return float64(now().Sessions) })
	m.all.GaugeFunc("ipmi_waiting", "IPMI operations that wait for their BMC's turn.", func() float64 { return float64(now().Waiting) })
}

// Heartbeat implements conductor.Metrics.
func (m *metrics) Heartbeat() { m.heartbeats.WithLabelValues().Inc() }

// TookOver implements conductor.Metrics.
func (m *metrics) TookOver(kind string) { m.takeovers.WithLabelValues(kind).Inc() }

// LeasesRenewed implements conductor.Metrics.
func (m *metrics) LeasesRenewed(leases, lost int, late time.Duration, err error) {
	m.leases.WithLabelValues().Set(float64(leases))
	m.leasesLost.WithLabelValues().Add(float64(lost))
	if leases > 0 {
		m.lateness.WithLabelValues().Observe(max(0, late.Seconds()))
	}
	if err != nil {
		m.renewals.WithLabelValues().Inc()
	}
}

// Ring implements conductor.Metrics.
func (m *metrics) Ring(members, nodes int) {
	m.ringMembers.WithLabelValues().Set(float64(members))
	m.ringNodes.WithLabelValues().Set(float64(nodes))
}

// watchBus shows whether the bus is connected.
func (m *metrics) watchBus(connected func() bool) {
	m.all.GaugeFunc("bus_connected", "Whether the bus is connected.", func() float64 {
		if connected() {
			return 1
		}
		return 0
	})
}

// operationMetrics counts unfinished operations in the database when it is asked, but not more often than each operationsAge.
type operationMetrics struct {
	store *store.Store
	desc  *prometheus.Desc

	mu     sync.Mutex
	counts []store.OperationCount
	at     time.Time
}

const operationsAge = 5 * time.Second

func newOperationMetrics(s *store.Store) *operationMetrics {
	return &operationMetrics{store: s, desc: prometheus.NewDesc("ferric_operations", "Unfinished operations of all conductors.",
		[]string{"operation", "lane", "status"}, nil)}
}

// Describe implements prometheus.Collector.
func (o *operationMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect implements prometheus.Collector.
func (o *operationMetrics) Collect(ch chan<- prometheus.Metric) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.at) > operationsAge {
		ctx, cancel := context.WithTimeout(context.Background(), operationsAge)
		counts, err := o.store.OperationCounts(ctx)
		cancel()
		if err != nil {
			ch <- prometheus.NewInvalidMetric(o.desc, err)
			return
		}
		o.counts, o.at = counts, time.Now()
	}
	for _, c := range o.counts {
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, float64(c.Count), c.Kind, string(c.Lane), string(c.Status))
	}
}
