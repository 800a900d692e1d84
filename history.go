package ferric

import "time"

// HistoryEntry is one event in a node's life.
type HistoryEntry struct {
	UUID      string    `json:"uuid"`
	NodeUUID  string    `json:"node_uuid"`
	Conductor string    `json:"conductor"`
	Event     string    `json:"event"`      // a sentence
	EventType string    `json:"event_type"` // provisioning, cleaning, introspection, monitoring, transition, …
	Severity  string    `json:"severity"`   // INFO or ERROR
	User      string    `json:"user,omitempty"`
	Project   string    `json:"project,omitempty"`
	CreatedAt time.Time `json:"created_at"`

	// Where the node stood, and how long what ended took (zero where nothing ended).
	State       ProvisionState `json:"state,omitempty"`
	TargetState ProvisionState `json:"target_provision_state,omitempty"`
	Duration    time.Duration  `json:"duration,omitempty"`

	// The operation and step that the event belongs to, if any.
	OperationID string `json:"operation_id,omitempty"`
	Step        string `json:"step,omitempty"`
}

// History event types, with Ironic's names.
const (
	EventProvisioning  = "provisioning"
	EventTakeover      = "takeover"
	EventIntrospection = "introspection"
	EventConductor     = "conductor"
	EventTransition    = "transition"
	EventUnprovision   = "unprovision"
	EventAdoption      = "adoption"
	EventConsole       = "console"
	EventMonitoring    = "monitoring"
	EventVerify        = "verify"
	EventCleaning      = "cleaning"
	EventPower         = "power"
	EventServicing     = "servicing"
	EventRescue        = "rescue"
)

// Severities of history entries.
const (
	SeverityInfo  = "INFO"
	SeverityError = "ERROR"
)

// Change is one entry of the change feed: something about a node became different. Entries are written in the
// same transaction as the change itself and numbered without reuse, so that a reader can resume from an ID.
type Change struct {
	ID       int64     `json:"id"`
	NodeUUID string    `json:"node_uuid"`
	Kind     string    `json:"kind"` // node.created, node.updated, node.deleted, port.created, …
	At       time.Time `json:"at"`
	// What the reader most often wants to know, so that it need not fetch the node.
	ProvisionState       ProvisionState `json:"provision_state,omitempty"`
	TargetProvisionState ProvisionState `json:"target_provision_state,omitempty"`
	PowerState           PowerState     `json:"power_state,omitempty"`
	Maintenance          bool           `json:"maintenance,omitempty"`
	Fields               []string       `json:"fields,omitempty"` // names of changed node fields
}
