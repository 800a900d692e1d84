package conductor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"
)

func joined(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// deployParams are the parameters of a deploy in the ledger.
type deployParams struct {
	Rebuild   bool           `json:"rebuild,omitempty"`
	Steps     []rpc.StepArgs `json:"steps,omitempty"`
	Templates []templatePlan `json:"templates,omitempty"`
	agentPlan
}

// planDeploy makes the plan of a deploy or rebuild. The steps of driver and agent are added once the agent is there.
func (c *Conductor) planDeploy(ctx context.Context, t *driver.Task, a rpc.ProvisionArgs, rebuild bool) (*flow.Operation, flow.Mutate, error) {
	n := t.Node
	if n.Maintenance {
		return nil, nil, inMaintenance(n.UUID, "provisioning")
	}
	if rebuild && n.Protected {
		return nil, nil, protected(n.UUID)
	}
	if n.Retired && !rebuild {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Node %s is retired and cannot be deployed; unset retired first.", n.UUID)
	}
	for _, kind := range []ferric.InterfaceKind{ferric.KindPower, ferric.KindManagement, ferric.KindBoot, ferric.KindDeploy, ferric.KindStorage} {
		if err := t.Set.Get(kind).Validate(ctx, t.Machine); err != nil {
			return nil, nil, ferric.Errorf(ferric.CodeInvalid, "Failed to validate %s interface for node %s. Error: %w", kind, n.UUID, err)
		}
	}
	noteImage, err := c.resolveImage(ctx, t, a.Caller)
	if err != nil {
		code := ferric.CodeInvalid
		if ferric.IsCode(err, ferric.CodeUnavailable) || ferric.IsCode(err, ferric.CodeTimeout) { // asking again helps
			code = ferric.CodeUnavailable
		}
		return nil, nil, ferric.Errorf(code, "Failed to validate deploy interface for node %s. Error: %w", n.UUID, err)
	}
	if err := c.allowed(driver.DeployPhase, a.Steps); err != nil {
		return nil, nil, err
	}
	if _, err := c.fastTrack(n); err != nil {
		return nil, nil, err
	}
	templates, err := c.checkDeploySteps(ctx, t, a.Steps)
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.ErrorCode(err), "Failed to validate deploy or power info for node %s. Error: %w", n.UUID, err)
	}
	if err := c.underLimit(ctx, c.MaxConcurrentDeploy, "provisioning", ferric.Deploying, ferric.DeployWait); err != nil {
		return nil, nil, err
	}
	if len(a.ConfigDrive) > 0 && string(a.ConfigDrive) != "null" {
		raw, err := withNetworkData(ctx, t, a.ConfigDrive)
		if err != nil {
			return nil, nil, err
		}
		drive, err := c.ConfigDrives.Build(ctx, n, raw)
		if err != nil {
			return nil, nil, err
		}
		if err := c.Store.SetConfigDrive(ctx, n.UUID, drive); err != nil {
			return nil, nil, err
		}
	} else if n.ProvisionState == ferric.Available { // otherwise the instance keeps the one that it was given
		if err := c.Store.DeleteConfigDrive(ctx, n.UUID); err != nil {
			return nil, nil, err
		}
	}
	params, err := json.Marshal(deployParams{Rebuild: rebuild, Steps: a.Steps, Templates: templates})
	if err != nil {
		return nil, nil, ferric.Errorf(ferric.CodeInvalid, "deploy_steps: %w", err)
	}
	op := &flow.Operation{Kind: "deploy", Lane: flow.Provision, Params: params}
	op.Steps = append(op.Steps, hidden("prepare_deploy", flow.Safe))
	if deploysInRamdisk(t) {
		op.Steps = append(op.Steps, flow.Step{Interface: "deploy", Name: "deploy", Priority: 100, Repeat: flow.Safe, Source: conductorSource})
	}
	op.Steps = append(op.Steps, hidden("collect_deploy_steps", flow.Safe),
		cleanUp("collect_logs"), cleanUp("power_off_after_failure"), cleanUp("clean_up_deploy"))
	event := state.Deploy
	if rebuild {
		event = state.Rebuild
	}
	return op, func(n *ferric.Node) error {
		n.LastError = ""
		c.setLessee(n, a.Caller)
		noteImage(n)
		return c.machine.Apply(n, event, ferric.Active)
	}, nil
}

// resolveImage looks the node's image up, if its deploy interface takes images from a service, and returns what is to be noted of it.
func (c *Conductor) resolveImage(ctx context.Context, t *driver.Task, who rpc.Caller) (func(*ferric.Node), error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	note := func(*ferric.Node) {}
	if r, ok := t.Set.Deploy().(driver.ImageResolver); ok && t.Set.Storage().WritesImage(t.Machine) {
		found, err := r.ResolveImage(ctx, t.Machine, driver.Asker{Project: who.Project, Any: who.AllImages})
		if err != nil {
			return nil, err
		}
		if found != nil {
			note = found
		}
	}
	return note, nil
}

// resolveTimeout bounds what a request waits for an image service.
const resolveTimeout = 30 * time.Second

func (c *Conductor) deployProgram() *program {
	return &program{kind: "deploy", phase: driver.DeployPhase, done: state.Done,
		show: func(n *ferric.Node, s map[string]any) { n.DeployStep = s },
		endsWell: func(_ *flow.Operation, n *ferric.Node) error {
			n.LastError = ""
			return nil
		},
		own: map[string]stepCode{
			"prepare_deploy":          c.prepareDeploy,
			"deploy":                  c.orStay(driver.ForProvisioning, c.bootRamdisk(driver.ForProvisioning, c.DeployCallbackTimeout, nil)),
			"collect_deploy_steps":    c.collectDeploySteps,
			"collect_logs":            c.collectLogs,
			"power_off_after_failure": c.powerOffAfterFailure,
			"clean_up_deploy":         c.cleanUpDeploy,
			"keep_logs":               c.collectLogs,
			stepRestart:               c.bootRamdisk(driver.ForProvisioning, c.DeployCallbackTimeout, nil),
		}}
}

func (c *Conductor) prepareDeploy(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := c.attachVolumes(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	if err := t.Set.Deploy().Prepare(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), nil
}

// collectDeploySteps completes the plan: the steps of the node's interfaces, of its agent, and those that the operator asked for.
func (c *Conductor) collectDeploySteps(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	var p deployParams
	if err := json.Unmarshal(t.Flow.Op.Params, &p); err != nil {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeInternal, "parameters of the deploy: %w", err)
	}
	offered := driverSteps(t.Set, t.Machine, driver.DeployPhase)
	if deploysInRamdisk(t) {
		fromAgent, out, ok, err := c.agentSteps(ctx, t, driver.DeployPhase)
		if !ok {
			return out, err
		}
		// A step that the driver does itself, such as write_image, is not the agent's to do.
		for _, s := range fromAgent {
			if !has(offered, s) {
				offered = append(offered, s)
			}
		}
	}
	steps := automatic(driver.DeployPhase, offered, nil, c.DisallowedSteps[driver.DeployPhase])
	overrides, err := deployOverrides(p.Steps, p.Templates, append(offered, c.coreStep(t)...), false)
	if err != nil {
		return flow.Outcome{}, err
	}
	for _, o := range overrides {
		steps = remove(steps, o)
		if o.Priority > 0 && !slices.Contains(c.DisallowedSteps[driver.DeployPhase], o.Interface+"."+o.Name) {
			steps = append(steps, o)
		}
	}
	byPriority(driver.DeployPhase, steps)
	if i := slices.IndexFunc(steps, func(s flow.Step) bool { return s.Name == "tear_down_agent" }); i >= 0 {
		steps = slices.Insert(steps, i, c.logsAlways()...)
	}
	return flow.Done(map[string]any{"steps": len(steps)}).Then(steps...), nil
}

// deploySteps is the request for deploy steps.
func deploySteps(steps []rpc.StepArgs, early bool) request {
	return request{phase: driver.DeployPhase, steps: steps, early: early}
}

// coreStep is the step that boots the ramdisk, as far as operators may know it.
func (c *Conductor) coreStep(t *driver.Task) []offer {
	if !deploysInRamdisk(t) {
		return nil
	}
	return []offer{{Step: flow.Step{Interface: "deploy", Name: "deploy", Priority: 100, Source: conductorSource}}}
}

// deployOffers is what is known of a node's deploy steps before its agent is there.
func (c *Conductor) deployOffers(t *driver.Task) []offer {
	return append(driverSteps(t.Set, t.Machine, driver.DeployPhase), c.coreStep(t)...)
}

func has(offers []offer, s offer) bool {
	return slices.ContainsFunc(offers, func(o offer) bool { return o.Interface == s.Interface && o.Name == s.Name })
}

func remove(steps []flow.Step, s flow.Step) []flow.Step {
	var out []flow.Step
	for _, o := range steps {
		if o.Interface != s.Interface || o.Name != s.Name {
			out = append(out, o)
		}
	}
	return out
}

func (c *Conductor) powerOffAfterFailure(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if !c.PowerOffAfterFail || !deploysInRamdisk(t) {
		return flow.Done(nil), nil
	}
	return flow.Done(nil), c.powerOff(ctx, t)
}

func (c *Conductor) cleanUpDeploy(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if err := c.leaveRamdisk(ctx, t, driver.ForProvisioning); err != nil {
		return flow.Outcome{}, err
	}
	return flow.Done(nil), t.Set.Deploy().CleanUp(ctx, t)
}
