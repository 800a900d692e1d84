package driver

import (
	"context"
	"fmt"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/flow"
)

// Command is an agent command that takes longer than a request.
type Command struct {
	Key    string // tells commands of one step apart; "" where there is only one
	Name   string
	Params map[string]any
	Poll   time.Duration // how often to ask how it stands
	Lost   time.Duration // how long the agent may be out of reach
}

// FollowCommand runs an agent command once and follows it to its end, however often conductor or network fail meanwhile. The step
// returns what it returns, and is called again.
func FollowCommand(ctx context.Context, t *Task, c Command) (flow.Outcome, error) {
	res, out, err := AwaitCommand(ctx, t, c)
	if err != nil || res == nil {
		return out, err
	}
	return flow.Done(res.CommandResult), nil
}

// AwaitCommand is FollowCommand for steps that go on with the result: it is nil until the command has succeeded, and the step then returns
// the outcome, and is called again.
func AwaitCommand(ctx context.Context, t *Task, c Command) (*agentapi.CommandResult, flow.Outcome, error) {
	res, err := t.Agent.Run(ctx, c.Key, c.Name, c.Params)
	switch ferric.ErrorCode(err) {
	case "":
	case ferric.CodeUnavailable, ferric.CodeTimeout, ferric.CodeBusy:
		t.Log.Warn("the agent cannot be reached; waiting for it", "command", c.Name, "error", err)
		out, late := t.Flow.Wait(flow.EventHeartbeat, "the agent to answer about "+c.Name, c.Poll, c.Lost)
		if late != nil {
			return nil, out, ferric.Errorf(ferric.CodeTimeout, "%w: %v", late, err)
		}
		return nil, out, nil
	case ferric.CodeUnauthorized:
		return nil, flow.Outcome{}, ferric.Errorf(ferric.CodeUnauthorized, "%w. The agent does not know the token of this boot: "+
			"the machine was probably restarted during %s", err, c.Name)
	default:
		return nil, flow.Outcome{}, err
	}
	switch res.CommandStatus {
	case agentapi.StatusRunning, "":
		out, err := t.Flow.Wait(flow.EventHeartbeat, "the agent to finish "+c.Name+progress(res), c.Poll, 0)
		return nil, out, err
	case agentapi.StatusSucceeded:
		return res, flow.Outcome{}, nil
	}
	return nil, flow.Outcome{}, &agentapi.CommandFailed{Command: c.Name, Result: *res}
}

// progress says how far a running command is, as far as the agent tells: " (write image, 45%)".
func progress(res *agentapi.CommandResult) string {
	if res.Ferric == nil || res.Ferric.Progress == nil {
		return ""
	}
	p := res.Ferric.Progress
	if percent := p.Percent(); percent >= 0 {
		return fmt.Sprintf(" (%s, %d%%)", p.Phase, percent)
	}
	return " (" + p.Phase + ")"
}
