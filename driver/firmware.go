package driver

import (
	"context"
	"net/url"
	"slices"
	"time"

	"ferric"
	"ferric/flow"
)

// Firmware updates what machines' parts run themselves. Interface kind "firmware". FirmwareSteps makes its step; after it, and when a node is
// verified, inspected or cleaned, the conductor reads the components and keeps them for the API.
type Firmware interface {
	Interface
	// FirmwareComponents asks the hardware. Only names, current versions and identity are used. CodeUnsupported if it cannot tell.
	FirmwareComponents(ctx context.Context, m *Machine) ([]ferric.FirmwareComponent, error)
	// UpdateFirmware writes new firmware, in the order given. It is called again after a wait and after a crash, and asks the hardware then what
	// has been done. CodeInvalid names the component that the machine does not have.
	UpdateFirmware(ctx context.Context, t *Task, updates []FirmwareUpdate) (flow.Outcome, error)
}

// FirmwareUpdate is new firmware for a component. Wait is how long to wait after it before anything else is done to the machine.
type FirmwareUpdate struct {
	Component string
	URL       string
	Wait      time.Duration
}

// FirmwareSteps are the steps that every firmware interface offers, when asked for by name.
func FirmwareSteps(f Firmware, phase Phase) []Step {
	if !changesHardware(phase) {
		return nil
	}
	return []Step{{Name: "update", Phase: phase, Repeat: flow.Check,
		Args: map[string]Arg{"settings": {Required: true,
			Description: "The updates: a list of objects with component (bios, bmc or nic:…), url, and if needed wait, the seconds to wait after it."}},
		Run: func(ctx context.Context, t *Task) (flow.Outcome, error) {
			updates, err := firmwareUpdates(t.Flow.Step.Args["settings"])
			if err != nil {
				return flow.Outcome{}, err
			}
			return f.UpdateFirmware(ctx, t, updates)
		}}}
}

// firmwareUpdates reads the argument of update.
func firmwareUpdates(v any) ([]FirmwareUpdate, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "settings: must be a list of objects with component and url")
	}
	var updates []FirmwareUpdate
	for i, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, ferric.Errorf(ferric.CodeInvalid, "settings: item %d is no object", i+1)
		}
		for name := range object {
			if !slices.Contains([]string{"component", "url", "wait"}, name) {
				return nil, ferric.Errorf(ferric.CodeInvalid, "settings: item %d: there is no %q; it takes component, url and wait", i+1, name)
			}
		}
		u := FirmwareUpdate{}
		u.Component, _ = object["component"].(string)
		u.URL, _ = object["url"].(string)
		if u.Component == "" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "settings: item %d: component must be a text", i+1)
		}
		if at, err := url.Parse(u.URL); err != nil || at.Scheme == "" || at.Path == "" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "settings: item %d: url must be a URL, such as https://server/bmc.bin", i+1)
		}
		if wait, given := object["wait"]; given {
			seconds, ok := wait.(float64)
			if !ok || seconds < 0 || seconds > 24*3600 {
				return nil, ferric.Errorf(ferric.CodeInvalid, "settings: item %d: wait must be a number of seconds, at most a day", i+1)
			}
			u.Wait = time.Duration(seconds * float64(time.Second))
		}
		updates = append(updates, u)
	}
	return updates, nil
}
