// Package obs is how Ferric is observed: structured logs (slog, JSON or text) that never show a secret and carry
// the request id and the node of their context by themselves, Prometheus metrics in a registry of their own, and
// the named health checks behind /healthcheck.
//
// # Secrets
//
// One rule decides what is a secret, SecretKey, and everything that shows values to people uses it: the log
// handler, Mask (the API's driver_info, the command line) and package config. Values are replaced by "******".
//
// # Concurrency
//
// Everything here is safe for use by many goroutines at once. There are no package-level variables that change:
// two servers in one process have two loggers, two Metrics and two Healths. Health runs its checks in goroutines
// that end with the check; a check must honour its context.
package obs
