package api

import (
	"time"

	"ferric"
)

// portgroupResource is the table of a port group's fields.
func portgroupResource() *resource[ferric.Portgroup] {
	type G = ferric.Portgroup
	fields := []field[G]{
		{name: "uuid", brief: true, sort: true, value: text(func(g *G) *string { return &g.UUID }), write: onCreate, check: aUUID},
		{name: "address", brief: true, sort: true, value: text(func(g *G) *string { return &g.Address }), write: writable, check: maybeMAC},
		{name: "extra", value: object(func(g *G) *map[string]any { return &g.Extra }), write: writable, check: anObject},
		{name: "mode", since: 26, sort: true, value: text(func(g *G) *string { return &g.Mode }), write: writable, check: aString(255)},
		{name: "name", brief: true, sort: true, value: text(func(g *G) *string { return &g.Name }), write: writable, check: aString(0)},
		{name: "node_uuid", required: true, value: text(func(g *G) *string { return &g.NodeUUID }), write: writable, check: aUUID},
		{name: "properties", since: 26, value: object(func(g *G) *map[string]any { return &g.Properties }), write: writable, check: anObject},
		{name: "standalone_ports_supported", sort: true, value: flagUnless(func(g *G) *bool { return &g.StandalonePorts }),
			write: writable, check: aBool},
		{name: "physical_network", since: 102, sort: true, value: text(func(g *G) *string { return &g.PhysicalNetwork }),
			write: writable, check: physicalNetwork},
		{name: "category", since: 103, sort: true, value: text(func(g *G) *string { return &g.Category }), write: writable, check: aString(80)},
		{name: "dynamic_portgroup", since: 111, sort: true, value: flag(func(g *G) *bool { return &g.Dynamic })},
		{name: "internal_info", value: object(func(g *G) *map[string]any { return &g.InternalInfo })},
		{name: "created_at", sort: true, value: moment(func(g *G) *time.Time { return &g.CreatedAt })},
		{name: "updated_at", sort: true, value: sinceMade[G]{moment(func(g *G) *time.Time { return &g.UpdatedAt }),
			func(g *G) int64 { return g.Version }}},
	}
	return newResource(resource[G]{name: "portgroup", collection: "portgroups", fields: fields, clone: (*G).Clone,
		uuid: func(g *G) string { return g.UUID }, version: func(g *G) int64 { return g.Version },
		children: []child{{name: "ports", since: 23, asked: true}}})
}
