package store

import (
	"context"

	"ferric"
)

func runbookHead(r *ferric.Runbook) head {
	return head{&r.UUID, &r.Name, &r.CreatedAt, &r.UpdatedAt, &r.Version}
}

// runbookRecords keep their steps sealed: the arguments of a step may hold passwords.
var runbookRecords = record[ferric.Runbook]{what: "Runbook", some: "A runbook", object: ferric.ObjectRunbook, head: runbookHead,
	table: table[ferric.Runbook]{name: "runbooks", id: func(r *ferric.Runbook) string { return r.UUID },
		cols: append(columns(runbookHead),
			text("description", func(r *ferric.Runbook) *string { return &r.Description }),
			text("owner", func(r *ferric.Runbook) *string { return &r.Owner }),
			boolean("public", func(r *ferric.Runbook) *bool { return &r.Public }),
			boolean("disable_ramdisk", func(r *ferric.Runbook) *bool { return &r.DisableRamdisk }),
			document("traits", func(r *ferric.Runbook) *[]string { return &r.Traits }),
			document("extra", func(r *ferric.Runbook) *map[string]any { return &r.Extra }),
			sealed("steps", func(r *ferric.Runbook) *[]ferric.StepRequest { return &r.Steps }),
		)}}

// CreateRunbook adds a runbook and fills in its times, its version and, if it is empty, its UUID. CodeConflict for a UUID or name that
// another one has.
func (s *Store) CreateRunbook(ctx context.Context, r *ferric.Runbook) error {
	return runbookRecords.create(ctx, s, r)
}

// Runbook returns a runbook (CodeNotFound).
func (s *Store) Runbook(ctx context.Context, uuid string) (*ferric.Runbook, error) {
	return runbookRecords.get(ctx, s, "uuid", uuid)
}

// RunbookByName returns the runbook with a name (CodeNotFound).
func (s *Store) RunbookByName(ctx context.Context, name string) (*ferric.Runbook, error) {
	return runbookRecords.get(ctx, s, "name", name)
}

// Runbooks returns runbooks, like Nodes.
func (s *Store) Runbooks(ctx context.Context, f ferric.RunbookFilter) ([]*ferric.Runbook, error) {
	w := &filter{}
	if f.Project != "" {
		w.and("(owner = ? OR public)", clean(f.Project))
	}
	return runbookRecords.list(ctx, s, w, f.Page)
}

// UpdateRunbook changes a runbook and returns it. expectVersion 0 is any. CodeNotFound; CodeConflict if the version is another one, or
// the name is taken; an error of mutate is returned as it is, and changes nothing.
func (s *Store) UpdateRunbook(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Runbook) error) (*ferric.Runbook, error) {
	return runbookRecords.update(ctx, s, uuid, expectVersion, mutate)
}

// DeleteRunbook removes a runbook (CodeNotFound).
func (s *Store) DeleteRunbook(ctx context.Context, uuid string) error {
	return runbookRecords.remove(ctx, s, uuid)
}
