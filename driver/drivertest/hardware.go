package drivertest

import (
	"context"
	"slices"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// task is a task outside of any operation, which changes the subject's node.
func task(s Subject) *driver.Task {
	t := &driver.Task{Machine: s.Machine}
	t.Mutate = func(_ context.Context, change flow.Mutate) error { return change(s.Machine.Node) }
	return t
}

// BIOS checks what a BIOS interface reads. Its steps need an operation around them.
func BIOS(t *testing.T, b driver.BIOS, s Subject) {
	settings, err := b.BIOSSettings(t.Context(), s.Machine)
	if ferric.IsCode(err, ferric.CodeUnsupported) {
		return
	}
	if err != nil || len(settings) == 0 {
		t.Fatalf("%d settings, %v", len(settings), err)
	}
	seen := map[string]bool{}
	for _, set := range settings {
		if set.Name == "" || seen[set.Name] {
			t.Errorf("setting %q is there twice, or has no name", set.Name)
		}
		seen[set.Name] = true
		if set.AllowableValues != nil && set.Value != nil && !slices.Contains(set.AllowableValues, *set.Value) {
			t.Errorf("setting %s has the value %q, which is not allowed", set.Name, *set.Value)
		}
	}
}

// Firmware checks what a firmware interface reads.
func Firmware(t *testing.T, f driver.Firmware, s Subject) {
	components, err := f.FirmwareComponents(t.Context(), s.Machine)
	if ferric.IsCode(err, ferric.CodeUnsupported) {
		return
	}
	if err != nil || len(components) == 0 {
		t.Fatalf("%d components, %v", len(components), err)
	}
	seen := map[string]bool{}
	for _, c := range components {
		if c.Component == "" || c.CurrentVersion == "" || seen[c.Component] {
			t.Errorf("component %+v is there twice, or has no name or version", c)
		}
		seen[c.Component] = true
	}
}

// RAID checks which configurations a RAID interface takes.
func RAID(t *testing.T, r driver.RAID, s Subject) {
	if len(r.LogicalDiskProperties()) == 0 {
		t.Error("nothing can be said about a logical disk")
	}
	for name, text := range r.LogicalDiskProperties() {
		if name == "" || text == "" {
			t.Errorf("property %q has no description", name)
		}
	}
	disk := map[string]any{"size_gb": "MAX", "raid_level": "1", "is_root_volume": true}
	if err := r.ValidateRAID(t.Context(), s.Machine, map[string]any{"logical_disks": []any{disk}}); err != nil {
		t.Errorf("a plain mirror: %v", err)
	}
	for name, config := range map[string]map[string]any{"nothing": {}, "no disks": {"logical_disks": []any{}}, "two roots": {"logical_disks": []any{disk, disk}}} {
		if err := r.ValidateRAID(t.Context(), s.Machine, config); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%s: got %v, want CodeInvalid", name, err)
		}
	}
}

// Console checks a console interface.
func Console(t *testing.T, c driver.Console, s Subject) {
	at := task(s)
	for range 2 {
		if err := c.StartConsole(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ConsoleInfo(t.Context(), s.Machine); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := c.StopConsole(t.Context(), at); err != nil {
			t.Error(err)
		}
	}
}

// Parts checks the optional parts of a management interface.
func Parts(t *testing.T, g driver.Management, s Subject) {
	ctx, m := t.Context(), s.Machine
	if b, ok := g.(driver.SecureBooter); ok {
		for _, on := range []bool{true, false, false} {
			if err := b.SetSecureBoot(ctx, m, on); err != nil {
				t.Errorf("secure boot %v: %v", on, err)
			}
			if now, err := b.SecureBoot(ctx, m); err != nil || now != nil && *now != on {
				t.Errorf("secure boot %v, %v; want %v", now, err, on)
			}
		}
	}
	if b, ok := g.(driver.BootModer); ok {
		if err := b.SetBootMode(ctx, m, "sideways"); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("boot mode sideways: got %v, want CodeInvalid", err)
		}
	}
	if lights, ok := g.(driver.Indicators); ok {
		indicators(t, lights, s)
	}
	if media, ok := g.(driver.VirtualMedia); ok {
		virtualMedia(t, media, s)
	}
}

func indicators(t *testing.T, lights driver.Indicators, s Subject) {
	all, err := lights.Indicators(t.Context(), s.Machine)
	if err != nil {
		t.Error(err)
	}
	for _, i := range all {
		for _, state := range i.States {
			err := lights.SetIndicatorState(t.Context(), s.Machine, i.Component, i.Name, state)
			if i.ReadOnly != ferric.IsCode(err, ferric.CodeInvalid) || !i.ReadOnly && err != nil {
				t.Errorf("%s of %s to %s: %v", i.Name, i.Component, state, err)
			}
			now, err := lights.IndicatorState(t.Context(), s.Machine, i.Component, i.Name)
			if err != nil || !i.ReadOnly && now != state {
				t.Errorf("%s of %s is %q, %v", i.Name, i.Component, now, err)
			}
		}
		if err := lights.SetIndicatorState(t.Context(), s.Machine, i.Component, i.Name, "purple"); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("purple: got %v, want CodeInvalid", err)
		}
	}
	if _, err := lights.IndicatorState(t.Context(), s.Machine, "attic", "lamp"); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("a lamp in the attic: got %v, want CodeInvalid", err)
	}
}

func virtualMedia(t *testing.T, media driver.VirtualMedia, s Subject) {
	inserted := func() (n int) {
		list, err := media.VirtualMedia(t.Context(), s.Machine)
		if err != nil {
			t.Error(err)
		}
		for _, drive := range list {
			if drive["inserted"] == true {
				n++
			}
		}
		return n
	}
	for range 2 {
		err := media.AttachVirtualMedia(t.Context(), s.Machine, driver.VirtualMedium{Device: "cdrom", URL: "http://192.0.2.1/boot.iso", Source: "http"})
		if err != nil || inserted() != 1 {
			t.Errorf("attach: %v; %d drives have an image", err, inserted())
		}
	}
	for range 2 {
		if err := media.DetachVirtualMedia(t.Context(), s.Machine, nil); err != nil || inserted() != 0 {
			t.Errorf("detach: %v; %d drives have an image", err, inserted())
		}
	}
	if err := media.AttachVirtualMedia(t.Context(), s.Machine, driver.VirtualMedium{Device: "tape", URL: "http://192.0.2.1/x"}); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("a tape: got %v, want CodeInvalid", err)
	}
}
