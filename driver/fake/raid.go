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
	command := order(t, "create_configuration", 0)
	mem, err := r.h.recall(ctx, t.Node.UUID)
	if err == nil && mem.DisksBy != command.command() { // otherwise it was done, and the conductor died before it could write that down
		err = r.h.carryOut(ctx, command, r.h.RAIDDelay, func() error {
			return r.h.remember(ctx, t.Node.UUID, func(mem *memory) error {
				mem.create(config, fresh)
				mem.DisksBy = command.command()
				return nil
			})
		})
	}
	if err != nil {
		return flow.Outcome{}, err
	}
	there, err := r.disks(ctx, t.Node.UUID)
	if err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error {
		driver.RecordRAID(n, there, t.Flow.Now())
		return nil
	})
}

// create adds logical disks, with fresh in place of those that are there.
func (m *memory) create(config driver.RAIDConfig, fresh bool) {
	if fresh {
		m.Disks = nil
	}
	for _, d := range config.LogicalDisks {
		disk := maps.Clone(d.Fields)
		if disk["volume_name"] == nil {
			disk["volume_name"] = "volume-" + strconv.Itoa(len(m.Disks)+1)
		}
		m.Disks = append(m.Disks, disk)
	}
}

// disks returns the logical disks that there are.
func (r RAID) disks(ctx context.Context, node string) (there driver.RAIDConfig, err error) {
	mem, err := r.h.recall(ctx, node)
	if err != nil {
		return there, err
	}
	for _, disk := range mem.Disks {
		one, err := driver.ReadRAID(map[string]any{"logical_disks": []any{disk}})
		if err != nil {
			return there, err
		}
		there.LogicalDisks = append(there.LogicalDisks, one.LogicalDisks...)
	}
	return there, nil
}

// DeleteRAID implements driver.RAID.
func (r RAID) DeleteRAID(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	mem, err := r.h.recall(ctx, t.Node.UUID)
	switch {
	case err == nil && len(mem.Disks) == 0: // it was done, or there never were any
		err = r.h.RAIDDelay.sleep(ctx)
	case err == nil:
		err = r.h.carryOut(ctx, order(t, "delete_configuration", 0), r.h.RAIDDelay, func() error {
			return r.h.remember(ctx, t.Node.UUID, func(mem *memory) error { mem.Disks, mem.DisksBy = nil, ""; return nil })
		})
	}
	if err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Mutate(ctx, func(n *ferric.Node) error { n.RAIDConfig = map[string]any{}; return nil })
}

// Steps implements driver.Stepper.
func (r RAID) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	return driver.RAIDSteps(r, phase)
}
