package conductor

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"slices"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
	"ferric/inspection"
	"ferric/inspection/rules"
)

// processed is the checkpoint of processInventory. Findings is written in one transaction with the changes of the node, so that hooks and rules
// take effect once, however often the step is begun; it is dropped when everything else has been written, too.
type processed struct {
	Findings *findings `json:"findings,omitempty"`
	Done     bool      `json:"done,omitempty"`
}

// findings is what hooks and rules made of the data, besides the changes of the node.
type findings struct {
	PluginData json.RawMessage `json:"plugin_data"`
	Ports      []*ferric.Port  `json:"ports,omitempty"`   // to be made or changed
	Removed    []string        `json:"removed,omitempty"` // UUIDs of ports
	Rules      []string        `json:"rules,omitempty"`   // UUIDs of the rules that were applied
}

// processInventory runs the hooks and the rules over what was found.
func (c *Conductor) processInventory(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	var at processed
	if err := t.Flow.Load(&at); err != nil {
		return flow.Outcome{}, err
	}
	if at.Done { // but for what it was made from, perhaps: left behind, it would be taken for the machine's next call
		return flow.Done(nil), c.Store.DeleteInspection(ctx, t.Node.UUID)
	}
	data, err := c.Store.Inspection(ctx, t.Node.UUID)
	if err != nil {
		return flow.Outcome{}, err
	}
	if at.Findings == nil {
		if t.Flow.Op.Kind == "inspect" && t.Set.Inspect().InBand(t.Machine) {
			c.readHardware(ctx, t)
		}
		found, node, err := c.process(ctx, t, data)
		if err != nil {
			return flow.Outcome{}, err
		}
		at.Findings = found
		before := t.Node.Clone()
		if err := t.Flow.SaveAnd(ctx, at, func(n *ferric.Node) error { transfer(before, node, n); return nil }); err != nil {
			return flow.Outcome{}, err
		}
		t.Machine.Node = t.Flow.Node
	}
	found := at.Findings
	if err := c.writePorts(ctx, t, found); err != nil {
		return flow.Outcome{}, err
	}
	if c.Inspection.Keep {
		inv := &ferric.Inventory{NodeUUID: t.Node.UUID, Inventory: data.Inventory, PluginData: found.PluginData}
		if err := c.Store.SetInventory(ctx, inv); err != nil {
			return flow.Outcome{}, err
		}
	}
	if err := t.Flow.Save(ctx, processed{Done: true}); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(map[string]any{"ports_written": len(found.Ports), "ports_removed": len(found.Removed), "rules_applied": found.Rules}),
		c.Store.DeleteInspection(ctx, t.Node.UUID)
}

// process works on copies: it returns the node as it is to be, and changes nothing but by rules' API calls.
func (c *Conductor) process(ctx context.Context, t *driver.Task, data *ferric.Inspection) (*findings, *ferric.Node, error) {
	f := &inspection.Facts{Node: t.Node.Clone(), Log: t.Log}
	if err := f.Read(data.Inventory, data.PluginData); err != nil {
		return nil, nil, err
	}
	logs, _ := f.PluginData["logs"].(string)
	delete(f.PluginData, "logs")
	for _, p := range t.Ports {
		f.Ports = append(f.Ports, p.Clone())
	}
	var err error
	if f.Previous, err = c.previousDisks(ctx, t.Node.UUID); err != nil {
		return nil, nil, err
	}
	var applied []string
	if err = c.inspect.Run(ctx, f); err == nil {
		applied, err = c.applyRules(ctx, t, f)
	}
	if err == nil {
		err = c.completeInterfaces(t.Node, f.Node)
	}
	if path := c.sentLogs(t, logs, err != nil); path != "" && err != nil {
		err = ferric.Errorf(ferric.ErrorCode(err), "%w%s%s", err, logsAreIn, path)
	}
	if err != nil {
		return nil, nil, err
	}
	out := &findings{Rules: applied}
	if out.PluginData, err = json.Marshal(f.PluginData); err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInternal, "keep the plugin data: %w", err)
	}
	for _, p := range t.Ports {
		i := slices.IndexFunc(f.Ports, func(q *ferric.Port) bool { return q.UUID == p.UUID })
		switch {
		case i < 0:
			out.Removed = append(out.Removed, p.UUID)
		case !reflect.DeepEqual(p, f.Ports[i]):
			out.Ports = append(out.Ports, f.Ports[i])
		}
	}
	for _, p := range f.Ports {
		if p.Version == 0 {
			out.Ports = append(out.Ports, p)
		}
	}
	return out, f.Node, nil
}

// previousDisks are the serial numbers of the disks that the inspection before found, nil if there was none.
func (c *Conductor) previousDisks(ctx context.Context, node string) ([]string, error) {
	inv, err := c.Store.Inventory(ctx, node)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var old agentapi.Inventory
	if err := json.Unmarshal(inv.Inventory, &old); err != nil {
		return nil, nil // another version wrote it: it tells nothing
	}
	return inspection.Serials(old), nil
}

// builtInRules reads the file of built-in rules.
func (c *Conductor) builtInRules() ([]ferric.InspectionRule, error) {
	if c.Inspection.RulesFile == "" {
		return nil, nil
	}
	file, err := os.ReadFile(c.Inspection.RulesFile)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "built-in inspection rules: %w", err)
	}
	return rules.BuiltIn(file)
}

// applyRules runs the inspection rules and returns which ones were applied.
func (c *Conductor) applyRules(ctx context.Context, t *driver.Task, f *inspection.Facts) ([]string, error) {
	stored, err := c.Store.InspectionRules(ctx, ferric.InspectionRuleFilter{Phase: ferric.PhaseMain})
	if err != nil {
		return nil, err
	}
	var all []ferric.InspectionRule
	for _, r := range stored {
		all = append(all, *r)
	}
	builtIn, err := c.builtInRules()
	if err != nil {
		return nil, err
	}
	engine := &rules.Engine{Mask: c.Inspection.MaskRules, Log: t.Log, Call: callAPI}
	return engine.Apply(ctx, ferric.PhaseMain, append(all, builtIn...),
		&rules.Machine{Node: f.Node, Ports: f.Ports, Inventory: f.Raw, PluginData: f.PluginData})
}

// completeInterfaces checks driver and interfaces after rules have changed them. With a new driver, interfaces that the rules left alone and
// that it does not have become its defaults.
func (c *Conductor) completeInterfaces(before, n *ferric.Node) error {
	if n.Driver == before.Driver && reflect.DeepEqual(n.Interfaces, before.Interfaces) {
		return nil
	}
	err := c.Drivers.Complete(n)
	if err == nil || n.Driver == before.Driver {
		return err
	}
	for kind, name := range n.Interfaces {
		if before.Interfaces[kind] == name {
			delete(n.Interfaces, kind)
		}
	}
	return c.Drivers.Complete(n)
}

// sentLogs keeps the logs that came with the data, where that is wanted, and returns where they are.
func (c *Conductor) sentLogs(t *driver.Task, logs string, failed bool) string {
	if logs == "" || c.CollectLogs == "never" || c.CollectLogs != "always" && !failed {
		return ""
	}
	path, err := c.keepLogs(t, agentapi.Logs{SystemLogs: logs})
	if err != nil {
		t.Log.Warn("cannot keep the ramdisk's logs", "error", err)
		return ""
	}
	return path
}

// writePorts makes, changes and removes ports. It may be repeated.
func (c *Conductor) writePorts(ctx context.Context, t *driver.Task, found *findings) error {
	for _, id := range found.Removed {
		if err := c.Store.DeletePort(ctx, id); err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
			return err
		}
	}
	for _, p := range found.Ports {
		_, err := c.Store.UpdatePort(ctx, p.UUID, 0, func(have *ferric.Port) error {
			have.Name, have.Description, have.Extra, have.InternalInfo = p.Name, p.Description, p.Extra, p.InternalInfo
			have.LocalLinkConnection, have.PXEEnabled, have.PhysicalNetwork = p.LocalLinkConnection, p.PXEEnabled, p.PhysicalNetwork
			have.IsSmartNIC, have.Vendor, have.Category = p.IsSmartNIC, p.Vendor, p.Category
			return nil
		})
		if ferric.IsCode(err, ferric.CodeNotFound) && p.Version == 0 {
			made := p.Clone()
			err = c.Store.CreatePort(ctx, made)
			if ferric.IsCode(err, ferric.CodeConflict) {
				t.Log.Warn("a network interface belongs to another node already; its port is not created", "mac", p.Address, "error", err)
				continue
			}
		}
		if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) { // removed meanwhile
			return err
		}
	}
	return nil
}

// transfer gives a node what processing changed of a copy.
func transfer(before, after, n *ferric.Node) {
	move(&before.Name, &after.Name, &n.Name)
	move(&before.InstanceID, &after.InstanceID, &n.InstanceID)
	move(&before.Driver, &after.Driver, &n.Driver)
	move(&before.DriverInfo, &after.DriverInfo, &n.DriverInfo)
	move(&before.Interfaces, &after.Interfaces, &n.Interfaces)
	move(&before.Properties, &after.Properties, &n.Properties)
	move(&before.InstanceInfo, &after.InstanceInfo, &n.InstanceInfo)
	move(&before.Extra, &after.Extra, &n.Extra)
	move(&before.InternalInfo, &after.InternalInfo, &n.InternalInfo)
	move(&before.ChassisUUID, &after.ChassisUUID, &n.ChassisUUID)
	move(&before.ResourceClass, &after.ResourceClass, &n.ResourceClass)
	move(&before.ConductorGroup, &after.ConductorGroup, &n.ConductorGroup)
	move(&before.Owner, &after.Owner, &n.Owner)
	move(&before.Lessee, &after.Lessee, &n.Lessee)
	move(&before.Description, &after.Description, &n.Description)
	move(&before.Shard, &after.Shard, &n.Shard)
	move(&before.ParentNode, &after.ParentNode, &n.ParentNode)
	move(&before.InstanceName, &after.InstanceName, &n.InstanceName)
	move(&before.Traits, &after.Traits, &n.Traits)
	move(&before.Maintenance, &after.Maintenance, &n.Maintenance)
	move(&before.MaintenanceReason, &after.MaintenanceReason, &n.MaintenanceReason)
	move(&before.Protected, &after.Protected, &n.Protected)
	move(&before.ProtectedReason, &after.ProtectedReason, &n.ProtectedReason)
	move(&before.Retired, &after.Retired, &n.Retired)
	move(&before.RetiredReason, &after.RetiredReason, &n.RetiredReason)
	move(&before.AutomatedClean, &after.AutomatedClean, &n.AutomatedClean)
	move(&before.DisablePowerOff, &after.DisablePowerOff, &n.DisablePowerOff)
	move(&before.BootMode, &after.BootMode, &n.BootMode)
	move(&before.TargetRAIDConfig, &after.TargetRAIDConfig, &n.TargetRAIDConfig)
	move(&before.NetworkData, &after.NetworkData, &n.NetworkData)
}

func move[T any](before, after, now *T) {
	if !reflect.DeepEqual(*before, *after) {
		*now = *after
	}
}
