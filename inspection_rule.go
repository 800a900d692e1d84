package ferric

import (
	"slices"
	"time"
)

// InspectionRule changes a node by what its inspection found: when all conditions hold, the actions are run.
type InspectionRule struct {
	UUID        string          `json:"uuid"`
	Description string          `json:"description,omitempty"`
	Phase       string          `json:"phase"`    // "main"
	Priority    int             `json:"priority"` // higher ones run first
	Sensitive   bool            `json:"sensitive"`
	Conditions  []RuleOperation `json:"conditions"` // may hold credentials, as Actions; encrypted at rest
	Actions     []RuleOperation `json:"actions"`
	CreatedAt   time.Time       `json:"created_at,omitzero"`
	UpdatedAt   time.Time       `json:"updated_at,omitzero"`
	Version     int64           `json:"version,omitempty"`
}

// RuleOperation is a condition or an action of an inspection rule.
type RuleOperation struct {
	Op       string `json:"op"`
	Args     any    `json:"args"`               // an object of arguments by name, or a list of them in order
	Loop     any    `json:"loop,omitempty"`     // a list of items, or one item that is an object
	Multiple string `json:"multiple,omitempty"` // of a condition with a loop: any, all, first or last; "" is any
}

// PhaseMain is the phase of inspection rules that there is.
const PhaseMain = "main"

// Clone returns a deep copy.
func (r *InspectionRule) Clone() *InspectionRule {
	c := *r
	c.Conditions, c.Actions = cloneOperations(r.Conditions), cloneOperations(r.Actions)
	return &c
}

func cloneOperations(list []RuleOperation) []RuleOperation {
	c := slices.Clone(list)
	for i := range c {
		c[i].Args, c[i].Loop = cloneValue(c[i].Args), cloneValue(c[i].Loop)
	}
	return c
}

// InspectionRuleFilter selects inspection rules; zero fields select everything.
type InspectionRuleFilter struct {
	Phase string
	Page
}
