package conductor

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// offer is a step that the node's interfaces or its agent can do.
type offer struct {
	flow.Step
	args      map[string]bool // names of its arguments: whether they are required
	abortable bool
	ramdisk   bool // it needs the ramdisk
}

// driverSteps returns the steps that the node's interfaces offer in a phase.
func driverSteps(set *driver.Set, m *driver.Machine, phase driver.Phase) []offer {
	var out []offer
	for kind, steps := range set.Steps(m, phase) {
		for _, s := range steps {
			o := offer{Step: flow.Step{Interface: string(kind), Name: s.Name, Priority: s.Priority, Repeat: cmp.Or(s.Repeat, flow.Safe)},
				args: map[string]bool{}, abortable: s.Abortable, ramdisk: s.RequiresRamdisk}
			for name, arg := range s.Args {
				o.args[name] = arg.Required
			}
			out = append(out, o)
		}
	}
	return out
}

// agentSteps asks the agent for its steps in a phase and keeps what belongs to them with the operation. While ok is false the step that
// asks returns the outcome, and is called again.
func (c *Conductor) agentSteps(ctx context.Context, t *driver.Task, phase driver.Phase) (offers []offer, out flow.Outcome, ok bool, err error) {
	name := string(phase) + ".get_" + string(phase) + "_steps"
	res, out, err := driver.AwaitCommand(ctx, t, driver.Command{Name: name, Poll: c.AgentPoll, Lost: c.AgentTimeout,
		Params: map[string]any{"node": c.agentNode(t.Node), "ports": agentPorts(t.Ports)}})
	if err != nil {
		return nil, out, false, ferric.Errorf(ferric.ErrorCode(err), "ask the agent for its %s steps: %w", phase, err)
	}
	if res == nil {
		return nil, out, false, nil
	}
	found, err := agentapi.DecodeSteps(agentapi.StepKind(phase), *res)
	if err != nil {
		return nil, out, false, err
	}
	abortable := []string{}
	for _, s := range found.Steps {
		o := offer{Step: flow.Step{Interface: s.Interface, Name: s.Step, Priority: s.Priority, Args: s.Args, Repeat: flow.Safe, Source: agentSource},
			args: map[string]bool{}, abortable: s.Abortable, ramdisk: true}
		for name, arg := range s.ArgsInfo {
			o.args[name] = arg.Required
		}
		if o.abortable {
			abortable = append(abortable, s.Interface+"."+s.Step)
		}
		offers = append(offers, o)
	}
	op := t.Flow.Op
	if op.Params, err = withParam(op.Params, "agent_versions", found.Versions); err != nil {
		return nil, out, false, err
	}
	if op.Params, err = withParam(op.Params, "agent_abortable", abortable); err != nil {
		return nil, out, false, err
	}
	return offers, out, true, nil
}

// byPriority orders steps as Ironic does: falling priority, then by interface in its fixed order, then by name.
func byPriority(steps []flow.Step) {
	rank := func(kind string) int {
		return slices.Index([]string{"power", "management", "firmware", "bios", "raid", "deploy", "vendor", "network"}, kind)
	}
	slices.SortStableFunc(steps, func(a, b flow.Step) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(rank(a.Interface), rank(b.Interface)), cmp.Compare(a.Name, b.Name))
	})
}

// automatic keeps the steps that run without being asked for. Where several offer the same step of the same interface, the one of
// higher priority wins. overrides changes priorities by "interface.step".
func automatic(offers []offer, overrides map[string]int) []flow.Step {
	best := map[string]flow.Step{}
	for _, o := range offers {
		s := o.Step
		key := s.Interface + "." + s.Name
		if p, ok := overrides[key]; ok {
			s.Priority = p
		}
		if have, ok := best[key]; s.Priority > 0 && (!ok || s.Priority > have.Priority) {
			best[key] = s
		}
	}
	out := make([]flow.Step, 0, len(best))
	for _, s := range best {
		out = append(out, s)
	}
	byPriority(out)
	return out
}

// asked resolves the steps that the operator named against those that are offered. CodeInvalid names the ones that nobody offers, and the
// arguments that are missing or unknown.
func asked(want []rpc.StepArgs, offers []offer, phase driver.Phase) ([]flow.Step, error) {
	var out []flow.Step
	for _, w := range want {
		i := slices.IndexFunc(offers, func(o offer) bool { return o.Interface == w.Interface && o.Name == w.Step })
		if i < 0 {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s_steps: the node does not support the step %q of the interface %q; it offers: %s",
				phase, w.Step, w.Interface, names(offers))
		}
		if err := offers[i].check(w.Args); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s_steps: step %s.%s: %w", phase, w.Interface, w.Step, err)
		}
		s := offers[i].Step
		s.Args = w.Args
		if w.Priority != nil {
			s.Priority = *w.Priority
		}
		out = append(out, s)
	}
	return out, nil
}

// check compares the arguments given with those that the step takes.
func (o offer) check(args map[string]any) error {
	known := slices.Sorted(maps.Keys(o.args))
	for _, name := range known {
		if _, given := args[name]; o.args[name] && !given {
			return ferric.Errorf(ferric.CodeInvalid, "the argument %q is missing", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if _, ok := o.args[name]; !ok {
			return ferric.Errorf(ferric.CodeInvalid, "there is no argument %q; it takes: %s", name, joined(known))
		}
	}
	return nil
}

func names(offers []offer) string {
	var all []string
	for _, o := range offers {
		all = append(all, o.Interface+"."+o.Name)
	}
	slices.Sort(all)
	return joined(slices.Compact(all))
}
