package flow

import (
	"encoding/json"
	"time"
)

// Lane separates operations that may be unfinished on one node at the same time. A lane holds at most one.
type Lane string

// The lanes.
const (
	Provision Lane = "provision" // what changes the provision state
	Power     Lane = "power"     // power changes asked for by people
	Hardware  Lane = "hardware"  // other things that people ask of a machine's hardware and do not wait for
)

// Status is where an operation or a step stands.
type Status string

// The statuses. An operation is Running from its first moment to its last, but for Waiting and Held.
const (
	Pending   Status = "pending"   // step: not begun
	Running   Status = "running"   // being worked on, or interrupted and to be carried on
	Waiting   Status = "waiting"   // for an event, a poll or a deadline
	Held      Status = "held"      // until the operator's unhold
	Succeeded Status = "succeeded" // ended well
	Failing   Status = "failing"   // operation: a step failed, the clean-up steps are under way
	Failed    Status = "failed"    // ended badly
	Skipped   Status = "skipped"   // step: not run, because an earlier one failed, or given up (see Operation.GivenUp)
)

// Ended reports whether the status is final.
func (s Status) Ended() bool { return s == Succeeded || s == Failed || s == Skipped }

// Operation is one plan for one node.
type Operation struct {
	ID       string          `json:"id"` // UUID
	NodeUUID string          `json:"node_uuid"`
	Kind     string          `json:"kind"` // deploy, clean, inspect, verify, …; names the Program that runs it
	Lane     Lane            `json:"lane"`
	Params   json.RawMessage `json:"params,omitempty"` // the request, as its Program understands it; no secrets
	Status   Status          `json:"status"`
	Error    string          `json:"error,omitempty"` // why it failed: the first failure's text
	Cursor   int             `json:"cursor"`          // index into Steps of the step under way
	// Needs is the version of the cluster's protocol (package rpc) that a conductor must speak to carry it on. The runner sets it to the one that all
	// conductors spoke when its steps were planned; a plan that has something newer in it all the same says so here.
	Needs int `json:"needs,omitempty"`

	RequestID string `json:"request_id,omitempty"` // of the API request that started it
	User      string `json:"user,omitempty"`
	Project   string `json:"project,omitempty"`

	// Abort is the reason why somebody wants it to stop, "" if nobody does. Set from outside, seen by the runner
	// at the next step or wake.
	Abort string `json:"abort,omitempty"`
	// AbortLater says that the abort, if there is one, waits for the end of the step under way. It is the runner's and not stored.
	AbortLater bool `json:"-"`

	// What a Waiting operation waits for.
	WaitFor   string    `json:"wait_for,omitempty"`  // event name, "" for time alone
	WaitWhat  string    `json:"wait_what,omitempty"` // for people: what is being waited for
	WaitSince time.Time `json:"wait_since,omitzero"` // when this wait began
	WakeAt    time.Time `json:"wake_at,omitzero"`    // when it is due even without the event
	// Waited is how much of this wait counts: the time in which somebody looked after it. LookedAt is when somebody did so last. See count.
	Waited    time.Duration `json:"waited,omitempty"`
	LookedAt  time.Time     `json:"looked_at,omitzero"`
	Signals   int64         `json:"signals,omitempty"`   // events counted so far (see Ledger.Signal)
	CreatedAt time.Time     `json:"created_at,omitzero"` //
	UpdatedAt time.Time     `json:"updated_at,omitzero"` //
	EndedAt   time.Time     `json:"ended_at,omitzero"`   //
	Steps     []Step        `json:"steps"`               // in the order in which they run
	Conductor string        `json:"conductor,omitempty"` // host name of the conductor that worked on it last
	Takeovers int           `json:"takeovers,omitempty"` // how often it was carried on after an interruption
	// Mark names the write of a checkpoint, so that one whose answer was lost can be asked for again (see Ledger.Checkpoint). It is not read back.
	Mark string `json:"-"`
}

// Step is one row of a plan.
type Step struct {
	Seq       int            `json:"seq"` // position; Operation.Steps[i].Seq == i
	Interface string         `json:"interface"`
	Name      string         `json:"step"`
	Priority  int            `json:"priority"`
	Args      map[string]any `json:"args,omitempty"`
	Repeat    Repeat         `json:"repeat"`
	// CleanUp marks a step that runs only after a failure or an abort.
	CleanUp bool `json:"clean_up,omitempty"`
	// Hidden steps are Ferric's own; they do not appear as deploy_step, clean_step or service_step.
	Hidden bool `json:"hidden,omitempty"`
	// Source says who runs it: "" for the conductor, "agent" for a step that the agent offered.
	Source string `json:"source,omitempty"`
	// Info is what is known of the step besides, and shown with it: abortable, argsinfo, requires_ramdisk, execute_on_child_nodes.
	Info map[string]any `json:"info,omitempty"`

	Status    Status          `json:"status"`
	Attempts  int             `json:"attempts"`         // how often its code was begun (waking from a wait does not count)
	Data      json.RawMessage `json:"data,omitempty"`   // the step's own checkpoint
	Result    json.RawMessage `json:"result,omitempty"` // what it brought
	Error     string          `json:"error,omitempty"`
	StartedAt time.Time       `json:"started_at,omitzero"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
}

// Repeat says what happens when a step's code was begun and its outcome was never written.
type Repeat string

// The ways to repeat.
const (
	Safe  Repeat = "safe"  // run it again at will
	Check Repeat = "check" // run it again after a conductor's death: its code finds out by its checkpoint, or asks the world, what has happened
	Never Repeat = "never" // the operation fails and says so: the operator decides
)

// Current returns the step under the cursor, nil when there is none left.
func (o *Operation) Current() *Step {
	if o.Cursor < 0 || o.Cursor >= len(o.Steps) {
		return nil
	}
	return &o.Steps[o.Cursor]
}

// GivenUp counts the steps that were begun and given up so that others do them anew.
func (o *Operation) GivenUp() int {
	n := 0
	for _, s := range o.Steps {
		if s.Status == Skipped && s.Attempts > 0 {
			n++
		}
	}
	return n
}

// Supersede ends an unfinished operation at once, without its clean-up steps: something that clears up itself takes its place.
func (o *Operation) Supersede(reason string, now time.Time) {
	for i := range o.Steps {
		if s := &o.Steps[i]; !s.Status.Ended() {
			if s.Status != Pending {
				s.Error = reason
			}
			s.Status, s.EndedAt = Skipped, now
		}
	}
	o.Status, o.Error, o.Cursor = Failed, reason, len(o.Steps)
	o.UpdatedAt, o.EndedAt = now, now
	o.clearWait()
}
