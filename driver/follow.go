package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// CommandLost is the error of a command whose agent is gone, so that nobody can say whether it did its work. Err is what showed it.
type CommandLost struct {
	Command string
	Err     error
}

// Error implements error.
func (l *CommandLost) Error() string { return l.Err.Error() }

// Unwrap leads to the code.
func (l *CommandLost) Unwrap() error { return l.Err }

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
// the outcome, and is called again. *CommandLost says that the agent is gone.
func AwaitCommand(ctx context.Context, t *Task, c Command) (*agentapi.CommandResult, flow.Outcome, error) {
	res, err := t.Agent.Run(ctx, c.Key, c.Name, c.Params)
	var lost *CommandLost
	if errors.As(err, &lost) {
		return nil, flow.Outcome{}, err
	}
	switch ferric.ErrorCode(err) {
	case "":
	case ferric.CodeUnavailable, ferric.CodeTimeout, ferric.CodeBusy:
		busy := ferric.IsCode(err, ferric.CodeBusy)
		why := ""
		if !busy {
			why = t.Agent.Gone(ctx)
		}
		if why != "" {
			return nil, flow.Outcome{}, &CommandLost{c.Name, ferric.Errorf(ferric.CodeUnavailable, "the agent is gone during %s: %s (%w)", c.Name, why, err)}
		}
		t.Log.Warn("the agent cannot be reached; waiting for it", "command", c.Name, "error", err)
		out, late := t.Flow.Wait(flow.EventHeartbeat, "the agent to answer about "+c.Name, c.Poll, c.Lost)
		if late != nil {
			late = ferric.Errorf(ferric.CodeTimeout, "%w: %v", late, err)
			if !busy {
				late = &CommandLost{c.Name, late}
			}
			return nil, out, late
		}
		return nil, out, nil
	case ferric.CodeUnauthorized:
		return nil, flow.Outcome{}, &CommandLost{c.Name, ferric.Errorf(ferric.CodeUnauthorized, "%w. The agent does not know the token of this boot: "+
			"the machine was probably restarted during %s", err, c.Name)}
	default:
		return nil, flow.Outcome{}, err
	}
	switch res.CommandStatus {
	case agentapi.StatusRunning, "":
		out, err := t.Flow.Wait(flow.EventHeartbeat, toFinish+c.Name+progress(res), c.Poll, 0)
		return nil, out, err
	case agentapi.StatusSucceeded:
		return res, flow.Outcome{}, nil
	}
	return nil, flow.Outcome{}, &agentapi.CommandFailed{Command: c.Name, Result: *res}
}

// toFinish begins what an operation waits for while the agent is at a command.
const toFinish = "the agent to finish "

// Follows reports whether an operation is known to wait for the end of a command, which means that the agent had it.
func Follows(op *flow.Operation, command string) bool {
	what, ok := strings.CutPrefix(op.WaitWhat, toFinish+command)
	return ok && (what == "" || what[0] == ' ')
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
