package fake

import (
	"context"
	"maps"
	"strconv"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// RAID is the raid interface "fake": a controller with as many disks as are wanted.
type RAID struct {
	open
	h *Hardware
}

var _ driver.RAID = RAID{}

// Validate implements driver.Interface: what the node wants must be a configuration.
func (r RAID) Validate(ctx context.Context, m *driver.Machine) error {
	if wanted, ok := m.Node.TargetRAIDConfig.(map[string]any); ok && len(wanted) > 0 {
		return r.ValidateRAID(ctx, m, wanted)
	}
	return nil
}

// ValidateRAID implements driver.RAID.
func (RAID) ValidateRAID(_ context.Context, _ *driver.Machine, config map[string]any) error {
	return driver.CheckRAID(config)
}

// LogicalDiskProperties implements driver.RAID.
func (RAID) LogicalDiskProperties() map[string]string { return driver.RAIDProperties() }

// CreateRAID implements driver.RAID.
func (r RAID) CreateRAID(ctx context.Context, t *driver.Task, config driver.RAIDConfig, fresh bool) (flow.Outcome, error) {
	if err := r.h.RAIDDelay.sleep(ctx); err != nil {
		return flow.Outcome{}, err
	}
	by := t.Flow.Op.ID + "/" + strconv.Itoa(t.Flow.Step.Seq)
	var there driver.RAIDConfig
	err := r.h.remember(ctx, t.Node.UUID, func(mem *memory) error {
		if mem.DisksBy != by { // otherwise it was done, and the conductor died before it could write that down
			if fresh {
				mem.Disks = nil
			}
			for _, d := range config.LogicalDisks {
				disk := maps.Clone(d.Fields)
				if disk["volume_name"] == nil {
					disk["volume_name"] = "volume-" + strconv.Itoa(len(mem.Disks)+1)
				}
				mem.Disks = append(mem.Disks, disk)
			}
			mem.DisksBy = by
		}
		for _, disk := range mem.Disks {
			one, err := driver.ReadRAID(map[string]any{"logical_disks": []any{disk}})
			if err != nil {
				return err
			}
			there.LogicalDisks = append(there.LogicalDisks, one.LogicalDisks...)
		}
		return nil
	})
	if err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error {
		driver.RecordRAID(n, there, t.Flow.Now())
		return nil
	})
}

// DeleteRAID implements driver.RAID.
func (r RAID) DeleteRAID(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := r.h.RAIDDelay.sleep(ctx); err != nil {
		return flow.Outcome{}, err
	}
	if err := r.h.remember(ctx, t.Node.UUID, func(mem *memory) error { mem.Disks, mem.DisksBy = nil, ""; return nil }); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error { n.RAIDConfig = map[string]any{}; return nil })
}

// Steps implements driver.Stepper.
func (r RAID) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	return driver.RAIDSteps(r, phase)
}
