package api

import (
	"time"

	"ferric"
	"ferric/policy"
)

// connectorResource is the table of a volume connector's fields.
func connectorResource() *resource[ferric.VolumeConnector] {
	type V = ferric.VolumeConnector
	fields := []field[V]{
		{name: "uuid", brief: true, sort: true, value: text(func(v *V) *string { return &v.UUID }), write: onCreate, check: aUUID},
		{name: "connector_id", brief: true, required: true, sort: true, value: text(func(v *V) *string { return &v.ConnectorID }),
			write: writable, check: some(aString(255), "string")},
		{name: "extra", value: object(func(v *V) *map[string]any { return &v.Extra }), write: writable, check: anObject},
		{name: "node_uuid", brief: true, required: true, value: text(func(v *V) *string { return &v.NodeUUID }), write: writable, check: aUUID},
		{name: "type", brief: true, required: true, sort: true, value: text(func(v *V) *string { return &v.Type }),
			write: writable, check: some(aString(32), "string")},
		{name: "created_at", sort: true, value: moment(func(v *V) *time.Time { return &v.CreatedAt })},
		{name: "updated_at", sort: true, value: sinceMade[V]{moment(func(v *V) *time.Time { return &v.UpdatedAt }),
			func(v *V) int64 { return v.Version }}},
	}
	return newResource(resource[V]{name: "volume connector", inText: "connector", collection: "volume/connectors", key: "connectors", fields: fields, clone: (*V).Clone,
		uuid: func(v *V) string { return v.UUID }, version: func(v *V) int64 { return v.Version }})
}

// viewTargetProperties is the rule for seeing how a volume is reached.
const viewTargetProperties = "baremetal:volume:view_target_properties"

// targetResource is the table of a volume target's fields.
func targetResource() *resource[ferric.VolumeTarget] {
	type V = ferric.VolumeTarget
	fields := []field[V]{
		{name: "uuid", brief: true, sort: true, value: text(func(v *V) *string { return &v.UUID }), write: onCreate, check: aUUID},
		{name: "boot_index", brief: true, required: true, sort: true, value: integer(func(v *V) *int { return &v.BootIndex }),
			write: writable, check: anInteger},
		{name: "extra", value: object(func(v *V) *map[string]any { return &v.Extra }), write: writable, check: anObject},
		{name: "node_uuid", brief: true, required: true, value: text(func(v *V) *string { return &v.NodeUUID }), write: writable, check: aUUID},
		{name: "properties", value: secrets(func(v *V) *map[string]any { return &v.Properties }), write: writable, check: anObject,
			read: viewTargetProperties, redacted: `{"redacted_contents":"** Value redacted: Requires permission ` + viewTargetProperties +
				` access. Permission denied. **"}`},
		{name: "volume_id", brief: true, required: true, sort: true, value: text(func(v *V) *string { return &v.VolumeID }),
			write: writable, check: some(aString(255), "string")},
		{name: "volume_type", brief: true, required: true, sort: true, value: text(func(v *V) *string { return &v.Type }),
			write: writable, check: some(aString(64), "string")},
		{name: "created_at", sort: true, value: moment(func(v *V) *time.Time { return &v.CreatedAt })},
		{name: "updated_at", sort: true, value: sinceMade[V]{moment(func(v *V) *time.Time { return &v.UpdatedAt }),
			func(v *V) int64 { return v.Version }}},
	}
	return newResource(resource[V]{name: "volume target", inText: "target", collection: "volume/targets", key: "targets", fields: fields, clone: (*V).Clone,
		target: func(*V) policy.Target { return policy.Target{} }, openFields: viewTargetProperties,
		uuid: func(v *V) string { return v.UUID }, version: func(v *V) int64 { return v.Version }})
}
