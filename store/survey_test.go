package store_test

import (
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

// What the doctor reads: unfinished operations with their step, leases that were not given back, agents, nodes without documents.
func TestSurvey(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		s := e.site(t)
		s.operation.Cursor = 1
		_, err := e.Checkpoint(ctx, s.lease, s.operation, nil, nil)
		must(t, err)
		free, err := e.Acquire(ctx, s.active.UUID, "host-2", time.Minute)
		must(t, err)
		must(t, e.Release(ctx, free))
		e.after(2 * time.Hour) // the lease has run out, and is still told of

		ops, err := e.UnfinishedOperations(ctx)
		must(t, err)
		if len(ops) != 1 || ops[0].ID != s.operation.ID || len(ops[0].Steps) != 1 || ops[0].Steps[0].Name != s.operation.Steps[1].Name {
			t.Errorf("unfinished operations: %+v", ops)
		}
		leases, err := e.NodeLeases(ctx)
		must(t, err)
		if len(leases) != 1 || leases[0].Owner != "host-1" || leases[0].Epoch != s.lease.Epoch || !leases[0].Until.Equal(s.lease.Until) {
			t.Errorf("leases: %+v, want %+v", leases, s.lease)
		}
		agents, err := e.AgentSessions(ctx)
		must(t, err)
		if len(agents) != 1 || agents[0].NodeUUID != s.deploying.UUID || agents[0].StartedAt.IsZero() {
			t.Errorf("agents: %+v", agents)
		}
		seen := 0
		must(t, e.EachNodeBrief(ctx, ferric.NodeFilter{}, func(n *ferric.Node) error {
			seen++
			if n.DriverInfo != nil || n.ProvisionState == "" {
				t.Errorf("a brief node: %+v", n)
			}
			return nil
		}))
		equal(t, "nodes", seen, 5)
		s.operation.Status = flow.Succeeded
		_, err = e.Checkpoint(ctx, s.lease, s.operation, nil, nil)
		must(t, err)
		ops, err = e.UnfinishedOperations(ctx)
		must(t, err)
		equal(t, "operations when it has ended", len(ops), 0)
		must(t, e.Retire(ctx, "host-1"))
		conductors, err := e.Conductors(ctx, time.Minute)
		must(t, err)
		if len(conductors) != 1 || !conductors[0].Retired || conductors[0].Alive {
			t.Errorf("a conductor that went away on purpose: %+v", conductors)
		}
	})
}
