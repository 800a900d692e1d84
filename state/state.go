// Package state is the provision state machine: what may follow what, which verbs an operator may use where,
// and which states are stable, waiting or failed. It is a table (Transitions) and a few questions asked of it.
//
// # Concurrency
//
// Everything is a pure function of its arguments; a Machine is immutable once made.
package state

import (
	"slices"
	"strings"

	"ferric"
)

// Event makes a node change its provision state.
type Event string

// The events. The first group are verbs of the API, the second are raised by the conductor.
const (
	Manage   Event = "manage"
	Provide  Event = "provide"
	Clean    Event = "clean"
	Inspect  Event = "inspect"
	Adopt    Event = "adopt"
	Deploy   Event = "deploy"
	Rebuild  Event = "rebuild"
	Delete   Event = "delete"
	Rescue   Event = "rescue"
	Unrescue Event = "unrescue"
	Service  Event = "service"
	Abort    Event = "abort"
	Unhold   Event = "unhold"

	Wait   Event = "wait"
	Resume Event = "resume"
	Hold   Event = "hold"
	Done   Event = "done"
	Fail   Event = "fail"
)

// target names an API target (PUT …/states/provision {"target": …}) and the event that it raises.
type target struct {
	name  string
	event Event
}

// targets are all API targets; the first name of an event is the one shown in messages.
func targets() []target {
	return []target{
		{"active", Deploy}, {"deploy", Deploy}, {"rebuild", Rebuild}, {"deleted", Delete}, {"undeploy", Delete},
		{"manage", Manage}, {"provide", Provide}, {"inspect", Inspect}, {"clean", Clean}, {"adopt", Adopt},
		{"rescue", Rescue}, {"unrescue", Unrescue}, {"service", Service}, {"abort", Abort}, {"unhold", Unhold},
	}
}

// EventFor returns the event that an API target raises; ok is false if there is no such target.
func EventFor(apiTarget string) (event Event, ok bool) {
	for _, t := range targets() {
		if t.name == apiTarget {
			return t.event, true
		}
	}
	return "", false
}

// Targets returns the API targets that are allowed in a state, in a fixed order.
func (m *Machine) Targets(from ferric.ProvisionState) []string {
	var names []string
	for _, t := range targets() {
		if _, ok := m.next[key{from, t.event}]; ok {
			names = append(names, t.name)
		}
	}
	return names
}

type key struct {
	from  ferric.ProvisionState
	event Event
}

// Machine answers questions about the transition table.
type Machine struct {
	next map[key]ferric.ProvisionState
}

// New makes the machine from Transitions.
func New() *Machine {
	m := &Machine{next: map[key]ferric.ProvisionState{}}
	for _, t := range Transitions() {
		m.next[key{t.From, t.Event}] = t.To
	}
	return m
}

// Can reports whether the event is allowed in the state.
func (m *Machine) Can(from ferric.ProvisionState, event Event) bool {
	_, ok := m.next[key{from, event}]
	return ok
}

// Next returns the state that follows from by event, and its target. For an event of the conductor the target
// stays the operation's; for a verb it is want, or the state's usual target when want is "". A stable state
// has no target. CodeInvalid if the event is not allowed in the state.
func (m *Machine) Next(from, target ferric.ProvisionState, event Event, want ferric.ProvisionState) (to, newTarget ferric.ProvisionState, err error) {
	to, ok := m.next[key{from, event}]
	if !ok {
		return "", "", ferric.Errorf(ferric.CodeInvalid, "Can not transition from state %q on event %q; allowed verbs: %s.",
			from, event, listOr(m.Targets(from), "none"))
	}
	if Stable(to) {
		return to, "", nil
	}
	if isVerb(event) && event != Abort && event != Unhold || target == "" {
		target = usualTarget(to)
	}
	if want != "" {
		target = want
	}
	return to, target, nil
}

// Apply moves the node by the event: provision state, target and time. want is as in Next. It is news of the node.
func (m *Machine) Apply(n *ferric.Node, event Event, want ferric.ProvisionState) error {
	to, target, err := m.Next(n.ProvisionState, n.TargetProvisionState, event, want)
	if err != nil {
		return err
	}
	n.Tell(ferric.News{Action: ferric.ActionProvisionSet, Phase: phase(event, n.ProvisionState, to), Event: string(event),
		From: n.ProvisionState, FromTarget: n.TargetProvisionState, To: to, ToTarget: target})
	n.ProvisionState, n.TargetProvisionState = to, target
	return nil
}

// phase is how others see a move: as the start or the end of work, as its failure, or as something that takes no time.
func phase(event Event, from, to ferric.ProvisionState) ferric.Phase {
	switch {
	case event == Fail:
		return ferric.PhaseError
	case !Transient(from) && Transient(to):
		return ferric.PhaseStart
	case Transient(from) && !Transient(to):
		return ferric.PhaseEnd
	}
	return ferric.PhaseSuccess
}

// RefuseTarget is the error for an API target that the node's state does not allow: it names the state and what
// is allowed there.
func (m *Machine) RefuseTarget(apiTarget, node string, from ferric.ProvisionState) error {
	return ferric.Errorf(ferric.CodeInvalid,
		`The requested action "%s" can not be performed on node "%s" while it is in state "%s". Allowed there: %s.`,
		apiTarget, node, from, listOr(m.Targets(from), "nothing, wait until the operation under way has ended"))
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

func isVerb(e Event) bool {
	return !slices.Contains([]Event{Wait, Resume, Hold, Done, Fail}, e)
}

// usualTarget is the stable state that a transient, held or failed state strives for.
func usualTarget(s ferric.ProvisionState) ferric.ProvisionState {
	switch s {
	case ferric.Verifying, ferric.Inspecting, ferric.InspectWait, ferric.InspectFailed:
		return ferric.Manageable
	case ferric.Cleaning, ferric.CleanWait, ferric.CleanHold, ferric.CleanFailed, ferric.Deleting:
		return ferric.Available
	case ferric.Rescuing, ferric.RescueWait, ferric.RescueFailed:
		return ferric.Rescue
	case ferric.Deploying, ferric.DeployWait, ferric.DeployHold, ferric.DeployFailed, ferric.Adopting, ferric.AdoptFailed,
		ferric.Unrescuing, ferric.UnrescueFailed, ferric.Servicing, ferric.ServiceWait, ferric.ServiceHold, ferric.ServiceFailed:
		return ferric.Active
	}
	return ""
}
