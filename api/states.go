package api

import (
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/rpc"
	"ferric/state"
)

func (a *API) showStates(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	fields := []string{"console_enabled", "last_error", "power_state", "provision_state", "target_power_state",
		"target_provision_state", "provision_updated_at", "raid_config", "target_raid_config", "boot_mode", "secure_boot"}
	b := []byte{'{'}
	for _, name := range fields {
		f := a.nodes.byName[name]
		if f.since > rq.version {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, ':')
		b = a.nodes.appendField(b, rq, n, f)
	}
	return rawJSON(append(b, '}')), nil
}

func powerTargets() []string {
	return []string{string(ferric.PowerOn), string(ferric.PowerOff), string(ferric.Reboot), string(ferric.SoftReboot),
		string(ferric.SoftPowerOff)}
}

func refuseState[S ~string](action, node string, state S) error {
	shown := string(state)
	if shown == "" {
		shown = "None"
	}
	return invalid(`The requested action "%s" can not be performed on node "%s" while it is in state "%s".`, clip(action), node, shown)
}

func (a *API) setPower(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	target, timeout := rq.args.str("target"), rq.args.integer("timeout")
	soft := target == string(ferric.SoftReboot) || target == string(ferric.SoftPowerOff)
	if rq.version < 27 && (soft || timeout != nil && *timeout != 0) {
		return nil, notAcceptable()
	}
	if timeout != nil && *timeout < 1 {
		return nil, invalid("timeout has to be positive integer")
	}
	switch {
	case !slices.Contains(powerTargets(), target):
		return nil, ferric.Errorf(ferric.CodeInvalid, "%w Power targets are: %s.", refuseState(target, rq.vars["node"], n.PowerState),
			strings.Join(powerTargets(), ", "))
	case n.ProvisionState == ferric.CleanWait || n.ProvisionState == ferric.Cleaning:
		return nil, refuseState(target, rq.vars["node"], n.ProvisionState)
	case n.DisablePowerOff && (target == string(ferric.PowerOff) || target == string(ferric.SoftPowerOff)):
		return nil, conflict("Failed to set node power state to %s.", target)
	}
	req := rpc.PowerArgs{NodeRef: a.ref(rq, n), Target: ferric.PowerState(target)}
	if timeout != nil {
		req.Timeout = time.Duration(min(*timeout, 1<<31)) * time.Second
	}
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.ChangePower, req, nil); err != nil {
		return nil, err
	}
	rq.location("nodes", rq.vars["node"], "states")
	return nil, nil
}

// verb is one row of the table of provision verbs: since when it may be used and what may come with it.
type verb struct {
	since                                                        int
	configDrive, deploySteps, cleanSteps, serviceSteps, password bool
	// disableRamdisk is the version from which disable_ramdisk is taken, 0: never.
	disableRamdisk int
}

func verbs(target string, version int) (verb, bool) {
	v, ok := map[string]verb{
		"active":   {configDrive: true, deploySteps: true},
		"deploy":   {since: 73, configDrive: true, deploySteps: true},
		"rebuild":  {configDrive: version >= 35, deploySteps: true},
		"deleted":  {},
		"undeploy": {since: 73},
		"manage":   {since: 4},
		"provide":  {since: 4},
		"inspect":  {since: 6},
		"abort":    {since: 13},
		"clean":    {since: 15, cleanSteps: true, disableRamdisk: 70},
		"adopt":    {since: 17},
		"rescue":   {since: 38, password: true},
		"unrescue": {since: 38},
		"unhold":   {since: 85},
		"service":  {since: 87, serviceSteps: true, disableRamdisk: 108},
	}[target]
	return v, ok
}

func provisionArgs() []arg {
	return []arg{{name: "target", parse: argString, required: true}, {name: "configdrive", parse: argAny},
		{name: "clean_steps", parse: argArray}, {name: "deploy_steps", parse: argArray}, {name: "service_steps", parse: argArray},
		{name: "rescue_password", parse: argString}, {name: "disable_ramdisk", parse: argBool}, {name: "runbook", parse: argString, since: 92, quiet: true}}
}

func (a *API) setProvision(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	if err := a.requireOwnSteps(rq, n); err != nil {
		return nil, err
	}
	target := rq.args.str("target")
	v, known := verbs(target, rq.version)
	if rq.version < v.since {
		return nil, notAcceptable()
	}
	if (target == "active" || target == "rebuild" || target == "deploy") && n.Maintenance {
		return nil, invalid("The provisioning operation can't be performed on node %s because it's in maintenance mode.", n.UUID)
	}
	event, ok := state.EventFor(target)
	// Where an operation is at work, what the table allows (manage while cleaning) is for the conductor alone.
	working := state.Transient(n.ProvisionState) && !state.Waiting(n.ProvisionState)
	switch {
	case known && ok && !working && a.machine.Can(n.ProvisionState, event):
	case n.Reservation != "":
		return nil, locked(n)
	case working:
		return nil, ferric.Errorf(ferric.CodeInvalid, "%w Allowed there: nothing, wait until the operation under way has ended.",
			refuseState(target, n.UUID, n.ProvisionState))
	default:
		return nil, a.machine.RefuseTarget(clip(target), n.UUID, n.ProvisionState)
	}
	if target == "abort" && (n.ProvisionState == ferric.InspectWait && rq.version < 41 || n.ProvisionState == ferric.DeployWait && rq.version < 110) {
		return nil, notAcceptable()
	}
	req, err := provisionRequest(rq, target, v)
	if err != nil {
		return nil, err
	}
	req.NodeRef = a.ref(rq, n)
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.Provision, req, nil); err != nil {
		return nil, err
	}
	rq.location("nodes", rq.vars["node"], "states")
	return nil, nil
}

// requireOwnSteps asks what else is needed to run steps that come with the request.
func (a *API) requireOwnSteps(rq *request, n *ferric.Node) error {
	if rq.args.has("runbook") {
		return nil
	}
	for _, name := range []string{"deploy_steps", "clean_steps", "service_steps"} {
		steps := rq.args.items(name)
		if len(steps) > 0 && name != "deploy_steps" {
			if err := rq.require("baremetal:node:set_provision_state:"+name, nodeTarget(n)); err != nil {
				return err
			}
		}
		if err := rq.requireSteps(n, steps); err != nil {
			return err
		}
	}
	return nil
}

// locked is the refusal of a node that a conductor holds.
func locked(n *ferric.Node) error {
	return ferric.Errorf(ferric.CodeLocked, "Node %s is locked by host %s, please retry after the current operation is completed.",
		n.UUID, n.Reservation)
}

// provisionRequest checks what came with the verb.
func provisionRequest(rq *request, target string, v verb) (rpc.ProvisionArgs, error) {
	req := rpc.ProvisionArgs{Target: target}
	drive, err := configDrive(rq, target, v)
	if err != nil {
		return req, err
	}
	req.ConfigDrive = drive
	if rq.args.has("runbook") {
		return req, invalid("Runbook %s could not be found.", clip(rq.args.str("runbook")))
	}
	if rq.args.has("disable_ramdisk") {
		if v.disableRamdisk == 0 {
			return req, invalid("disable_ramdisk is supported only with manual cleaning or servicing")
		}
		if rq.version < v.disableRamdisk {
			return req, ferric.Errorf(ferric.CodeNotAcceptable, "disable_ramdisk is not acceptable in this API version")
		}
		req.DisableRamdisk = rq.args.isTrue("disable_ramdisk")
	}
	if len(rq.args.items("deploy_steps")) > 0 && rq.version < 69 {
		return req, needVersion(69)
	}
	for _, s := range []struct {
		name    string
		allowed bool
		needed  bool
		where   string
	}{{"clean_steps", v.cleanSteps, true, "clean"}, {"service_steps", v.serviceSteps, true, "service"},
		{"deploy_steps", v.deploySteps, false, "active or rebuild"}} {
		list := rq.args.items(s.name)
		switch {
		case len(list) > 0 && !s.allowed:
			return req, invalid(`"%s" is only valid when setting target provision state to %s`, s.name, s.where)
		case len(list) == 0 && s.allowed && s.needed:
			return req, invalid(`"%s" is required when setting target provision state to %s`, s.name, target)
		case len(list) > 0:
			if req.Steps, err = readSteps(s.name, list); err != nil {
				return req, err
			}
		}
	}
	password := rq.args.str("rescue_password")
	switch {
	case v.password && strings.TrimSpace(password) == "":
		return req, invalid(`A non-empty "rescue_password" is required when setting target provision state to rescue`)
	case !v.password && rq.args.has("rescue_password"):
		return req, invalid(`"rescue_password" is only valid when setting target provision state to rescue`)
	}
	req.RescuePassword = password
	return req, nil
}

// configDrive checks a config drive: an object to build one from, a URL, or a gzipped ISO in base64.
func configDrive(rq *request, target string, v verb) ([]byte, error) {
	given := rq.args["configdrive"]
	object, isObject := given.(map[string]any)
	if given == nil || given == "" || isObject && len(object) == 0 {
		return nil, nil
	}
	if !v.configDrive {
		allowed := "active"
		if rq.version >= 35 {
			allowed = "active, rebuild"
		}
		return nil, invalid("Adding a config drive is only supported when setting provision state to %s", allowed)
	}
	switch given := given.(type) {
	case map[string]any:
		for _, k := range sortedKeys(given) {
			_, isMap := given[k].(map[string]any)
			switch k {
			case "meta_data", "network_data", "vendor_data":
				if !isMap {
					return nil, invalid("Invalid configdrive format: %s must be an object", k)
				}
			case "user_data":
				switch given[k].(type) {
				case float64, bool:
					return nil, invalid("Invalid configdrive format: user_data must be an object, a list or a string")
				}
			default:
				return nil, invalid("Invalid configdrive format: %s is not known; use meta_data, network_data, user_data and vendor_data",
					repr(clip(k)))
			}
		}
		if rq.version < 56 {
			return nil, invalid("Providing a JSON object for configdrive is only supported starting with API version 1.56")
		}
		if _, ok := given["vendor_data"]; ok && rq.version < 59 {
			return nil, invalid("Providing vendor_data in configdrive is only supported starting with API version 1.59")
		}
	case string:
		if !strings.Contains(given, "://") && strings.ContainsFunc(given, notBase64) {
			return nil, invalid("Invalid configdrive format: it is neither a JSON, nor a URL, nor a base64 string")
		}
	default:
		return nil, invalid("Expected types <class 'NoneType'>, <class 'dict'>, <class 'str'> for configdrive: %s", clip(repr(given)))
	}
	return mustJSON(given), nil
}

func notBase64(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("+/=\n\r\t ", r)
}

// readSteps checks the steps that an operator asks for. The list's name says which kind they are.
func readSteps(list string, items []any) ([]rpc.StepArgs, error) {
	kinds := []string{"bios", "deploy", "firmware", "management", "power", "raid", "vendor"}
	keys := []string{"interface", "step", "args", "order", "execute_on_child_nodes", "limit_child_node_execution"}
	required := []string{"interface", "step"}
	if list == "deploy_steps" {
		keys = []string{"interface", "step", "args", "priority"}
		required = keys
	}
	bad := func(i int, format string, args ...any) error {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid %s: step %d: %w", list, i+1, invalid(format, args...))
	}
	var steps []rpc.StepArgs
	for i, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, bad(i, "%s is not of type 'object'", clip(repr(item)))
		}
		for _, k := range sortedKeys(m) {
			if !slices.Contains(keys, k) {
				return nil, bad(i, "Additional properties are not allowed (%s was unexpected)", repr(clip(k)))
			}
		}
		for _, k := range required {
			if _, ok := m[k]; !ok {
				return nil, bad(i, "'%s' is a required property", k)
			}
		}
		if m["execute_on_child_nodes"] != nil && m["execute_on_child_nodes"] != false {
			return nil, bad(i, "execute_on_child_nodes is not supported")
		}
		var s rpc.StepArgs
		if s.Interface, ok = m["interface"].(string); !ok || !slices.Contains(kinds, s.Interface) {
			return nil, bad(i, "interface %s is not one of %s", clip(repr(m["interface"])), strings.Join(kinds, ", "))
		}
		if s.Step, ok = m["step"].(string); !ok || s.Step == "" {
			return nil, bad(i, "step must be a name")
		}
		if v, given := m["args"]; given {
			if s.Args, ok = v.(map[string]any); !ok {
				return nil, bad(i, "args must be an object")
			}
		}
		for _, number := range []struct {
			name string
			to   **int
		}{{"priority", &s.Priority}, {"order", &s.Order}} {
			v, given := m[number.name]
			if !given {
				continue
			}
			value, err := argInt(number.name, v)
			if err != nil || value.(int) < 0 {
				return nil, bad(i, "%s must be an integer of at least 0", number.name)
			}
			whole := value.(int)
			*number.to = &whole
		}
		steps = append(steps, s)
	}
	return steps, nil
}
