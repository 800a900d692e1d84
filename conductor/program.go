package conductor

import (
	"context"
	"log/slog"
	"maps"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/obs"
	"ferric/state"
)

// Sources of steps: what the conductor does itself, and what the agent does. Steps of the drivers have none.
const (
	conductorSource = "conductor"
	agentSource     = "agent"
)

// stepCode is the code of a step of the conductor.
type stepCode func(ctx context.Context, t *driver.Task) (flow.Outcome, error)

// program is one kind of operation: its own steps, the phase of the drivers' steps, and how the node looks meanwhile.
type program struct {
	c     *Conductor
	kind  string
	phase driver.Phase
	own   map[string]stepCode
	// show puts the visible step on the node, nil on one that shows none.
	show func(n *ferric.Node, step map[string]any)
	// endsWell and endsBadly change the node when the operation ends; endsWell runs before the state machine's event.
	done      state.Event
	aborted   state.Event // what follows the failure after an abort, "" for nothing
	endsWell  func(op *flow.Operation, n *ferric.Node) error
	endsBadly func(op *flow.Operation, n *ferric.Node) error
}

// programs returns every kind of operation by name.
func (c *Conductor) programs() map[string]flow.Program {
	all := map[string]flow.Program{}
	for _, p := range []*program{c.verifyProgram(), c.inspectProgram(), c.discoverProgram(), c.cleanProgram(), c.deployProgram(), c.undeployProgram(),
		c.adoptProgram(), c.powerProgram(), c.serviceProgram(), c.serviceAbortProgram(), c.rescueProgram(), c.unrescueProgram(),
		c.childProgram(driver.CleanPhase), c.childProgram(driver.ServicePhase)} {
		p.c = c
		all[p.kind] = p
	}
	for _, p := range c.actionPrograms() {
		p.c = c
		all[p.kind] = p
	}
	return all
}

// Func finds a step's code: the conductor's own, the agent's, or one that an interface of the node offers.
func (p *program) Func(op *flow.Operation, s *flow.Step) (flow.Func, error) {
	var code stepCode
	switch {
	case s.Source == conductorSource:
		code = p.own[s.Name]
	case s.Source == agentSource:
		code = p.c.agentStep(p.phase)
	case s.Source == reservedSource:
		code = p.c.reserved(p.phase, s.Name)
	case s.Source == childSource:
		code = p.c.onChildren(p.phase)
	}
	return func(ctx context.Context, ft *flow.Task) (flow.Outcome, error) {
		t, err := p.c.task(ctx, ft)
		if err != nil {
			return flow.Outcome{}, err
		}
		if code == nil {
			if code, err = driverStep(t, p.phase, s); err != nil {
				return flow.Outcome{}, err
			}
			out, err := code(ctx, t)
			if err == nil && out.IsDone() {
				p.c.readBack(ctx, t, ferric.InterfaceKind(s.Interface))
			}
			if err != nil {
				return p.afterError(t, err)
			}
			return out, nil
		}
		out, err := code(ctx, t)
		if err != nil {
			return p.afterError(t, err)
		}
		return out, nil
	}, nil
}

// afterError decides what becomes of a step whose code returned an error: it waits for another service, is begun anew since its agent is gone, or fails.
func (p *program) afterError(t *driver.Task, err error) (flow.Outcome, error) {
	if out, waits, failed := t.Wait(err); waits {
		return out, failed
	}
	return p.afterLoss(t, err)
}

// driverStep finds the code of a step among the interfaces of the node.
func driverStep(t *driver.Task, phase driver.Phase, s *flow.Step) (stepCode, error) {
	for _, offered := range t.Set.Steps(t.Machine, phase)[ferric.InterfaceKind(s.Interface)] {
		if offered.Name == s.Name {
			return stepCode(offered.Run), nil
		}
	}
	return nil, ferric.Errorf(ferric.CodeInvalid, "the node's %s interface %q has no %s step %q", s.Interface,
		t.Node.Interfaces[ferric.InterfaceKind(s.Interface)], phase, s.Name)
}

// task gathers what a step's code works with.
func (c *Conductor) task(ctx context.Context, ft *flow.Task) (*driver.Task, error) {
	t, err := c.looseTask(ctx, ft.Node)
	if err != nil {
		return nil, err
	}
	t.Flow = ft
	t.Log = t.Log.With("operation", ft.Op.ID, "step", ft.Step.Interface+"."+ft.Step.Name, "request_id", ft.Op.RequestID)
	t.Agent = &agentConn{c: c, task: t, node: ft.Node.UUID, flow: ft}
	t.Mutate = func(ctx context.Context, m flow.Mutate) error {
		err := ft.Update(ctx, m)
		t.Machine.Node = ft.Node
		return err
	}
	return t, nil
}

// looseTask is a task outside of any operation.
func (c *Conductor) looseTask(ctx context.Context, n *ferric.Node) (*driver.Task, error) {
	set, err := c.Drivers.Compose(n)
	if err != nil {
		return nil, err
	}
	ports, err := c.Store.Ports(ctx, ferric.PortFilter{NodeUUIDs: []string{n.UUID}})
	if err != nil {
		return nil, err
	}
	groups, err := c.Store.Portgroups(ctx, ferric.PortgroupFilter{NodeUUIDs: []string{n.UUID}})
	if err != nil {
		return nil, err
	}
	t := &driver.Task{Machine: &driver.Machine{Node: n, Ports: ports, Portgroups: groups}, Set: set, PortStore: portStore{c.Store},
		Volumes: volumeStore{c.Store}, States: c.Store, Log: c.nodeLog(n)}
	if err := c.loadVolumes(ctx, set, t.Machine); err != nil {
		return nil, err
	}
	set.SetPower(&familyPower{Power: set.Power(), c: c, t: t})
	t.Agent = &agentConn{c: c, task: t, node: n.UUID}
	return t, nil
}

func (c *Conductor) nodeLog(n *ferric.Node) *slog.Logger { return c.Log.With("node", n.UUID) }

type portStore struct{ s Store }

func (p portStore) UpdatePort(ctx context.Context, uuid string, change func(*ferric.Port) error) (*ferric.Port, error) {
	return p.s.UpdatePort(ctx, uuid, 0, change)
}

func (p portStore) UpdatePortgroup(ctx context.Context, uuid string, change func(*ferric.Portgroup) error) (*ferric.Portgroup, error) {
	return p.s.UpdatePortgroup(ctx, uuid, 0, change)
}

// View shows the operation on the node.
func (p *program) View(m flow.Moment, op *flow.Operation) flow.Mutate {
	return func(n *ferric.Node) error {
		n.Conductor = p.c.Host
		if p.done == "" { // a power operation: the provision state is not its business
			return p.ends(m, op, n)
		}
		switch m {
		case flow.Begins:
			if state.Held(n.ProvisionState) && op.Status != flow.Failing {
				if err := p.c.machine.Apply(n, state.Unhold, n.TargetProvisionState); err != nil {
					return err
				}
			}
			if state.Waiting(n.ProvisionState) && op.Status != flow.Failing {
				if err := p.c.machine.Apply(n, state.Resume, n.TargetProvisionState); err != nil {
					return err
				}
			}
			p.showStep(op, n)
		case flow.Waits:
			if op.Abort != "" && op.Status != flow.Failing {
				p.showStep(op, n) // with the note that it is the last one
			}
			if op.Status != flow.Failing && p.c.machine.Can(n.ProvisionState, state.Wait) {
				return p.c.machine.Apply(n, state.Wait, n.TargetProvisionState)
			}
		case flow.Holds:
			return p.c.machine.Apply(n, state.Hold, n.TargetProvisionState)
		case flow.Fails:
			n.LastError = op.Error
		default:
			return p.ends(m, op, n)
		}
		return nil
	}
}

// ends closes the operation on the node.
func (p *program) ends(m flow.Moment, op *flow.Operation, n *ferric.Node) error {
	switch m {
	case flow.EndsWell:
		if p.done != "" && state.Waiting(n.ProvisionState) { // the last step waited
			if err := p.c.machine.Apply(n, state.Resume, n.TargetProvisionState); err != nil {
				return err
			}
		}
		if p.endsWell != nil {
			if err := p.endsWell(op, n); err != nil {
				return err
			}
		}
		if p.show != nil {
			p.show(n, nil)
		}
		if p.done != "" && p.c.machine.Can(n.ProvisionState, p.done) {
			return p.c.machine.Apply(n, p.done, "")
		}
	case flow.EndsBadly:
		n.LastError = op.Error
		if p.endsBadly != nil {
			if err := p.endsBadly(op, n); err != nil {
				return err
			}
		}
		if p.show != nil {
			p.show(n, nil)
		}
		if p.done == "" {
			return nil
		}
		for _, e := range []state.Event{state.Fail, state.Abort} {
			if p.c.machine.Can(n.ProvisionState, e) {
				if err := p.c.machine.Apply(n, e, n.TargetProvisionState); err != nil {
					return err
				}
				break
			}
		}
		if p.aborted != "" && op.Abort != "" && p.c.machine.Can(n.ProvisionState, p.aborted) {
			return p.c.machine.Apply(n, p.aborted, "")
		}
	}
	return nil
}

// showStep puts the step under the cursor where people look for it.
func (p *program) showStep(op *flow.Operation, n *ferric.Node) {
	s := op.Current()
	if p.show == nil || s == nil || s.Hidden || s.CleanUp {
		return
	}
	v := map[string]any{"interface": s.Interface, "step": s.Name, "priority": s.Priority}
	if s.Args != nil {
		v["args"] = obs.MaskAll(s.Args) // a node is not kept as its operations are, encrypted
	}
	maps.Copy(v, s.Info)
	if op.Abort != "" {
		v["abort_after"] = true
	}
	p.show(n, v)
}

// Spares implements flow.Program: a step that changes the machine and does not say that it may be given up comes to its end before an abort.
func (p *program) Spares(_ *flow.Operation, s *flow.Step) bool {
	if s.Source == conductorSource || s.Hidden || p.phase != driver.CleanPhase && p.phase != driver.ServicePhase {
		return false
	}
	switch s.Source {
	case reservedSource:
		return false
	case childSource:
		return true
	}
	return s.Info["abortable"] != true
}

// hurt reports whether an operation failed while a step worked on the machine, in contrast to before any did.
func hurt(op *flow.Operation) bool {
	for _, s := range op.Steps {
		if s.Status == flow.Failed && !s.CleanUp {
			return !s.Hidden
		}
	}
	return false
}

// hidden makes a step of the conductor's own.
func hidden(name string, repeat flow.Repeat) flow.Step {
	return flow.Step{Interface: conductorSource, Source: conductorSource, Name: name, Repeat: repeat, Hidden: true}
}

// cleanUp makes a step of the conductor's own that runs after a failure.
func cleanUp(name string) flow.Step {
	return flow.Step{Interface: conductorSource, Source: conductorSource, Name: name, Repeat: flow.Safe, Hidden: true, CleanUp: true}
}
