package conductor

import (
	"context"

	"ferric/rpc"
)

// externalEvent wakes the node's operation if it waits for the event. The node's operation looks for itself what the event is about, so one that comes
// twice, or for nobody, does no harm.
func (c *Conductor) externalEvent(ctx context.Context, a rpc.EventArgs) error {
	if _, err := c.Store.Node(ctx, a.UUID); err != nil {
		return err
	}
	if err := c.Store.Signal(ctx, a.UUID, a.Event); err != nil {
		return err
	}
	c.runner.Poke()
	return nil
}
