// Package drivertest is the conformance suite of the driver contract: what package driver says in comments, as tests that
// every implementation passes. An implementation's own test gives it a machine and calls the suite:
//
//	drivertest.Power(t, func(t *testing.T) drivertest.Subject { … })
//
// # Concurrency
//
// The suite calls an implementation from several goroutines at once, for the same machine, as conductors do.
package drivertest
