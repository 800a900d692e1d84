package main

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/driver/ipmi"
	"ferric/obs"

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
}

func newMetrics() *metrics {
	m := &metrics{all: obs.NewMetrics()}
	m.requests = m.all.Histogram("api_request_seconds", "Time to answer an API request.", nil, "method", "route", "status")
	m.steps = m.all.Histogram("step_seconds", "Duration of the steps of operations.", obs.OperationBuckets(), "operation", "step", "status")
	m.power = m.all.Histogram("power_sync_seconds", "Time to ask a machine for its power state, by what came of it: ok, or the cause of the failure.", nil, "result")
	m.passes = m.all.Histogram("power_sync_pass_seconds", "Time in which all machines that answer were asked for their power states.", nil)
	m.heartbeats = m.all.Counter("agent_heartbeats_total", "Heartbeats of agents.")
	m.Handler = m.all.Handler()
	return m
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
