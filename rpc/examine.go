package rpc

import (
	"time"

	"ferric"
)

// Examine asks a conductor what it sees that the database does not know: ExamineArgs → Examination. It changes nothing.
const Examine Method = "examine"

// ExamineArgs says what to look at.
type ExamineArgs struct {
	Nodes    []string      `json:"nodes,omitempty"` // UUIDs; none: all that the conductor serves
	Hardware bool          `json:"hardware"`        // ask the machines' BMCs, too
	Within   time.Duration `json:"within"`          // when to stop asking
}

// Examination is what a conductor found.
type Examination struct {
	Host     string           `json:"host"`
	Now      time.Time        `json:"now"` // its clock at the beginning
	Findings []ferric.Finding `json:"findings"`
	Unseen   []string         `json:"unseen,omitempty"` // what it could not look at
}

// Examined is one conductor's answer, or why there is none, as the caller got it.
type Examined struct {
	Host        string
	Examination *Examination // nil: see Err
	Err         error
	Asked       time.Time // by the caller's clock
	Answered    time.Time
}
