package ferric

import (
	"slices"
	"time"
)

// Allocation is a request for a node that is fit for something, and what came of it. The node that it got has the allocation's UUID as
// its instance; when the node lets go of that instance, the allocation ends and is gone.
type Allocation struct {
	UUID           string          `json:"uuid"`
	Name           string          `json:"name,omitempty"`
	ResourceClass  string          `json:"resource_class,omitempty"`
	Traits         []string        `json:"traits,omitempty"`          // the node must have all of them
	CandidateNodes []string        `json:"candidate_nodes,omitempty"` // UUIDs; none: any node will do
	Owner          string          `json:"owner,omitempty"`           // the node must be owned by or leased to it; "": anybody's
	Extra          map[string]any  `json:"extra,omitempty"`
	State          AllocationState `json:"state"`
	LastError      string          `json:"last_error,omitempty"`
	NodeUUID       string          `json:"node_uuid,omitempty"`
	// Conductor is the host name of the conductor that accepted it, or that worked on it last.
	Conductor string `json:"conductor,omitempty"`
	// Attempts counts how often no node could be had because all that are fit were in use by somebody; DueAt is when the next try is.
	Attempts  int       `json:"attempts,omitempty"`
	DueAt     time.Time `json:"due_at,omitzero"`
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	Version   int64     `json:"version,omitempty"`
}

// AllocationState says what became of an allocation.
type AllocationState string

// The states of allocations, with the names that the API shows.
const (
	AllocationPending AllocationState = "allocating" // a conductor looks for a node
	AllocationActive  AllocationState = "active"     // it has a node
	AllocationFailed  AllocationState = "error"      // it got none, and never will; LastError says why
)

// Clone returns a deep copy.
func (a *Allocation) Clone() *Allocation {
	c := *a
	c.Traits, c.CandidateNodes = slices.Clone(a.Traits), slices.Clone(a.CandidateNodes)
	c.Extra = cloneMap(a.Extra)
	return &c
}

// AllocationFilter selects allocations; zero fields select everything.
type AllocationFilter struct {
	NodeUUID      string
	ResourceClass string
	State         AllocationState
	Owner         string
	Page
}

// Candidates counts the nodes that an allocation could have.
type Candidates struct {
	Class int // available, of the resource class, and among the nodes asked for
	Fit   int // with the traits as well
}
