package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
)

func benchEach(b *testing.B, fn func(b *testing.B, e *env)) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			e := open(b, engine)
			b.ResetTimer()
			fn(b, e)
		})
	}
}

func benchNode(b *testing.B, e *env, i int) *ferric.Node {
	n := fullNode()
	n.ChassisUUID = ""
	n.UUID, n.Name, n.InstanceID, n.ParentNode = "", fmt.Sprint("node-", i), "", ""
	if err := e.CreateNode(context.Background(), n); err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkCycle is one turn of a worker: take the lease, write a step of ten down with history and node, give it back.
func BenchmarkCycle(b *testing.B) {
	benchEach(b, func(b *testing.B, e *env) {
		ctx := b.Context()
		n := benchNode(b, e, 0)
		l := e.lease(b, n.UUID)
		op := e.begin(b, l, 10)
		if err := e.Release(ctx, l); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			l, err := e.Acquire(ctx, n.UUID, "h", time.Minute)
			if err != nil {
				b.Fatal(err)
			}
			op.Steps[3].Attempts++
			_, err = e.Checkpoint(ctx, l, op, []ferric.HistoryEntry{{Event: "x"}}, func(n *ferric.Node) error {
				n.DeployStep = map[string]any{"attempts": op.Steps[3].Attempts}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Release(ctx, l); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAcquireRelease(b *testing.B) {
	benchEach(b, func(b *testing.B, e *env) {
		n := benchNode(b, e, 0)
		for b.Loop() {
			l := e.lease(b, n.UUID)
			if err := e.Release(b.Context(), l); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHeartbeat is an agent's heartbeat: its session and a signal to the operation that waits.
func BenchmarkHeartbeat(b *testing.B) {
	benchEach(b, func(b *testing.B, e *env) {
		ctx := b.Context()
		n := benchNode(b, e, 0)
		e.begin(b, e.lease(b, n.UUID), 10)
		if err := e.BeginAgentSession(ctx, n.UUID); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			_, err := e.ChangeAgentSession(ctx, n.UUID, func(a *ferric.AgentSession) error {
				a.LastHeartbeat = a.LastHeartbeat.Add(time.Second)
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := e.Signal(ctx, n.UUID, flow.EventHeartbeat); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkNode(b *testing.B) {
	benchEach(b, func(b *testing.B, e *env) {
		n := benchNode(b, e, 0)
		for b.Loop() {
			if _, err := e.Node(b.Context(), n.UUID); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkList1000(b *testing.B) {
	benchEach(b, func(b *testing.B, e *env) {
		for i := range 1000 {
			benchNode(b, e, i)
		}
		for name, list := range map[string]func(context.Context, ferric.NodeFilter, ferric.Page) ([]*ferric.Node, error){
			"full": e.Nodes, "brief": e.NodesBrief,
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					all, err := list(b.Context(), ferric.NodeFilter{}, ferric.Page{Limit: 1000})
					if err != nil || len(all) != 1000 {
						b.Fatal(len(all), err)
					}
				}
			})
		}
	})
}

func BenchmarkDue(b *testing.B) {
	benchEach(b, func(b *testing.B, e *env) {
		for i := range 500 {
			n := benchNode(b, e, i)
			l := e.lease(b, n.UUID)
			op := plan(3)
			op.Status, op.WakeAt = flow.Waiting, e.clock.now().Add(time.Hour)
			if _, err := e.Start(b.Context(), l, op, nil); err != nil {
				b.Fatal(err)
			}
			if err := e.Release(b.Context(), l); err != nil {
				b.Fatal(err)
			}
		}
		for b.Loop() {
			if _, err := e.Due(b.Context(), e.clock.now(), 100); err != nil {
				b.Fatal(err)
			}
			if _, err := e.NextWake(b.Context(), e.clock.now()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
