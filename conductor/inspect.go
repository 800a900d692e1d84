package conductor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/inspection"
	"ferric/rpc"
	"ferric/state"
)

// planInspect makes the plan that finds out what the machine is made of.
func (c *Conductor) planInspect(ctx context.Context, t *driver.Task) (*flow.Operation, flow.Mutate, error) {
	inspect := t.Set.Inspect()
	kinds := []ferric.InterfaceKind{ferric.KindPower, ferric.KindInspect}
	if inspect.InBand(t.Machine) {
		kinds = append(kinds, ferric.KindNetwork, ferric.KindBoot)
	}
	for _, kind := range kinds {
		if err := fits(ctx, t, kind, driver.ForInspection); err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to validate %s interface for node %s. Error: %w", kind, t.Node.UUID, err)
		}
	}
	if _, err := c.fastTrack(t.Node); err != nil {
		return nil, nil, err
	}
	op := &flow.Operation{Kind: "inspect", Lane: flow.Provision}
	if inspect.InBand(t.Machine) {
		op.Steps = []flow.Step{hidden("boot_ramdisk", flow.Safe), hidden("await_inventory", flow.Safe), hidden("process_inventory", flow.Safe)}
		op.Steps = append(op.Steps, c.logsAlways()...)
		op.Steps = append(op.Steps, hidden("end_inspection", flow.Safe), cleanUp("collect_logs"), cleanUp("end_inspection"))
	} else {
		op.Steps = []flow.Step{hidden("inspect_out_of_band", flow.Safe)}
	}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		n.InspectionStartedAt, n.InspectionFinishedAt = time.Now().UTC(), time.Time{}
		return c.machine.Apply(n, state.Inspect, "")
	}, nil
}

func (c *Conductor) inspectProgram() *program {
	callback := func(*driver.Task) map[string]string {
		return InspectionParams(c.Inspection, c.RamdiskAPIURL)
	}
	return &program{kind: "inspect", done: state.Done,
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.InspectionStartedAt, n.InspectionFinishedAt = time.Time{}, time.Now().UTC()
			return nil
		},
		own: map[string]stepCode{
			"boot_ramdisk":        c.bootInspector(c.bootRamdisk(driver.ForInspection, c.InspectCallbackTimeout, callback)),
			"await_inventory":     c.awaitInventory,
			"inspect_out_of_band": c.inspectOutOfBand,
			"process_inventory":   c.processInventory,
			"end_inspection":      c.endInspection,
			"collect_logs":        c.collectLogs,
			"keep_logs":           c.collectLogs,
		}}
}

// InspectionParams are the kernel parameters of a ramdisk that is to inspect its machine: where the data go, and what the agent must collect for
// the hooks.
func InspectionParams(c Inspection, apiURL string) map[string]string {
	params := map[string]string{"ipa-inspection-callback-url": strings.TrimRight(apiURL, "/") + "/v1/continue_inspection"}
	collectors := []string{"default", "logs"}
	for _, name := range append(inspection.Collectors(c.Hooks), c.Collectors...) {
		if !slices.Contains(collectors, name) {
			collectors = append(collectors, name)
		}
	}
	if len(collectors) > 2 {
		params["ipa-inspection-collectors"] = strings.Join(collectors, ",")
	}
	maps.Copy(params, c.Params)
	return params
}

// continueInspection keeps what the agent found and wakes the inspection. The data are refused unless the node is being inspected.
func (c *Conductor) continueInspection(ctx context.Context, a rpc.InspectionArgs) error {
	n, err := c.Store.Node(ctx, a.UUID)
	if err != nil {
		return err
	}
	op, err := c.Store.Unfinished(ctx, n.UUID, flow.Provision)
	if err != nil || op.Kind != "inspect" {
		return ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", a.UUID)
	}
	have, err := c.received(ctx, op)
	if err != nil {
		return err
	}
	if !have { // otherwise the agent did not get the answer the first time
		if err := c.Store.SetInspection(ctx, &ferric.Inspection{NodeUUID: n.UUID, Inventory: a.Inventory, PluginData: a.PluginData}); err != nil {
			return err
		}
	}
	if err := c.Store.Signal(ctx, n.UUID, flow.EventInspection); err != nil {
		return err
	}
	if err := c.Store.Signal(ctx, n.UUID, flow.EventHeartbeat); err != nil { // the boot step may still be waiting
		return err
	}
	c.runner.Poke()
	return nil
}

// bootInspector boots the ramdisk; a machine whose inventory is there has been booted, though its agent never called.
func (c *Conductor) bootInspector(boot stepCode) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		if ok, err := c.inspected(ctx, t); ok || err != nil {
			return flow.Done("the inventory is there"), err
		}
		return boot(ctx, t)
	}
}

// inspected reports whether the inventory has come since the inspection began.
func (c *Conductor) inspected(ctx context.Context, t *driver.Task) (bool, error) {
	return c.received(ctx, t.Flow.Op)
}

func (c *Conductor) received(ctx context.Context, op *flow.Operation) (bool, error) {
	data, err := c.Store.Inspection(ctx, op.NodeUUID)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return false, nil
	}
	return err == nil && data.ReceivedAt.After(op.CreatedAt), err
}

func (c *Conductor) awaitInventory(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if ok, err := c.inspected(ctx, t); ok || err != nil {
		return flow.Done(nil), err
	}
	return t.Flow.Wait(flow.EventInspection, "the agent's inventory", 15*time.Second, c.InspectCallbackTimeout)
}

func (c *Conductor) inspectOutOfBand(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	c.readHardware(ctx, t)
	inv, err := t.Set.Inspect().Run(ctx, t)
	if err != nil {
		return flow.Outcome{}, err
	}
	if inv == nil {
		return flow.Done("nothing was found"), nil
	}
	data := &ferric.Inspection{NodeUUID: t.Node.UUID, Inventory: inv.Inventory, PluginData: inv.PluginData}
	return flow.Done(nil).Then(hidden("process_inventory", flow.Safe)), c.Store.SetInspection(ctx, data)
}

// endInspection takes the machine out of the ramdisk, powered off unless it is to stay on.
func (c *Conductor) endInspection(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if out, ok, err := c.awaitCall(ctx, t); !ok || err != nil {
		return out, err
	}
	if stayed, err := c.stay(ctx, t, driver.ForInspection); stayed || err != nil {
		return flow.Done(stayedIn), err
	}
	if c.Inspection.PowerOff {
		if err := c.powerOff(ctx, t); err != nil {
			return flow.Outcome{}, err
		}
	}
	if err := c.leaveRamdisk(ctx, t, driver.ForInspection); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), c.rebootOut(ctx, t)
}
