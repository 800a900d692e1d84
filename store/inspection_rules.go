package store

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"ferric"
)

var ruleTable = table[ferric.InspectionRule]{
	name: "inspection_rules",
	id:   func(r *ferric.InspectionRule) string { return r.UUID },
	cols: []column[ferric.InspectionRule]{
		text("uuid", func(r *ferric.InspectionRule) *string { return &r.UUID }),
		moment("created_at", func(r *ferric.InspectionRule) *time.Time { return &r.CreatedAt }),
		moment("updated_at", func(r *ferric.InspectionRule) *time.Time { return &r.UpdatedAt }),
		number("version", func(r *ferric.InspectionRule) *int64 { return &r.Version }),
		number("priority", func(r *ferric.InspectionRule) *int { return &r.Priority }),
		text("description", func(r *ferric.InspectionRule) *string { return &r.Description }),
		text("phase", func(r *ferric.InspectionRule) *string { return &r.Phase }),
		boolean("sensitive", func(r *ferric.InspectionRule) *bool { return &r.Sensitive }),
		sealed("conditions", func(r *ferric.InspectionRule) *[]ferric.RuleOperation { return &r.Conditions }),
		sealed("actions", func(r *ferric.InspectionRule) *[]ferric.RuleOperation { return &r.Actions }),
	},
}

var ruleOrder = ordering{table: "inspection_rules", marker: "uuid", tie: []string{"created_at", "uuid"}, keys: sortable(ruleTable)}

func ruleNotFound(ident string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Rule %s could not be found.", ident)
}

// CreateInspectionRule adds a rule and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID that another rule
// has.
func (s *Store) CreateInspectionRule(ctx context.Context, r *ferric.InspectionRule) error {
	made := r.Clone()
	if made.UUID == "" {
		made.UUID = uuid.NewString()
	}
	made.UUID = strings.ToLower(made.UUID)
	err := s.write(ctx, "create inspection rule "+made.UUID, func(ctx context.Context, t *tx) error {
		made.CreatedAt, made.UpdatedAt, made.Version = t.now, t.now, 1
		err := ruleTable.insert(ctx, s, t, nil, made)
		if duplicate(err, "inspection_rules", "uuid") {
			return ferric.Errorf(ferric.CodeConflict, "A rule with UUID %s already exists.", made.UUID)
		}
		if err == nil {
			tellOfRule(ctx, t, ferric.ActionCreate, nil, made)
		}
		return err
	})
	if err == nil {
		*r = *made
	}
	return err
}

// InspectionRule returns a rule (CodeNotFound).
func (s *Store) InspectionRule(ctx context.Context, uuid string) (r *ferric.InspectionRule, err error) {
	err = s.get(ctx, "read inspection rule", func(ctx context.Context, q querier) error {
		r, err = ruleTable.one(ctx, s, q, "WHERE uuid = $1", clean(strings.ToLower(uuid)))
		if missing(err) {
			return ruleNotFound(uuid)
		}
		return err
	})
	return r, err
}

// InspectionRules returns rules, like Nodes.
func (s *Store) InspectionRules(ctx context.Context, f ferric.InspectionRuleFilter) (list []*ferric.InspectionRule, err error) {
	err = s.get(ctx, "list inspection rules", func(ctx context.Context, q querier) error {
		w := &filter{}
		w.equal("phase", f.Phase)
		if err := w.page(ctx, q, ruleOrder, f.Page, ruleNotFound); err != nil {
			return err
		}
		list, err = ruleTable.all(ctx, s, q, w.sql.String(), w.args...)
		return err
	})
	return list, err
}

// UpdateInspectionRule changes a rule and returns it. expectVersion 0 is any. CodeNotFound; CodeConflict if the version is another one, or the
// UUID that the rule is given is taken; an error of mutate is returned as it is, and changes nothing.
func (s *Store) UpdateInspectionRule(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.InspectionRule) error) (r *ferric.InspectionRule, err error) {
	err = s.write(ctx, "change inspection rule "+uuid, func(ctx context.Context, t *tx) error {
		r, err = ruleTable.one(ctx, s, t, "WHERE uuid = $1"+t.forUpdate(), clean(strings.ToLower(uuid)))
		if missing(err) {
			return ruleNotFound(uuid)
		}
		if err != nil {
			return err
		}
		if expectVersion != 0 && r.Version != expectVersion {
			return ferric.Errorf(ferric.CodeConflict, "Inspection rule %s was changed meanwhile: its version is %d, not %d. Read it again.",
				r.UUID, r.Version, expectVersion)
		}
		kept := *r
		if err := mutate(r); err != nil {
			return mutateError{err}
		}
		r.CreatedAt, r.UpdatedAt, r.Version = kept.CreatedAt, t.now, kept.Version+1
		if r.UUID = strings.ToLower(r.UUID); r.UUID == "" {
			r.UUID = kept.UUID
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM inspection_rules WHERE uuid = $1", kept.UUID); err != nil {
			return err
		}
		err := ruleTable.insert(ctx, s, t, nil, r) // sealed values are bound to the UUID, which may be new
		if duplicate(err, "inspection_rules", "uuid") {
			return ferric.Errorf(ferric.CodeConflict, "A rule with UUID %s already exists.", r.UUID)
		}
		if err == nil {
			tellOfRule(ctx, t, ferric.ActionUpdate, &kept, r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// DeleteInspectionRule removes a rule (CodeNotFound).
func (s *Store) DeleteInspectionRule(ctx context.Context, uuid string) error {
	return s.deleteRules(ctx, "delete inspection rule "+uuid, func(n int) error {
		if n == 0 {
			return ruleNotFound(uuid)
		}
		return nil
	}, "WHERE uuid = $1", clean(strings.ToLower(uuid)))
}

// deleteRules removes the rules that clauses select; fit is told how many they are.
func (s *Store) deleteRules(ctx context.Context, what string, fit func(n int) error, clauses string, args ...any) error {
	return s.write(ctx, what, func(ctx context.Context, t *tx) error {
		list, err := ruleTable.all(ctx, s, t, clauses+t.forUpdate(), args...)
		if err != nil {
			return err
		}
		if err := fit(len(list)); err != nil {
			return err
		}
		for _, r := range list {
			if _, err := t.ExecContext(ctx, "DELETE FROM inspection_rules WHERE uuid = $1", r.UUID); err != nil {
				return err
			}
			tellOfRule(ctx, t, ferric.ActionDelete, r, nil)
		}
		return nil
	})
}

// tellOfRule makes notices of a change that a client asked for.
func tellOfRule(ctx context.Context, t *tx, action ferric.Action, before, after *ferric.InspectionRule) {
	tellAsked(ctx, t, ferric.ObjectInspectionRule, action, before, after, func(o, before *ferric.InspectionRule) {
		if before == nil {
			o.CreatedAt, o.UpdatedAt = time.Time{}, time.Time{}
		} else {
			o.UpdatedAt = before.UpdatedAt
		}
	})
}

// DeleteInspectionRules removes all rules.
func (s *Store) DeleteInspectionRules(ctx context.Context) error {
	return s.deleteRules(ctx, "delete inspection rules", func(int) error { return nil }, "ORDER BY uuid")
}
