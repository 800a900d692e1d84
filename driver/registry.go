package driver

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ferric"
)

// HardwareType is a kind of machine: per kind of interface, the names of the implementations that it allows, the
// preferred one first.
type HardwareType struct {
	Name     string
	Supports map[ferric.InterfaceKind][]string
}

// Registry holds the hardware types and implementations of one conductor. It is a plain value made at start, read-only
// afterwards.
type Registry struct {
	Types           []HardwareType
	Implementations map[ferric.InterfaceKind]map[string]Interface
	// Enabled limits the implementations per kind; a missing kind means all. Default names the one for new nodes where it is
	// not the type's first.
	Enabled  map[ferric.InterfaceKind][]string
	Defaults map[ferric.InterfaceKind]string
}

// Type returns an enabled hardware type. CodeInvalid names those there are.
func (r *Registry) Type(name string) (HardwareType, error) {
	var names []string
	for _, t := range r.Types {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return HardwareType{}, ferric.Errorf(ferric.CodeInvalid,
		"driver: no hardware type %q is enabled here; enabled: %s", name, strings.Join(names, ", "))
}

// TypeNames returns the names of the enabled hardware types, sorted.
func (r *Registry) TypeNames() []string {
	var names []string
	for _, t := range r.Types {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

// EnabledFor returns the implementations that a hardware type may use here, in its order of preference.
func (r *Registry) EnabledFor(t HardwareType, kind ferric.InterfaceKind) []string {
	var names []string
	for _, n := range t.Supports[kind] {
		if list, limited := r.Enabled[kind]; limited && !slices.Contains(list, n) {
			continue
		}
		if _, ok := r.Implementations[kind][n]; ok {
			names = append(names, n)
		}
	}
	return names
}

// DefaultFor returns the implementation that a new node of the type gets, "" if none is enabled.
func (r *Registry) DefaultFor(t HardwareType, kind ferric.InterfaceKind) string {
	names := r.EnabledFor(t, kind)
	if d := r.Defaults[kind]; d != "" && slices.Contains(names, d) {
		return d
	}
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// Complete fills in the interfaces that the node leaves open and refuses those that its hardware type does not allow or that
// are not enabled. CodeInvalid names the field, e.g. boot_interface.
func (r *Registry) Complete(n *ferric.Node) error {
	t, err := r.Type(n.Driver)
	if err != nil {
		return err
	}
	if n.Interfaces == nil {
		n.Interfaces = ferric.Interfaces{}
	}
	for _, kind := range ferric.InterfaceKinds() {
		enabled := r.EnabledFor(t, kind)
		if n.Interfaces[kind] == "" {
			d := r.DefaultFor(t, kind)
			if d == "" {
				return ferric.Errorf(ferric.CodeInvalid, "%s_interface: hardware type %q has no enabled implementation of it; "+
					"it supports: %s", kind, t.Name, strings.Join(t.Supports[kind], ", "))
			}
			n.Interfaces[kind] = d
			continue
		}
		if !slices.Contains(enabled, n.Interfaces[kind]) {
			return ferric.Errorf(ferric.CodeInvalid, "%s_interface: %q is not enabled or not supported by hardware type %q; "+
				"choose one of: %s", kind, n.Interfaces[kind], t.Name, strings.Join(enabled, ", "))
		}
	}
	return nil
}

// Check finds implementations that do not have the methods of their kind: a defect of the program, to be found at its start.
func (r *Registry) Check() error {
	for _, kind := range slices.Sorted(maps.Keys(r.Implementations)) {
		for _, name := range slices.Sorted(maps.Keys(r.Implementations[kind])) {
			if !fits(kind, r.Implementations[kind][name]) {
				return ferric.Errorf(ferric.CodeInternal, "the %s implementation %q lacks methods that its kind must have", kind, name)
			}
		}
	}
	return nil
}

func fits(kind ferric.InterfaceKind, impl Interface) (ok bool) {
	switch kind {
	case ferric.KindPower:
		_, ok = impl.(Power)
	case ferric.KindManagement:
		_, ok = impl.(Management)
	case ferric.KindBoot:
		_, ok = impl.(Boot)
	case ferric.KindNetwork:
		_, ok = impl.(Network)
	case ferric.KindDeploy:
		_, ok = impl.(Deploy)
	case ferric.KindInspect:
		_, ok = impl.(Inspect)
	case ferric.KindStorage:
		_, ok = impl.(Storage)
	case ferric.KindBIOS:
		_, ok = impl.(BIOS)
	case ferric.KindFirmware:
		_, ok = impl.(Firmware)
	case ferric.KindRAID:
		_, ok = impl.(RAID)
	case ferric.KindConsole:
		_, ok = impl.(Console)
	case ferric.KindVendor:
		_, ok = impl.(Vendor)
	case ferric.KindRescue:
		_, ok = impl.(Rescue)
	default: // a kind whose core has nothing to do yet, or that machines may lack
		ok = impl != nil
	}
	return ok
}

// Set is the interfaces of one node, composed.
type Set struct {
	byKind map[ferric.InterfaceKind]Interface
	power  Power // in place of the node's own, nil: none
}

// SetPower puts a power interface in the place of the node's own, which it wraps, for what Power returns.
func (s *Set) SetPower(p Power) { s.power = p }

// Compose gathers the node's implementations. CodeInvalid if one is missing.
func (r *Registry) Compose(n *ferric.Node) (*Set, error) {
	c := n.Clone()
	if err := r.Complete(c); err != nil {
		return nil, err
	}
	s := &Set{byKind: map[ferric.InterfaceKind]Interface{}}
	for kind, name := range c.Interfaces {
		s.byKind[kind] = r.Implementations[kind][name]
	}
	return s, nil
}

// Get returns the implementation of a kind.
func (s *Set) Get(kind ferric.InterfaceKind) Interface { return s.byKind[kind] }

// Power returns the node's power interface. The methods below do the same for the other kinds; Registry.Check sees to it that each has
// the right type.
func (s *Set) Power() Power {
	if s.power != nil {
		return s.power
	}
	return s.byKind[ferric.KindPower].(Power)
}
func (s *Set) Management() Management { return s.byKind[ferric.KindManagement].(Management) }
func (s *Set) Boot() Boot             { return s.byKind[ferric.KindBoot].(Boot) }
func (s *Set) Network() Network       { return s.byKind[ferric.KindNetwork].(Network) }
func (s *Set) Deploy() Deploy         { return s.byKind[ferric.KindDeploy].(Deploy) }
func (s *Set) Inspect() Inspect       { return s.byKind[ferric.KindInspect].(Inspect) }
func (s *Set) Storage() Storage       { return s.byKind[ferric.KindStorage].(Storage) }
func (s *Set) BIOS() BIOS             { return s.byKind[ferric.KindBIOS].(BIOS) }
func (s *Set) Firmware() Firmware     { return s.byKind[ferric.KindFirmware].(Firmware) }
func (s *Set) RAID() RAID             { return s.byKind[ferric.KindRAID].(RAID) }
func (s *Set) Console() Console       { return s.byKind[ferric.KindConsole].(Console) }
func (s *Set) Vendor() Vendor         { return s.byKind[ferric.KindVendor].(Vendor) }
func (s *Set) Rescue() Rescue         { return s.byKind[ferric.KindRescue].(Rescue) }

// Validation is the result of validating one kind.
type Validation struct {
	Result bool
	Reason string
}

// Validate checks every kind.
func (s *Set) Validate(ctx context.Context, m *Machine) map[ferric.InterfaceKind]Validation {
	out := map[ferric.InterfaceKind]Validation{}
	for kind, impl := range s.byKind {
		if kind == ferric.KindVendor {
			continue // what to validate depends on the method that is called
		}
		v := Validation{Result: true}
		if err := impl.Validate(ctx, m); err != nil {
			v = Validation{Reason: err.Error()}
		}
		out[kind] = v
	}
	return out
}

// Steps returns all steps of a phase that the node's interfaces offer, with the kind that each belongs to.
func (s *Set) Steps(m *Machine, phase Phase) map[ferric.InterfaceKind][]Step {
	out := map[ferric.InterfaceKind][]Step{}
	for kind, impl := range s.byKind {
		if st, ok := impl.(Stepper); ok {
			if steps := st.Steps(m, phase); len(steps) > 0 {
				out[kind] = steps
			}
		}
	}
	return out
}
