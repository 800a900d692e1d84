package conductor

import (
	"context"
	"strings"

	"ferric"
	"ferric/driver"
)

// What Ironic calls the facts about a machine's boot volume, in driver_internal_info.
const (
	bootFromVolume       = "boot_from_volume"
	bootFromVolumeDeploy = "boot_from_volume_deploy"
)

type volumeStore struct{ s Store }

func (v volumeStore) UpdateVolumeTarget(ctx context.Context, uuid string, change func(*ferric.VolumeTarget) error) (*ferric.VolumeTarget, error) {
	return v.s.UpdateVolumeTarget(ctx, uuid, 0, change)
}

// loadVolumes gives a machine its volume connectors and targets, if its storage interface has a use for them.
func (c *Conductor) loadVolumes(ctx context.Context, set *driver.Set, m *driver.Machine) error {
	if _, ok := set.Get(ferric.KindStorage).(driver.VolumeStorage); !ok {
		return nil
	}
	var err error
	filter := ferric.VolumeFilter{NodeUUID: m.Node.UUID}
	if m.Connectors, err = c.Store.VolumeConnectors(ctx, filter); err != nil {
		return err
	}
	m.Targets, err = c.Store.VolumeTargets(ctx, filter)
	return err
}

// deploysInRamdisk reports whether the deploy of a machine boots the ramdisk: one that starts from a remote volume with its system on it does not.
func deploysInRamdisk(t *driver.Task) bool {
	return t.Set.Deploy().UsesRamdisk(t.Machine) && t.Set.Storage().WritesImage(t.Machine)
}

// attachVolumes gives the machine its remote volumes and notes which it boots from. The machine is off meanwhile.
func (c *Conductor) attachVolumes(ctx context.Context, t *driver.Task) error {
	if len(t.Targets) > 0 {
		if err := c.powerOff(ctx, t); err != nil {
			return err
		}
		if err := noteBootVolume(ctx, t); err != nil {
			return err
		}
	}
	if err := t.Set.Storage().Attach(ctx, t); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "attach the volumes: %w", err)
	}
	return nil
}

// noteBootVolume publishes which volume a machine boots from.
func noteBootVolume(ctx context.Context, t *driver.Task) error {
	v := t.BootVolume()
	if v == nil {
		return nil
	}
	typ := strings.ToLower(v.Type)
	for volume, need := range map[string][2]string{"iscsi": {"iscsi_boot", "an iSCSI boot volume defined and no iSCSI boot"},
		"fibre_channel": {"fibre_channel_boot", "a Fibre Channel boot volume defined and no Fibre Channel boot"}} {
		if _, able := t.Node.Capabilities()[need[0]]; typ == volume && !able {
			return ferric.Errorf(ferric.CodeInvalid, "Node %s has %s support available.", t.Node.UUID, need[1])
		}
	}
	boot, able := t.Set.Get(ferric.KindBoot).(driver.VolumeBoot)
	if !able || !boot.BootsVolume(typ) || t.Node.InternalInfo[bootFromVolume] == v.UUID {
		return nil
	}
	return t.Mutate(ctx, func(n *ferric.Node) error {
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo[bootFromVolume] = v.UUID
		return nil
	})
}

// forgetVolumes removes the records of the volumes that an instance had. They are gone before the node's next instance comes.
func (c *Conductor) forgetVolumes(ctx context.Context, t *driver.Task) error {
	if _, ok := t.Set.Get(ferric.KindStorage).(driver.VolumeStorage); !ok && !t.Set.Deploy().UsesRamdisk(t.Machine) {
		return nil
	}
	targets, err := c.Store.VolumeTargets(ctx, ferric.VolumeFilter{NodeUUID: t.Node.UUID})
	if err != nil {
		return err
	}
	for _, v := range targets {
		if err := c.Store.DeleteVolumeTarget(ctx, v.UUID); err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
			return err
		}
	}
	return nil
}

// volumesBeforePower attaches the volumes of an instance that is about to be started; they were detached when it was stopped. How they are reached may have
// changed, so the boot configuration is made anew.
func (c *Conductor) volumesBeforePower(ctx context.Context, t *driver.Task, target ferric.PowerState) error {
	if target != ferric.PowerOn || t.Node.ProvisionState != ferric.Active || len(t.Targets) == 0 {
		return nil
	}
	if err := t.Set.Storage().Attach(ctx, t); err != nil || t.Node.InternalInfo[bootFromVolume] == nil {
		return err
	}
	if err := c.loadVolumes(ctx, t.Set, t.Machine); err != nil {
		return err
	}
	return t.Set.Boot().PrepareInstance(ctx, t)
}

// volumesAfterPower detaches the volumes of an instance that was stopped. What goes wrong is logged: the machine is off, and they are detached at the
// latest with the instance's end.
func (c *Conductor) volumesAfterPower(ctx context.Context, t *driver.Task, target ferric.PowerState) error {
	if endState(target) != ferric.PowerOff || t.Node.ProvisionState != ferric.Active || len(t.Targets) == 0 {
		return nil
	}
	return t.Set.Storage().Detach(ctx, t)
}
