package api

import (
	"net/url"
	"slices"
	"strings"

	"ferric"
	"ferric/rpc"
	"ferric/state"
)

// setRAID keeps the RAID configuration that a node is to have. A driver without RAID is a 404, as in Ironic.
func (a *API) setRAID(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	if rq.version < 12 {
		return nil, notAcceptable()
	}
	config, ok := rq.doc.(map[string]any)
	if !ok {
		return nil, invalid("Expected types <class 'dict'> for target_raid_config: %s", clip(plain(rq.doc)))
	}
	return nil, raidError(a.deps.Conductors.Call(rq.Context(), n, rpc.SetTargetRAID, rpc.RAIDArgs{NodeRef: a.ref(rq, n), Config: config}, nil))
}

func raidError(err error) error {
	if ferric.IsCode(err, ferric.CodeUnsupported) {
		return ferric.Errorf(ferric.CodeNotFound, "%w", err)
	}
	return err
}

func (a *API) showConsole(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	if !n.ConsoleEnabled {
		return map[string]any{"console_enabled": false, "console_info": nil}, nil
	}
	info := map[string]string{}
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.GetConsole, a.ref(rq, n), &info); err != nil {
		return nil, err
	}
	return map[string]any{"console_enabled": true, "console_info": info}, nil
}

func (a *API) setConsole(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	err = a.deps.Conductors.Call(rq.Context(), n, rpc.SetConsole, rpc.ConsoleArgs{NodeRef: a.ref(rq, n), Enabled: rq.args.isTrue("enabled")}, nil)
	if err == nil {
		rq.location("nodes", rq.vars["node"], "states", "console")
	}
	return nil, err
}

// steady refuses a change of how a node boots while the node is on its way.
func steady(n *ferric.Node) error {
	if state.Transient(n.ProvisionState) || state.Waiting(n.ProvisionState) {
		return conflict("Node is in %s state. Since node is transitioning, the boot mode will not be set as this may interfere with ongoing "+
			"changes and result in erroneous modification. Try again later.", n.ProvisionState)
	}
	return nil
}

func (a *API) setBootMode(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	mode, modes := rq.args.str("target"), []string{ferric.BootModeBIOS, ferric.BootModeUEFI}
	if !slices.Contains(modes, mode) {
		return nil, invalid("Invalid boot mode %s requested for node. Allowed boot modes are: %s", clip(mode), strings.Join(modes, ", "))
	}
	if err := steady(n); err != nil {
		return nil, err
	}
	err = a.deps.Conductors.Call(rq.Context(), n, rpc.SetBootMode, rpc.BootModeArgs{NodeRef: a.ref(rq, n), Mode: mode}, nil)
	if err == nil {
		rq.location("nodes", rq.vars["node"], "states")
	}
	return nil, err
}

func (a *API) setSecureBoot(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	on := rq.args.boolean("target")
	if on == nil {
		return nil, invalid("Invalid secure_boot None requested for node. Allowed secure_boot states are: True, False) ")
	}
	if err := steady(n); err != nil {
		return nil, err
	}
	err = a.deps.Conductors.Call(rq.Context(), n, rpc.SetSecureBoot, rpc.SecureBootArgs{NodeRef: a.ref(rq, n), On: *on}, nil)
	if err == nil {
		rq.location("nodes", rq.vars["node"], "states")
	}
	return nil, err
}

func (a *API) listIndicators(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	var found []rpc.Indicator
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.ListIndicators, a.ref(rq, n), &found); err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for _, i := range found {
		unique := i.Name + "@" + i.Component
		list = append(list, map[string]any{"name": unique, "component": i.Component, "readonly": i.ReadOnly,
			"states": append([]string{}, i.States...), "links": rq.links("nodes/" + rq.vars["node"] + "/management/indicators/" + unique)})
	}
	return map[string]any{"indicators": list}, nil
}

// indicator reads the name in the path: the indicator's and the component's, with an @ between.
func (a *API) indicator(rq *request) (*ferric.Node, rpc.IndicatorArgs, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, rpc.IndicatorArgs{}, err
	}
	name, component, ok := strings.Cut(rq.vars["indicator"], "@")
	if !ok {
		return nil, rpc.IndicatorArgs{}, invalid(`Malformed indicator name "%s"`, clip(rq.vars["indicator"]))
	}
	return n, rpc.IndicatorArgs{NodeRef: a.ref(rq, n), Component: component, Indicator: name}, nil
}

func (a *API) showIndicator(rq *request) (any, error) {
	n, args, err := a.indicator(rq)
	if err != nil {
		return nil, err
	}
	var shown string
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.GetIndicator, args, &shown); err != nil {
		return nil, err
	}
	return map[string]any{"state": shown}, nil
}

func (a *API) setIndicator(rq *request) (any, error) {
	n, args, err := a.indicator(rq)
	if err != nil {
		return nil, err
	}
	args.State = rq.args.str("state")
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.SetIndicator, args, nil)
}

// listVMedia came in 1.93, four versions after the path.
func (a *API) listVMedia(rq *request) (any, error) {
	if rq.version < 93 {
		return nil, notHere()
	}
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	media := []map[string]any{}
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.ListVirtualMedia, a.ref(rq, n), &media); err != nil {
		return nil, err
	}
	if media == nil {
		media = []map[string]any{}
	}
	return media, nil
}

func vmediaDevices() []string { return []string{"disk", "cdrom", "floppy"} }

// vmediaBody checks the body of an attachment.
func vmediaBody(doc any) (map[string]string, error) {
	allowed := map[string][]string{"device_type": vmediaDevices(), "image_url": nil, "image_download_source": {"http", "local", "swift"}}
	body, ok := doc.(map[string]any)
	if !ok {
		return nil, typeError("vmedia", doc, "object")
	}
	for _, k := range sortedKeys(body) {
		if _, known := allowed[k]; !known {
			return nil, invalid("Schema error for vmedia: Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
		}
	}
	out := map[string]string{}
	for _, k := range []string{"device_type", "image_url", "image_download_source"} {
		v, given := body[k]
		if !given {
			if k != "image_download_source" {
				return nil, invalid("Schema error for vmedia: '%s' is a required property", k)
			}
			continue
		}
		s, ok := v.(string)
		if !ok {
			return nil, typeError("vmedia", v, "string")
		}
		if allowed[k] != nil && !slices.Contains(allowed[k], s) {
			return nil, invalid("Schema error for vmedia: %s is not one of ['%s']", clip(repr(s)), strings.Join(allowed[k], "', '"))
		}
		out[k] = s
	}
	return out, nil
}

func (a *API) attachVMedia(rq *request) (any, error) {
	body, err := vmediaBody(rq.doc)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(body["image_url"])
	if err != nil {
		return nil, invalid("Unsupported or missing URL scheme: ")
	}
	if !slices.Contains([]string{"http", "https", "nfs", "cifs", "smb"}, at.Scheme) {
		return nil, invalid("Unsupported or missing URL scheme: %s", clip(at.Scheme))
	}
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	source := body["image_download_source"]
	if source == "" {
		source = "local"
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.AttachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: a.ref(rq, n),
		Device: body["device_type"], URL: body["image_url"], Source: source}, nil)
}

func (a *API) detachVMedia(rq *request) (any, error) {
	devices := rq.args.list("device_types")
	wrong := slices.DeleteFunc(slices.Clone(devices), func(d string) bool { return slices.Contains(vmediaDevices(), d) })
	if len(wrong) > 0 {
		return nil, invalid("Invalid device type(s) %s (valid are %s)", clip(strings.Join(wrong, ", ")), strings.Join(vmediaDevices(), ", "))
	}
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.DetachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: a.ref(rq, n), Devices: devices}, nil)
}

// showRAIDProperties describes the logical disks that a driver can make.
func (a *API) showRAIDProperties(rq *request) (any, error) {
	if rq.version < 12 {
		return nil, notAcceptable()
	}
	d, err := a.driver(rq)
	if err != nil {
		return nil, err
	}
	properties := map[string]string{}
	err = a.deps.Conductors.CallAny(rq.Context(), rpc.RAIDProperties, rpc.DriverRef{Driver: d.Name, Caller: rq.caller}, &properties)
	if err != nil {
		return nil, raidError(err)
	}
	return properties, nil
}
