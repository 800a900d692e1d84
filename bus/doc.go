// Package bus carries calls, events and signs of life between Ferric's processes, over NATS.
//
// With no URL the bus is a NATS server inside the process, reached over an in-memory connection: no TCP port, no
// disk, up in milliseconds. With a URL it is a client of an external cluster. Users of the package cannot tell
// the difference. The database is the truth: losing the bus loses calls in flight and events, never state.
//
// # Calls
//
// Call sends a JSON request and waits for the one answer of a handler registered with Serve on the same subject
// (several handlers in a queue group share the work). A *ferric.Error that a handler returns arrives at the caller
// as a *ferric.Error with the same code and message. The time left until the caller's deadline and the request id
// travel with the call, so the handler's context ends when the caller's does (clocks need not agree; time spent
// on the wire is not counted). Cancelling the caller's context does not reach the handler, its deadline does.
// Nobody on the subject is ferric.CodeUnavailable at once, a handler with no free slot is ferric.CodeBusy at once.
// An answer lost with the connection is ferric.CodeUnavailable as soon as the loss is seen: the request may or may
// not have been carried out, so calls that are repeated must be idempotent. Nothing is sent twice by the bus.
//
// # Events
//
// Publish is at most once, without acknowledgement. A Subscription gets the events of one publisher in the order
// in which they were published, one at a time. Events wait in a queue of QueueSize per subscription; when it is
// full the newest events are dropped and counted, so a slow reader costs nobody else anything. After a drop, and
// after every reconnect, the subscription's OnGap function runs, in order with the events: read the truth again.
//
// # Presence
//
// Announce sends beats for a conductor and a goodbye at the end, Watch turns them into alive and lost. A lost beat
// says that a conductor is unlikely to answer, not that it has stopped working: who may write is decided by the
// leases in the database.
//
// # Concurrency
//
// A Bus, and everything it returns, is safe for use by many goroutines. Each Service, Subscription, Announcement
// and Watch owns one goroutine, a Service one more per running request up to its limit. Functions given to
// Subscribe and Watch are called by that one goroutine, one call at a time; they may call the bus, but not the
// Stop method of their own subscription. Close stops everything, cancels the context of every handler and returns
// when all goroutines have ended. A panic in a function of the user is logged with its stack and ends only that
// call.
package bus
