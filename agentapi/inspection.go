package agentapi

import (
	"encoding/json"

	"ferric"
)

// InspectionData is the body of POST /v1/continue_inspection (microversion 1.84; 1.110 answers as lookup
// does). On the wire the plugin data lies beside "inventory" in one object.
type InspectionData struct {
	Inventory Inventory
	// PluginData has every other key as it came: "root_disk", "boot_interface", "configuration", "pci_devices",
	// "lldp_raw", "usb_devices", "logs", "error" …
	PluginData map[string]json.RawMessage
}

// MarshalJSON merges inventory and plugin data.
func (d InspectionData) MarshalJSON() ([]byte, error) {
	m := make(map[string]json.RawMessage, len(d.PluginData)+1)
	for k, v := range d.PluginData {
		m[k] = v
	}
	inv, err := json.Marshal(d.Inventory)
	if err != nil {
		return nil, err
	}
	m["inventory"] = inv
	return json.Marshal(m)
}

// UnmarshalJSON splits inventory and plugin data. A body without an inventory that has at least one interface, and
// for each a mac_address (which may be empty), is refused with CodeInvalid, as Ironic does.
func (d *InspectionData) UnmarshalJSON(b []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	raw, ok := m["inventory"]
	if !ok {
		return ferric.Errorf(ferric.CodeInvalid, "inspection data: the field inventory is missing")
	}
	var inv Inventory
	if err := json.Unmarshal(raw, &inv); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "inspection data: inventory: %w", err)
	}
	var must struct {
		Interfaces []struct {
			MAC *string `json:"mac_address"`
		} `json:"interfaces"`
	}
	if err := json.Unmarshal(raw, &must); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "inspection data: inventory: %w", err)
	}
	if len(must.Interfaces) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "inspection data: inventory.interfaces must have at least one entry")
	}
	for i, nic := range must.Interfaces {
		if nic.MAC == nil {
			return ferric.Errorf(ferric.CodeInvalid, "inspection data: inventory.interfaces[%d].mac_address is missing", i)
		}
	}
	delete(m, "inventory")
	d.Inventory, d.PluginData = inv, m
	return nil
}

// InspectionResponse is the answer of continue_inspection: from microversion 1.110 the same object as lookup,
// before that the node's UUID alone.
type InspectionResponse struct {
	UUID   string        `json:"uuid,omitempty"`
	Node   *LookupNode   `json:"node,omitempty"`
	Config *LookupConfig `json:"config,omitempty"`
}

// NodeUUID returns the node's UUID from whichever form the answer has.
func (r InspectionResponse) NodeUUID() string {
	if r.Node != nil && r.Node.UUID != "" {
		return r.Node.UUID
	}
	return r.UUID
}
