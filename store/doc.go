// Package store keeps Ferric's truth in SQL: nodes, ports, the ledger of operations, history and what belongs to them. It
// implements flow.Ledger. SQLite (embedded) and PostgreSQL are served by one text of SQL and one set of tests.
//
// # Engines
//
// SQLite is for one process: a lock on <database>.lock keeps a second one out. One connection writes, a few read, in
// WAL mode. Commits are synced (synchronous=FULL), so that neither the death of the process nor a power cut of the host
// loses what was acknowledged: a lost lease epoch would otherwise be given out twice. On PostgreSQL many processes share
// the database; rows are locked in the order node, operation, counter, and a transaction that the server breaks off
// (deadlock, serialization) is run again.
//
// # Leases
//
// On PostgreSQL a node's lease has run out when its end lies before now, by the clock of this process (Config.Now). On SQLite, which one process has to
// itself, that process remembers its leases and goes by a clock that nobody sets; leases that a dead process left are free. Taking a lease raises the
// epoch. Writes under a lease are refused with CodeStale once somebody else took it over or it was given back; a
// lease that ran out and that nobody took is still good for writing and for renewal. Taking, renewing and giving back a
// lease is no write of the node's record: it changes neither version nor updated_at and makes no Change.
//
// # Records
//
// Every write that changes something raises a record's version, sets updated_at and adds a ferric.Change in the same
// transaction; one that changes nothing is not a write. provision_updated_at follows provision_state. Changes are
// numbered without gaps in the order of their commits, also between processes, so a reader that has seen change n has
// seen all before it, and one that finds a gap knows that PruneChanges was faster.
//
// Times are kept to the microsecond. NUL and invalid UTF-8 in free text (a BMC's or an agent's answer) are replaced by
// U+FFFD, because PostgreSQL refuses them. Numbers in JSON documents come back as float64.
//
// # Encryption at rest
//
// Driver info, instance info (whole JSON documents), agent tokens, config drives, volumes' properties and what machines boot over the network are sealed with AES-256-GCM, each
// bound to its table, column and row, so that values cannot be moved about. Nothing else is secret: operations, history
// and driver_internal_info are plain. A sealed value is
//
//	0x01 | key id (4 bytes) | nonce (12 bytes) | ciphertext and tag
//
// The key file (mode 0600 or less) has one key per line, "<id: 8 hex digits> <32 bytes in base64>"; lines that begin with
// # are comments. The first key seals new values, all of them open old ones. It is made at the first start; it is not
// made anew when the database already needs one, and Open refuses a file that lacks a key that is in use, or whose key
// is not the one that was used. Keep a copy of it, and not beside the database's backups. On PostgreSQL all processes
// need the same file.
//
// To rotate: AddKey (it puts a new key first), copy the file to all hosts, start all processes again, call Rotate, and
// then remove the old lines. Values that a process wrote with the old key in between are sealed again by the next
// Rotate. A running process reads the file again when it meets a key that it does not know.
//
// # Concurrency
//
// A Store is safe for concurrent use. Functions passed in (flow.Mutate and the like) run inside a transaction: they must
// be quick, must not call the Store (SQLite has one writer: that would block until the deadline), and may be called
// again if the transaction is. Every call ends after Config.Timeout at the latest. Functions given to OnChange run on
// the writer's goroutine after its commit and must not block. The Store starts no goroutines of its own.
package store
