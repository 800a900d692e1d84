// Package notify tells other programs what happens, with Ironic's versioned notifications: which occurrences make one (Composer), what is in it
// (Kinds), and how it gets to a message broker or a web server.
//
// A notification is made when a change is written, and is written with it, in the same transaction: into the outbox, which package store keeps.
// A Courier for each sink takes it from there. It takes the notices in the order of their commits, and notes how far the sink has come after the sink has
// confirmed them. So each is delivered at least once, whatever dies in between, and those about one node come in the order in which they
// happened; after a failure some come again, with the same message_id. While a sink takes nothing the outbox grows up to a limit, and nobody waits.
//
// What a message looks like on the wire is oslo.messaging's format, version 2.0.
//
// # Concurrency
//
// A Composer may be used by many goroutines. A Courier and its sink belong to the goroutine that runs it. Of several conductors one delivers to a sink at
// a time: it holds the sink in the database, and another one takes over when it is not heard of any more.
package notify
