package driver

import "context"

// States keeps what an implementation must remember of a machine over a restart, encrypted, outside of the node. It is not fenced by the
// node's lease: it is for what belongs to the machine and not to an operation.
type States interface {
	// DriverState returns what is kept under a name, nil if nothing is.
	DriverState(ctx context.Context, nodeUUID, name string) ([]byte, error)
	// SetDriverState replaces it; empty removes it. CodeNotFound if there is no such node.
	SetDriverState(ctx context.Context, nodeUUID, name string, state []byte) error
}
