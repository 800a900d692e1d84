package lab

import (
	"context"
	"fmt"
	"io"
	"strings"

	"ferric"
)

// simBoot is the word that ipmi_sim has for a boot device, by ours. It knows no other than these: "default" is what
// it makes of "disk". It throws the flags "persistent" and "UEFI" away; since a console sets the disk to stay and the
// others to boot once, that is what they mean here.
var simBoot = []struct{ ours, theirs string }{{"none", "none"}, {"pxe", "pxe"}, {"disk", "default"}, {"cdrom", "cdrom"}, {"bios", "bios"}}

// ChassisControl does what ipmi_sim asks its chassis control program: args are an optional controller address, "get"
// with names, or "set" with pairs of name and value; answers go to out, one "name:value" per line.
func (m *Machine) ChassisControl(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "0x") {
		args = args[1:]
	}
	if len(args) < 2 {
		return ferric.Errorf(ferric.CodeInvalid, "chassis control %q: want get NAME… or set NAME VALUE…", args)
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "get":
		for _, name := range args {
			value, err := m.chassisGet(name)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(out, "%s:%s\n", name, value); err != nil {
				return err
			}
		}
		return nil
	case "set":
		if len(args)%2 != 0 {
			return ferric.Errorf(ferric.CodeInvalid, "chassis control set %q: a value is missing", args)
		}
		for ; len(args) > 0; args = args[2:] {
			if err := m.chassisSet(ctx, args[0], args[1]); err != nil {
				return err
			}
		}
		return nil
	}
	return ferric.Errorf(ferric.CodeInvalid, "chassis control %q: want get or set", verb)
}

func (m *Machine) chassisGet(name string) (string, error) {
	switch name {
	case "power":
		if m.On() {
			return "1", nil
		}
		return "0", nil
	case "boot":
		device := m.Boot().Device
		for _, word := range simBoot {
			if word.ours == device {
				return word.theirs, nil
			}
		}
		return "none", nil
	case "reset", "shutdown", "identify":
		return "0", nil
	}
	return "", ferric.Errorf(ferric.CodeInvalid, "chassis control get %q: unknown name", name)
}

func (m *Machine) chassisSet(ctx context.Context, name, value string) error {
	switch {
	case name == "power" && value == "1":
		return m.Start(ctx)
	case name == "power" && value == "0":
		return m.Stop(ctx)
	case name == "reset" && m.On():
		return m.Reset(ctx)
	case name == "shutdown" && m.On():
		return m.SoftOff(ctx)
	case name == "reset" || name == "shutdown" || name == "identify":
		return nil
	case name == "boot":
		for _, word := range simBoot {
			if word.theirs == value {
				return m.SetBoot(ctx, BootSetting{Device: word.ours, Persistent: word.ours == "disk"})
			}
		}
	}
	return ferric.Errorf(ferric.CodeInvalid, "chassis control set %s %q: unknown name or value", name, value)
}
