package ferric

import (
	"slices"
	"time"
)

// StepRequest is a step that a deploy template or a runbook asks for.
type StepRequest struct {
	Interface string         `json:"interface"`
	Step      string         `json:"step"`
	Args      map[string]any `json:"args,omitempty"`
	Priority  int            `json:"priority"` // in deploy templates; 0 leaves the step out
	Order     int            `json:"order"`    // in runbooks
}

// DeployTemplate is a set of deploy steps that changes how instances are deployed which ask for the trait that it is named after.
type DeployTemplate struct {
	UUID      string         `json:"uuid"`
	Name      string         `json:"name"` // a trait
	Steps     []StepRequest  `json:"steps"`
	Extra     map[string]any `json:"extra,omitempty"`
	CreatedAt time.Time      `json:"created_at,omitzero"`
	UpdatedAt time.Time      `json:"updated_at,omitzero"`
	Version   int64          `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (d *DeployTemplate) Clone() *DeployTemplate {
	c := *d
	c.Steps = cloneSteps(d.Steps)
	c.Extra = cloneMap(d.Extra)
	return &c
}

// Runbook is a list of steps that somebody approved for cleaning or servicing the nodes that have one of its traits.
type Runbook struct {
	UUID           string         `json:"uuid"`
	Name           string         `json:"name"`
	Description    string         `json:"description,omitempty"`
	Owner          string         `json:"owner,omitempty"`
	Public         bool           `json:"public,omitempty"`
	DisableRamdisk bool           `json:"disable_ramdisk,omitempty"`
	Traits         []string       `json:"traits,omitempty"` // sorted
	Steps          []StepRequest  `json:"steps"`
	Extra          map[string]any `json:"extra,omitempty"`
	CreatedAt      time.Time      `json:"created_at,omitzero"`
	UpdatedAt      time.Time      `json:"updated_at,omitzero"`
	Version        int64          `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (r *Runbook) Clone() *Runbook {
	c := *r
	c.Traits = slices.Clone(r.Traits)
	c.Steps = cloneSteps(r.Steps)
	c.Extra = cloneMap(r.Extra)
	return &c
}

func cloneSteps(steps []StepRequest) []StepRequest {
	c := slices.Clone(steps)
	for i := range c {
		c[i].Args = cloneMap(c[i].Args)
	}
	return c
}

// DeployTemplateFilter selects deploy templates; zero fields select everything.
type DeployTemplateFilter struct {
	Names []string
	Page
}

// RunbookFilter selects runbooks; zero fields select everything.
type RunbookFilter struct {
	Project string // runbooks that it owns, and public ones
	Page
}
