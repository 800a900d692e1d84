package lab

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"

	"ferric"
	"ferric/lab/bmc"
)

// ServeBMC runs the machine's BMC, of kind "go", until ctx ends. It must run in the lab's namespace.
func (m *Machine) ServeBMC(ctx context.Context, logger *slog.Logger) error {
	if m.BMC.Kind != GoBMC {
		return ferric.Errorf(ferric.CodeInvalid, "%s has a BMC of kind %s", m.Name, m.BMC.Kind)
	}
	c := &chassis{machine: m, ready: make(chan struct{})}
	server, err := bmc.Start(c, bmc.Options{
		Address: net.JoinHostPort(m.BMC.Address, strconv.Itoa(m.BMC.Port)),
		Users:   []bmc.User{{Name: m.BMC.User, Password: m.BMC.Password}},
		GUID:    m.UUID,
		Console: func(context.Context) (io.ReadWriteCloser, error) { return m.dialConsole() },
		Logger:  logger,
	})
	if err != nil {
		return err
	}
	c.server = server
	close(c.ready)
	<-ctx.Done()
	return server.Close()
}

// chassis connects a BMC to its machine.
type chassis struct {
	machine *Machine
	server  *bmc.Server
	ready   chan struct{} // closed once server is set: the BMC needs its chassis first
}

var _ bmc.Chassis = (*chassis)(nil)

func (c *chassis) PowerState(context.Context) (bool, error) { return c.machine.On(), nil }

func (c *chassis) PowerOn(ctx context.Context) error {
	if c.machine.On() {
		return nil
	}
	if err := c.takeBoot(ctx); err != nil {
		return err
	}
	return c.machine.Start(ctx)
}

func (c *chassis) PowerOff(ctx context.Context) error { return c.machine.Stop(ctx) }

func (c *chassis) Reset(ctx context.Context) error {
	if err := c.takeBoot(ctx); err != nil {
		return err
	}
	return c.machine.Reset(ctx)
}

func (c *chassis) SoftOff(ctx context.Context) error { return c.machine.SoftOff(ctx) }

func (c *chassis) NMI(ctx context.Context) error { return c.machine.NMI(ctx) }

// takeBoot gives the override in the BMC to the machine. The UEFI flag has no effect: a machine's firmware is fixed.
func (c *chassis) takeBoot(ctx context.Context) error {
	<-c.ready
	taken := c.server.TakeBoot()
	setting := BootSetting{Device: "none"}
	if taken.Valid && slices.Contains(bootDevices, taken.Device) {
		setting = BootSetting{Device: taken.Device, Persistent: taken.Persistent}
	}
	if setting.Device == "cdrom" && !c.machine.CDROM {
		setting.Device = "none"
	}
	return c.machine.SetBoot(ctx, setting)
}
