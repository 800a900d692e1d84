// Package flow is the ledger of operations: durable plans whose steps survive the death of any process.
//
// An Operation (a deploy, a clean, an inspection, a power change …) is a row; its Steps are rows. A Runner
// claims operations that are due, takes the node's Lease, runs the code of the step under the cursor, and
// writes what came of it before it goes on. Waiting is a row, not a goroutine: an operation that waits has no
// lease and no worker, and any conductor may carry it on when its event arrives or its time comes.
//
// # Fencing
//
// Taking a lease raises the node's epoch. Every write of the runner carries the epoch and changes nothing when it
// is stale (ferric.CodeStale), so a conductor that was paused and came back late cannot do harm; the agent
// refuses older epochs too.
//
// # Repeating
//
// A step may be run again after a crash. It is checkpointed before (intent: running, attempt counted) and after
// (outcome). Its Repeat says how a second run is made safe.
//
// # Concurrency
//
// A Runner is safe for concurrent use. Operations and Steps are plain values owned by whoever loaded them; while
// a worker runs an operation, that worker owns it.
package flow
