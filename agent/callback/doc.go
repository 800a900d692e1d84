// Package callback is the agent's side of the bare metal API: lookup, heartbeats, and inspection data.
//
// # Concurrency
//
// A Client may be used from many goroutines. A Heartbeat's Run belongs to the goroutine that calls it; Force may
// be called from any.
package callback
