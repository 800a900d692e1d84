package conductor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// strays looks for ports that were made in Neutron for nodes of this conductor and are noted on none: left behind by something that neither crash nor
// repetition explains, or by a database that was restored.
func (e *examination) strays(ctx context.Context, only []string) error {
	seen := map[string]bool{}
	implementations := e.c.Drivers.Implementations[ferric.KindNetwork]
	for _, name := range slices.Sorted(maps.Keys(implementations)) {
		network, ok := implementations[name].(driver.PortAuditor)
		if !ok {
			continue
		}
		all, err := network.Strays(ctx)
		if err != nil {
			e.unseen(fmt.Sprintf("%s: ports that were made for nodes: %v", e.c.Host, err))
			return nil
		}
		for _, s := range all {
			if seen[s.ID] {
				continue
			}
			seen[s.ID] = true
			if err := e.stray(ctx, s, only); err != nil {
				return err
			}
		}
	}
	return nil
}

// stray compares a port with what is noted on the port that it was made for.
func (e *examination) stray(ctx context.Context, s driver.Stray, only []string) error {
	f := ferric.Finding{Code: "stray-port", Severity: ferric.FindingWarning, Do: "openstack port delete " + s.ID}
	p, err := e.c.Store.Port(ctx, s.Port)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		// Nobody serves a node that is gone; one of the conductors speaks.
		if types := e.c.Drivers.Types; len(only) > 0 || len(types) == 0 || !e.c.ownsNode(s.Port, e.c.Group, types[0].Name) {
			return nil
		}
		f.What = fmt.Sprintf("Neutron has a port %s (%s) for %s of a machine that is not here", s.ID, s.Name, s.Purpose)
		f.Why = "the node or its port was deleted meanwhile; or another Ferric uses this Neutron, and then all is well"
		e.add(f)
		return nil
	}
	if err != nil {
		return err
	}
	n, err := e.c.Store.Node(ctx, p.NodeUUID)
	if err != nil {
		return err
	}
	if p.InternalInfo[string(s.Purpose)+"_vif_port_id"] == s.ID || !e.c.ownsNode(n.UUID, n.ConductorGroup, n.Driver) || len(only) > 0 && !slices.Contains(only, n.UUID) {
		return nil
	}
	if _, err := e.c.Store.Unfinished(ctx, n.UUID, flow.Provision); err == nil {
		return nil // it may just have made the port
	}
	f.Node, f.NodeName = n.UUID, n.Name
	f.What = fmt.Sprintf("Neutron has a port %s (%s) for %s of the node, which is not at that", s.ID, s.Name, s.Purpose)
	f.Why = "an operation ended without removing it, or the database was restored; the node's next operation in Neutron's networks removes it, too"
	e.add(f)
	return nil
}
