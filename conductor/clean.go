package conductor

import (
	"context"
	"encoding/json"
	"slices"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"
)

// cleanParams are the parameters of a clean, and of the cleaning half of an undeploy. Steps are those that somebody asked for, or that a runbook
// lists for automated cleaning; without any, the steps are those that run by themselves.
type cleanParams struct {
	Manual         bool           `json:"manual,omitempty"`
	Steps          []rpc.StepArgs `json:"steps,omitempty"`
	DisableRamdisk bool           `json:"disable_ramdisk,omitempty"`
	Runbook        string         `json:"runbook,omitempty"` // the name of the one that the steps are from, in automated cleaning
	agentPlan
}

// automatedClean reports whether a node is to be cleaned before it becomes available.
func (c *Conductor) automatedClean(n *ferric.Node) bool {
	if n.AutomatedClean != nil {
		return *n.AutomatedClean
	}
	return c.AutomatedClean
}

// planClean makes the plan of a clean. target is where the node goes: available (provide) or manageable (manual).
func (c *Conductor) planClean(ctx context.Context, t *driver.Task, a rpc.ProvisionArgs, event state.Event, target ferric.ProvisionState) (*flow.Operation, flow.Mutate, error) {
	n := t.Node
	manual := event == state.Clean
	switch {
	case n.Maintenance && manual:
		return nil, nil, inMaintenance(n.UUID, "cleaning")
	case n.Maintenance && !c.CleanInMaintenance:
		return nil, nil, inMaintenance(n.UUID, "providing")
	case event == state.Provide && n.Retired:
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "The providing operation can't be performed on node %s because it is retired.", n.UUID)
	case manual && len(a.Steps) == 0:
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, `"clean_steps" is required when setting target provision state to clean: name at least one step`)
	}
	if err := c.allowed(driver.CleanPhase, a.Steps); err != nil {
		return nil, nil, err
	}
	if _, err := c.fastTrack(n); err != nil {
		return nil, nil, err
	}
	if manual || c.automatedClean(n) {
		kinds := []ferric.InterfaceKind{ferric.KindPower, ferric.KindNetwork}
		outOfBand := manual && request{phase: driver.CleanPhase, steps: a.Steps}.outOfBand(driverSteps(t.Set, t.Machine, driver.CleanPhase))
		if t.Set.Deploy().UsesRamdisk(t.Machine) && !a.DisableRamdisk && !outOfBand {
			kinds = append(kinds, ferric.KindBoot)
		}
		for _, kind := range kinds {
			if err := fits(ctx, t, kind, driver.ForCleaning); err != nil {
				return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to validate %s interface for node %s. Error: %w", kind, n.UUID, err)
			}
		}
		if err := c.underLimit(ctx, c.MaxConcurrentClean, "cleaning", ferric.Deleting, ferric.Cleaning, ferric.CleanWait); err != nil {
			return nil, nil, err
		}
	}
	p := cleanParams{Manual: manual, Steps: a.Steps, DisableRamdisk: a.DisableRamdisk}
	if !manual && c.automatedClean(n) {
		if err := c.useRunbook(ctx, n, &p); err != nil { // early: the node stays where it is
			return nil, nil, err
		}
	}
	params, err := json.Marshal(p)
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "clean_steps: %w", err)
	}
	op := &flow.Operation{Kind: "clean", Lane: flow.Provision, Params: params}
	op.Steps = []flow.Step{hidden("begin_cleaning", flow.Safe), cleanUp("collect_logs"), cleanUp("tear_down_cleaning")}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		return c.machine.Apply(n, event, target)
	}, nil
}

func (c *Conductor) cleanProgram() *program { return c.cleaning("clean", nil) }

// cleaning is the program of a clean, and with own steps before it, of an undeploy.
func (c *Conductor) cleaning(kind string, before map[string]stepCode) *program {
	own := map[string]stepCode{
		"begin_cleaning":      c.beginCleaning,
		"boot_ramdisk":        c.orStay(driver.ForCleaning, c.bootRamdisk(driver.ForCleaning, c.CleanCallbackTimeout, nil)),
		"collect_clean_steps": c.collectCleanSteps,
		"end_cleaning":        c.endCleaning,
		"collect_logs":        c.collectLogs,
		"keep_logs":           c.collectLogs,
		"tear_down_cleaning":  c.tearDownCleaning,
		stepRestart:           c.bootRamdisk(driver.ForCleaning, c.CleanCallbackTimeout, nil),
	}
	for name, code := range before {
		own[name] = code
	}
	return &program{kind: kind, phase: driver.CleanPhase, done: state.Done, own: own,
		show: func(n *ferric.Node, s map[string]any) { n.CleanStep = s },
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.LastError = ""
			if (n.TargetProvisionState == ferric.Manageable || n.Retired) && c.machine.Can(n.ProvisionState, state.Manage) {
				return c.machine.Apply(n, state.Manage, "")
			}
			return nil
		},
		endsBadly: func(op *flow.Operation, n *ferric.Node) error {
			if op.Abort == "" && n.ProvisionState != ferric.Deleting && hurt(op) {
				maintain(n, ferric.FaultClean)
			}
			return nil
		}}
}

// beginCleaning decides what the cleaning consists of.
func (c *Conductor) beginCleaning(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[cleanParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	if !p.Manual && !c.automatedClean(t.Node) {
		return flow.Done("automated cleaning is off for this node"), nil
	}
	c.readHardware(ctx, t)
	if t.Node.Maintenance && !c.CleanInMaintenance {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "Cleaning a node in maintenance mode is not allowed")
	}
	if !p.Manual && t.Flow.Op.Kind == "undeploy" {
		if err := c.useRunbook(ctx, t.Node, &p); err != nil {
			return flow.Outcome{}, err
		}
		for key, v := range map[string]any{"steps": p.Steps, "disable_ramdisk": p.DisableRamdisk, "runbook": p.Runbook} {
			if t.Flow.Op.Params, err = withParam(t.Flow.Op.Params, key, v); err != nil {
				return flow.Outcome{}, err
			}
		}
	}
	if p.Runbook != "" {
		t.Log.Info("the cleaning follows a runbook", "runbook", p.Runbook)
	}
	r := request{phase: driver.CleanPhase, steps: p.Steps}
	if len(p.Steps) > 0 && !p.DisableRamdisk && r.outOfBand(driverSteps(t.Set, t.Machine, driver.CleanPhase)) {
		p.DisableRamdisk = true
		if t.Flow.Op.Params, err = withParam(t.Flow.Op.Params, "disable_ramdisk", true); err != nil {
			return flow.Outcome{}, err
		}
	}
	var steps []flow.Step
	if t.Set.Deploy().UsesRamdisk(t.Machine) && !p.DisableRamdisk {
		steps = append(steps, hidden("boot_ramdisk", flow.Safe))
	}
	steps = append(steps, hidden("collect_clean_steps", flow.Safe))
	steps = append(steps, c.logsAlways()...)
	steps = append(steps, hidden("end_cleaning", flow.Safe))
	return flow.Done(nil).Then(steps...), nil
}

// collectCleanSteps completes the plan: the steps that the operator asked for, or those that run by themselves.
func (c *Conductor) collectCleanSteps(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[cleanParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	offered := driverSteps(t.Set, t.Machine, driver.CleanPhase)
	if t.Set.Deploy().UsesRamdisk(t.Machine) && !p.DisableRamdisk {
		fromAgent, out, ok, err := c.agentSteps(ctx, t, driver.CleanPhase)
		if !ok {
			return out, err
		}
		offered = append(offered, fromAgent...)
	}
	steps := automatic(driver.CleanPhase, offered, c.CleanPriorities, c.DisallowedSteps[driver.CleanPhase])
	named := len(p.Steps) > 0
	if !p.Manual { // what operators ask for was refused before
		p.Steps = slices.DeleteFunc(p.Steps, func(s rpc.StepArgs) bool {
			return slices.Contains(c.DisallowedSteps[driver.CleanPhase], s.Interface+"."+s.Step)
		})
	}
	if named {
		steps, err = request{phase: driver.CleanPhase, steps: p.Steps, noRamdisk: p.DisableRamdisk}.resolve(offered)
		if err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.CodeInvalid, "Cannot clean node %s: %w", t.Node.UUID, err)
		}
	}
	return flow.Done(map[string]any{"steps": len(steps)}).Then(steps...), nil
}

// paramsOf reads the parameters of the task's operation.
func paramsOf[P any](t *driver.Task) (p P, err error) {
	if len(t.Flow.Op.Params) == 0 {
		return p, nil
	}
	if err := json.Unmarshal(t.Flow.Op.Params, &p); err != nil {
		return p, ferric.Errorf(ferric.CodeInternal, "parameters of the %s: %w", t.Flow.Op.Kind, err)
	}
	return p, nil
}

// allowed refuses steps that the configuration keeps from operators.
func (c *Conductor) allowed(phase driver.Phase, steps []rpc.StepArgs) error {
	for _, s := range steps {
		if id := s.Interface + "." + s.Step; slices.Contains(c.DisallowedSteps[phase], id) {
			return ferric.Errorf(ferric.CodeInvalid, "%s step '%s' is not allowed. Disallowed by operator configuration [api]disallow_%s_steps.", phase, id, phase)
		}
	}
	return nil
}

// endCleaning takes the machine out of the ramdisk, powered off. One that was cleaned without it stays as it is.
func (c *Conductor) endCleaning(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	p, err := paramsOf[cleanParams](t)
	if err != nil {
		return flow.Outcome{}, err
	}
	if p.DisableRamdisk || !t.Set.Deploy().UsesRamdisk(t.Machine) {
		return flow.Done(nil), nil
	}
	if stayed, err := c.stay(ctx, t, driver.ForCleaning); stayed || err != nil {
		return flow.Done(stayedIn), err
	}
	if err := c.powerOff(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	if err := c.leaveRamdisk(ctx, t, driver.ForCleaning); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), c.rebootOut(ctx, t)
}

// tearDownCleaning clears up after a cleaning that failed.
func (c *Conductor) tearDownCleaning(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if t.Node.ProvisionState == ferric.Deleting {
		return flow.Done(nil), nil // it failed before any cleaning began
	}
	out, err := c.endCleaning(ctx, t)
	if err == nil && c.PowerOffInCleanFail && t.Flow.Op.Abort == "" {
		err = c.powerOff(ctx, t)
	}
	return out, err
}
