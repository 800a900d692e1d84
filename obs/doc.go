// Package obs is how Ferric is observed: structured logs (slog, JSON or text) that show no secrets and carry the
// request id and the node of their context by themselves, Prometheus metrics in a registry of their own, and the
// named health checks behind /healthcheck.
//
// # Secrets
//
// SecretKey decides by a value's name whether it is a secret. The log handler and Mask (for what the API and the
// command line show) both follow it and put "******" in the value's place, at every depth.
//
// # Concurrency
//
// Everything here is safe for use by many goroutines at once. There is no package-level state: two servers in one
// process have two loggers, two Metrics and two Healths. Health runs each check in a goroutine of its own, at most
// one per check at a time; Close waits for them.
package obs
