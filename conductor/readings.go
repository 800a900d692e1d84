package conductor

import (
	"context"

	"ferric"
	"ferric/driver"
)

// readHardware keeps for the API what the machine says of itself: boot mode, secure boot, BIOS settings, firmware. What cannot be read now is
// logged, since it is not what the caller came for.
func (c *Conductor) readHardware(ctx context.Context, t *driver.Task) {
	c.reading(t, "boot mode", c.readBootMode(ctx, t))
	c.reading(t, "BIOS settings", c.readBIOS(ctx, t))
	c.reading(t, "firmware components", c.readFirmware(ctx, t))
}

// readBack keeps what a step of an interface may have changed.
func (c *Conductor) readBack(ctx context.Context, t *driver.Task, kind ferric.InterfaceKind) {
	switch kind {
	case ferric.KindBIOS:
		c.reading(t, "BIOS settings", c.readBIOS(ctx, t))
	case ferric.KindFirmware:
		c.reading(t, "firmware components", c.readFirmware(ctx, t))
	}
}

func (c *Conductor) reading(t *driver.Task, what string, err error) {
	if err != nil && !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Log.Warn("cannot read the machine's "+what, "error", err)
	}
}

func (c *Conductor) readBIOS(ctx context.Context, t *driver.Task) error {
	settings, err := t.Set.BIOS().BIOSSettings(ctx, t.Machine)
	if err != nil {
		return err
	}
	return c.Store.SetBIOSSettings(ctx, t.Node.UUID, settings)
}

func (c *Conductor) readFirmware(ctx context.Context, t *driver.Task) error {
	components, err := t.Set.Firmware().FirmwareComponents(ctx, t.Machine)
	if err != nil {
		return err
	}
	return c.Store.SetFirmware(ctx, t.Node.UUID, components)
}

// readBootMode notes boot mode and secure boot on the node, as far as the machine says.
func (c *Conductor) readBootMode(ctx context.Context, t *driver.Task) error {
	mode, secure := t.Node.BootMode, t.Node.SecureBoot
	if modes, ok := t.Set.Management().(driver.BootModer); ok {
		now, err := modes.BootMode(ctx, t.Machine)
		if err != nil {
			return err
		}
		if now != "" {
			mode = now
		}
	}
	if secures, ok := t.Set.Management().(driver.SecureBooter); ok {
		now, err := secures.SecureBoot(ctx, t.Machine)
		if err != nil {
			return err
		}
		if now != nil {
			secure = now
		}
	}
	same := secure == t.Node.SecureBoot || secure != nil && t.Node.SecureBoot != nil && *secure == *t.Node.SecureBoot
	if mode == t.Node.BootMode && same {
		return nil
	}
	return t.Mutate(ctx, func(n *ferric.Node) error { n.BootMode, n.SecureBoot = mode, secure; return nil })
}
