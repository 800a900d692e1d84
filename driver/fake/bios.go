package fake

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// BIOS is the bios interface "fake".
type BIOS struct {
	open
	h *Hardware
}

var _ driver.BIOS = BIOS{}

// factorySettings are the settings of a new machine: one of each type. Names that are not among them are taken as well, as texts.
func factorySettings() []ferric.BIOSSetting {
	no, yes := false, true
	of := func(name, kind, value string) ferric.BIOSSetting {
		return ferric.BIOSSetting{Name: name, AttributeType: &kind, Value: &value, ReadOnly: &no, ResetRequired: &yes, Unique: &no}
	}
	number := func(n int64) *int64 { return &n }
	boot := of("BootDelaySeconds", "Integer", "0")
	boot.LowerBound, boot.UpperBound = number(0), number(300)
	asset := of("AssetTag", "String", "")
	asset.MinLength, asset.MaxLength, asset.Unique, asset.ResetRequired = number(0), number(63), &yes, &no
	version := of("SystemBiosVersion", "String", "1.0.0")
	version.ReadOnly = &yes
	virtualization := of("Virtualization", "Enumeration", "Enabled")
	virtualization.AllowableValues = []string{"Enabled", "Disabled"}
	return []ferric.BIOSSetting{asset, boot, of("QuietBoot", "Boolean", "true"), version, virtualization}
}

// BIOSSettings implements driver.BIOS.
func (b BIOS) BIOSSettings(ctx context.Context, m *driver.Machine) ([]ferric.BIOSSetting, error) {
	mem, err := b.h.recall(ctx, m.Node.UUID)
	if err != nil {
		return nil, err
	}
	all := factorySettings()
	for _, name := range slices.Sorted(maps.Keys(mem.BIOS)) {
		value := mem.BIOS[name]
		if i := slices.IndexFunc(all, func(s ferric.BIOSSetting) bool { return s.Name == name }); i >= 0 {
			all[i].Value = &value
			continue
		}
		all = append(all, ferric.BIOSSetting{Name: name, Value: &value})
	}
	return all, nil
}

// ApplyBIOS implements driver.BIOS.
func (b BIOS) ApplyBIOS(ctx context.Context, t *driver.Task, changes []driver.BIOSChange) (flow.Outcome, error) {
	factory := factorySettings()
	for _, c := range changes {
		i := slices.IndexFunc(factory, func(s ferric.BIOSSetting) bool { return s.Name == c.Name })
		if i < 0 {
			continue
		}
		if wrong := unfit(factory[i], c.Value); wrong != "" {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "settings: %s: %s", c.Name, wrong)
		}
	}
	if err := b.h.BIOSDelay.sleep(ctx); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), b.h.remember(ctx, t.Node.UUID, func(mem *memory) error {
		for _, c := range changes {
			put(&mem.BIOS, c.Name, c.Value)
		}
		return nil
	})
}

// unfit says why a setting cannot have a value, "" if it can.
func unfit(s ferric.BIOSSetting, value string) string {
	switch {
	case *s.ReadOnly:
		return "can only be read"
	case s.AllowableValues != nil && !slices.Contains(s.AllowableValues, value):
		return "must be one of " + strings.Join(s.AllowableValues, ", ")
	case s.MaxLength != nil && int64(len(value)) > *s.MaxLength:
		return "must have at most " + strconv.FormatInt(*s.MaxLength, 10) + " characters"
	case *s.AttributeType == "Boolean" && value != "true" && value != "false":
		return "must be true or false"
	case *s.AttributeType == "Integer":
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < *s.LowerBound || n > *s.UpperBound {
			return "must be a number from " + strconv.FormatInt(*s.LowerBound, 10) + " to " + strconv.FormatInt(*s.UpperBound, 10)
		}
	}
	return ""
}

// ResetBIOS implements driver.BIOS.
func (b BIOS) ResetBIOS(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := b.h.BIOSDelay.sleep(ctx); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), b.h.remember(ctx, t.Node.UUID, func(mem *memory) error { mem.BIOS = nil; return nil })
}

// Steps implements driver.Stepper.
func (b BIOS) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	return driver.BIOSSteps(b, phase)
}
