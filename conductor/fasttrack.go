package conductor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
)

// Fast track: a machine stays in the ramdisk after inspection and cleaning, and the cleaning or deploy that comes next begins without a boot. The agent's
// session in the database is what says that there is one; it ends when the machine is powered off by an operation.

// pingTimeout is how long an agent may take to answer before a fast track is given up: a boot takes longer than this.
const pingTimeout = 10 * time.Second

// stayedIn is the result of a step that left the machine in the ramdisk.
const stayedIn = "fast track: the machine stays in the ramdisk"

// fastTrack reports whether a node is to stay in the ramdisk between operations: its driver_info/fast_track, else what is configured. CodeInvalid if
// that is neither true nor false.
func (c *Conductor) fastTrack(n *ferric.Node) (bool, error) {
	switch v := n.DriverInfo["fast_track"].(type) {
	case nil:
		return c.FastTrack, nil
	default:
		switch strings.ToLower(strings.TrimSpace(fmt.Sprint(v))) {
		case "1", "t", "true", "on", "y", "yes":
			return true, nil
		case "0", "f", "false", "off", "n", "no":
			return false, nil
		}
		return false, ferric.Errorf(ferric.CodeInvalid, "Invalid value of fast_track: %v in driver_info is neither true nor false", v)
	}
}

// agentIsUp reports whether the machine may go on as it is: it is to be fast-tracked, on, in the ramdisk, and its agent has called lately, answers, and is at
// nothing. Whatever speaks against it means a boot as usual.
func (c *Conductor) agentIsUp(ctx context.Context, t *driver.Task) (up bool, why string) {
	switch fast, err := c.fastTrack(t.Node); {
	case err != nil:
		return false, err.Error()
	case !fast:
		return false, ""
	case t.Flow.CleanUp:
		return false, "the operation failed"
	case !t.Set.Storage().WritesImage(t.Machine):
		return false, "no image is written to the machine"
	}
	s, err := t.Agent.Session(ctx)
	if err != nil {
		return false, "it is not in the ramdisk"
	}
	if age := t.Flow.Now().Sub(s.LastHeartbeat); s.LastHeartbeat.IsZero() || age > c.FastTrackTimeout {
		return false, "its agent has not called lately"
	}
	if power, err := t.Set.Power().PowerState(ctx, t.Machine); err != nil || power != ferric.PowerOn {
		return false, "it is not known to be on"
	}
	ping, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	client, err := (&agentConn{c: c, node: t.Node.UUID}).client(ping)
	if err != nil {
		return false, err.Error()
	}
	commands, err := client.Commands(ping)
	if err != nil {
		return false, err.Error()
	}
	for _, r := range commands {
		if !r.CommandStatus.Done() {
			return false, "its agent is still at the command " + r.CommandName
		}
	}
	return true, ""
}

// orStay is boot, unless the machine is in the ramdisk already.
func (c *Conductor) orStay(purpose driver.NetworkPurpose, boot stepCode) stepCode {
	return func(ctx context.Context, t *driver.Task) (flow.Outcome, error) {
		var at rampUp
		if err := t.Flow.Load(&at); err != nil {
			return flow.Outcome{}, err
		}
		if at != (rampUp{}) { // on its way already
			return boot(ctx, t)
		}
		up, why := c.agentIsUp(ctx, t)
		if !up {
			if why != "" {
				t.Log.Info("no fast track; the ramdisk is booted", "reason", why)
			}
			return boot(ctx, t)
		}
		if err := t.Set.Network().Connect(ctx, t, purpose); err != nil {
			return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(err), "connect to the %s network: %w", purpose, err)
		}
		t.Log.Info("fast track: the machine is in the ramdisk already")
		return flow.Done(map[string]any{"fast_track": true}), nil
	}
}

// stay leaves a machine in the ramdisk for what comes next, if it may. Only the boot configuration and the network of the operation go.
func (c *Conductor) stay(ctx context.Context, t *driver.Task, purpose driver.NetworkPurpose) (stayed bool, err error) {
	up, why := c.agentIsUp(ctx, t)
	if !up {
		if why != "" {
			t.Log.Info("the machine leaves the ramdisk although fast track is on", "reason", why)
		}
		return false, nil
	}
	if err := t.Set.Boot().CleanUpRamdisk(ctx, t); err != nil {
		return false, ferric.Errorf(ferric.ErrorCode(err), "remove the boot configuration of the ramdisk: %w", err)
	}
	if err := t.Set.Network().Disconnect(ctx, t, purpose); err != nil {
		return false, ferric.Errorf(ferric.ErrorCode(err), "leave the %s network: %w", purpose, err)
	}
	return true, nil
}

// awaitCall waits, at the end of an inspection whose machine is to stay in the ramdisk, for the agent's first call: it sends its data before that. ok means
// that there is nothing to wait for.
func (c *Conductor) awaitCall(ctx context.Context, t *driver.Task) (out flow.Outcome, ok bool, err error) {
	if fast, err := c.fastTrack(t.Node); err != nil || !fast || t.Flow.CleanUp || c.FastTrackTimeout <= 0 {
		return out, true, nil // a value that is no truth value was refused before; no agent is relied upon without a timeout
	}
	s, err := t.Agent.Session(ctx)
	if err != nil || !s.LastHeartbeat.IsZero() {
		return out, true, nil // without a session there is no agent to wait for
	}
	out, late := t.Flow.Wait(flow.EventHeartbeat, "the agent's first call after the inspection", 5*time.Second, c.FastTrackTimeout)
	return out, late != nil, nil
}
