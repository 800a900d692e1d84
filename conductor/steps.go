package conductor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// offer is a step that the node's interfaces or its agent can do.
type offer struct {
	flow.Step
	args    map[string]driver.Arg
	ramdisk bool // it needs the ramdisk
}

// driverSteps returns the steps that the node's interfaces offer in a phase. One of which the driver does not say how it may be repeated is not.
func driverSteps(set *driver.Set, m *driver.Machine, phase driver.Phase) []offer {
	var out []offer
	for kind, steps := range set.Steps(m, phase) {
		for _, s := range steps {
			o := offer{Step: flow.Step{Interface: string(kind), Name: s.Name, Priority: s.Priority, Repeat: cmp.Or(s.Repeat, flow.Never)},
				args: s.Args, ramdisk: s.RequiresRamdisk}
			o.Info = info(s.Abortable, s.Args, s.RequiresRamdisk)
			if phase == driver.DeployPhase { // a deploy may be given up at any step
				o.Info["abortable"] = true
				delete(o.Info, "requires_ramdisk")
			}
			out = append(out, o)
		}
	}
	return out
}

// info is what is shown of a step that nobody asked for.
func info(abortable bool, args map[string]driver.Arg, ramdisk bool) map[string]any {
	var about any
	if len(args) > 0 {
		all := map[string]any{}
		for name, arg := range args {
			all[name] = map[string]any{"description": arg.Description, "required": arg.Required}
		}
		about = all
	}
	return map[string]any{"abortable": abortable, "argsinfo": about, "requires_ramdisk": ramdisk}
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
	for _, s := range found.Steps {
		o := offer{Step: flow.Step{Interface: s.Interface, Name: s.Step, Priority: s.Priority, Args: s.Args, Repeat: agentRepeat(s), Source: agentSource},
			args: map[string]driver.Arg{}, ramdisk: true}
		for name, arg := range s.ArgsInfo {
			o.args[name] = driver.Arg{Description: arg.Description, Required: arg.Required}
		}
		o.Info = info(s.Abortable, o.args, true)
		o.Info["reboot_requested"] = s.RebootRequested
		offers = append(offers, o)
	}
	op := t.Flow.Op
	if op.Params, err = withParam(op.Params, "agent_versions", found.Versions); err != nil {
		return nil, out, false, err
	}
	return offers, out, true, nil
}

// byPriority orders steps as Ironic does: falling priority, then by interface in the phase's fixed order, then by name.
func byPriority(phase driver.Phase, steps []flow.Step) {
	order := []ferric.InterfaceKind{ferric.KindNetwork, ferric.KindVendor, ferric.KindPower, ferric.KindManagement, ferric.KindFirmware, ferric.KindDeploy,
		ferric.KindBIOS, ferric.KindRAID}
	if phase == driver.VerifyPhase {
		order = []ferric.InterfaceKind{ferric.KindPower, ferric.KindManagement, ferric.KindFirmware, ferric.KindInspect, ferric.KindDeploy, ferric.KindBoot,
			ferric.KindBIOS, ferric.KindRAID, ferric.KindVendor, ferric.KindNetwork, ferric.KindStorage, ferric.KindConsole, ferric.KindRescue}
	}
	rank := func(kind string) int { return slices.Index(order, ferric.InterfaceKind(kind)) }
	slices.SortStableFunc(steps, func(a, b flow.Step) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(rank(a.Interface), rank(b.Interface)), cmp.Compare(a.Name, b.Name))
	})
}

// automatic keeps the steps that run without being asked for. Where several offer the same step of the same interface, the one of
// higher priority wins. overrides changes priorities by "interface.step"; disallowed names steps that never run.
func automatic(phase driver.Phase, offers []offer, overrides map[string]int, disallowed []string) []flow.Step {
	best := map[string]flow.Step{}
	for _, o := range offers {
		s := o.Step
		key := s.Interface + "." + s.Name
		if p, ok := overrides[key]; ok {
			s.Priority = p
		}
		if have, ok := best[key]; s.Priority > 0 && !slices.Contains(disallowed, key) && (!ok || s.Priority > have.Priority) {
			best[key] = s
		}
	}
	out := make([]flow.Step, 0, len(best))
	for _, s := range best {
		out = append(out, s)
	}
	byPriority(phase, out)
	return out
}

// request is what the operator asked for, and what is known when it is looked at.
type request struct {
	phase     driver.Phase
	steps     []rpc.StepArgs
	noRamdisk bool // steps that need the ramdisk are refused
	early     bool // the agent's steps are not known yet: nothing is said about steps that nobody offers
}

// resolve finds the steps that the operator named among those that are offered. CodeInvalid says everything that is wrong with them, in the
// words of Ironic.
func (r request) resolve(offers []offer) ([]flow.Step, error) {
	var out []flow.Step
	var wrong []string
	seen, twice := map[string]bool{}, []string{}
	for _, w := range r.steps {
		key := w.Interface + "." + w.Step
		switch {
		case w.OnChildren && r.phase != driver.DeployPhase:
			out = append(out, childStep(w))
			continue
		case isReserved(w.Step):
			if err := checkReserved(w); err != nil {
				wrong = append(wrong, err.Error())
			}
			out = append(out, reservedStep(w))
			continue
		}
		if r.phase == driver.DeployPhase && seen[key] && !slices.Contains(twice, key) {
			twice = append(twice, key)
		}
		seen[key] = true
		i := slices.IndexFunc(offers, func(o offer) bool { return o.Interface == w.Interface && o.Name == w.Step })
		if i < 0 {
			if !r.early {
				wrong = append(wrong, fmt.Sprintf("node does not support this %s step: %s (it offers %s)", r.phase, shown(w), names(offers)))
			}
			continue
		}
		wrong = append(wrong, r.check(w, offers[i])...)
		out = append(out, r.accept(w, offers[i]))
	}
	if len(twice) > 0 {
		wrong = append(wrong, "deploy steps from all deploy templates matching this node's instance traits cannot have the same interface and step. "+
			"Duplicate deploy steps for "+strings.Join(twice, ", "))
	}
	if len(wrong) > 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "%s", strings.Join(wrong, "; "))
	}
	return out, nil
}

// accept makes the step of what was asked and what is offered.
func (r request) accept(w rpc.StepArgs, o offer) flow.Step {
	s := o.Step
	s.Args = w.Args
	if r.phase == driver.DeployPhase {
		if s.Args == nil {
			s.Args = map[string]any{}
		}
		s.Info = nil
	} else {
		s.Info = map[string]any{"abortable": s.Info["abortable"]}
		if o.Info["reboot_requested"] == true {
			s.Info["reboot_requested"] = true
		}
	}
	if w.Order != nil {
		s.Info["order"] = *w.Order
	}
	if w.Priority != nil {
		s.Priority = *w.Priority
	}
	return s
}

// check compares what was asked with what is offered.
func (r request) check(w rpc.StepArgs, o offer) []string {
	var wrong []string
	var unexpected, missing []string
	for _, name := range slices.Sorted(maps.Keys(w.Args)) {
		if _, ok := o.args[name]; !ok {
			unexpected = append(unexpected, name)
		}
	}
	if len(unexpected) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s step %s has these unexpected arguments: %s", r.phase, shown(w), strings.Join(unexpected, ", ")))
	}
	off := r.phase == driver.DeployPhase && w.Priority != nil && *w.Priority == 0 // it is asked not to run
	for _, name := range slices.Sorted(maps.Keys(o.args)) {
		if _, given := w.Args[name]; o.args[name].Required && !given && !off {
			if d := o.args[name].Description; d != "" {
				name += " (" + d + ")"
			}
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s step %s is missing these required arguments: %s", r.phase, shown(w), strings.Join(missing, ", ")))
	}
	if r.noRamdisk && o.ramdisk {
		wrong = append(wrong, fmt.Sprintf("%s step %s requires booting a ramdisk", r.phase, shown(w)))
	}
	if r.phase == driver.DeployPhase && !off && w.Interface == "deploy" && w.Step == "deploy" {
		wrong = append(wrong, fmt.Sprintf("deploy step %s on interface %s is a core step and cannot be overridden by user steps. "+
			"It may be disabled by setting the priority to 0", w.Step, w.Interface))
	}
	return wrong
}

// outOfBand reports whether all of the steps are known without asking an agent, and none needs the ramdisk.
func (r request) outOfBand(offers []offer) bool {
	for _, w := range r.steps {
		if w.OnChildren || isReserved(w.Step) {
			continue
		}
		i := slices.IndexFunc(offers, func(o offer) bool { return o.Interface == w.Interface && o.Name == w.Step })
		if i < 0 || offers[i].ramdisk {
			return false
		}
	}
	return true
}

func names(offers []offer) string {
	var all []string
	for _, o := range offers {
		all = append(all, o.Interface+"."+o.Name)
	}
	slices.Sort(all)
	return joined(slices.Compact(all))
}

// shown shows a step in a message, without the values of its arguments: there may be passwords among them.
func shown(w rpc.StepArgs) string {
	text := fmt.Sprintf("{'interface': '%s', 'step': '%s'", w.Interface, w.Step)
	if len(w.Args) > 0 {
		text += ", 'args': {'" + strings.Join(slices.Sorted(maps.Keys(w.Args)), "': …, '") + "': …}"
	}
	if w.Priority != nil {
		text += fmt.Sprintf(", 'priority': %d", *w.Priority)
	}
	return text + "}"
}
