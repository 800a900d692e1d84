package api

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"ferric"
	"ferric/rpc"
)

// validateNode answers what each interface thinks of the node. Old clients name the node in the query.
func (a *API) validateNode(rq *request) (any, error) {
	ident := rq.vars["node"]
	for _, name := range []string{"node", "node_uuid"} {
		if ident == "" {
			ident = rq.args.str(name)
		}
	}
	if ident == "" {
		if rq.version < 5 {
			return nil, ferric.Errorf(ferric.CodeNotFound, "Node None could not be found.")
		}
		return nil, invalid("Expected a logical name or UUID but received None; name a node with node=.")
	}
	if rq.version < 5 && !isUUID(ident) {
		return nil, notAcceptable()
	}
	n, err := a.nodeByIdent(rq, ident)
	if err != nil {
		return nil, err
	}
	if err := rq.require("baremetal:node:validate", nodeTarget(n)); err != nil {
		return nil, err
	}
	var found rpc.Validations
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.ValidateNode, a.ref(rq, n), &found); err != nil {
		return nil, err
	}
	out := map[string]any{}
	for kind, v := range found {
		entry := map[string]any{"result": v.Result}
		if !v.Result {
			entry["reason"] = v.Reason
		}
		out[string(kind)] = entry
	}
	return out, nil
}

func (a *API) setMaintenance(rq *request) (any, error) {
	return a.maintain(rq, true, rq.args.str("reason"))
}

func (a *API) clearMaintenance(rq *request) (any, error) { return a.maintain(rq, false, "") }

// maintain changes the node without its lease: an operator may put a node into maintenance whatever is going on.
func (a *API) maintain(rq *request, on bool, reason string) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionMaintenanceSet, n)
	_, err = a.deps.Store.ForceNode(rq.Context(), n.UUID, 0, func(n *ferric.Node) error {
		n.Maintenance, n.MaintenanceReason = on, reason
		if !on {
			n.Fault = ""
		}
		return nil
	})
	return nil, err
}

func (a *API) showBootDevice(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	var device rpc.BootDeviceReply
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.BootDevice, a.ref(rq, n), &device); err != nil {
		return nil, err
	}
	out := map[string]any{"boot_device": nil, "persistent": device.Persistent}
	if device.BootDevice != "" {
		out["boot_device"] = device.BootDevice
	}
	return out, nil
}

func (a *API) listBootDevices(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	devices := []ferric.BootDevice{}
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.BootDevices, a.ref(rq, n), &devices); err != nil {
		return nil, err
	}
	return map[string]any{"supported_boot_devices": devices}, nil
}

func (a *API) setBootDevice(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.SetBootDevice, rpc.BootDeviceArgs{NodeRef: a.ref(rq, n),
		BootDevice: ferric.BootDevice(rq.args.str("boot_device")), Persistent: rq.args.isTrue("persistent")}, nil)
}

func (a *API) injectNMI(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.InjectNMI, a.ref(rq, n), nil)
}

func (a *API) listVIFs(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	var vifs []rpc.VIF
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.ListVIFs, a.ref(rq, n), &vifs); err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, v := range vifs {
		out = append(out, map[string]any{"id": v.ID})
	}
	return map[string]any{"vifs": out}, nil
}

func (a *API) attachVIF(rq *request) (any, error) {
	body, ok := rq.doc.(map[string]any)
	if !ok {
		return nil, typeError("vif", rq.doc, "object")
	}
	id, given := body["id"]
	if !given {
		return nil, invalid("Schema error for vif: 'id' is a required property")
	}
	if _, ok := id.(string); !ok {
		return nil, typeError("vif", id, "string")
	}
	if _, err := argIdent("id", id); err != nil {
		return nil, err
	}
	for _, key := range []string{"port_uuid", "portgroup_uuid"} {
		v, given := body[key]
		if given && rq.version >= 67 {
			if _, err := argUUID(key, v); err != nil {
				return nil, err
			}
		}
	}
	if body["port_uuid"] != nil && body["portgroup_uuid"] != nil && rq.version >= 67 {
		return nil, invalid("Cannot specify both port_uuid and portgroup_uuid")
	}
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	vif := rpc.VIF{ID: id.(string), Extra: map[string]any{}}
	for k, v := range body {
		if k != "id" {
			vif.Extra[k] = v
		}
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.AttachVIF, rpc.VIFArgs{NodeRef: a.ref(rq, n), VIF: vif}, nil)
}

func (a *API) detachVIF(rq *request) (any, error) {
	if _, err := argIdent("vif_id", rq.vars["vif"]); err != nil {
		return nil, err
	}
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.DetachVIF,
		rpc.VIFArgs{NodeRef: a.ref(rq, n), VIF: rpc.VIF{ID: rq.vars["vif"]}}, nil)
}

// traitPattern is a custom trait, or one of the standard ones by the prefixes of the os-traits library.
var traitPattern = regexp.MustCompile(`^(CUSTOM|HW|COMPUTE|STORAGE|MISC|OWNER)_[A-Z0-9_]+$`)

// maxTraits is how many traits a node may have, as in the placement service.
const maxTraits = 50

func checkTrait(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", typeError("trait", v, "string")
	}
	if len(s) > 255 || !traitPattern.MatchString(s) {
		return "", invalid("Schema error for trait: %s is not valid under any of the given schemas. Possible root cause: %s does not "+
			"match '^CUSTOM_[A-Z0-9_]+$', is no standard trait, or is longer than 255 characters", clip(repr(s)), clip(repr(s)))
	}
	return s, nil
}

func (a *API) listTraits(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	return map[string]any{"traits": append([]string{}, n.Traits...)}, nil
}

// changeTraits writes a node's traits. They concern scheduling only, so no lease is needed.
func (a *API) changeTraits(rq *request, change func(*ferric.Node) error) error {
	n, err := a.node(rq)
	if err != nil {
		return err
	}
	rq.changes(ferric.ActionUpdate, n)
	_, err = a.deps.Store.ForceNode(rq.Context(), n.UUID, 0, func(n *ferric.Node) error {
		if err := change(n); err != nil {
			return err
		}
		slices.Sort(n.Traits)
		n.Traits = slices.Compact(n.Traits)
		if len(n.Traits) > maxTraits {
			return invalid("Could not modify traits for node %s as it would exceed the maximum number of traits per node (%d)", n.UUID, maxTraits)
		}
		return nil
	})
	return err
}

func (a *API) setTraits(rq *request) (any, error) {
	body, ok := rq.doc.(map[string]any)
	if !ok {
		return nil, typeError("body", rq.doc, "object")
	}
	for _, k := range sortedKeys(body) {
		if k != "traits" {
			return nil, invalid("Schema error for body: Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
		}
	}
	list, given := body["traits"]
	if !given {
		return nil, invalid("A single node trait may be added via PUT /v1/nodes/<node identifier>/traits/<trait> with no body, or all node " +
			"traits may be replaced via PUT /v1/nodes/<node identifier>/traits with the list of traits specified in the request body.")
	}
	items, ok := list.([]any)
	if !ok {
		return nil, typeError("body", list, "array")
	}
	traits := []string{}
	for _, item := range items {
		t, err := checkTrait(item)
		if err != nil {
			return nil, err
		}
		traits = append(traits, t)
	}
	return nil, a.changeTraits(rq, func(n *ferric.Node) error { n.Traits = slices.Clone(traits); return nil })
}

func (a *API) addTrait(rq *request) (any, error) {
	t, err := checkTrait(rq.vars["trait"])
	if err != nil {
		return nil, err
	}
	body, ok := rq.doc.(map[string]any)
	if !ok && rq.doc != nil {
		return nil, invalid("Schema error for body: %s is not of type 'object'", clip(repr(rq.doc)))
	}
	for _, name := range sortedKeys(body) {
		if name != "traits" {
			return nil, invalid("Schema error for body: Additional properties are not allowed (%s was unexpected)", repr(clip(name)))
		}
		return nil, invalid("No body should be provided when adding a trait")
	}
	if err := a.changeTraits(rq, func(n *ferric.Node) error { n.Traits = append(n.Traits, t); return nil }); err != nil {
		return nil, err
	}
	rq.location("nodes", rq.vars["node"], "traits", t)
	return nil, nil
}

func (a *API) removeTraits(rq *request) (any, error) {
	t := rq.vars["trait"]
	return nil, a.changeTraits(rq, func(n *ferric.Node) error {
		if t == "" {
			n.Traits = nil
			return nil
		}
		i := slices.Index(n.Traits, t)
		if i < 0 {
			return ferric.Errorf(ferric.CodeNotFound, "Node %s doesn't have a trait '%s'", n.UUID, clip(t))
		}
		n.Traits = slices.Delete(n.Traits, i, i+1)
		return nil
	})
}

func (a *API) showInventory(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	inv, err := a.deps.Store.Inventory(rq.Context(), n.UUID)
	if err != nil {
		return nil, named(err, "Node inventory record for node", n.UUID)
	}
	return map[string]any{"inventory": orEmpty(inv.Inventory), "plugin_data": orEmpty(inv.PluginData)}, nil
}

func orEmpty(raw json.RawMessage) json.RawMessage {
	if len(strings.TrimSpace(string(raw))) == 0 {
		return json.RawMessage("{}")
	}
	return raw
}

func (a *API) listChildren(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	nodes, err := a.deps.Store.Nodes(rq.Context(), ferric.NodeFilter{ParentNode: n.UUID, Project: rq.only}, ferric.Page{})
	if err != nil {
		return nil, err
	}
	children := []string{}
	for _, c := range nodes {
		children = append(children, c.UUID)
	}
	return map[string]any{"children": children,
		"links": link{Href: rq.base + "/v1/nodes?parent_node=" + n.UUID, Rel: "children"}}, nil
}
