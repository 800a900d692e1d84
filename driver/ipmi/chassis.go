package ipmi

import (
	"context"
	"slices"

	"ferric"
)

// Action is a chassis control action (table 28-4).
type Action byte

// The chassis control actions.
const (
	PowerDown           Action = 0 // at once
	PowerUp             Action = 1
	PowerCycle          Action = 2 // off, then on
	HardReset           Action = 3
	DiagnosticInterrupt Action = 4 // pulse the diagnostic interrupt, NMI on most machines
	SoftShutdown        Action = 5 // ask the operating system, by ACPI
)

var actionNames = [...]string{"power off", "power on", "power cycle", "hard reset", "inject NMI", "soft power off"}

// String returns the name for messages.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "unknown action"
}

// ChassisStatus is the state of the chassis (28.2).
type ChassisStatus struct {
	On           bool // the machine has power
	Overload     bool
	Fault        bool // in the main power subsystem
	ControlFault bool // the BMC tried to change the power state and failed
}

// Status reads the state of the chassis. Safe to repeat. Errors have the codes that all operations share:
// CodeUnauthorized (user, password, privilege), CodeUnavailable (no answer), CodeTimeout (ctx or
// Options.OperationTimeout passed), CodeBusy, CodeUnsupported.
func (b BMC) Status(ctx context.Context) (ChassisStatus, error) {
	var st ChassisStatus
	err := b.do(ctx, "get power state", false, func(ctx context.Context, t *turn) error {
		data, err := t.run(ctx, command{name: "get chassis status", netFn: netFnChassis, code: 0x01})
		if err != nil {
			return err
		}
		if len(data) < 3 {
			return short("get chassis status", len(data))
		}
		st = ChassisStatus{On: data[0]&0x01 != 0, Overload: data[0]&0x02 != 0, Fault: data[0]&0x08 != 0, ControlFault: data[0]&0x10 != 0}
		return nil
	})
	return st, err
}

// PowerState returns ferric.PowerOn or ferric.PowerOff. Safe to repeat.
func (b BMC) PowerState(ctx context.Context) (ferric.PowerState, error) {
	st, err := b.Status(ctx)
	switch {
	case err != nil:
		return "", err
	case st.On:
		return ferric.PowerOn, nil
	default:
		return ferric.PowerOff, nil
	}
}

// Control asks for a power action. The BMC acknowledges before the action is done: poll PowerState. PowerUp,
// PowerDown and SoftShutdown are safe to repeat; the others are never sent twice, and end with CodeTimeout when
// it is unknown whether the BMC got them. CodeUnsupported if the BMC does not have the action.
func (b BMC) Control(ctx context.Context, action Action) error {
	once := action == PowerCycle || action == HardReset || action == DiagnosticInterrupt
	return b.do(ctx, action.String(), once, func(ctx context.Context, t *turn) error {
		_, err := t.run(ctx, command{name: "chassis control", netFn: netFnChassis, code: 0x02, data: []byte{byte(action)}, once: once})
		return err
	})
}

// Identify lights the identification lamp for some seconds (1 to 255; 0 turns it off).
func (b BMC) Identify(ctx context.Context, seconds byte) error {
	return b.do(ctx, "identify chassis", false, func(ctx context.Context, t *turn) error {
		_, err := t.run(ctx, command{name: "chassis identify", netFn: netFnChassis, code: 0x04, data: []byte{seconds}})
		return err
	})
}

// Boot is the boot device override (28.13, boot flags, parameter 5).
type Boot struct {
	Device     ferric.BootDevice // "" means no override, or one that has no name here
	Selector   byte              // the 4-bit device selector; SetBoot uses it instead of Device if it is not 0
	Persistent bool              // for all boots, not only the next one
	UEFI       bool              // boot in UEFI mode; false: in BIOS (legacy) mode
	Valid      bool              // read only: the BMC will apply the flags
}

// bootSelectors are the device selectors to set. Several are read as one device, see bootDevices.
var bootSelectors = map[ferric.BootDevice]byte{
	ferric.BootPXE: 1, ferric.BootDisk: 2, ferric.BootSafe: 3, ferric.BootCDROM: 5, ferric.BootBIOS: 6,
}

// bootDevices: by selector. 8 and 11 are the remote CD and disk that virtual media make.
var bootDevices = map[byte]ferric.BootDevice{
	1: ferric.BootPXE, 2: ferric.BootDisk, 3: ferric.BootSafe, 5: ferric.BootCDROM, 6: ferric.BootBIOS,
	8: ferric.BootCDROM, 11: ferric.BootDisk,
}

// SelectorRemotePrimary is "primary remote media". Supermicro machines take it for the disk in UEFI mode.
const SelectorRemotePrimary = 9

// BootDevices returns the devices that SetBoot knows, sorted.
func BootDevices() []ferric.BootDevice {
	var all []ferric.BootDevice
	for d := range bootSelectors {
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

// Boot reads the boot device override. Safe to repeat.
func (b BMC) Boot(ctx context.Context) (Boot, error) {
	var boot Boot
	err := b.do(ctx, "get boot device", false, func(ctx context.Context, t *turn) error {
		data, err := t.run(ctx, command{name: "get system boot options", netFn: netFnChassis, code: 0x09, data: []byte{5, 0, 0}})
		if err != nil {
			return err
		}
		boot, err = parseBootFlags(data)
		return err
	})
	return boot, err
}

// parseBootFlags reads the reply to Get System Boot Options for parameter 5: version, parameter, five bytes.
func parseBootFlags(data []byte) (Boot, error) {
	if len(data) < 4 || data[1]&0x7f != 5 {
		return Boot{}, short("get system boot options", len(data))
	}
	flags, selector := data[2], data[3]>>2&0x0f
	return Boot{
		Device: bootDevices[selector], Selector: selector,
		Persistent: flags&0x40 != 0, UEFI: flags&0x20 != 0, Valid: flags&0x80 != 0 && data[1]&0x80 == 0,
	}, nil
}

// SetBoot sets the boot device override for the next boot or, if Persistent, for all boots. Unless the node or
// the pool's options say otherwise, the BMC is first told to keep the override when the machine is not restarted
// within 60 s. Safe to repeat. CodeInvalid for a device that IPMI does not know.
func (b BMC) SetBoot(ctx context.Context, boot Boot) error {
	selector := boot.Selector
	if selector == 0 && boot.Device != "" {
		var ok bool
		if selector, ok = bootSelectors[boot.Device]; !ok {
			return ferric.Errorf(ferric.CodeInvalid, "set boot device: %q is not one of %v", boot.Device, BootDevices())
		}
	}
	if selector > 0x0f {
		return ferric.Errorf(ferric.CodeInvalid, "set boot device: selector 0x%x has more than 4 bits", selector)
	}
	flags := byte(0x80)
	if boot.Persistent {
		flags |= 0x40
	}
	if boot.UEFI {
		flags |= 0x20
	}
	set := func(parameter byte, data ...byte) command {
		return command{name: "set system boot options", netFn: netFnChassis, code: 0x08, data: append([]byte{parameter}, data...)}
	}
	return b.do(ctx, "set boot device "+string(boot.Device), false, func(ctx context.Context, t *turn) error {
		var helpers []command
		if b.info.DisableBootTimeout.Or(!b.pool.opts.KeepBootTimeout) {
			helpers = append(helpers, set(3, 0x08)) // do not clear the valid bit after 60 s without a restart
		}
		helpers = append(helpers, set(4, 0x01, 0x01)) // the firmware has not yet handled the boot information
		for _, c := range helpers {
			// Many BMCs do not have these parameters and work without; only silence ends the operation.
			if _, err := t.run(ctx, c); err != nil && !isReply(err) {
				return err
			}
		}
		_, err := t.run(ctx, set(5, flags, selector<<2, 0, 0, 0))
		return err
	})
}
