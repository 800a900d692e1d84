package conductor

import (
	"context"
	"encoding/json"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// discover makes a node of a machine that nobody knows, and processes what the machine sent. Calls of the same machine make one node: a second
// one goes on with what the first began, as long as that is not done.
func (c *Conductor) discover(ctx context.Context, a rpc.DiscoverArgs) (*rpc.LookupReply, error) {
	n := a.Node
	if n == nil || n.UUID == "" || len(a.Addresses) == 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: node or addresses are missing")
	}
	plugin := map[string]json.RawMessage{}
	if len(a.PluginData) > 0 {
		if err := json.Unmarshal(a.PluginData, &plugin); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "plugin data: %w", err)
		}
	}
	if plugin == nil {
		plugin = map[string]json.RawMessage{}
	}
	plugin["auto_discovered"] = json.RawMessage("true")
	raw, err := json.Marshal(plugin)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "plugin data: %w", err)
	}
	n.ProvisionState = ferric.Enroll
	if err := c.Drivers.Complete(n); err != nil {
		return nil, err
	}
	id, made, err := c.Store.Discover(ctx, n, a.Addresses, &ferric.Inspection{Inventory: a.Inventory, PluginData: raw})
	if err != nil {
		return nil, err
	}
	if made {
		c.nodeLog(n).Info("enrolled a machine that was discovered", "driver", n.Driver, "addresses", a.Addresses)
	}
	if err := c.beginDiscovery(ctx, id, a.Caller); err != nil {
		return nil, err
	}
	return c.agentToken(ctx, id)
}

// beginDiscovery starts the processing, unless it was started before. CodeNotFound if no data wait to be processed.
func (c *Conductor) beginDiscovery(ctx context.Context, id string, who rpc.Caller) error {
	n, err := c.Store.Node(ctx, id)
	if err != nil {
		return err
	}
	if n.ProvisionState != ferric.Enroll {
		return ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", id)
	}
	if op, err := c.Store.Unfinished(ctx, id, flow.Provision); err == nil && op.Kind == "discover" {
		return nil
	}
	if _, err := c.Store.Inspection(ctx, id); err != nil {
		return err
	}
	_, err = c.runner.Begin(ctx, id, func(ctx context.Context) (*flow.Operation, flow.Mutate, error) {
		if _, err := c.Store.Inspection(ctx, id); err != nil { // processed meanwhile
			return nil, nil, err
		}
		if _, err := c.Store.AgentSession(ctx, id); ferric.IsCode(err, ferric.CodeNotFound) {
			if err := c.Store.BeginAgentSession(ctx, id); err != nil {
				return nil, nil, err
			}
		}
		op := c.operation(ctx, "discover", flow.Provision, who, nil)
		op.Steps = []flow.Step{hidden("process_inventory", flow.Safe), cleanUp("forget_inspection")}
		return op, func(n *ferric.Node) error {
			n.LastError = ""
			n.InspectionStartedAt, n.InspectionFinishedAt = time.Now().UTC(), time.Time{}
			return nil
		}, nil
	})
	if err != nil {
		if op, e := c.Store.Unfinished(ctx, id, flow.Provision); e == nil && op.Kind == "discover" {
			return nil // the other call was faster
		}
	}
	return err
}

func (c *Conductor) discoverProgram() *program {
	return &program{kind: "discover",
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.InspectionStartedAt, n.InspectionFinishedAt = time.Time{}, time.Now().UTC()
			return nil
		},
		own: map[string]stepCode{
			"process_inventory": c.processInventory,
			"forget_inspection": c.forgetInspection,
		}}
}

// forgetInspection drops data that could not be processed, so that the machine does not get in with them again.
func (c *Conductor) forgetInspection(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	return flow.Done(nil), c.Store.DeleteInspection(ctx, t.Node.UUID)
}
