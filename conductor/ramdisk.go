package conductor

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
)

func itoa(i int) string { return strconv.Itoa(i) }

// rampUp is the checkpoint of bootRamdisk: how far it came.
type rampUp struct {
	Phase   string        `json:"phase"`             // "", prepared, started
	Started time.Duration `json:"waited,omitempty"`  // how long the step had waited when the machine was started
	Retries int           `json:"retries,omitempty"` // how often it was started anew since no agent looked its node up
}

// bootRamdisk brings the machine into the ramdisk and waits for its agent. A second run after a crash goes on where the first
// was: a machine that was started is not started again.
func (c *Conductor) bootRamdisk(purpose driver.NetworkPurpose, timeout time.Duration, params func(*driver.Task) map[string]string) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		var at rampUp
		if err := t.Flow.Load(&at); err != nil {
			return flow.Outcome{}, err
		}
		if c.bootFailed(ctx, t, &at) {
			if err := t.Flow.Save(ctx, at); err != nil {
				return flow.Outcome{}, err
			}
		}
		if at.Phase == "" {
			if err := c.prepareRamdisk(ctx, t, purpose, params); err != nil {
				return flow.Outcome{}, err
			}
			at.Phase = "prepared"
			if err := t.Flow.Save(ctx, at); err != nil {
				return flow.Outcome{}, err
			}
		}
		s, err := t.Agent.Session(ctx)
		if err != nil {
			return flow.Outcome{}, err
		}
		if at.Phase == "prepared" {
			if s.LookedUpAt.IsZero() { // otherwise it was started, and the conductor died before it could write that down
				if err := t.Set.Power().SetPowerState(ctx, t.Machine, startBy(t.Node), c.PowerTimeout); err != nil {
					return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "power on to boot the ramdisk: %w", err)
				}
			}
			at.Phase, at.Started = "started", t.Flow.Waited()
			if err := t.Flow.SaveAnd(ctx, at, func(n *ferric.Node) error { n.PowerState = ferric.PowerOn; return nil }); err != nil {
				return flow.Outcome{}, err
			}
			if s, err = t.Agent.Session(ctx); err != nil {
				return flow.Outcome{}, err
			}
		}
		if !s.LastHeartbeat.IsZero() {
			return flow.Done(map[string]any{"agent_url": s.CallbackURL, "agent_version": s.Version}), nil
		}
		look := 15 * time.Second
		if c.BootRetryTimeout > 0 {
			look = min(look, c.BootRetryTimeout)
		}
		out, err := t.Flow.Wait(flow.EventHeartbeat, "the first call of the agent on the machine", look, timeout)
		if err != nil {
			return out, ferric.Errorf(ferric.ErrorCode(err), "%w. %s", err, c.bootAdvice(ctx, t, s))
		}
		return out, nil
	}
}

// bootFailed reports whether a machine that was started has not come as far as an agent's heartbeat in the time that a boot may take, and if so makes
// ready to start it anew: firmware and boot loaders give up, or hang, on a lost packet. An agent that never got the answer to its lookup has no
// token, which is handed out once, and needs a new start, too.
func (c *Conductor) bootFailed(ctx context.Context, t *driver.Task, at *rampUp) bool {
	if c.BootRetryTimeout <= 0 || at.Phase != "started" || t.Flow.Waited()-at.Started < c.BootRetryTimeout {
		return false
	}
	s, err := t.Agent.Session(ctx)
	if err != nil || !s.LastHeartbeat.IsZero() || t.Flow.Now().Sub(s.LookedUpAt) < c.BootRetryTimeout {
		return false
	}
	*at = rampUp{Retries: at.Retries + 1}
	text := "The ramdisk's agent did not call within " + c.BootRetryTimeout.String() + "; the machine is started again"
	t.Log.Warn(text, "retries", at.Retries)
	c.note(ctx, t.Node, ferric.EventProvisioning, ferric.SeverityError, text)
	return true
}

// startBy is how a machine is made to boot anew: one that must not be powered off is still on.
func startBy(n *ferric.Node) ferric.PowerState {
	if n.DisablePowerOff {
		return ferric.Reboot
	}
	return ferric.PowerOn
}

// bootAdvice says what is known about a machine whose agent never called.
func (c *Conductor) bootAdvice(ctx context.Context, t *driver.Task, s *ferric.AgentSession) string {
	if !s.LookedUpAt.IsZero() {
		at := c.RamdiskAPIURL
		if strings.Contains(at, "//@") { // it stands for any
			at = "the host that it booted from"
		}
		return "The agent looked its node up at " + s.LookedUpAt.UTC().Format(time.RFC3339) +
			" but no heartbeat followed: can the machine reach the API at " + at + "?"
	}
	power, err := t.Set.Power().PowerState(ctx, t.Machine)
	if err != nil {
		return "The BMC does not answer either: " + err.Error()
	}
	if power != ferric.PowerOn {
		return "The machine is off: it did not stay on after it was started."
	}
	return "The machine is on but its agent never looked its node up: check the MAC addresses of the node's ports, DHCP and TFTP " +
		"on the provisioning network, and the machine's console."
}

func (c *Conductor) prepareRamdisk(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose, params func(*driver.Task) map[string]string) error {
	if !t.Node.DisablePowerOff {
		if err := t.Set.Power().SetPowerState(ctx, t.Machine, ferric.PowerOff, c.PowerTimeout); err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "power off before booting the ramdisk: %w", err)
		}
	}
	if err := t.Agent.Begin(ctx); err != nil {
		return err
	}
	if purpose == driver.ForRescue || purpose == driver.ForServicing { // there is a deployed system, which is to come back
		if err := t.Set.Boot().CleanUpInstance(ctx, t); err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "remove the instance's boot configuration: %w", err)
		}
		if err := t.Set.Network().Disconnect(ctx, t, driver.ForTenant); err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "disconnect the tenant network: %w", err)
		}
	}
	if err := t.Set.Network().Connect(ctx, t, purpose); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "connect to the %s network: %w", purpose, err)
	}
	boot := c.ramdiskFor(t.Node, purpose)
	maps.Copy(boot.Params, c.RamdiskParams)
	if params != nil {
		maps.Copy(boot.Params, params(t))
	}
	if err := t.Set.Boot().PrepareRamdisk(ctx, t, boot); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "prepare the boot of the ramdisk: %w", err)
	}
	return nil
}

// ramdiskFor says what a node boots for a purpose: what the node names wins over what its image names for the deploy, that over its architecture's, and
// that over the general one. Where no rescue ramdisk is named, the deploy ramdisk is one.
func (c *Conductor) ramdiskFor(n *ferric.Node, purpose driver.NetworkPurpose) driver.RamdiskBoot {
	boot := driver.RamdiskBoot{Purpose: string(purpose), Params: map[string]string{"ipa-api-url": c.RamdiskAPIURL}}
	arch, _ := n.Properties["cpu_arch"].(string)
	named := func(key string) string { s, _ := n.DriverInfo[key].(string); return s }
	boot.Kernel = cmp.Or(named("deploy_kernel"), c.KernelByArch[arch], c.DeployKernel)
	boot.Ramdisk = cmp.Or(named("deploy_ramdisk"), c.RamdiskByArch[arch], c.DeployRamdisk)
	if purpose == driver.ForProvisioning && named("deploy_kernel") == "" && named("deploy_ramdisk") == "" { // a pair that belongs together
		kernel, _ := n.InternalInfo[driver.ImageDeployKernel].(string)
		ramdisk, _ := n.InternalInfo[driver.ImageDeployRamdisk].(string)
		boot.Kernel, boot.Ramdisk = cmp.Or(kernel, boot.Kernel), cmp.Or(ramdisk, boot.Ramdisk)
	}
	if purpose == driver.ForRescue {
		boot.Kernel = cmp.Or(named("rescue_kernel"), c.RescueKernelByArch[arch], c.RescueKernel, boot.Kernel)
		boot.Ramdisk = cmp.Or(named("rescue_ramdisk"), c.RescueRamdiskByArch[arch], c.RescueRamdisk, boot.Ramdisk)
	}
	return boot
}

// leaveRamdisk ends what bootRamdisk began: boot configuration, network, agent. The power is the caller's business.
func (c *Conductor) leaveRamdisk(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) error {
	if err := t.Set.Boot().CleanUpRamdisk(ctx, t); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "remove the boot configuration of the ramdisk: %w", err)
	}
	if err := t.Set.Network().Disconnect(ctx, t, purpose); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "leave the %s network: %w", purpose, err)
	}
	return t.Agent.End(ctx)
}

// rebootOut ends the ramdisk on a machine that must not be powered off. After a failure it is left for people to look at.
func (c *Conductor) rebootOut(ctx context.Context, t *driver.Task) error {
	if !t.Node.DisablePowerOff || t.Flow.CleanUp {
		return nil
	}
	if err := t.Set.Power().SetPowerState(ctx, t.Machine, ferric.Reboot, c.PowerTimeout); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "reboot out of the ramdisk: %w", err)
	}
	return nil
}

// powerOff powers the machine off unless the node forbids it, and records it.
func (c *Conductor) powerOff(ctx context.Context, t *driver.Task) error {
	if t.Node.DisablePowerOff {
		return nil
	}
	if err := t.Set.Power().SetPowerState(ctx, t.Machine, ferric.PowerOff, c.PowerTimeout); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "power off: %w", err)
	}
	return t.Mutate(ctx, func(n *ferric.Node) error { n.PowerState, n.TargetPowerState = ferric.PowerOff, ""; return nil })
}

// agentStep runs one step that the agent offered, and follows it to its end.
func (c *Conductor) agentStep(phase driver.Phase) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		s := t.Flow.Step
		name := string(phase) + ".execute_" + string(phase) + "_step"
		params := map[string]any{
			"step": agentapi.Step{Step: s.Name, Interface: s.Interface, Priority: s.Priority, Args: s.Args},
			"node": c.agentNode(t.Node), "ports": agentPorts(t.Ports),
		}
		var plan agentPlan
		if err := json.Unmarshal(t.Flow.Op.Params, &plan); err == nil && plan.AgentVersions != nil {
			params[string(phase)+"_version"] = plan.AgentVersions
		}
		out, err := c.followCommand(ctx, t, "", name, params)
		if err == nil && out.IsDone() && s.Info["reboot_requested"] == true {
			out = out.Then(flow.Step{Interface: conductorSource, Source: reservedSource, Name: stepReboot, Repeat: flow.Check, Hidden: true})
		}
		return out, err
	}
}

// agentPlan is the part of an operation's parameters that belongs to the agent's steps.
type agentPlan struct {
	AgentVersions map[string]any `json:"agent_versions,omitempty"`
}

// followCommand runs an agent command once and waits for its end, however often conductor or network fail meanwhile.
func (c *Conductor) followCommand(ctx context.Context, t *driver.Task, key, name string, params map[string]any) (flow.Outcome, error) {
	return driver.FollowCommand(ctx, t, driver.Command{Key: key, Name: name, Params: params, Poll: c.AgentPoll, Lost: c.AgentTimeout})
}
