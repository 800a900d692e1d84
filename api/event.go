package api

import (
	"slices"
	"strings"

	"ferric"
	"ferric/flow"
	"ferric/rpc"
)

// externalEvent is one event of a network service, checked.
type externalEvent struct {
	name, mac, host string
}

func eventNames() []string {
	return []string{flow.EventBindPort, flow.EventUnbindPort, flow.EventDeletePort}
}

// postEvents takes events of a network service and wakes the operations that wait for them. An event about a port that is not here is for somebody else.
func (a *API) postEvents(rq *request) (any, error) {
	events, err := readEvents(rq.doc)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		n, err := a.eventNode(rq, e)
		if err != nil {
			return nil, err
		}
		if n == nil {
			a.log.DebugContext(rq.Context(), "an event is about no port of ours", "event", e.name, "mac", e.mac)
			continue
		}
		err = a.deps.Conductors.Call(rq.Context(), n, rpc.ExternalEvent, rpc.EventArgs{NodeRef: a.ref(rq, n), Event: e.name}, nil)
		if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
			return nil, err
		}
	}
	return nil, nil
}

// eventNode finds the node that an event is about, nil if there is none: the one with the port, or the one that the port is bound to.
func (a *API) eventNode(rq *request, e externalEvent) (*ferric.Node, error) {
	n, err := a.deps.Store.NodeByMACs(rq.Context(), []string{e.mac})
	if ferric.IsCode(err, ferric.CodeNotFound) && e.host != "" {
		n, err = a.deps.Store.Node(rq.Context(), canonicalUUID(e.host))
	}
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil, nil
	}
	return n, err
}

func readEvents(doc any) ([]externalEvent, error) {
	body, ok := doc.(map[string]any)
	if !ok {
		return nil, typeError("evts", doc, "object")
	}
	for _, k := range sortedKeys(body) {
		if k != "events" {
			return nil, invalid("Schema error for evts: Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
		}
	}
	list, given := body["events"]
	if !given {
		return nil, invalid("Schema error for evts: 'events' is a required property")
	}
	items, ok := list.([]any)
	if !ok {
		return nil, typeError("evts", list, "array")
	}
	if len(items) == 0 {
		return nil, invalid("Schema error for evts: [] is too short")
	}
	var out []externalEvent
	for _, item := range items {
		e, err := readEvent(item)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// readEvent checks one event, field by field.
func readEvent(v any) (e externalEvent, err error) {
	m, ok := v.(map[string]any)
	if !ok {
		return e, typeError("evts", v, "object")
	}
	for _, k := range []string{"event", "port_id", "mac_address", "status"} {
		if _, given := m[k]; !given {
			return e, invalid("Schema error for evts: '%s' is a required property", k)
		}
	}
	for _, k := range sortedKeys(m) {
		nullable := false
		switch k {
		case "event", "port_id", "mac_address", "status":
		case "device_id", "binding:host_id", "binding:vnic_type":
			nullable = true
		default:
			return e, invalid("Schema error for evts: Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
		}
		s, ok := m[k].(string)
		if !ok && !(nullable && m[k] == nil) {
			if nullable {
				return e, typeError("evts", m[k], "string", "null")
			}
			return e, typeError("evts", m[k], "string")
		}
		switch k {
		case "event":
			if e.name = s; !slices.Contains(eventNames(), s) {
				return e, invalid("Schema error for evts: %s is not one of ['%s']", clip(repr(s)), strings.Join(eventNames(), "', '"))
			}
		case "mac_address":
			if e.mac, ok = normalMAC(s); !ok {
				return e, invalid("Schema error for evts: %s is not a 'mac-address'", clip(repr(s)))
			}
		case "port_id", "device_id", "binding:host_id":
			if m[k] != nil && !isUUID(s) {
				return e, invalid("Schema error for evts: %s is not a 'uuid'", clip(repr(s)))
			}
			if k == "binding:host_id" {
				e.host = s
			}
		}
	}
	return e, nil
}
