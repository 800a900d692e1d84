package doctor

import (
	"fmt"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/state"
)

// name is how a command line names a node.
func name(n *ferric.Node) string {
	if n.Name != "" {
		return n.Name
	}
	return n.UUID
}

// about begins a finding about a node.
func about(n *ferric.Node, code string, severity ferric.Severity, since time.Time) ferric.Finding {
	return ferric.Finding{Code: code, Severity: severity, Node: n.UUID, NodeName: n.Name, Since: since}
}

// node looks at one node.
func (r *round) node(n *ferric.Node) {
	owner := r.Owner(n)
	kind := [2]string{n.Driver, n.ConductorGroup}
	if owner == "" {
		r.orphan(n, kind)
	} else {
		if r.load[kind] == nil {
			r.load[kind] = map[string]int{}
		}
		r.load[kind][owner]++
	}
	held := false
	lease, leased := r.leases[n.UUID]
	live := leased && lease.Until.After(r.now)
	for _, op := range r.operations[n.UUID] {
		r.operation(n, op, owner, live)
		held = held || op.Lane == flow.Provision
	}
	if leased {
		r.lease(n, lease, live)
	}
	moving := state.Transient(n.ProvisionState) || state.Held(n.ProvisionState)
	if moving && !held && !live && r.now.Sub(n.ProvisionUpdatedAt) > r.Grace {
		f := about(n, "state-without-operation", ferric.FindingError, n.ProvisionUpdatedAt)
		f.What = fmt.Sprintf("the node is in the state %q, but nothing is under way on it", n.ProvisionState)
		f.Why = "the ledger has no unfinished operation for it; a database was put together by hand, or another program wrote to it"
		f.Do = "its conductor sets it to failed by itself within conductor.check_provision_state_interval; if none serves it, start one"
		r.add(f)
	}
	if state.Failed(n.ProvisionState) || n.ProvisionState == ferric.ErrorState {
		f := about(n, "failed", ferric.FindingWarning, n.ProvisionUpdatedAt)
		f.What, f.Why, f.Do = fmt.Sprintf("the node is in the state %q", n.ProvisionState), orNone(n.LastError), r.wayOut(n)
		r.add(f)
	}
	r.power(n)
}

func orNone(text string) string {
	if text == "" {
		return "it has no last_error"
	}
	return text
}

// wayOut is the command that leads out of a failed state.
func (r *round) wayOut(n *ferric.Node) string {
	c := "openstack baremetal node "
	first := ""
	if n.Maintenance {
		first = c + "maintenance unset " + name(n) + ", then "
	}
	then := map[ferric.ProvisionState]string{ferric.DeployFailed: "undeploy", ferric.CleanFailed: "manage", ferric.InspectFailed: "manage",
		ferric.AdoptFailed: "manage", ferric.RescueFailed: "unrescue", ferric.UnrescueFailed: "unrescue", ferric.ServiceFailed: "abort", ferric.ErrorState: "undeploy"}
	return "mend what last_error says; " + first + c + then[n.ProvisionState] + " " + name(n)
}

// power looks at what is on record of a machine's power.
func (r *round) power(n *ferric.Node) {
	if n.Fault == ferric.FaultPower {
		f := about(n, "bmc-silent", ferric.FindingError, n.UpdatedAt)
		f.What, f.Why = "the BMC does not answer; the node is in maintenance until it does", orNone(n.MaintenanceReason)
		f.Do = "look at the BMC's address, credentials and network (openstack baremetal node validate " + name(n) + "); maintenance ends by itself when it answers"
		r.add(f)
	}
	if n.TargetPowerState == "" || len(r.operations[n.UUID]) > 0 || r.now.Sub(n.UpdatedAt) < r.Grace {
		return
	}
	f := about(n, "power-target-left", ferric.FindingWarning, n.UpdatedAt)
	f.What = fmt.Sprintf("the node is on its way to %q, but nothing is under way on it", n.TargetPowerState)
	f.Why = "what was to change its power ended without saying so"
	f.Do = fmt.Sprintf("openstack baremetal node power on|off %s", name(n))
	r.add(f)
}

// orphan counts a node that no conductor serves.
func (r *round) orphan(n *ferric.Node, kind [2]string) {
	if f := r.orphans[kind]; f != nil {
		f.Nodes++
		f.What = fmt.Sprintf("no conductor serves %d nodes of the hardware type %q in the conductor group %q, such as %s", f.Nodes, kind[0], kind[1], f.NodeName)
		return
	}
	f := about(n, "no-conductor", ferric.FindingError, time.Time{})
	f.NodeName, f.Nodes = name(n), 1
	f.What = fmt.Sprintf("no conductor serves the node %s: hardware type %q, conductor group %q", name(n), kind[0], kind[1])
	f.Why, f.Do = r.whyOrphan(kind)
	r.orphans[kind] = &f
}

func (r *round) whyOrphan(kind [2]string) (why, do string) {
	alive, group, typed := 0, 0, 0
	var dead string
	for _, c := range r.conductors {
		serves := false
		for _, t := range c.HardwareTypes {
			serves = serves || t == kind[0]
		}
		switch {
		case !c.Alive && c.Group == kind[1] && serves:
			dead = c.Host
		case c.Alive:
			alive++
			if c.Group == kind[1] {
				group++
			}
			if serves {
				typed++
			}
		}
	}
	switch {
	case dead != "":
		return fmt.Sprintf("the conductor %s, which could, is not alive", dead), "start ferric serve on " + dead
	case alive == 0:
		return "no conductor is alive", "start ferric serve"
	case group == 0:
		return fmt.Sprintf("no conductor is in the conductor group %q", kind[1]),
			fmt.Sprintf("start one with conductor.conductor_group = %q, or: openstack baremetal node set NODE --conductor-group GROUP", kind[1])
	case typed == 0:
		return fmt.Sprintf("no conductor has the hardware type %q enabled", kind[0]),
			fmt.Sprintf("add it to drivers.enabled_hardware_types, or: openstack baremetal node set NODE --driver DRIVER --reset-interfaces (node has %q)", kind[0])
	}
	return "no conductor has both this hardware type and this group", "enable the hardware type on a conductor of the group"
}

// lease looks at a lease that was not given back.
func (r *round) lease(n *ferric.Node, l flow.Lease, live bool) {
	const far = 10 * time.Minute
	switch {
	case live && l.Until.Sub(r.now) > far:
		f := about(n, "lease-from-the-future", ferric.FindingError, time.Time{})
		f.Conductor = l.Owner
		f.What = fmt.Sprintf("the node is locked by %s until %s", l.Owner, l.Until.UTC().Format(time.RFC3339))
		f.Why = "leases last for seconds: a clock was wrong when it was written"
		f.Do = "set the clocks right, then start the conductor on " + l.Owner + " again: it gives back what its former self held"
		r.add(f)
	case live && !r.alive[l.Owner]:
		f := about(n, "lease-of-the-dead", ferric.FindingWarning, time.Time{})
		f.Conductor = l.Owner
		f.What = fmt.Sprintf("the node is locked by %s, which is not alive", l.Owner)
		f.Why = "the conductor died, or cannot reach the database"
		f.Do = "nothing: at " + l.Until.UTC().Format(time.RFC3339) + " the lock ends, and another conductor carries on"
		r.add(f)
	case live && len(r.operations[n.UUID]) == 0:
		r.resting[n.UUID] = n
	}
}
