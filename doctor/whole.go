package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ferric"
)

// wholes looks at what is not one node's: conductors, their shares, allocations, notifications.
func (r *round) wholes(ctx context.Context, s Store) error {
	for _, c := range r.conductors {
		r.conductor(c)
	}
	if len(r.conductors) == 0 {
		r.add(ferric.Finding{Code: "no-conductors", Severity: ferric.FindingError, What: "there are no conductors",
			Why: "none has ever announced itself, or the database was restored", Do: "start ferric serve with the role conductor"})
	}
	processes, err := s.Processes(ctx, r.ProcessAlive)
	if err != nil {
		return err
	}
	r.versions(processes)
	for kind, hosts := range r.load {
		r.balance(kind, hosts)
	}
	list, err := s.Allocations(ctx, ferric.AllocationFilter{State: ferric.AllocationPending})
	if err != nil {
		return err
	}
	for _, a := range list {
		r.allocation(a)
	}
	return r.sinks(ctx, s)
}

// versions looks whether all processes are of one version.
func (r *round) versions(all []ferric.Process) {
	hosts := map[string][]string{}
	for _, p := range all {
		what := fmt.Sprintf("%s (%s, schema %d)", p.Version, p.Protocol, p.Schema)
		hosts[what] = append(hosts[what], p.Host)
	}
	if len(hosts) < 2 {
		return
	}
	var list []string
	for what, on := range hosts {
		list = append(list, fmt.Sprintf("%s on %s", what, strings.Join(on, ", ")))
	}
	slices.Sort(list)
	r.add(ferric.Finding{Code: "versions-differ", Severity: ferric.FindingNotice, What: "several versions of Ferric run: " + strings.Join(list, "; "),
		Why: "an upgrade is under way, or was not ended; what the newest version adds is not used yet", Do: "replace the older ones: docs/upgrade.md"})
}

func (r *round) conductor(c ferric.Conductor) {
	silent := r.now.Sub(c.UpdatedAt)
	const ahead = 2 * time.Second
	switch {
	case silent < -ahead:
		r.add(ferric.Finding{Code: "clock-skew", Severity: ferric.FindingWarning, Conductor: c.Host, Since: c.UpdatedAt,
			What: fmt.Sprintf("the conductor %s announced itself %s in the future", c.Host, (-silent).Round(time.Millisecond)),
			Why:  "its clock is ahead of this host's, or a clock was set back", Do: "set the clocks of all hosts by NTP (chronyc tracking)"})
	case !c.Alive && !c.Retired && silent < forgotten:
		r.add(ferric.Finding{Code: "conductor-dead", Severity: ferric.FindingError, Conductor: c.Host, Since: c.UpdatedAt,
			What: fmt.Sprintf("the conductor %s is not alive", c.Host),
			Why:  fmt.Sprintf("it did not stop in order, and has not announced itself for %s", silent.Round(time.Second)),
			Do:   "start ferric serve on " + c.Host + " (its nodes are with other conductors of its group, if there are any)"})
	}
}

// balance looks at how many nodes each conductor has. Hashing spreads them by chance: small numbers tell nothing.
func (r *round) balance(kind [2]string, hosts map[string]int) {
	const enough, most = 200, 1.5
	total, members := 0, 0
	for _, c := range r.conductors {
		for _, t := range c.HardwareTypes {
			if c.Alive && c.Group == kind[1] && t == kind[0] {
				members++
			}
		}
	}
	for _, n := range hosts {
		total += n
	}
	if members < 2 || total < enough*members {
		return
	}
	fair := float64(total) / float64(members)
	for host, n := range hosts {
		if float64(n) > most*fair {
			r.add(ferric.Finding{Code: "ring-unbalanced", Severity: ferric.FindingWarning, Conductor: host, Nodes: n,
				What: fmt.Sprintf("the conductor %s has %d of %d nodes of the hardware type %q in the group %q; its share is %.0f", host, n, total, kind[0], kind[1], fair),
				Why:  "the conductors are not known by the same names everywhere, or some of them come and go", Do: "see /v1/conductors on every host"})
		}
	}
}

func (r *round) allocation(a *ferric.Allocation) {
	due := a.DueAt
	if due.IsZero() {
		due = a.CreatedAt
	}
	if r.now.Sub(due) < r.Grace {
		return
	}
	f := ferric.Finding{Code: "allocation-stuck", Severity: ferric.FindingError, Allocation: a.UUID, Conductor: a.Conductor, Since: due,
		What: "the allocation " + a.UUID + " should have been tried again " + r.now.Sub(due).Round(time.Second).String() + " ago"}
	f.Why, f.Do = "no conductor looks for a node for it", "start a conductor; or: openstack baremetal allocation delete "+a.UUID
	if a.Conductor != "" && !r.alive[a.Conductor] {
		f.Why = "its conductor " + a.Conductor + " is not alive, and no other one looks for a node for it"
	}
	r.add(f)
}

// leftLeases tells of leases that nothing accounts for and that are still there after a while: calls hold theirs for a moment only.
func (r *round) leftLeases(ctx context.Context, s Store) error {
	if len(r.resting) == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ferric.Errorf(ferric.CodeTimeout, "look at leases again: %w", ctx.Err())
	case <-time.After(r.SecondLook):
	}
	again, err := s.NodeLeases(ctx)
	if err != nil {
		return err
	}
	for _, l := range again {
		n, before := r.resting[l.NodeUUID], r.leases[l.NodeUUID]
		if n == nil || l.Epoch != before.Epoch || l.Owner != before.Owner || !l.Until.After(r.Now()) {
			continue
		}
		f := about(n, "lease-without-operation", ferric.FindingWarning, time.Time{})
		f.Conductor = l.Owner
		f.What = fmt.Sprintf("the node is locked by %s, with nothing under way on it", l.Owner)
		f.Why = "a call takes long (its BMC is slow), or the conductor did not give the lock back; then it ends at " + l.Until.UTC().Format(time.RFC3339)
		f.Do = "look again in a minute; if it is still there, look at the log of " + l.Owner + " for node=" + n.UUID
		r.add(f)
	}
	return nil
}
