package rules

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"ferric"
)

// attribute is a field of a node or a port under its name in the API. set is nil for one that rules may read only.
type attribute[T any] struct {
	get func(*T) any
	set func(*T, any) error
}

func textField[T any, S ~string](at func(*T) *S) attribute[T] {
	return attribute[T]{
		get: func(o *T) any {
			if s := *at(o); s != "" {
				return string(s)
			}
			return nil
		},
		set: func(o *T, v any) error {
			switch v.(type) {
			case map[string]any, []any:
				return fmt.Errorf("a text is wanted")
			case nil:
				*at(o) = ""
			default:
				*at(o) = S(text(v))
			}
			return nil
		}}
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func uuidField[T any](at func(*T) *string) attribute[T] {
	a := textField(at)
	plain := a.set
	a.set = func(o *T, v any) error {
		if v != nil {
			s := strings.ToLower(text(v))
			if !uuidPattern.MatchString(s) {
				return fmt.Errorf("a UUID is wanted")
			}
			v = s
		}
		return plain(o, v)
	}
	return a
}

// readBool takes a bool, or the text of one: replacement fields make texts.
func readBool(v any) (bool, error) {
	switch strings.ToLower(text(v)) {
	case "true", "yes", "1", "on":
		return true, nil
	case "false", "no", "0", "off":
		return false, nil
	}
	return false, fmt.Errorf("true or false is wanted")
}

func boolField[T any](at func(*T) *bool) attribute[T] {
	return attribute[T]{
		get: func(o *T) any { return *at(o) },
		set: func(o *T, v any) error {
			if v == nil {
				*at(o) = false
				return nil
			}
			b, err := readBool(v)
			if err == nil {
				*at(o) = b
			}
			return err
		}}
}

func maybeField[T any](at func(*T) **bool) attribute[T] {
	return attribute[T]{
		get: func(o *T) any {
			if p := *at(o); p != nil {
				return *p
			}
			return nil
		},
		set: func(o *T, v any) error {
			if v == nil {
				*at(o) = nil
				return nil
			}
			b, err := readBool(v)
			if err == nil {
				*at(o) = &b
			}
			return err
		}}
}

func objectField[T any](at func(*T) *map[string]any) attribute[T] {
	return attribute[T]{
		get: func(o *T) any {
			if m := *at(o); m != nil {
				return m
			}
			return map[string]any{}
		},
		set: func(o *T, v any) error {
			m, ok := v.(map[string]any)
			if !ok && v != nil {
				return fmt.Errorf("an object is wanted")
			}
			*at(o) = m
			return nil
		}}
}

func anyField[T any](at func(*T) *any) attribute[T] {
	return attribute[T]{get: func(o *T) any { return *at(o) }, set: func(o *T, v any) error { *at(o) = v; return nil }}
}

func timeField[T any](at func(*T) *time.Time) attribute[T] {
	return attribute[T]{get: func(o *T) any {
		if t := *at(o); !t.IsZero() {
			return t.UTC().Format("2006-01-02 15:04:05+00:00")
		}
		return nil
	}}
}

func readOnly[T any](a attribute[T]) attribute[T] {
	a.set = nil
	return a
}

// nodeAttributes are a node's attributes. What only the state machine, a lease or the hardware may change can be read, not set.
func nodeAttributes() map[string]attribute[ferric.Node] {
	type N = ferric.Node
	all := map[string]attribute[N]{
		"uuid":                   readOnly(textField(func(n *N) *string { return &n.UUID })),
		"name":                   textField(func(n *N) *string { return &n.Name }),
		"instance_uuid":          uuidField(func(n *N) *string { return &n.InstanceID }),
		"driver":                 textField(func(n *N) *string { return &n.Driver }),
		"driver_info":            objectField(func(n *N) *map[string]any { return &n.DriverInfo }),
		"properties":             objectField(func(n *N) *map[string]any { return &n.Properties }),
		"instance_info":          objectField(func(n *N) *map[string]any { return &n.InstanceInfo }),
		"extra":                  objectField(func(n *N) *map[string]any { return &n.Extra }),
		"driver_internal_info":   objectField(func(n *N) *map[string]any { return &n.InternalInfo }),
		"chassis_uuid":           uuidField(func(n *N) *string { return &n.ChassisUUID }),
		"resource_class":         textField(func(n *N) *string { return &n.ResourceClass }),
		"conductor_group":        textField(func(n *N) *string { return &n.ConductorGroup }),
		"owner":                  textField(func(n *N) *string { return &n.Owner }),
		"lessee":                 textField(func(n *N) *string { return &n.Lessee }),
		"description":            textField(func(n *N) *string { return &n.Description }),
		"shard":                  textField(func(n *N) *string { return &n.Shard }),
		"parent_node":            uuidField(func(n *N) *string { return &n.ParentNode }),
		"allocation_uuid":        readOnly(textField(func(n *N) *string { return &n.AllocationUUID })),
		"instance_name":          textField(func(n *N) *string { return &n.InstanceName }),
		"power_state":            readOnly(textField(func(n *N) *ferric.PowerState { return &n.PowerState })),
		"target_power_state":     readOnly(textField(func(n *N) *ferric.PowerState { return &n.TargetPowerState })),
		"provision_state":        readOnly(textField(func(n *N) *ferric.ProvisionState { return &n.ProvisionState })),
		"target_provision_state": readOnly(textField(func(n *N) *ferric.ProvisionState { return &n.TargetProvisionState })),
		"last_error":             readOnly(textField(func(n *N) *string { return &n.LastError })),
		"reservation":            readOnly(textField(func(n *N) *string { return &n.Reservation })),
		"maintenance":            boolField(func(n *N) *bool { return &n.Maintenance }),
		"maintenance_reason":     textField(func(n *N) *string { return &n.MaintenanceReason }),
		"fault":                  readOnly(textField(func(n *N) *ferric.Fault { return &n.Fault })),
		"protected":              boolField(func(n *N) *bool { return &n.Protected }),
		"protected_reason":       textField(func(n *N) *string { return &n.ProtectedReason }),
		"retired":                boolField(func(n *N) *bool { return &n.Retired }),
		"retired_reason":         textField(func(n *N) *string { return &n.RetiredReason }),
		"automated_clean":        maybeField(func(n *N) **bool { return &n.AutomatedClean }),
		"disable_power_off":      boolField(func(n *N) *bool { return &n.DisablePowerOff }),
		"console_enabled":        readOnly(boolField(func(n *N) *bool { return &n.ConsoleEnabled })),
		"boot_mode":              readOnly(textField(func(n *N) *string { return &n.BootMode })),
		"secure_boot":            readOnly(maybeField(func(n *N) **bool { return &n.SecureBoot })),
		"raid_config":            readOnly(anyField(func(n *N) *any { return &n.RAIDConfig })),
		"target_raid_config":     anyField(func(n *N) *any { return &n.TargetRAIDConfig }),
		"network_data":           anyField(func(n *N) *any { return &n.NetworkData }),
		"inspection_started_at":  timeField(func(n *N) *time.Time { return &n.InspectionStartedAt }),
		"inspection_finished_at": timeField(func(n *N) *time.Time { return &n.InspectionFinishedAt }),
		"provision_updated_at":   timeField(func(n *N) *time.Time { return &n.ProvisionUpdatedAt }),
		"created_at":             timeField(func(n *N) *time.Time { return &n.CreatedAt }),
		"updated_at":             timeField(func(n *N) *time.Time { return &n.UpdatedAt }),
		"traits": {get: func(n *N) any {
			list := []any{}
			for _, t := range n.Traits {
				list = append(list, t)
			}
			return list
		}},
	}
	for _, kind := range ferric.InterfaceKinds() {
		all[string(kind)+"_interface"] = attribute[N]{
			get: func(n *N) any {
				if s := n.Interfaces[kind]; s != "" {
					return s
				}
				return nil
			},
			set: func(n *N, v any) error {
				s, ok := v.(string)
				if !ok && v != nil {
					return fmt.Errorf("a text is wanted")
				}
				n.Interfaces = maps.Clone(n.Interfaces)
				if n.Interfaces == nil {
					n.Interfaces = ferric.Interfaces{}
				}
				if s == "" {
					delete(n.Interfaces, kind)
				} else {
					n.Interfaces[kind] = s
				}
				return nil
			}}
	}
	return all
}

// portAttributes are a port's attributes.
func portAttributes() map[string]attribute[ferric.Port] {
	type P = ferric.Port
	return map[string]attribute[P]{
		"uuid":                  readOnly(textField(func(p *P) *string { return &p.UUID })),
		"node_uuid":             readOnly(textField(func(p *P) *string { return &p.NodeUUID })),
		"address":               readOnly(textField(func(p *P) *string { return &p.Address })),
		"name":                  textField(func(p *P) *string { return &p.Name }),
		"description":           textField(func(p *P) *string { return &p.Description }),
		"extra":                 objectField(func(p *P) *map[string]any { return &p.Extra }),
		"internal_info":         objectField(func(p *P) *map[string]any { return &p.InternalInfo }),
		"local_link_connection": objectField(func(p *P) *map[string]any { return &p.LocalLinkConnection }),
		"pxe_enabled":           boolField(func(p *P) *bool { return &p.PXEEnabled }),
		"portgroup_uuid":        readOnly(textField(func(p *P) *string { return &p.PortgroupUUID })),
		"physical_network":      textField(func(p *P) *string { return &p.PhysicalNetwork }),
		"is_smartnic":           boolField(func(p *P) *bool { return &p.IsSmartNIC }),
		"vendor":                textField(func(p *P) *string { return &p.Vendor }),
		"category":              textField(func(p *P) *string { return &p.Category }),
	}
}

// document shows an object to replacement fields.
func document[T any](attrs map[string]attribute[T], o *T) map[string]any {
	doc := make(map[string]any, len(attrs))
	for name, a := range attrs {
		doc[name] = a.get(o)
	}
	return doc
}

// pathOf splits a path, of slashes or else of dots.
func pathOf(path string) []string {
	if strings.Contains(path, "/") {
		return strings.Split(strings.Trim(path, "/"), "/")
	}
	return strings.Split(path, ".")
}

// change sets the attribute that a path leads to. do gets the value there (have is false if there is none) and returns the new one; keep
// false removes it.
func change[T any](attrs map[string]attribute[T], o *T, path string, do func(old any, have bool) (v any, keep bool, err error)) error {
	parts := pathOf(path)
	a, ok := attrs[parts[0]]
	switch {
	case !ok:
		return fmt.Errorf("there is no attribute %s", clip(parts[0]))
	case a.set == nil:
		return fmt.Errorf("%s cannot be changed by a rule", parts[0])
	}
	value := clone(a.get(o))
	if len(parts) == 1 {
		v, keep, err := do(value, value != nil)
		if err != nil {
			return err
		}
		if !keep {
			v = nil
		}
		return a.set(o, clone(v))
	}
	base, ok := value.(map[string]any)
	if !ok {
		if value != nil {
			return fmt.Errorf("%s is no object", parts[0])
		}
		base = map[string]any{}
	}
	if err := changeBelow(base, parts[1:], do); err != nil {
		return err
	}
	return a.set(o, base)
}

// changeBelow is change for a place below an object. Objects on the way are made, but not for a removal.
func changeBelow(base map[string]any, parts []string, do func(old any, have bool) (any, bool, error)) error {
	_, makes, _ := do(nil, false)
	at := base
	for _, part := range parts[:len(parts)-1] {
		next, have := at[part]
		if !have {
			if !makes {
				return nil
			}
			next = map[string]any{}
			at[part] = next
		}
		m, ok := next.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", clip(part))
		}
		at = m
	}
	last := parts[len(parts)-1]
	old, have := at[last]
	v, keep, err := do(old, have)
	if err != nil {
		return err
	}
	if keep {
		at[last] = clone(v)
	} else {
		delete(at, last)
	}
	return nil
}

// The three ways to change a place.

func setting(v any) func(any, bool) (any, bool, error) {
	return func(any, bool) (any, bool, error) { return v, true, nil }
}

func removing(any, bool) (any, bool, error) { return nil, false, nil }

func extending(v any, unique bool) func(any, bool) (any, bool, error) {
	return func(old any, have bool) (any, bool, error) {
		list, ok := old.([]any)
		if !ok && have && old != nil {
			return nil, true, fmt.Errorf("cannot extend what is no list")
		}
		if unique {
			for _, e := range list {
				if equal(e, v) {
					return old, true, nil
				}
			}
		}
		return append(list, v), true, nil
	}
}
