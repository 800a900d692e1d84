package ferric

import (
	"context"
	"encoding/json"
	"time"
)

// Notice is a message to other programs, such as a notification in Ironic's form. It is written in the transaction of what it tells of,
// and waits in the database (the outbox) until every sink has taken it.
type Notice struct {
	ID        int64     // in the order of commits, without gaps
	At        time.Time // when it was written
	Topic     string    // which sinks it is for: one of the topics below
	About     string    // UUID of what it is about
	MessageID string    // UUID; the same whenever the message is sent again
	EventType string    // such as baremetal.node.provision_set.end
	Level     string    // debug, info, warning, error, critical
	Publisher string    // such as ironic-conductor.host1
	Payload   json.RawMessage
}

// The topics of notices.
const (
	TopicNotifications = "notifications" // Ironic's versioned notifications
	TopicSensors       = "sensors"       // what machines' sensors say
	TopicNova          = "nova"          // power states for Nova
)

// Sink is how far something that takes notices has come.
type Sink struct {
	Name         string
	Done         int64     // ID of the last notice that it took, or that it will never get
	Holder       string    // host name of the conductor that delivers to it
	HeldUntil    time.Time // when another one may
	Error        string    // why the last attempt failed; "" if it did not
	FailingSince time.Time
	Dropped      int64     // notices that were removed before they could be delivered
	DroppedAt    time.Time // when the last ones were
	Refused      int64     // notices that it did not want
	Waiting      int64     // notices that are written and not delivered; of all topics
	Oldest       time.Time // when the oldest of them was written
}

// Action is what happens to an object, with Ironic's names, of which event types are made.
type Action string

// The actions. The first three happen to every kind of object, the others to nodes.
const (
	ActionCreate              Action = "create"
	ActionUpdate              Action = "update"
	ActionDelete              Action = "delete"
	ActionMaintenanceSet      Action = "maintenance_set"
	ActionPowerSet            Action = "power_set"
	ActionPowerStateCorrected Action = "power_state_corrected"
	ActionProvisionSet        Action = "provision_set"
	ActionConsoleSet          Action = "console_set"
	ActionConsoleStop         Action = "console_stop"
	ActionConsoleRestore      Action = "console_restore"
	// ActionPowerChanged is no event type: a node's recorded power state is another one.
	ActionPowerChanged Action = "power_changed"
)

// Phase is how far an action has come.
type Phase string

// The phases: an action that takes time has a start and an end or error, one that does not has success.
const (
	PhaseStart   Phase = "start"
	PhaseEnd     Phase = "end"
	PhaseError   Phase = "error"
	PhaseSuccess Phase = "success"
)

// News is something about a node that other programs are told of. Who changes the node adds it to Node.News in the function that changes it,
// so that it is written with the change, and not at all if the change is not made.
type News struct {
	Action Action
	Phase  Phase

	Power PowerState // that is being set; for ActionPowerStateCorrected the one that was recorded before

	// For ActionProvisionSet: what moved the node, from where to where.
	Event            string
	From, FromTarget ProvisionState
	To, ToTarget     ProvisionState
}

// Occurrence is what notices are made of.
type Occurrence struct {
	News
	Object string // one of Objects
	// Subject is the object as it is afterwards, or was before it was deleted: *Node, *Port and so on. It is not to be kept.
	Subject any
}

// Objects are the kinds of objects that notices are about, with Ironic's names.
func Objects() []string {
	return []string{ObjectAllocation, ObjectChassis, ObjectDeployTemplate, ObjectInspectionRule, ObjectNode, ObjectPort, ObjectPortgroup,
		ObjectRunbook, ObjectVolumeConnector, ObjectVolumeTarget}
}

// The kinds of objects.
const (
	ObjectAllocation      = "allocation"
	ObjectChassis         = "chassis"
	ObjectDeployTemplate  = "deploytemplate"
	ObjectInspectionRule  = "inspectionrule"
	ObjectNode            = "node"
	ObjectPort            = "port"
	ObjectPortgroup       = "portgroup"
	ObjectRunbook         = "runbook"
	ObjectVolumeConnector = "volumeconnector"
	ObjectVolumeTarget    = "volumetarget"
)

// ObjectOf returns the kind of an object, "" for one that no notices are about.
func ObjectOf(o any) string {
	switch o.(type) {
	case *Allocation:
		return ObjectAllocation
	case *Chassis:
		return ObjectChassis
	case *DeployTemplate:
		return ObjectDeployTemplate
	case *InspectionRule:
		return ObjectInspectionRule
	case *Node:
		return ObjectNode
	case *Port:
		return ObjectPort
	case *Portgroup:
		return ObjectPortgroup
	case *Runbook:
		return ObjectRunbook
	case *VolumeConnector:
		return ObjectVolumeConnector
	case *VolumeTarget:
		return ObjectVolumeTarget
	}
	return ""
}

type askedKey struct{}

type asked struct {
	object string
	action Action
}

// AskedFor marks work that a client of the API asked for: other programs are told of the change of the object that is made for it.
func AskedFor(ctx context.Context, object string, action Action) context.Context {
	return context.WithValue(ctx, askedKey{}, asked{object, action})
}

// Asked returns what a client asked for an object of this kind; "" if nobody did.
func Asked(ctx context.Context, object string) Action {
	if a, ok := ctx.Value(askedKey{}).(asked); ok && a.object == object {
		return a.action
	}
	return ""
}
