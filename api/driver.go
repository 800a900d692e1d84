package api

import (
	"slices"
	"strings"

	"ferric"
	"ferric/rpc"
)

// drivers returns what the conductors that are alive can drive, sorted by name. Details are one conductor's, since all are
// configured alike; which hosts a driver is on is each conductor's own word.
func (a *API) drivers(rq *request) ([]rpc.Driver, error) {
	conductors, err := a.deps.Store.Conductors(rq.Context(), a.config.ConductorAlive)
	if err != nil {
		return nil, err
	}
	var details []rpc.Driver
	err = a.deps.Conductors.CallAny(rq.Context(), rpc.Drivers, struct{}{}, &details)
	if err != nil && !ferric.IsCode(err, ferric.CodeUnavailable) {
		return nil, err
	}
	byName := map[string]rpc.Driver{}
	for _, d := range details {
		byName[d.Name] = d
	}
	for _, c := range conductors {
		if !c.Alive {
			continue
		}
		for _, name := range c.HardwareTypes {
			d := byName[name]
			d.Name = name
			if !slices.Contains(d.Hosts, c.Host) {
				d.Hosts = append(d.Hosts, c.Host)
			}
			byName[name] = d
		}
	}
	var out []rpc.Driver
	for _, d := range byName {
		slices.Sort(d.Hosts)
		out = append(out, d)
	}
	slices.SortFunc(out, func(x, y rpc.Driver) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// kindSince is the version from which drivers show an interface kind.
func kindSince(kind ferric.InterfaceKind) int {
	switch kind {
	case ferric.KindStorage:
		return 33
	case ferric.KindRescue:
		return 38
	case ferric.KindBIOS:
		return 40
	case ferric.KindFirmware:
		return 86
	}
	return 30
}

func (a *API) driverObject(rq *request, d rpc.Driver, detail bool) (map[string]any, error) {
	path := "drivers/" + d.Name
	out := map[string]any{"name": d.Name, "hosts": append([]string{}, d.Hosts...), "links": rq.links(path)}
	if rq.version >= 14 {
		out["properties"] = rq.links(path + "/properties")
	}
	if rq.version >= 30 {
		out["type"] = "dynamic"
	}
	if detail {
		for _, kind := range ferric.InterfaceKinds() {
			if rq.version < kindSince(kind) {
				continue
			}
			out["default_"+string(kind)+"_interface"] = nil
			if name := d.Default[kind]; name != "" {
				out["default_"+string(kind)+"_interface"] = name
			}
			out["enabled_"+string(kind)+"_interfaces"] = append([]string{}, d.Enabled[kind]...)
		}
	}
	fields := rq.args.list("fields")
	if !rq.args.has("fields") {
		return out, nil
	}
	var unknown []string
	for _, name := range fields {
		if _, ok := out[name]; !ok {
			unknown = append(unknown, clip(name))
		}
	}
	if len(unknown) > 0 {
		return nil, invalid(`Field(s) "%s" are not valid`, strings.Join(unknown, ", "))
	}
	for name := range out {
		if name != "links" && !slices.Contains(fields, name) {
			delete(out, name)
		}
	}
	return out, nil
}

func (a *API) listDrivers(rq *request) (any, error) {
	if rq.args.has("fields") && rq.args.isTrue("detail") {
		return nil, invalid("Can not specify ?detail=True and fields in the same request.")
	}
	kind := rq.args.str("type")
	if rq.args.has("type") && kind != "classic" && kind != "dynamic" {
		return nil, invalid(`"type" filter must be one of "classic" or "dynamic", if specified.`)
	}
	list := []map[string]any{}
	if kind != "classic" { // there are none
		drivers, err := a.drivers(rq)
		if err != nil {
			return nil, err
		}
		for _, d := range drivers {
			object, err := a.driverObject(rq, d, rq.version >= 30 && rq.args.isTrue("detail"))
			if err != nil {
				return nil, err
			}
			list = append(list, object)
		}
	}
	return map[string]any{"drivers": list}, nil
}

// driver finds the driver that the path names.
func (a *API) driver(rq *request) (rpc.Driver, error) {
	drivers, err := a.drivers(rq)
	if err != nil {
		return rpc.Driver{}, err
	}
	for _, d := range drivers {
		if d.Name == rq.vars["driver"] {
			return d, nil
		}
	}
	return rpc.Driver{}, ferric.Errorf(ferric.CodeNotFound, "Could not find the following driver(s) or hardware type(s): %s.",
		clip(rq.vars["driver"]))
}

func (a *API) showDriver(rq *request) (any, error) {
	d, err := a.driver(rq)
	if err != nil {
		return nil, err
	}
	return a.driverObject(rq, d, rq.version >= 30)
}

func (a *API) showDriverProperties(rq *request) (any, error) {
	d, err := a.driver(rq)
	if err != nil {
		return nil, err
	}
	if d.Properties == nil {
		return map[string]string{}, nil
	}
	return d.Properties, nil
}
