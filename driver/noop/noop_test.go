package noop_test

import (
	"context"
	"strings"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/driver/noop"
)

// What noop implements.
var (
	_ driver.Network    = noop.Network{}
	_ driver.Storage    = noop.Storage{}
	_ driver.Management = noop.Management{}
	_ driver.Inspect    = noop.Inspect{}
)

func machine() *driver.Machine {
	return &driver.Machine{Node: &ferric.Node{UUID: "n", Driver: "ipmi"}}
}

// TestAbsentSaysSo: what a machine does not have is refused, by name.
func TestAbsentSaysSo(t *testing.T) {
	ctx, m := context.Background(), machine()
	for _, err := range []error{
		noop.Absent{Kind: ferric.KindRAID}.Validate(ctx, m),
		noop.Inspect{Absent: noop.Absent{Kind: ferric.KindRAID}}.Validate(ctx, m),
		func() error {
			_, err := noop.Inspect{Absent: noop.Absent{Kind: ferric.KindRAID}}.Run(ctx, &driver.Task{Machine: m})
			return err
		}(),
	} {
		if !ferric.IsCode(err, ferric.CodeUnsupported) || !strings.Contains(err.Error(), "Driver ipmi does not support raid") {
			t.Errorf("error %v", err)
		}
	}
	if _, err := (noop.Management{}).BootDevice(ctx, m); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("boot device: %v", err)
	}
}

// TestDoingNothing: what is not there to be done succeeds.
func TestDoingNothing(t *testing.T) {
	ctx, m := context.Background(), machine()
	task := &driver.Task{Machine: m}
	for name, err := range map[string]error{
		"network":     noop.Network{}.Validate(ctx, m),
		"connect":     noop.Network{}.Connect(ctx, task, driver.ForCleaning),
		"disconnect":  noop.Network{}.Disconnect(ctx, task, driver.ForCleaning),
		"storage":     noop.Storage{}.Validate(ctx, m),
		"attach":      noop.Storage{}.Attach(ctx, task),
		"detach":      noop.Storage{}.Detach(ctx, task),
		"management":  noop.Management{}.Validate(ctx, m),
		"boot device": noop.Management{}.SetBootDevice(ctx, m, ferric.BootPXE, false),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !(noop.Storage{}).WritesImage(m) {
		t.Error("the image is not written to the machine's own disk")
	}
}

// TestAbsentRefusesEverything that an interface of its kind can be asked for.
func TestAbsentRefusesEverything(t *testing.T) {
	ctx, m := context.Background(), machine()
	task := &driver.Task{Machine: m}
	a := noop.Absent{Kind: ferric.KindBIOS}
	for name, do := range map[string]func() error{
		"read settings":   func() error { _, err := a.BIOSSettings(ctx, m); return err },
		"apply":           func() error { _, err := a.ApplyBIOS(ctx, task, nil); return err },
		"reset":           func() error { _, err := a.ResetBIOS(ctx, task); return err },
		"read components": func() error { _, err := a.FirmwareComponents(ctx, m); return err },
		"update":          func() error { _, err := a.UpdateFirmware(ctx, task, nil); return err },
		"validate RAID":   func() error { return a.ValidateRAID(ctx, m, nil) },
		"create RAID":     func() error { _, err := a.CreateRAID(ctx, task, driver.RAIDConfig{}, true); return err },
		"delete RAID":     func() error { _, err := a.DeleteRAID(ctx, task); return err },
		"start console":   func() error { return a.StartConsole(ctx, task) },
		"stop console":    func() error { return a.StopConsole(ctx, task) },
		"console":         func() error { _, err := a.ConsoleInfo(ctx, m); return err },
	} {
		if err := do(); !ferric.IsCode(err, ferric.CodeUnsupported) || err.Error() != "Driver ipmi does not support bios (disabled or not implemented)." {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(a.Methods()) != 0 || len(a.LogicalDiskProperties()) != 10 {
		t.Error("it has vendor's methods, or does not know logical disks")
	}
}
