package conductor

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

// reservedSource marks steps that every node can do, whatever its interfaces: they steer the operation itself.
const reservedSource = "reserved"

// The reserved steps, with Ironic's names. They may be asked for on any interface.
const (
	stepHold     = "hold"      // rest until the operator's unhold
	stepWait     = "wait"      // for the number of seconds in the argument "seconds", or for the agent's next call
	stepPowerOn  = "power_on"  //
	stepPowerOff = "power_off" //
	stepReboot   = "reboot"    //
)

func isReserved(name string) bool {
	switch name {
	case stepHold, stepWait, stepPowerOn, stepPowerOff, stepReboot:
		return true
	}
	return false
}

// reservedStep makes the step of a request.
func reservedStep(w rpc.StepArgs) flow.Step {
	s := flow.Step{Interface: w.Interface, Name: w.Step, Args: w.Args, Repeat: flow.Safe, Source: reservedSource, Info: map[string]any{}}
	if w.Step == stepReboot {
		s.Repeat = flow.Check
	}
	if w.Priority != nil {
		s.Priority = *w.Priority
	}
	if w.Order != nil {
		s.Info["order"] = *w.Order
	}
	return s
}

// checkReserved checks the arguments of a reserved step.
func checkReserved(w rpc.StepArgs) error {
	for name := range w.Args {
		if w.Step != stepWait || name != "seconds" {
			return ferric.Errorf(ferric.CodeInvalid, "step %s has these unexpected arguments: %s", shown(w), name)
		}
	}
	_, _, err := waitSeconds(w.Args)
	return err
}

// waitSeconds reads how long a wait step is to wait; ok is false where it does not say.
func waitSeconds(args map[string]any) (d time.Duration, ok bool, err error) {
	v, given := args["seconds"]
	if !given {
		return 0, false, nil
	}
	var n float64
	switch v := v.(type) {
	case float64:
		n = v
	case int:
		n = float64(v)
	case json.Number:
		n, err = v.Float64()
	case string:
		n, err = strconv.ParseFloat(strings.TrimSpace(v), 64)
	default:
		err = ferric.Errorf(ferric.CodeInvalid, "no number")
	}
	if err != nil || math.IsNaN(n) || n < 0 || n != math.Trunc(n) {
		return 0, false, ferric.Errorf(ferric.CodeInvalid, "the argument seconds of the step wait must be a whole number of at least 0")
	}
	return time.Duration(min(n, 1e9)) * time.Second, true, nil
}

// reserved returns the code of a reserved step in a phase.
func (c *Conductor) reserved(phase driver.Phase, name string) stepCode {
	switch name {
	case stepHold:
		return func(context.Context, *driver.Task) (flow.Outcome, error) { return flow.Hold(), nil }
	case stepWait:
		return c.waitStep(phase)
	case stepPowerOff:
		return c.powerOffStep
	case stepPowerOn:
		return c.powerOnStep(phase)
	case stepReboot:
		return c.rebootStep(phase)
	}
	return nil
}

// waiting is the checkpoint of waitStep.
type waiting struct {
	Seconds int64     `json:"seconds,omitempty"`
	Called  time.Time `json:"called,omitzero"` // when the agent had called last before the step began
	Begun   bool      `json:"begun"`
}

// waitStep lets time pass without keeping a worker: a row, not a sleep.
func (c *Conductor) waitStep(phase driver.Phase) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		var at waiting
		if err := t.Flow.Load(&at); err != nil {
			return flow.Outcome{}, err
		}
		seconds, timed, err := waitSeconds(t.Flow.Step.Args)
		if err != nil {
			return flow.Outcome{}, err
		}
		last := time.Time{}
		if s, err := t.Agent.Session(ctx); err == nil {
			last = s.LastHeartbeat
		}
		if !at.Begun {
			at.Begun, at.Called = true, last
			if timed {
				if seconds > c.MaxWaitStep {
					c.note(ctx, t.Node, ferric.EventConductor, ferric.SeverityInfo, "A wait of "+seconds.String()+
						" was asked for, which is more than conductor.max_conductor_wait_step_seconds allows; waiting for "+c.MaxWaitStep.String())
					seconds = c.MaxWaitStep
				}
				at.Seconds = int64(seconds / time.Second)
			}
			if err := t.Flow.Save(ctx, at); err != nil {
				return flow.Outcome{}, err
			}
		}
		if timed {
			left := time.Duration(at.Seconds)*time.Second - t.Flow.Waited()
			if left <= 0 {
				return flow.Done(nil), nil
			}
			return t.Flow.Wait("", "the time that the step is to wait", left, 0)
		}
		if !last.Equal(at.Called) {
			return flow.Done(nil), nil
		}
		return t.Flow.Wait(flow.EventHeartbeat, "the agent's next call", 15*time.Second, c.callbackTimeout(phase))
	}
}

// callbackTimeout is how long an agent may be silent in a phase.
func (c *Conductor) callbackTimeout(phase driver.Phase) time.Duration {
	switch phase {
	case driver.DeployPhase:
		return c.DeployCallbackTimeout
	case driver.ServicePhase:
		return c.ServiceCallbackTimeout
	}
	return c.CleanCallbackTimeout
}

// purposeOf is the network that the ramdisk of a phase is on.
func purposeOf(phase driver.Phase) driver.NetworkPurpose {
	switch phase {
	case driver.DeployPhase:
		return driver.ForProvisioning
	case driver.ServicePhase:
		return driver.ForServicing
	}
	return driver.ForCleaning
}

// inRamdisk reports whether the machine is in the ramdisk, or on its way there.
func inRamdisk(ctx context.Context, t *driver.Task) (bool, error) {
	_, err := t.Agent.Session(ctx)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (c *Conductor) powerOffStep(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
	if t.Node.DisablePowerOff {
		return flow.Outcome{}, ferric.Errorf(ferric.CodeConflict, "Failed to set node power state to %s.", ferric.PowerOff)
	}
	if err := c.powerOff(ctx, t); err != nil {
		return flow.Outcome{}, err
	}
	if in, err := inRamdisk(ctx, t); !in || err != nil {
		return flow.Done(nil), err
	}
	return flow.Done(nil), t.Agent.Begin(ctx) // the agent is gone; the next one gets a token of its own
}

func (c *Conductor) powerOnStep(phase driver.Phase) stepCode {
	boot := c.bootRamdisk(purposeOf(phase), c.callbackTimeout(phase), nil)
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		in, err := inRamdisk(ctx, t)
		if err != nil {
			return flow.Outcome{}, err
		}
		var at rampUp
		if err := t.Flow.Load(&at); err != nil {
			return flow.Outcome{}, err
		}
		if at.Phase != "" { // on its way into the ramdisk
			return boot(ctx, t)
		}
		is, err := t.Set.Power().PowerState(ctx, t.Machine)
		switch {
		case err != nil:
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "power on: %w", err)
		case is == ferric.PowerOn:
			return flow.Done("the machine is on"), t.Mutate(ctx, func(n *ferric.Node) error { n.PowerState = is; return nil })
		case in:
			return boot(ctx, t)
		}
		return flow.Done(nil), c.turn(ctx, t, ferric.PowerOn, c.PowerTimeout)
	}
}

func (c *Conductor) rebootStep(phase driver.Phase) stepCode {
	boot := c.bootRamdisk(purposeOf(phase), c.callbackTimeout(phase), nil)
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		in, err := inRamdisk(ctx, t)
		if err != nil {
			return flow.Outcome{}, err
		}
		if in {
			return boot(ctx, t)
		}
		return flow.Done(nil), c.turn(ctx, t, ferric.Reboot, c.PowerTimeout)
	}
}
