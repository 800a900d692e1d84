package api

import (
	"slices"
	"time"

	"ferric"
)

// portResource is the table of a port's fields.
func portResource() *resource[ferric.Port] {
	type P = ferric.Port
	fields := []field[P]{
		{name: "uuid", brief: true, sort: true, value: text(func(p *P) *string { return &p.UUID }), write: onCreate, check: aUUID},
		{name: "address", brief: true, required: true, sort: true, value: text(func(p *P) *string { return &p.Address }),
			write: writable, check: aMAC},
		{name: "created_at", sort: true, value: moment(func(p *P) *time.Time { return &p.CreatedAt })},
		{name: "updated_at", sort: true, value: sinceMade[P]{moment(func(p *P) *time.Time { return &p.UpdatedAt }),
			func(p *P) int64 { return p.Version }}},
		{name: "extra", value: object(func(p *P) *map[string]any { return &p.Extra }), write: writable, check: anObject},
		{name: "internal_info", since: 18, value: object(func(p *P) *map[string]any { return &p.InternalInfo })},
		{name: "is_smartnic", since: 53, sort: true, value: flag(func(p *P) *bool { return &p.IsSmartNIC }), write: writable, check: aBool},
		{name: "local_link_connection", since: 19, value: linkValue{object(func(p *P) *map[string]any { return &p.LocalLinkConnection })},
			write: writable, check: localLink},
		{name: "node_uuid", required: true, value: text(func(p *P) *string { return &p.NodeUUID }), write: writable, check: aUUID},
		{name: "physical_network", since: 34, sort: true, value: text(func(p *P) *string { return &p.PhysicalNetwork }),
			write: writable, check: physicalNetwork},
		{name: "portgroup_uuid", since: 24, value: text(func(p *P) *string { return &p.PortgroupUUID }), write: writable, check: aUUID},
		{name: "pxe_enabled", since: 19, sort: true, value: flagUnless(func(p *P) *bool { return &p.PXEEnabled }), write: writable, check: aBool},
		{name: "name", since: 88, sort: true, value: text(func(p *P) *string { return &p.Name }), write: writable, check: portName},
		{name: "description", since: 97, sort: true, value: text(func(p *P) *string { return &p.Description }),
			write: writable, check: aString(255)},
		{name: "vendor", since: 100, sort: true, value: text(func(p *P) *string { return &p.Vendor }), write: writable, check: aString(32)},
		{name: "category", since: 101, sort: true, value: text(func(p *P) *string { return &p.Category }), write: writable, check: aString(80)},
		{name: "available_for_dynamic_portgroup", since: 111, sort: true, value: notFlag(func(p *P) *bool { return &p.NotForDynamicPortgroup }),
			write: writable, check: strictBool},
	}
	return newResource(resource[P]{name: "port", collection: "ports", fields: fields,
		uuid: func(p *P) string { return p.UUID }, version: func(p *P) int64 { return p.Version }, clone: (*P).Clone})
}

func physicalNetwork(where, name string, v any) (any, error) {
	v, err := aString(64)(where, name, v)
	if v == "" && err == nil {
		return nil, invalid("A non-empty value is required when setting physical_network")
	}
	return v, err
}

func portName(where, name string, v any) (any, error) {
	v, err := aString(255)(where, name, v)
	if s, ok := v.(string); ok && err == nil && s != "" && (!isName(s) || isUUID(s)) {
		return nil, invalid("Expected a logical name but received %s.", clip(s))
	}
	return v, err
}

// linkForms are the sets of keys that make a local link connection whole.
func linkForms() [][]string {
	return [][]string{{"port_id", "switch_id"}, {"port_id", "hostname"}, {"network_type"}}
}

// localLink takes an object that says which switch port the NIC is plugged into: of a switch, of a smart NIC, or unmanaged.
func localLink(where, name string, v any) (any, error) {
	v, err := anObject(where, name, v)
	if err != nil || v == nil {
		return nil, err
	}
	m := v.(map[string]any)
	if len(m) == 0 {
		return m, nil
	}
	known := []string{"port_id", "switch_id", "hostname", "switch_info", "network_type", "vtep-logical-switch", "vtep-physical-switch"}
	for _, k := range sortedKeys(m) {
		if !slices.Contains(known, k) {
			return nil, invalid("Schema error for %s: Additional properties are not allowed (%s was unexpected)", name, repr(clip(k)))
		}
		if _, ok := m[k].(string); !ok {
			return nil, typeError(name, m[k], "string")
		}
	}
	if t, ok := m["network_type"]; ok && t != "managed" && t != "unmanaged" {
		return nil, invalid("Schema error for %s: %s is not one of ['managed', 'unmanaged']", name, clip(repr(t)))
	}
	whole := slices.ContainsFunc(linkForms(), func(form []string) bool {
		for _, k := range form {
			if _, ok := m[k]; !ok {
				return false
			}
		}
		return form[0] != "network_type" || m["network_type"] == "unmanaged"
	})
	_, logical := m["vtep-logical-switch"]
	_, physical := m["vtep-physical-switch"]
	_, port := m["port_id"]
	if !whole && !(logical && physical && port) || logical != physical {
		return nil, invalid("Schema error for %s: %s is not valid under any of the given schemas. Possible root cause: it needs "+
			"port_id and switch_id, or port_id and hostname, or network_type 'unmanaged'", name, clip(repr(m)))
	}
	if id, ok := m["switch_id"].(string); ok {
		mac, isMAC := normalMAC(id)
		if !isMAC && !datapathPattern.MatchString(mac) {
			return nil, invalid("Expected a MAC address or OpenFlow datapath ID but received %s.", clip(id))
		}
		m["switch_id"] = mac
	}
	return m, nil
}

// linkVersion refuses parts of a local link connection that the version does not know.
func linkVersion(v any, version int) error {
	m, _ := v.(map[string]any)
	if _, ok := m["network_type"]; ok && version < 64 {
		return notAcceptable()
	}
	if _, ok := m["vtep-logical-switch"]; ok && !knowsVTEP(version) {
		return notAcceptable()
	}
	return nil
}

// knowsVTEP reports whether a version has the VTEP of an OVN switch in links: those keys came in 1.90 and went in 1.105.
func knowsVTEP(version int) bool { return version >= 90 && version < 105 }

// linkValue is a local link connection. Versions that do not know a VTEP see an empty one in its place.
type linkValue struct{ value[ferric.Port] }

func (f linkValue) appendJSON(b []byte, p *ferric.Port, version int) []byte {
	_, logical := p.LocalLinkConnection["vtep-logical-switch"]
	_, physical := p.LocalLinkConnection["vtep-physical-switch"]
	if (logical || physical) && !knowsVTEP(version) {
		return append(b, "{}"...)
	}
	return f.value.appendJSON(b, p, version)
}

// smartNIC refuses a new smart NIC's port whose local link connection lacks what it needs.
func smartNIC(p *ferric.Port) error {
	if !p.IsSmartNIC {
		return nil
	}
	for _, k := range []string{"port_id", "hostname"} {
		if s, _ := p.LocalLinkConnection[k].(string); s == "" {
			return invalid("Smart NIC port must have port_id and hostname in local_link_connection")
		}
	}
	return nil
}
