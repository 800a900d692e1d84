package main

import (
	"net/http"
	"strconv"
	"time"

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
	heartbeats *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{all: obs.NewMetrics()}
	m.requests = m.all.Histogram("api_request_seconds", "Time to answer an API request.", nil, "method", "route", "status")
	m.steps = m.all.Histogram("step_seconds", "Duration of the steps of operations.", obs.OperationBuckets(), "operation", "step", "status")
	m.power = m.all.Histogram("power_sync_seconds", "Time to ask a BMC for the power state.", nil, "ok")
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
func (m *metrics) PowerSynced(ok bool, d time.Duration) {
	m.power.WithLabelValues(strconv.FormatBool(ok)).Observe(d.Seconds())
}

// Heartbeat implements conductor.Metrics.
func (m *metrics) Heartbeat() { m.heartbeats.WithLabelValues().Inc() }
