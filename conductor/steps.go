package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// driverSteps returns the steps that the node's interfaces offer in a phase, as rows of a plan.
func driverSteps(set *driver.Set, m *driver.Machine, phase driver.Phase) []flow.Step {
	var out []flow.Step
	for kind, steps := range set.Steps(m, phase) {
		for _, s := range steps {
			repeat := s.Repeat
			if repeat == "" {
				repeat = flow.Safe
			}
			out = append(out, flow.Step{Interface: string(kind), Name: s.Name, Priority: s.Priority, Repeat: repeat})
		}
	}
	return out
}

// agentSteps asks the agent for its steps in a phase and keeps its versions with the operation.
func (c *Conductor) agentSteps(ctx context.Context, t *driver.Task, phase driver.Phase) ([]flow.Step, error) {
	name := string(phase) + ".get_" + string(phase) + "_steps"
	raw, err := t.Agent.Ask(ctx, name, map[string]any{"node": c.agentNode(t.Node), "ports": agentPorts(t.Ports)})
	if err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "ask the agent for its %s steps: %w", phase, err)
	}
	found, err := agentapi.DecodeSteps(agentapi.StepKind(phase), agentapi.CommandResult{CommandName: name, CommandResult: raw})
	if err != nil {
		return nil, err
	}
	params, err := json.Marshal(found.Versions)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "keep the agent's versions: %w", err)
	}
	all := map[string]json.RawMessage{}
	if len(t.Flow.Op.Params) > 0 {
		if err := json.Unmarshal(t.Flow.Op.Params, &all); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "parameters of operation %s: %w", t.Flow.Op.ID, err)
		}
	}
	all["agent_versions"] = params
	if t.Flow.Op.Params, err = json.Marshal(all); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "parameters of operation %s: %w", t.Flow.Op.ID, err)
	}
	var out []flow.Step
	for _, s := range found.Steps {
		out = append(out, flow.Step{Interface: s.Interface, Name: s.Step, Priority: s.Priority, Args: s.Args,
			Repeat: flow.Safe, Source: agentSource})
	}
	return out, nil
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
func automatic(steps []flow.Step, overrides map[string]int) []flow.Step {
	best := map[string]flow.Step{}
	for _, s := range steps {
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

// asked resolves the steps that the operator named against those that are offered. CodeInvalid names the ones that nobody offers and the
// arguments that are missing.
func asked(want []rpc.StepArgs, offered []flow.Step, phase driver.Phase) ([]flow.Step, error) {
	var out []flow.Step
	for _, w := range want {
		i := slices.IndexFunc(offered, func(s flow.Step) bool { return s.Interface == w.Interface && s.Name == w.Step })
		if i < 0 {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s_steps: the node does not support the step %q of the interface %q; it offers: %s",
				phase, w.Step, w.Interface, names(offered))
		}
		s := offered[i]
		s.Args = w.Args
		if w.Priority != nil {
			s.Priority = *w.Priority
		}
		out = append(out, s)
	}
	return out, nil
}

func names(steps []flow.Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Interface+"."+s.Name)
	}
	slices.Sort(all)
	return joined(slices.Compact(all))
}
