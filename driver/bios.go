package driver

import (
	"context"
	"strconv"

	"ferric"
	"ferric/flow"
)

// BIOS reads and changes the settings of a machine's firmware. Interface kind "bios". BIOSSteps makes its steps; after each of them, and when
// a node is verified, inspected or cleaned, the conductor reads the settings and keeps them for the API.
type BIOS interface {
	Interface
	// BIOSSettings asks the hardware. CodeUnsupported if it cannot tell.
	BIOSSettings(ctx context.Context, m *Machine) ([]ferric.BIOSSetting, error)
	// ApplyBIOS changes settings and leaves the others alone. It is called again after a wait and after a crash, and must bear that.
	// CodeInvalid names the setting that cannot have the value.
	ApplyBIOS(ctx context.Context, t *Task, settings []BIOSChange) (flow.Outcome, error)
	// ResetBIOS brings all settings back to what the factory set. It may be repeated.
	ResetBIOS(ctx context.Context, t *Task) (flow.Outcome, error)
}

// BIOSChange is a setting and the value that it is to have.
type BIOSChange struct{ Name, Value string }

// BIOSSteps are the steps that every BIOS interface offers, when asked for by name.
func BIOSSteps(b BIOS, phase Phase) []Step {
	if !changesHardware(phase) {
		return nil
	}
	return []Step{
		{Name: "apply_configuration", Phase: phase, Repeat: flow.Safe,
			Args: map[string]Arg{"settings": {Required: true, Description: "The settings to change: a list of objects with name and value."}},
			Run: func(ctx context.Context, t *Task) (flow.Outcome, error) {
				changes, err := biosChanges(t.Flow.Step.Args["settings"])
				if err != nil {
					return flow.Outcome{}, err
				}
				return b.ApplyBIOS(ctx, t, changes)
			}},
		{Name: "factory_reset", Phase: phase, Repeat: flow.Safe, Run: b.ResetBIOS},
		{Name: "cache_bios_settings", Phase: phase, Repeat: flow.Safe,
			// The conductor reads the settings after every step of this kind.
			Run: func(context.Context, *Task) (flow.Outcome, error) { return flow.Done(nil), nil }},
	}
}

// changesHardware reports whether steps that change a machine's configuration belong into a phase.
func changesHardware(phase Phase) bool {
	return phase == DeployPhase || phase == CleanPhase || phase == ServicePhase
}

// biosChanges reads the argument of apply_configuration.
func biosChanges(v any) ([]BIOSChange, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "settings: must be a list of objects with name and value")
	}
	var changes []BIOSChange
	seen := map[string]bool{}
	for i, item := range list {
		object, _ := item.(map[string]any)
		name, _ := object["name"].(string)
		value, ok := settingText(object["value"])
		if name == "" || !ok || len(object) != 2 {
			return nil, ferric.Errorf(ferric.CodeInvalid, "settings: item %d must be an object with name, a text, and value, a text, number or boolean", i+1)
		}
		if seen[name] {
			return nil, ferric.Errorf(ferric.CodeInvalid, "settings: %q is there twice", name)
		}
		seen[name] = true
		changes = append(changes, BIOSChange{name, value})
	}
	return changes, nil
}

// settingText is a scalar as the text that firmware takes.
func settingText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
