package flow

import (
	"context"
	"time"

	"ferric"
)

// Lease is the right to work on a node, until it runs out or a higher epoch takes it over.
type Lease struct {
	NodeUUID string
	Owner    string // conductor host name, shown as the node's reservation
	Epoch    int64
	Until    time.Time
}

// WaitsForService begins what an operation waits for while another service of the cloud gives no answer.
const WaitsForService = "the service "

// Event names that operations wait for.
const (
	EventHeartbeat  = "heartbeat"  // the agent called back
	EventInspection = "inspection" // the agent sent its inventory
	EventUnhold     = "unhold"     // the operator lets a held operation go on
	EventChild      = "child"      // a step on a child node has ended

	// What a network service tells of the ports of a node, with the names of Ironic's events.
	EventBindPort   = "network.bind_port"
	EventUnbindPort = "network.unbind_port"
	EventDeletePort = "network.delete_port"
)

// Due is an operation that wants a worker.
type Due struct {
	OperationID    string
	NodeUUID       string
	ConductorGroup string
	Driver         string // the node's hardware type
	Lane           Lane
	Needs          int // see Operation.Needs
	WakeAt         time.Time
}

// Mutate changes a node inside the transaction that writes the ledger. It may be called again if the transaction is
// retried, so it must have no other effect. nil changes nothing. An error rolls everything back.
type Mutate func(*ferric.Node) error

// Ledger keeps operations and leases. Package store implements it on SQLite and PostgreSQL. All methods are safe
// for concurrent use, and every error carries a code: CodeNotFound, CodeLocked (somebody else's lease is live), CodeStale
// (our lease was taken over), CodeConflict (the lane is taken), CodeUnavailable (the database is).
type Ledger interface {
	// Acquire takes the lease if it is free or has run out, and raises the epoch.
	Acquire(ctx context.Context, nodeUUID, owner string, ttl time.Duration) (Lease, error)
	// Renew prolongs leases and returns those that are still ours; a missing one was lost.
	Renew(ctx context.Context, leases []Lease, ttl time.Duration) (kept []Lease, err error)
	// Release gives the lease back. Releasing a lost lease is no error.
	Release(ctx context.Context, l Lease) error
	// ReleaseOwner frees every lease of an owner: a conductor calls it at start, for what its dead self held.
	ReleaseOwner(ctx context.Context, owner string) (freed int, err error)

	// Start writes a new operation with its steps and changes the node, in one transaction.
	Start(ctx context.Context, l Lease, op *Operation, mutate Mutate) (*ferric.Node, error)
	// Checkpoint writes the operation's row, all of its steps that differ from what is stored (new ones included), the
	// history entries, and changes the node, in one transaction. When op waits and more signals have arrived than
	// op.Signals says, or an abort is wanted and op does not say AbortLater, it is stored as due at once. It never writes the abort reason; on success op.Signals and op.Abort are
	// what is stored. A checkpoint with the Mark of the one before it has been written already: nothing is done, and that is success.
	Checkpoint(ctx context.Context, l Lease, op *Operation, history []ferric.HistoryEntry, mutate Mutate) (*ferric.Node, error)
	// UpdateNode changes a node under a lease, outside of any operation.
	UpdateNode(ctx context.Context, l Lease, mutate Mutate) (*ferric.Node, error)

	// Operation loads one operation with its steps.
	Operation(ctx context.Context, id string) (*Operation, error)
	// Unfinished loads the unfinished operation of a node's lane; CodeNotFound if there is none.
	Unfinished(ctx context.Context, nodeUUID string, lane Lane) (*Operation, error)
	// Due lists unfinished operations whose time has come and whose node has no live lease, longest due first. The time of
	// a Running, Waiting or Failing operation is WakeAt (zero: at once); that of a Held one comes with its event or an abort.
	Due(ctx context.Context, now time.Time, limit int) ([]Due, error)
	// Rewake makes operations due at once that were written down more than ahead in the future, and returns how many there were: the clock was put
	// back since, and their times are wrong.
	Rewake(ctx context.Context, now time.Time, ahead time.Duration) (int, error)
	// NextWake returns the earliest WakeAt in the future of an unfinished operation, zero if there is none.
	NextWake(ctx context.Context, now time.Time) (time.Time, error)

	// Signal counts an event for the node's unfinished operations and makes those that wait for it due at once. It
	// needs no lease, and none is lost: one that comes while the step is running is seen when it begins to wait.
	Signal(ctx context.Context, nodeUUID, event string) error
	// RequestAbort notes the reason on the operation and makes it due at once. CodeNotFound if it has ended.
	RequestAbort(ctx context.Context, operationID, reason string) error
}
