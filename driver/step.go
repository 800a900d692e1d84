package driver

import (
	"context"
	"encoding/json"
	"log/slog"

	"ferric"
	"ferric/agentapi"
	"ferric/flow"
)

// Phase is the kind of operation that a step belongs to.
type Phase string

// The phases.
const (
	DeployPhase  Phase = "deploy"
	CleanPhase   Phase = "clean"
	ServicePhase Phase = "service"
	VerifyPhase  Phase = "verify"
)

// Step is one thing that an implementation can do as part of an operation. Steps run by falling priority; 0 means only
// when asked for by name.
type Step struct {
	Name            string
	Phase           Phase
	Priority        int
	Abortable       bool
	RequiresRamdisk bool
	Repeat          flow.Repeat
	Args            map[string]Arg
	Run             StepFunc
}

// Arg describes one argument of a step.
type Arg struct {
	Description string
	Required    bool
}

// StepFunc does the work, or a part of it: it is called again after a Wait, and after a crash. A step that reaches the
// machine asks first how things stand.
type StepFunc func(ctx context.Context, t *Task) (flow.Outcome, error)

// Stepper is an optional part of every kind of interface: the steps that it offers in a phase.
type Stepper interface {
	Steps(m *Machine, phase Phase) []Step
}

// Task is what a step's code gets: the machine, its interfaces, its agent and the ledger.
type Task struct {
	*Machine
	// Flow is the place in the ledger. It is nil outside of operations, for calls that come and go with a request.
	Flow      *flow.Task
	Set       *Set
	Agent     Agent
	PortStore Ports
	Volumes   Volumes
	States    States
	Log       *slog.Logger
	// Mutate changes the node, fenced, and refreshes Machine.Node.
	Mutate func(ctx context.Context, change flow.Mutate) error
}

// Ports changes the ports and the port groups of the task's node.
type Ports interface {
	UpdatePort(ctx context.Context, uuid string, change func(*ferric.Port) error) (*ferric.Port, error)
	UpdatePortgroup(ctx context.Context, uuid string, change func(*ferric.Portgroup) error) (*ferric.Portgroup, error)
}

// Volumes changes the volume targets of the task's node.
type Volumes interface {
	UpdateVolumeTarget(ctx context.Context, uuid string, change func(*ferric.VolumeTarget) error) (*ferric.VolumeTarget, error)
}

// Agent speaks to the agent on the task's node. Every method has a deadline of its own besides ctx's.
type Agent interface {
	// Session returns what is known of the agent; CodeNotFound when no ramdisk was booted.
	Session(ctx context.Context) (*ferric.AgentSession, error)
	// Begin forgets the agent of an earlier boot. Call it before the machine is started into the ramdisk.
	Begin(ctx context.Context) error
	// End forgets the agent: the machine leaves the ramdisk.
	End(ctx context.Context) error
	// Run sends a command and returns how it stands. The id is derived from the operation, the step and key, so that calling Run
	// again never runs it twice: it reports on the first. CodeUnavailable if the agent cannot be reached.
	Run(ctx context.Context, key, name string, params map[string]any) (*agentapi.CommandResult, error)
	// Gone says why the agent that was given commands cannot be there any more, "" if it may be: the machine is off, or another agent has
	// looked its node up since. It may be repeated, and asks the BMC.
	Gone(ctx context.Context) string
	// Ask runs a short command and waits for its result.
	Ask(ctx context.Context, name string, params map[string]any) (json.RawMessage, error)
}
