package conductor

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
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
		if err := t.Set.Get(kind).Validate(ctx, t.Machine); err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to validate %s interface for node %s. Error: %w", kind, t.Node.UUID, err)
		}
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
		return map[string]string{"ipa-inspection-callback-url": strings.TrimRight(c.RamdiskAPIURL, "/") + "/v1/continue_inspection"}
	}
	return &program{kind: "inspect", done: state.Done,
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.InspectionFinishedAt = time.Now().UTC()
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
	inv := &ferric.Inventory{NodeUUID: n.UUID, Inventory: a.Inventory, PluginData: a.PluginData, UpdatedAt: time.Now().UTC()}
	if err := c.Store.SetInventory(ctx, inv); err != nil {
		return err
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
	inv, err := c.Store.Inventory(ctx, t.Node.UUID)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return false, nil
	}
	return err == nil && inv.UpdatedAt.After(t.Flow.Op.CreatedAt), err
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
	inv.NodeUUID, inv.UpdatedAt = t.Node.UUID, time.Now().UTC()
	return flow.Done(nil).Then(hidden("process_inventory", flow.Safe)), c.Store.SetInventory(ctx, inv)
}

// processInventory runs the hooks over what was found. Each may be run again: it sets what it finds and creates what is missing.
func (c *Conductor) processInventory(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	stored, err := c.Store.Inventory(ctx, t.Node.UUID)
	if err != nil {
		return flow.Outcome{}, err
	}
	if t.Set.Inspect().InBand(t.Machine) {
		c.readHardware(ctx, t)
	}
	f := &Findings{Task: t, Store: c.Store, AddPorts: c.AddPorts, KeepPorts: c.KeepPorts, UpdatePXE: c.UpdatePXEEnabled, PluginData: map[string]any{}}
	if err := json.Unmarshal(stored.Inventory, &f.Inventory); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "the inventory cannot be read: %w", err)
	}
	if len(stored.PluginData) > 0 {
		if err := json.Unmarshal(stored.PluginData, &f.PluginData); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "the plugin data cannot be read: %w", err)
		}
	}
	if f.PluginData == nil { // null
		f.PluginData = map[string]any{}
	}
	for _, h := range c.hooks {
		if err := h.Run(ctx, f); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "inspection hook %s: %w", h.Name, err)
		}
	}
	if stored.PluginData, err = json.Marshal(f.PluginData); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInternal, "keep the plugin data: %w", err)
	}
	if err := c.Store.SetInventory(ctx, stored); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(f.Summary()), t.Mutate(ctx, func(n *ferric.Node) error {
		if n.Properties == nil {
			n.Properties = map[string]any{}
		}
		for k, v := range f.Properties {
			n.Properties[k] = v
		}
		if f.BootMode != "" {
			n.BootMode = f.BootMode
		}
		return nil
	})
}

// endInspection takes the machine out of the ramdisk, powered off unless it is to stay on.
func (c *Conductor) endInspection(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if c.InspectPowerOff {
		if err := c.powerOff(ctx, t); err != nil {
			return flow.Outcome{}, err
		}
	}
	if err := c.leaveRamdisk(ctx, t, driver.ForInspection); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), c.rebootOut(ctx, t)
}

// Findings is what an inspection hook works on.
type Findings struct {
	Task                *driver.Task
	Store               Store
	Inventory           agentapi.Inventory
	PluginData          map[string]any
	Properties          map[string]any // set on the node when all hooks are done
	BootMode            string
	AddPorts, KeepPorts string
	UpdatePXE           bool // ports' pxe_enabled follows what booted
	portsAdded          int
}

// Summary says what was found, for the operation's timeline.
func (f *Findings) Summary() map[string]any {
	return map[string]any{"properties": f.Properties, "ports_added": f.portsAdded, "disks": len(f.Inventory.Disks),
		"interfaces": len(f.Inventory.Interfaces)}
}

// Property sets a property of the node.
func (f *Findings) Property(name string, v any) {
	if f.Properties == nil {
		f.Properties = map[string]any{}
	}
	f.Properties[name] = v
}
