package api

import (
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/rpc"
	"ferric/state"
)

// verb is one row of the table of provision verbs: since when it may be used and what may come with it.
type verb struct {
	name  string
	since int
	// late verbs tell their version only to who might use them: the node's state is looked at before.
	late bool
	// configDrive and disableRamdisk are the versions from which these arguments are taken, 0: never.
	configDrive, disableRamdisk int
	steps                       string // the argument with the verb's steps, "" for none
	mustHaveSteps               bool
	password                    bool
}

// verbs is every provision verb. "deploy" and "undeploy" are other names of "active" and "deleted", but for the arguments, which Ironic takes with
// the older names only.
func verbs() []verb {
	return []verb{
		{name: "active", configDrive: 1, steps: "deploy_steps"},
		{name: "deploy", since: 73},
		{name: "rebuild", configDrive: 35, steps: "deploy_steps"},
		{name: "deleted"},
		{name: "undeploy", since: 73},
		{name: "manage", since: 4},
		{name: "provide", since: 4},
		{name: "inspect", since: 6},
		{name: "abort", since: 13},
		{name: "clean", since: 15, steps: "clean_steps", mustHaveSteps: true, disableRamdisk: 70},
		{name: "adopt", since: 17},
		{name: "rescue", since: 38, password: true},
		{name: "unrescue", since: 38},
		{name: "unhold", since: 85, late: true},
		{name: "service", since: 87, late: true, steps: "service_steps", mustHaveSteps: true, disableRamdisk: 108},
	}
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
	target := rq.args.str("target")
	v := verb{name: target}
	if i := slices.IndexFunc(verbs(), func(v verb) bool { return v.name == target }); i >= 0 {
		v = verbs()[i]
	}
	if rq.version < v.since && !v.late {
		return nil, notAcceptable()
	}
	if err := a.requireOwnSteps(rq, n); err != nil {
		return nil, err
	}
	if (target == "active" || target == "rebuild") && n.Maintenance { // the other verbs are the conductor's to refuse
		return nil, invalid("The provisioning operation can't be performed on node %s because it's in maintenance mode.", n.UUID)
	}
	if n, err = a.whenActionable(rq, n, target); err != nil {
		return nil, err
	}
	req, err := a.provisionRequest(rq, n, v)
	if err != nil {
		return nil, err
	}
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.Provision, req, nil); err != nil {
		return nil, err
	}
	rq.location("nodes", rq.vars["node"], "states")
	return nil, nil
}

// actionable refuses a verb that the node's state does not allow. A node that is worked on is locked rather than in the wrong state, so that clients
// try again.
func (a *API) actionable(n *ferric.Node, target string) error {
	event, known := state.EventFor(target)
	// What the table allows where an operation is at work (manage while cleaning) is for the conductor alone.
	working := state.Transient(n.ProvisionState) && !state.Waiting(n.ProvisionState)
	switch {
	case known && !working && a.machine.Can(n.ProvisionState, event):
		return nil
	case n.Reservation != "" || working:
		return locked(n)
	}
	return a.machine.RefuseTarget(clip(target), n.UUID, n.ProvisionState)
}

// whenActionable is actionable that gives a locked node a short time to become free, as a client would that tries again. It returns the node as it is
// then.
func (a *API) whenActionable(rq *request, n *ferric.Node, target string) (*ferric.Node, error) {
	err := a.actionable(n, target)
	for try := 0; try < a.config.LockedTries && ferric.IsCode(err, ferric.CodeLocked); try++ {
		pause := time.NewTimer(a.config.LockedInterval)
		select {
		case <-pause.C:
		case <-rq.Context().Done():
			pause.Stop()
			return n, err
		}
		if n, err = a.node(rq); err != nil {
			return nil, err
		}
		err = a.actionable(n, target)
	}
	return n, err
}

// requireOwnSteps asks what else is needed to run steps that come with the request.
func (a *API) requireOwnSteps(rq *request, n *ferric.Node) error {
	if rq.args.str("runbook") != "" {
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

// locked is the refusal of a node that a conductor holds, or will go on with at once.
func locked(n *ferric.Node) error {
	host := n.Reservation
	if host == "" {
		host = n.Conductor
	}
	return ferric.Errorf(ferric.CodeLocked, "Node %s is locked by host %s, please retry after the current operation is completed.", n.UUID, host)
}

// provisionRequest checks what came with the verb, in Ironic's order.
func (a *API) provisionRequest(rq *request, n *ferric.Node, v verb) (rpc.ProvisionArgs, error) {
	req := rpc.ProvisionArgs{NodeRef: a.ref(rq, n), Target: v.name}
	drive, err := configDrive(rq, v)
	if err != nil {
		return req, err
	}
	req.ConfigDrive = drive
	runbook := rq.args.str("runbook") != ""
	if runbook {
		if err := a.useRunbook(rq, n, &req); err != nil {
			return req, err
		}
	}
	if rq.args.has("disable_ramdisk") && !runbook {
		if v.disableRamdisk == 0 {
			return req, invalid("disable_ramdisk is supported only with manual cleaning or servicing")
		}
		if rq.version < v.disableRamdisk {
			return req, ferric.Errorf(ferric.CodeNotAcceptable, "disable_ramdisk is not acceptable in this API version")
		}
		req.DisableRamdisk = rq.args.isTrue("disable_ramdisk")
	}
	if err := misplaced(rq, n, v); err != nil {
		return req, err
	}
	if rq.version < v.since {
		return req, notAcceptable()
	}
	req.RescuePassword = rq.args.str("rescue_password")
	if v.password && strings.TrimSpace(req.RescuePassword) == "" {
		return req, invalid(`A non-empty "rescue_password" is required when setting target provision state to rescue`)
	}
	if v.steps == "" || runbook {
		return req, nil
	}
	list := rq.args.items(v.steps)
	if v.mustHaveSteps && len(list) == 0 {
		return req, invalid(`"%s" is required when setting target provision state to %s`, v.steps, v.name)
	}
	req.Steps, err = a.readSteps(rq, v.steps, list)
	return req, err
}

// misplaced refuses arguments that belong to another verb, and verbs that are too new for the node's state.
func misplaced(rq *request, n *ferric.Node, v verb) error {
	given := func(name string) bool { return len(rq.args.items(name)) > 0 }
	switch {
	case given("clean_steps") && v.steps != "clean_steps":
		return invalid(`"clean_steps" is only valid when setting target provision state to clean`)
	case given("deploy_steps") && rq.version < 69:
		return needVersion(69)
	case given("deploy_steps") && v.steps != "deploy_steps":
		return invalid(`"deploy_steps" is only valid when setting target provision state to active or rebuild`)
	case rq.args.has("rescue_password") && !v.password:
		return invalid(`"rescue_password" is only valid when setting target provision state to rescue`)
	case v.name == "abort" && (n.ProvisionState == ferric.InspectWait && rq.version < 41 || n.ProvisionState == ferric.DeployWait && rq.version < 110):
		return notAcceptable()
	case v.name == "unhold" && rq.version < v.since:
		return notAcceptable()
	case given("service_steps") && v.steps != "service_steps":
		return invalid(`"service_steps" is only valid when setting target provision state to service`)
	}
	return nil
}

// configDrive checks a config drive: an object to build one from, a URL, or a gzipped ISO in base64.
func configDrive(rq *request, v verb) ([]byte, error) {
	given := rq.args["configdrive"]
	object, isObject := given.(map[string]any)
	if given == nil || given == "" || isObject && len(object) == 0 {
		return nil, nil
	}
	if v.configDrive == 0 || rq.version < v.configDrive {
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
				return nil, invalid("Invalid configdrive format: Additional properties are not allowed (%s was unexpected); use meta_data, network_data, "+
					"user_data and vendor_data", repr(clip(k)))
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
