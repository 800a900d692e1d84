// Package conductor does the work of Ferric: it answers the API's calls, makes plans out of them, runs their steps with the
// drivers, listens to the agents, and keeps watch over power states. One file per use case.
//
// Everything that takes longer than a call is an operation in the ledger (package flow), so a conductor may die at any
// line: it, or another one, carries on.
//
// # Concurrency
//
// A Conductor is safe for concurrent use. Run owns all of its goroutines and returns when they have ended.
package conductor
