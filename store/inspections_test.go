package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"ferric"
	"ferric/store"
)

func TestInspectionRules(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		op := func(v any) []ferric.RuleOperation {
			return []ferric.RuleOperation{{Op: "set-attribute", Args: map[string]any{"value": v}, Loop: []any{1.0}, Multiple: "all"}}
		}
		r := &ferric.InspectionRule{UUID: "AAAAAAAA-0000-0000-0000-000000000001", Description: "d", Phase: "main", Priority: 7, Sensitive: true,
			Conditions: op("c"), Actions: op("geheim")}
		must(t, e.CreateInspectionRule(ctx, r))
		if r.UUID != "aaaaaaaa-0000-0000-0000-000000000001" || r.Version != 1 || r.CreatedAt.IsZero() {
			t.Fatalf("made: %+v", r)
		}
		got, err := e.InspectionRule(ctx, strings.ToUpper(r.UUID))
		must(t, err)
		equal(t, "read", got, r)
		wantCode(t, e.CreateInspectionRule(ctx, r), ferric.CodeConflict, "A rule with UUID "+r.UUID+" already exists.")
		q := &ferric.InspectionRule{Phase: "main", Actions: op(nil)}
		must(t, e.CreateInspectionRule(ctx, q))
		var sealed []byte
		must(t, e.peek(t).QueryRow("SELECT actions FROM inspection_rules WHERE priority = 7").Scan(&sealed))
		if strings.Contains(string(sealed), "geheim") {
			t.Error("the actions are not encrypted")
		}

		list := func(f ferric.InspectionRuleFilter) string {
			t.Helper()
			rules, err := e.InspectionRules(ctx, f)
			must(t, err)
			s := ""
			for _, r := range rules {
				s += fmt.Sprint(r.Priority)
			}
			return s
		}
		equal(t, "all", list(ferric.InspectionRuleFilter{}), "70")
		equal(t, "sorted", list(ferric.InspectionRuleFilter{Page: ferric.Page{SortKey: "priority"}}), "07")
		equal(t, "page", list(ferric.InspectionRuleFilter{Page: ferric.Page{Limit: 1, Marker: r.UUID}}), "0")
		equal(t, "phase", list(ferric.InspectionRuleFilter{Phase: "other"}), "")
		_, err = e.InspectionRules(ctx, ferric.InspectionRuleFilter{Page: ferric.Page{Marker: "gone"}})
		wantCode(t, err, ferric.CodeNotFound, "Rule gone could not be found.")

		up, err := e.UpdateInspectionRule(ctx, r.UUID, 1, func(r *ferric.InspectionRule) error { r.Priority, r.Conditions = 8, nil; return nil })
		must(t, err)
		again, err := e.InspectionRule(ctx, r.UUID)
		must(t, err)
		equal(t, "updated", again, up)
		if up.Priority != 8 || up.Conditions != nil || up.Version != 2 || !up.CreatedAt.Equal(r.CreatedAt) || !up.UpdatedAt.After(r.UpdatedAt) {
			t.Errorf("updated: %+v", up)
		}
		_, err = e.UpdateInspectionRule(ctx, r.UUID, 1, func(*ferric.InspectionRule) error { return nil })
		wantCode(t, err, ferric.CodeConflict, "its version is 2, not 1")
		_, err = e.UpdateInspectionRule(ctx, r.UUID, 0, func(r *ferric.InspectionRule) error { r.UUID = q.UUID; return nil })
		wantCode(t, err, ferric.CodeConflict, "already exists")
		_, err = e.UpdateInspectionRule(ctx, "gone", 0, nil)
		wantCode(t, err, ferric.CodeNotFound, "Rule gone")
		own := ferric.Errorf(ferric.CodeForbidden, "no")
		if _, err = e.UpdateInspectionRule(ctx, r.UUID, 0, func(r *ferric.InspectionRule) error { r.Priority = 9; return own }); err != own {
			t.Fatalf("got %v", err)
		}
		equal(t, "after failures", list(ferric.InspectionRuleFilter{}), "80")

		must(t, e.DeleteInspectionRule(ctx, r.UUID))
		wantCode(t, e.DeleteInspectionRule(ctx, r.UUID), ferric.CodeNotFound, "Rule "+r.UUID+" could not be found.")
		must(t, e.DeleteInspectionRules(ctx))
		must(t, e.DeleteInspectionRules(ctx))
		equal(t, "none", list(ferric.InspectionRuleFilter{}), "")
	})
}

func TestInspections(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		_, err := e.Inspection(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, n.UUID)
		wantCode(t, e.SetInspection(ctx, &ferric.Inspection{NodeUUID: "nobody"}), ferric.CodeNotFound, "Node nobody")
		wantCode(t, e.SetInspection(ctx, &ferric.Inspection{NodeUUID: n.UUID, Inventory: json.RawMessage("{")}), ferric.CodeInvalid, "")
		huge := json.RawMessage(`"` + strings.Repeat("x", store.MaxInspection) + `"`)
		wantCode(t, e.SetInspection(ctx, &ferric.Inspection{NodeUUID: n.UUID, PluginData: huge}), ferric.CodeInvalid, "plugin data has 16777218 bytes")
		wantCode(t, e.SetInventory(ctx, &ferric.Inventory{NodeUUID: n.UUID, Inventory: huge}), ferric.CodeInvalid, "inventory has 16777218 bytes")
		i := &ferric.Inspection{NodeUUID: n.UUID, Inventory: json.RawMessage(`{"a": 1}`), PluginData: json.RawMessage(`{}`)}
		must(t, e.SetInspection(ctx, i))
		first := i.ReceivedAt
		i.PluginData = json.RawMessage(`{"r": 2}`)
		must(t, e.SetInspection(ctx, i))
		got, err := e.Inspection(ctx, n.UUID)
		must(t, err)
		equal(t, "inspection", got, i)
		if !got.ReceivedAt.Equal(first) || first.IsZero() {
			t.Errorf("received at %v, then %v", first, got.ReceivedAt)
		}
		must(t, e.DeleteInspection(ctx, n.UUID))
		must(t, e.DeleteInspection(ctx, n.UUID))
		_, err = e.Inspection(ctx, n.UUID)
		wantCode(t, err, ferric.CodeNotFound, "")
	})
}

func TestDiscover(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		data := func() *ferric.Inspection {
			return &ferric.Inspection{Inventory: json.RawMessage(`{}`), PluginData: json.RawMessage(`{}`)}
		}
		node := func() *ferric.Node { return &ferric.Node{UUID: uuid.NewString(), Driver: "fake-hardware"} }
		_, _, err := e.Discover(ctx, node(), nil, data())
		wantCode(t, err, ferric.CodeInvalid, "")

		// Many at once, of one machine whose addresses overlap.
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen, made := map[string]bool{}, 0
		for i := range 8 {
			wg.Go(func() {
				id, fresh, err := e.Discover(ctx, node(), []string{"52:54:00:00:00:AA", fmt.Sprint("bmc-", i)}, data())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				seen[id] = true
				if fresh {
					made++
				}
			})
		}
		wg.Wait()
		if len(seen) != 1 || made != 1 {
			t.Fatalf("%d nodes, made %d times", len(seen), made)
		}
		nodes, err := e.Nodes(ctx, ferric.NodeFilter{}, ferric.Page{})
		must(t, err)
		if len(nodes) != 1 || nodes[0].ProvisionState != ferric.Enroll {
			t.Fatalf("nodes: %+v", nodes)
		}
		if _, err := e.Inspection(ctx, nodes[0].UUID); err != nil {
			t.Error(err)
		}
		owner := e.node(t)
		must(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: owner.UUID, Address: "52:54:00:00:00:bb"}))
		id, fresh, err := e.Discover(ctx, node(), []string{"52:54:00:00:00:BB"}, data())
		must(t, err)
		if id != owner.UUID || fresh {
			t.Errorf("by port: %s, %v", id, fresh)
		}
		bad := node()
		bad.UUID = owner.UUID
		_, _, err = e.Discover(ctx, bad, []string{"x"}, data())
		wantCode(t, err, ferric.CodeConflict, "already exists")
		_, _, err = e.Discover(ctx, node(), []string{"x"}, &ferric.Inspection{Inventory: json.RawMessage("{")})
		wantCode(t, err, ferric.CodeInvalid, "")
		_, fresh, err = e.Discover(ctx, node(), []string{"x"}, data())
		must(t, err)
		if !fresh {
			t.Error("a failed discovery left something behind")
		}
	})
}
