package notify

import (
	"encoding/json"
	"log/slog"
	"slices"

	"ferric"
)

// Levels are the levels of notifications, the least important first.
func Levels() []string { return []string{"debug", "info", "warning", "error", "critical"} }

// Composer makes notices of what happens. Its fields are not to be changed once it is used.
type Composer struct {
	Host string
	// Level is the least level of notifications that are made; "" makes none.
	Level string
	// Nova has Nova told of power states.
	Nova bool
	Log  *slog.Logger
}

// Kind is one kind of notification.
type Kind struct {
	Object    string
	Action    ferric.Action
	Phases    []ferric.Phase
	Service   string // that publishes it, with Ironic's name
	Payload   string
	Version   string
	OfClients bool // it tells of what a client of the API asked for
}

// Kinds returns every kind of notification.
func Kinds() []Kind {
	var all []Kind
	begun := []ferric.Phase{ferric.PhaseStart, ferric.PhaseEnd, ferric.PhaseError}
	add := func(object string, action ferric.Action, phases []ferric.Phase) {
		p, _ := payloadFor(object, action)
		all = append(all, Kind{Object: object, Action: action, Phases: phases, Service: service(action), Payload: p.name, Version: p.version,
			OfClients: service(action) == apiService})
	}
	for _, object := range ferric.Objects() {
		for _, action := range []ferric.Action{ferric.ActionCreate, ferric.ActionUpdate, ferric.ActionDelete} {
			add(object, action, begun)
		}
	}
	for _, action := range []ferric.Action{ferric.ActionMaintenanceSet, ferric.ActionConsoleSet, ferric.ActionConsoleStop, ferric.ActionConsoleRestore, ferric.ActionPowerSet} {
		add(ferric.ObjectNode, action, begun)
	}
	add(ferric.ObjectNode, ferric.ActionPowerStateCorrected, []ferric.Phase{ferric.PhaseSuccess})
	add(ferric.ObjectNode, ferric.ActionProvisionSet, append(slices.Clone(begun), ferric.PhaseSuccess))
	return all
}

const apiService, conductorService = "ironic-api", "ironic-conductor"

// service is the part of Ironic that tells of an action.
func service(action ferric.Action) string {
	switch action {
	case ferric.ActionCreate, ferric.ActionUpdate, ferric.ActionDelete, ferric.ActionMaintenanceSet:
		return apiService
	}
	return conductorService
}

// level is how much a notification matters.
func level(phase ferric.Phase) string {
	if phase == ferric.PhaseError {
		return "error"
	}
	return "info"
}

// eventType names a kind of notification in one phase.
func eventType(object string, action ferric.Action, phase ferric.Phase) string {
	return "baremetal." + object + "." + string(action) + "." + string(phase)
}

// Notices returns what is to be told of an occurrence: nothing, most often one notice.
func (c *Composer) Notices(o ferric.Occurrence) []ferric.Notice {
	if o.Action == ferric.ActionPowerChanged {
		return c.forNova(o)
	}
	importance := level(o.Phase)
	if c.Level == "" || slices.Index(Levels(), importance) < slices.Index(Levels(), c.Level) {
		return nil
	}
	p, ok := payloadFor(o.Object, o.Action)
	if !ok {
		return nil
	}
	n, ok := c.notice(o.Subject, p.wrap(o))
	if !ok {
		return nil
	}
	n.Topic, n.Level = ferric.TopicNotifications, importance
	n.EventType, n.Publisher = eventType(o.Object, o.Action, o.Phase), service(o.Action)+"."+c.Host
	return []ferric.Notice{n}
}

func (c *Composer) notice(subject, payload any) (ferric.Notice, bool) {
	raw, err := json.Marshal(payload)
	if err != nil { // documents have been JSON before
		c.Log.Error("cannot make a notification; it is left out", "about", about(subject), "error", err)
		return ferric.Notice{}, false
	}
	return ferric.Notice{About: about(subject), Payload: raw}, true
}

// about returns the UUID of what a notice is about: what belongs to a node is about the node, so that it stays in its order.
func about(subject any) string {
	switch o := subject.(type) {
	case *ferric.Node:
		return o.UUID
	case *ferric.Port:
		return o.NodeUUID
	case *ferric.Portgroup:
		return o.NodeUUID
	case *ferric.VolumeConnector:
		return o.NodeUUID
	case *ferric.VolumeTarget:
		return o.NodeUUID
	case *ferric.Allocation:
		return o.UUID
	case *ferric.Chassis:
		return o.UUID
	case *ferric.DeployTemplate:
		return o.UUID
	case *ferric.Runbook:
		return o.UUID
	case *ferric.InspectionRule:
		return o.UUID
	}
	return ""
}

// PowerUpdate is the payload of a notice for Nova: an instance's power state is another one.
type PowerUpdate struct {
	ServerUUID string `json:"server_uuid"`
	Tag        string `json:"tag"` // POWER_ON or POWER_OFF
}

// forNova makes the notice of a power state, if there is an instance.
func (c *Composer) forNova(o ferric.Occurrence) []ferric.Notice {
	node, ok := o.Subject.(*ferric.Node)
	if !c.Nova || !ok || node.InstanceID == "" {
		return nil
	}
	update := PowerUpdate{ServerUUID: node.InstanceID}
	switch node.PowerState {
	case ferric.PowerOn:
		update.Tag = "POWER_ON"
	case ferric.PowerOff:
		update.Tag = "POWER_OFF"
	default: // Nova has no name for the others
		return nil
	}
	n, ok := c.notice(node, update)
	if !ok {
		return nil
	}
	n.Topic, n.Level, n.EventType, n.Publisher = ferric.TopicNova, "info", "power-update", conductorService+"."+c.Host
	return []ferric.Notice{n}
}
