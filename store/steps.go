package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"ferric/flow"
)

// stepRow is a step as it is stored.
type stepRow struct {
	flow.Step
	operationID string
}

var stepTable = table[stepRow]{
	name: "steps",
	id:   func(r *stepRow) string { return r.operationID },
	cols: []column[stepRow]{
		text("operation_id", func(r *stepRow) *string { return &r.operationID }),
		number("seq", func(r *stepRow) *int { return &r.Seq }),
		text("interface", func(r *stepRow) *string { return &r.Interface }),
		text("name", func(r *stepRow) *string { return &r.Name }),
		number("priority", func(r *stepRow) *int { return &r.Priority }),
		plain("args", document("args", func(r *stepRow) *map[string]any { return &r.Args })),
		sealed("sealed_args", func(r *stepRow) *map[string]any { return &r.Args }),
		text("repeat_mode", func(r *stepRow) *flow.Repeat { return &r.Repeat }),
		boolean("clean_up", func(r *stepRow) *bool { return &r.CleanUp }),
		boolean("hidden", func(r *stepRow) *bool { return &r.Hidden }),
		text("source", func(r *stepRow) *string { return &r.Source }),
		document("info", func(r *stepRow) *map[string]any { return &r.Info }),
		text("status", func(r *stepRow) *flow.Status { return &r.Status }),
		number("attempts", func(r *stepRow) *int { return &r.Attempts }),
		text("error", func(r *stepRow) *string { return &r.Error }),
		moment("started_at", func(r *stepRow) *time.Time { return &r.StartedAt }),
		moment("ended_at", func(r *stepRow) *time.Time { return &r.EndedAt }),
		plain("data", raw("data", func(r *stepRow) *json.RawMessage { return &r.Data })),
		sealedRaw("sealed_data", func(r *stepRow) *json.RawMessage { return &r.Data }),
		plain("result", raw("result", func(r *stepRow) *json.RawMessage { return &r.Result })),
		sealedRaw("sealed_result", func(r *stepRow) *json.RawMessage { return &r.Result }),
	},
}

func stepRows(op *flow.Operation) []*stepRow {
	rows := make([]*stepRow, len(op.Steps))
	for i := range op.Steps {
		rows[i] = &stepRow{Step: op.Steps[i], operationID: op.ID}
		rows[i].Seq = i
	}
	return rows
}

func readSteps(ctx context.Context, s *Store, q querier, operationID string) ([]flow.Step, error) {
	rows, err := stepTable.all(ctx, s, q, "WHERE operation_id = $1 ORDER BY seq", operationID)
	if err != nil {
		return nil, err
	}
	steps := make([]flow.Step, len(rows))
	for i, r := range rows {
		steps[i] = r.Step
	}
	return steps, nil
}

// writeSteps makes the stored steps equal to the operation's.
func writeSteps(ctx context.Context, t *tx, op *flow.Operation) error {
	stored, err := stepTable.all(ctx, t.s, t, "WHERE operation_id = $1 ORDER BY seq", op.ID)
	if err != nil {
		return err
	}
	want := stepRows(op)
	for i := range min(len(stored), len(want)) {
		before, err := stepTable.values(stored[i])
		if err != nil {
			return err
		}
		after, err := stepTable.values(want[i])
		if err != nil {
			return err
		}
		if slices.Equal(before, after) {
			continue
		}
		err = stepTable.update(ctx, t.s, t, op.ID, after, differing(before, after), key{"operation_id", op.ID}, key{"seq", i})
		if err != nil {
			return err
		}
	}
	if len(stored) > len(want) {
		_, err := t.ExecContext(ctx, "DELETE FROM steps WHERE operation_id = $1 AND seq >= $2", op.ID, len(want))
		return err
	}
	if len(want) > len(stored) {
		return stepTable.insert(ctx, t.s, t, nil, want[len(stored):]...)
	}
	return nil
}
