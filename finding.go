package ferric

import "time"

// Severity says how urgent a finding is.
type Severity string

// The severities.
const (
	FindingError   Severity = "error"   // something does not work, or is going to be lost
	FindingWarning Severity = "warning" // something wants to be looked at
	FindingNotice  Severity = "notice"  // something waits for people, as they wished
)

// Finding is an illness that a doctor found: what, since when, why, and what mends it.
type Finding struct {
	Code       string    `json:"code"` // names the illness, for machines
	Severity   Severity  `json:"severity"`
	Node       string    `json:"node,omitempty"`      // UUID
	NodeName   string    `json:"node_name,omitempty"` //
	Conductor  string    `json:"conductor,omitempty"` // host name
	Operation  string    `json:"operation,omitempty"` // ID
	Allocation string    `json:"allocation,omitempty"`
	Nodes      int       `json:"nodes,omitempty"` // how many nodes it concerns, where they are more than one
	Since      time.Time `json:"since,omitzero"`
	What       string    `json:"what"`
	Why        string    `json:"why"`
	Do         string    `json:"do"` // the command that mends it, or what to look at
}

// Diagnosis is a doctor's report: what was found, and what could not be looked at.
type Diagnosis struct {
	Findings []Finding `json:"findings"`
	// Unseen says, for people, what could not be looked at: then the findings may not be all.
	Unseen []string `json:"unseen"`
	Nodes  int      `json:"nodes"` // how many were looked at
}
