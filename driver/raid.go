package driver

import (
	"context"
	"time"

	"ferric"
	"ferric/flow"
)

// RAID makes logical disks of physical ones. Interface kind "raid". RAIDSteps makes its steps. What is wanted is the node's
// target_raid_config; RecordRAID notes what is there.
type RAID interface {
	Interface
	// ValidateRAID checks a wanted configuration for the machine. CodeInvalid. CheckRAID is what all have in common.
	ValidateRAID(ctx context.Context, m *Machine, config map[string]any) error
	// LogicalDiskProperties describes what a logical disk may have; RAIDProperties is what all have in common.
	LogicalDiskProperties() map[string]string
	// CreateRAID makes the logical disks of a checked configuration. With fresh it deletes those that are there first. It is called again after a
	// wait and after a crash, and asks the hardware then what has been done.
	CreateRAID(ctx context.Context, t *Task, config RAIDConfig, fresh bool) (flow.Outcome, error)
	// DeleteRAID deletes all logical disks and clears the node's raid_config. It may be repeated.
	DeleteRAID(ctx context.Context, t *Task) (flow.Outcome, error)
}

// RAIDSteps are the steps that every RAID interface offers, when asked for by name.
func RAIDSteps(r RAID, phase Phase) []Step {
	if !changesHardware(phase) {
		return nil
	}
	which := map[string]Arg{
		"create_root_volume":     {Description: "Whether to create the root volume. Default: true."},
		"create_nonroot_volumes": {Description: "Whether to create the other volumes. Default: true."},
		"delete_existing":        {Description: "Whether to delete the volumes that are there first. Default: true."},
	}
	apply := map[string]Arg{"raid_config": {Required: true, Description: "The configuration; it becomes the node's target_raid_config."}}
	for name, arg := range which {
		apply[name] = arg
	}
	steps := []Step{
		{Name: "create_configuration", Phase: phase, Repeat: flow.Check, Args: which,
			Run: func(ctx context.Context, t *Task) (flow.Outcome, error) {
				return createRAID(ctx, t, r, t.Node.TargetRAIDConfig)
			}},
		{Name: "delete_configuration", Phase: phase, Repeat: flow.Safe, Run: r.DeleteRAID},
	}
	if phase == CleanPhase {
		return steps
	}
	return append(steps, Step{Name: "apply_configuration", Phase: phase, Repeat: flow.Check, Args: apply,
		Run: func(ctx context.Context, t *Task) (flow.Outcome, error) {
			wanted := t.Flow.Step.Args["raid_config"]
			object, ok := wanted.(map[string]any)
			if !ok {
				return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "raid_config: must be an object")
			}
			if err := r.ValidateRAID(ctx, t.Machine, object); err != nil {
				return flow.Outcome{}, err
			}
			if err := t.Mutate(ctx, func(n *ferric.Node) error { n.TargetRAIDConfig = object; return nil }); err != nil {
				return flow.Outcome{}, err
			}
			return createRAID(ctx, t, r, object)
		}})
}

// createRAID runs a step that makes logical disks, with what its arguments leave of the wanted configuration.
func createRAID(ctx context.Context, t *Task, r RAID, wanted any) (flow.Outcome, error) {
	object, _ := wanted.(map[string]any)
	if len(object) == 0 {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "Node %s has no target RAID configuration.", t.Node.UUID)
	}
	if err := r.ValidateRAID(ctx, t.Machine, object); err != nil {
		return flow.Outcome{}, err
	}
	config, err := ReadRAID(object)
	if err != nil {
		return flow.Outcome{}, err
	}
	choice := map[string]bool{"create_root_volume": true, "create_nonroot_volumes": true, "delete_existing": true}
	for name := range choice {
		v, given := t.Flow.Step.Args[name]
		if !given || v == nil {
			continue
		}
		b, ok := v.(bool)
		if !ok {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "%s: must be true or false", name)
		}
		choice[name] = b
	}
	var kept []LogicalDisk
	for _, d := range config.LogicalDisks {
		if d.IsRoot && choice["create_root_volume"] || !d.IsRoot && choice["create_nonroot_volumes"] {
			kept = append(kept, d)
		}
	}
	if len(kept) == 0 {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "Node %s has empty target RAID configuration after leaving out what is not to be created.", t.Node.UUID)
	}
	return r.CreateRAID(ctx, t, RAIDConfig{kept}, choice["delete_existing"])
}

// RecordRAID notes on the node which logical disks there are, for people and for scheduling: the root volume's size, its level and how to
// find it go into the properties.
func RecordRAID(n *ferric.Node, config RAIDConfig, now time.Time) {
	var disks []any
	for _, d := range config.LogicalDisks {
		disks = append(disks, d.Fields)
	}
	n.RAIDConfig = map[string]any{"logical_disks": disks, "last_updated": now.UTC().Format("2006-01-02 15:04:05.000000")}
	for _, d := range config.LogicalDisks {
		if !d.IsRoot {
			continue
		}
		if n.Properties == nil {
			n.Properties = map[string]any{}
		}
		if d.SizeGB > 0 {
			n.Properties["local_gb"] = d.SizeGB
		}
		if hint, ok := d.Fields["root_device_hint"]; ok {
			n.Properties["root_device"] = hint
		}
		n.Properties["capabilities"] = withCapability(n.Properties["capabilities"], "raid_level", d.Level)
	}
}
