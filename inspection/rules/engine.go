package rules

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"ferric"
)

// Machine is what rules work on. Node, Ports and PluginData are copies that the actions change; the inventory is only read.
type Machine struct {
	Node       *ferric.Node
	Ports      []*ferric.Port
	Inventory  map[string]any
	PluginData map[string]any
}

// Whether passwords in inventory and plugin data are masked for rules.
const (
	MaskAlways    = "always"
	MaskNever     = "never"
	MaskSensitive = "sensitive" // but not for rules that are sensitive themselves
)

// Engine runs rules. Its zero value masks always, logs nothing and refuses API calls.
type Engine struct {
	Mask string
	Log  *slog.Logger
	// Call does an API call. It blocks until the answer is there, the retries are used up or ctx ends.
	Call func(ctx context.Context, c APICall) error
}

// Apply runs the rules of a phase, those of the highest priority first, equal ones in the order given. The first error ends it: CodeInvalid
// for a rule that cannot be run or that fails the inspection, the caller's own for an API call. What was changed until then stays changed
// in m, which is to be thrown away.
func (e *Engine) Apply(ctx context.Context, phase string, rules []ferric.InspectionRule, m *Machine) (applied []string, err error) {
	order := slices.DeleteFunc(slices.Clone(rules), func(r ferric.InspectionRule) bool { return r.Phase != phase })
	slices.SortStableFunc(order, func(a, b ferric.InspectionRule) int { return cmp.Compare(b.Priority, a.Priority) })
	for i := range order {
		r := &order[i]
		ok, err := e.holds(m, r)
		if err != nil {
			return applied, ferric.Errorf(ferric.ErrorCode(err), "inspection rule %s: %w", r.UUID, err)
		}
		if !ok {
			continue
		}
		x := &execution{engine: e, machine: m, rule: r}
		for _, a := range r.Actions {
			if err := ctx.Err(); err != nil {
				return applied, ferric.Errorf(ferric.CodeTimeout, "inspection rule %s: %w", r.UUID, err)
			}
			if err := x.act(ctx, a); err != nil {
				return applied, ferric.Errorf(ferric.ErrorCode(err), "inspection rule %s: %w", r.UUID, err)
			}
		}
		applied = append(applied, r.UUID)
	}
	return applied, nil
}

// holds reports whether all conditions of a rule do.
func (e *Engine) holds(m *Machine, r *ferric.InspectionRule) (bool, error) {
	s := e.scope(m, r)
	for _, c := range r.Conditions {
		if ok, err := s.holds(c); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (e *Engine) scope(m *Machine, r *ferric.InspectionRule) *scope {
	mask := e.Mask != MaskNever && !(e.Mask == MaskSensitive && r.Sensitive)
	return &scope{node: document(nodeAttributes(), m.Node), inventory: m.Inventory, plugin: m.PluginData, mask: mask}
}

func (e *Engine) call(ctx context.Context, c APICall) error {
	if e.Call == nil {
		return ferric.Errorf(ferric.CodeUnsupported, "API calls are switched off")
	}
	return e.Call(ctx, c)
}
