package inspection

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"

	"ferric"
	"ferric/agentapi"
)

// Facts are what hooks work on, and what they make of it.
type Facts struct {
	Node       *ferric.Node   // a copy, which hooks change
	Ports      []*ferric.Port // copies, likewise; those with Version 0 are new
	Inventory  agentapi.Inventory
	Raw        map[string]any // the inventory as it came; numbers are json.Number
	PluginData map[string]any // what else came, and what hooks add
	// Previous are the serial numbers of the disks that the inspection before found; nil: there was none.
	Previous []string
	Log      *slog.Logger

	pxeMAC string // "" if the agent does not know what the machine booted from
}

// Read fills in inventory and plugin data from JSON. CodeInvalid if they are no objects, or have the wrong types.
func (f *Facts) Read(inventory, pluginData json.RawMessage) error {
	if err := json.Unmarshal(inventory, &f.Inventory); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "the inventory cannot be read: %w", err)
	}
	var err error
	if f.Raw, err = object(inventory); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "the inventory cannot be read: %w", err)
	}
	if f.PluginData, err = object(pluginData); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "the plugin data cannot be read: %w", err)
	}
	return nil
}

// object reads a JSON object, exact in its numbers. Nothing and null are an empty one.
func object(raw json.RawMessage) (map[string]any, error) {
	m := map[string]any{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return m, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	if m == nil {
		m = map[string]any{}
	}
	return m, nil
}

// Serials are the serial numbers of the disks in an inventory, never nil.
func Serials(inv agentapi.Inventory) []string {
	list := []string{}
	for _, d := range inv.Disks {
		if s := d.Serial.First(); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// setProperty sets one of the node's properties.
func (f *Facts) setProperty(name string, v any) {
	if f.Node.Properties == nil {
		f.Node.Properties = map[string]any{}
	}
	f.Node.Properties[name] = v
}

// addCapabilities merges capabilities into the node's.
func (f *Facts) addCapabilities(m map[string]string) {
	all := f.Node.Capabilities()
	for k, v := range m {
		all[k] = v
	}
	f.Node.SetCapabilities(all)
}

// port is the port with a MAC address, nil if there is none.
func (f *Facts) port(mac string) *ferric.Port {
	i := slices.IndexFunc(f.Ports, func(p *ferric.Port) bool { return p.Address == mac })
	if i < 0 {
		return nil
	}
	return f.Ports[i]
}

// rawInterfaces are the interfaces of the inventory as they came.
func (f *Facts) rawInterfaces() []map[string]any {
	var out []map[string]any
	list, _ := f.Raw["interfaces"].([]any)
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func str(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// normalMAC brings a MAC address into lower case with colons, "" if it is none.
func normalMAC(s string) string {
	s = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(s)), "-", ":")
	parts := strings.Split(s, ":")
	if len(parts) != 6 {
		return ""
	}
	for _, p := range parts {
		if len(p) != 2 || strings.Trim(p, "0123456789abcdef") != "" {
			return ""
		}
	}
	return s
}
