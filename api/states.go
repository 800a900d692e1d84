package api

import (
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/rpc"
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
