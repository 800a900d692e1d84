package store_test

import (
	"context"
	"testing"
	"time"

	"ferric"
)

func ptr[T any](v T) *T { return &v }

func TestBIOSSettings(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx, n := t.Context(), e.node(t)
		none, err := e.BIOSSettings(ctx, n.UUID)
		must(t, err)
		equal(t, "settings at first", len(none), 0)
		wantCode(t, e.SetBIOSSettings(ctx, "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", nil), ferric.CodeNotFound, "could not be found")

		full := ferric.BIOSSetting{Name: "b", Value: ptr("1"), AttributeType: ptr("Integer"), AllowableValues: []string{"1", "2"}, LowerBound: ptr(int64(0)),
			UpperBound: ptr(int64(9)), MinLength: ptr(int64(1)), MaxLength: ptr(int64(2)), ReadOnly: ptr(false), ResetRequired: ptr(true), Unique: ptr(false)}
		must(t, e.SetBIOSSettings(ctx, n.UUID, []ferric.BIOSSetting{full, {Name: "a"}, {Name: "gone", Value: ptr("")}}))
		first, err := e.BIOSSettings(ctx, n.UUID)
		must(t, err)
		equal(t, "settings", len(first), 3)
		equal(t, "order", first[0].Name+first[1].Name, "ab")
		equal(t, "empty value", *first[2].Value, "")
		full.NodeUUID, full.CreatedAt = n.UUID, first[1].CreatedAt
		equal(t, "setting", first[1], full)
		if full.CreatedAt.IsZero() || first[0].Value != nil {
			t.Errorf("settings %+v", first)
		}

		e.after(time.Minute)
		full.Value = ptr("2")
		must(t, e.SetBIOSSettings(ctx, n.UUID, []ferric.BIOSSetting{full, {Name: "a"}}))
		same, err := e.BIOSSetting(ctx, n.UUID, "a")
		must(t, err)
		equal(t, "unchanged setting", *same, first[0])
		changed, err := e.BIOSSetting(ctx, n.UUID, "b")
		must(t, err)
		if *changed.Value != "2" || !changed.CreatedAt.Equal(full.CreatedAt) || !changed.UpdatedAt.After(full.CreatedAt) {
			t.Errorf("changed setting %+v", changed)
		}
		_, err = e.BIOSSetting(ctx, n.UUID, "gone")
		wantCode(t, err, ferric.CodeNotFound, "Node "+n.UUID+" doesn't have a BIOS setting 'gone'")
	})
}

func TestFirmware(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx, n := t.Context(), e.node(t)
		wantCode(t, e.SetFirmware(ctx, "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", nil), ferric.CodeNotFound, "could not be found")
		bmc := ferric.FirmwareComponent{Component: "bmc", CurrentVersion: "1.0", Vendor: "v", Model: "m", SerialNumber: "s"}
		must(t, e.SetFirmware(ctx, n.UUID, []ferric.FirmwareComponent{bmc, {Component: "bios", CurrentVersion: "7"}}))
		first, err := e.Firmware(ctx, n.UUID)
		must(t, err)
		equal(t, "components", len(first), 2)
		bmc.NodeUUID, bmc.InitialVersion, bmc.CreatedAt = n.UUID, "1.0", first[1].CreatedAt
		equal(t, "component", first[1], bmc)

		e.after(time.Minute)
		must(t, e.SetFirmware(ctx, n.UUID, []ferric.FirmwareComponent{{Component: "bmc", CurrentVersion: "2.0", Vendor: "v", Model: "m", SerialNumber: "s"},
			{Component: "bios", CurrentVersion: "7"}}))
		second, err := e.Firmware(ctx, n.UUID)
		must(t, err)
		equal(t, "unchanged component", second[0], first[0])
		if c := second[1]; c.InitialVersion != "1.0" || c.CurrentVersion != "2.0" || c.LastVersionFlashed != "2.0" || c.UpdatedAt.IsZero() {
			t.Errorf("flashed component %+v", c)
		}
		must(t, e.SetFirmware(ctx, n.UUID, nil))
		none, err := e.Firmware(ctx, n.UUID)
		must(t, err)
		equal(t, "components after none were read", len(none), 0)
	})
}

func TestDriverStates(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx, n := t.Context(), e.node(t)
		read := func(name string) string {
			b, err := e.DriverState(context.WithoutCancel(ctx), n.UUID, name)
			must(t, err)
			return string(b)
		}
		equal(t, "state at first", read("a"), "")
		wantCode(t, e.SetDriverState(ctx, "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "a", []byte("x")), ferric.CodeNotFound, "could not be found")
		must(t, e.SetDriverState(ctx, n.UUID, "a", []byte("one")))
		must(t, e.SetDriverState(ctx, n.UUID, "b", []byte("two")))
		must(t, e.SetDriverState(ctx, n.UUID, "a", []byte("three")))
		equal(t, "states", read("a")+" "+read("b"), "three two")
		must(t, e.SetDriverState(ctx, n.UUID, "a", nil))
		equal(t, "states", read("a")+" "+read("b"), " two")
		var sealed []byte
		must(t, e.peek(t).QueryRow("SELECT state FROM driver_states").Scan(&sealed))
		if len(sealed) < 33 || string(sealed) == "two" {
			t.Errorf("stored as %q", sealed)
		}
	})
}
