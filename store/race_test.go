package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// processes returns stores as several conductors would have them: on PostgreSQL three, each with its own connections.
func (e *env) processes(t *testing.T) []*store.Store {
	t.Helper()
	if !e.postgres() {
		return []*store.Store{e.Store}
	}
	return []*store.Store{e.Store, reopen(t, e.cfg), reopen(t, e.cfg)}
}

// crowd runs fn in many goroutines, spread over the processes, and waits for them.
func crowd(processes []*store.Store, n int, fn func(s *store.Store, worker int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(processes[i%len(processes)], i) })
	}
	wg.Wait()
}

// Many want the same few nodes, and nobody gives a lease back: it runs out, mostly in the middle of its owner's work.
// Every epoch has one winner, and no write of an old epoch comes after one of a newer epoch.
func TestAcquireRace(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		nodes := []*ferric.Node{e.node(t), e.node(t)}
		var wins, fenced, locked atomic.Int64
		var winners sync.Map
		crowd(e.processes(t), 12, func(s *store.Store, worker int) {
			for round := range 25 {
				node := nodes[(worker+round)%len(nodes)].UUID
				l, err := s.Acquire(ctx, node, fmt.Sprint("host-", worker), 20*time.Microsecond) // the clock ticks at every look
				if ferric.IsCode(err, ferric.CodeLocked) {
					locked.Add(1)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				wins.Add(1)
				if who, taken := winners.LoadOrStore(fmt.Sprint(node, l.Epoch), worker); taken {
					t.Errorf("epoch %d was given to %d and %d", l.Epoch, who, worker)
				}
				for range 4 {
					_, err := s.UpdateNode(ctx, l, func(n *ferric.Node) error {
						if last, _ := n.Extra["epoch"].(float64); int64(last) > l.Epoch {
							t.Errorf("epoch %d writes after epoch %v", l.Epoch, last)
						}
						count, _ := n.Extra["count"].(float64)
						n.Extra = map[string]any{"epoch": float64(l.Epoch), "count": count + 1}
						return nil
					})
					if ferric.IsCode(err, ferric.CodeStale) {
						fenced.Add(1)
						break
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		epochs := int64(0)
		for _, n := range nodes {
			n, err := e.Node(ctx, n.UUID)
			must(t, err)
			epochs += n.LeaseEpoch
			if count := n.Extra["count"].(float64); int64(count) != n.Version-1 {
				t.Errorf("%v writes, version %d", count, n.Version)
			}
		}
		equal(t, "epochs", epochs, wins.Load())
		t.Logf("%d wins, %d locked, %d fenced", wins.Load(), locked.Load(), fenced.Load())
	})
}

// One moment, one node, many claimers: one wins.
func TestAcquireAtOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		processes := e.processes(t)
		n := e.node(t)
		for range 15 {
			var wins atomic.Int64
			var won flow.Lease
			crowd(processes, 8, func(s *store.Store, worker int) {
				l, err := s.Acquire(ctx, n.UUID, fmt.Sprint("host-", worker), time.Hour)
				if err == nil {
					wins.Add(1)
					won = l
				} else if !ferric.IsCode(err, ferric.CodeLocked) {
					t.Error(err)
				}
			})
			equal(t, "winners", wins.Load(), int64(1))
			must(t, e.Release(ctx, won))
		}
	})
}

func TestStartRace(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		l := e.lease(t, e.node(t).UUID)
		var wins atomic.Int64
		crowd(e.processes(t), 8, func(s *store.Store, _ int) {
			_, err := s.Start(t.Context(), l, plan(3), nil)
			if err == nil {
				wins.Add(1)
			} else if !ferric.IsCode(err, ferric.CodeConflict) {
				t.Error(err)
			}
		})
		equal(t, "operations in the lane", wins.Load(), int64(1))
	})
}

// An event, or an abort, arrives just while the operation begins to wait for it: it must end up due, in whatever order
// the two are written.
func TestSignalAgainstWait(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		processes := e.processes(t)
		n := e.node(t)
		l, err := e.Acquire(ctx, n.UUID, "h", time.Hour)
		must(t, err)
		early, late := 0, 0
		for round := range 60 {
			op := e.begin(t, l, 1)
			before := op.Signals
			abort := round%3 == 0
			crowd(processes, 2, func(s *store.Store, worker int) {
				var err error
				switch {
				case worker == 0:
					op.Status, op.WaitFor = flow.Waiting, flow.EventHeartbeat
					_, err = s.Checkpoint(ctx, l, op, nil, nil)
				case abort:
					err = s.RequestAbort(ctx, op.ID, "because")
				default:
					err = s.Signal(ctx, n.UUID, flow.EventHeartbeat)
				}
				if err != nil {
					t.Error(err)
				}
			})
			if op.Signals > before || op.Abort != "" {
				early++
			} else {
				late++
			}
			stored, err := e.Operation(ctx, op.ID)
			must(t, err)
			if stored.WakeAt.IsZero() || stored.Status != flow.Waiting {
				t.Fatalf("round %d: the event was lost: %+v", round, stored)
			}
			op.Status = flow.Failed
			_, err = e.Checkpoint(ctx, l, op, nil, nil)
			must(t, err)
		}
		t.Logf("the event came first %d times, the wait %d times", early, late)
	})
}

// All kinds of writes of one node at the same time: none is lost, none fails.
func TestManyWriters(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		other := e.node(t)
		l, err := e.Acquire(ctx, n.UUID, "h", time.Hour)
		must(t, err)
		op := e.begin(t, l, 4)
		const rounds = 12
		crowd(e.processes(t), 9, func(s *store.Store, worker int) {
			for i := range rounds {
				var err error
				switch worker {
				case 0, 1, 2:
					_, err = s.ForceNode(ctx, n.UUID, 0, func(n *ferric.Node) error {
						count, _ := n.Properties["count"].(float64)
						n.Properties = map[string]any{"count": count + 1}
						return nil
					})
				case 3:
					op.Steps[i%4].Attempts++
					_, err = s.Checkpoint(ctx, l, op, []ferric.HistoryEntry{{Event: "checkpoint"}}, func(n *ferric.Node) error {
						n.Extra = map[string]any{"i": float64(i)}
						return nil
					})
				case 4:
					err = s.Signal(ctx, n.UUID, flow.EventHeartbeat)
				case 5:
					_, err = s.Renew(ctx, []flow.Lease{{NodeUUID: other.UUID, Owner: "x"}, l}, time.Hour)
				case 6:
					err = s.AddHistory(ctx, &ferric.HistoryEntry{NodeUUID: n.UUID, Event: "added"})
				case 7:
					p := &ferric.Port{NodeUUID: n.UUID, Address: fmt.Sprintf("52:54:00:00:00:%02x", i)}
					if err = s.CreatePort(ctx, p); err == nil {
						_, err = s.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error { p.NodeUUID = other.UUID; return nil })
					}
				case 8:
					_, err = s.ForceNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.Traits = []string{fmt.Sprint("CUSTOM_", i)}; return nil })
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
				}
			}
		})
		got, err := e.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "count", got.Properties["count"], any(float64(3*rounds)))
		equal(t, "extra", got.Extra["i"], any(float64(rounds-1)))
		equal(t, "traits", got.Traits, []string{fmt.Sprint("CUSTOM_", rounds-1)})
		history, err := e.History(ctx, n.UUID, ferric.Page{})
		must(t, err)
		equal(t, "entries of history", len(history), 2*rounds)
		stored, err := e.Operation(ctx, op.ID)
		must(t, err)
		equal(t, "signals", stored.Signals, int64(rounds))
	})
}

// A reader that follows the feed while many write sees every number, in order, once: nothing is committed behind its back.
func TestFollowingTheFeed(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		processes := e.processes(t)
		const writers, rounds = 6, 20
		done := make(chan struct{})
		read := make(chan int64)
		go func() {
			var last int64
			defer func() { read <- last }()
			for finished := false; ; {
				list, err := e.Changes(ctx, last, 7)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range list {
					if c.ID != last+1 {
						t.Errorf("after change %d comes %d", last, c.ID)
					}
					last = c.ID
				}
				if len(list) == 0 && finished {
					return
				}
				select {
				case <-done:
					finished = true
				default:
				}
			}
		}()
		crowd(processes, writers, func(s *store.Store, worker int) {
			n := &ferric.Node{}
			if err := s.CreateNode(ctx, n); err != nil {
				t.Error(err)
				return
			}
			for i := range rounds {
				_, err := s.ChangeNode(ctx, n.UUID, 0, func(n *ferric.Node) error {
					if i%4 == 3 {
						return fmt.Errorf("rolled back")
					}
					n.Extra = map[string]any{"i": i}
					return nil
				})
				if (err != nil) != (i%4 == 3) {
					t.Error(err)
				}
			}
		})
		close(done)
		equal(t, "changes read", <-read, int64(writers+writers*rounds*3/4))
	})
}

// The first lookup makes the token; others at the same moment get to see that there is one.
func TestTokenIsMadeOnce(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		processes := e.processes(t)
		for range 20 {
			must(t, e.BeginAgentSession(ctx, n.UUID))
			var made atomic.Int64
			crowd(processes, 8, func(s *store.Store, worker int) {
				mine := false
				_, err := s.ChangeAgentSession(ctx, n.UUID, func(a *ferric.AgentSession) error {
					if mine = a.Token == ""; mine {
						a.Token = fmt.Sprint("token of ", worker)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if mine {
					made.Add(1)
				}
			})
			equal(t, "tokens made", made.Load(), int64(1))
		}
	})
}

func TestOneAddressOneMachine(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		now := e.clock.now()
		var wins atomic.Int64
		crowd(e.processes(t), 8, func(s *store.Store, worker int) {
			err := s.PutLease(t.Context(), ferric.DHCPLease{MAC: fmt.Sprintf("52:54:00:00:00:%02x", worker), Address: "192.0.2.1",
				ExpiresAt: now.Add(time.Hour), State: ferric.LeaseBound}, now)
			if err == nil {
				wins.Add(1)
			} else if !ferric.IsCode(err, ferric.CodeConflict) {
				t.Error(err)
			}
		})
		equal(t, "machines with the address", wins.Load(), int64(1))
	})
}

// The server breaks a transaction off to resolve a deadlock: it is run again, and nobody notices.
func TestDeadlockIsTriedAgain(t *testing.T) {
	e := open(t, "postgres")
	ctx := t.Context()
	a, b := e.node(t), e.node(t)
	p := &ferric.Port{NodeUUID: a.UUID, Address: "52:54:00:00:00:01"}
	must(t, e.CreatePort(ctx, p))
	db := e.peek(t)
	other, err := db.BeginTx(ctx, nil)
	must(t, err)
	defer other.Rollback()
	for _, query := range []string{
		"SET LOCAL deadlock_timeout = '1h'", // so that the store's transaction is the victim
		"SELECT 1 FROM nodes WHERE uuid = '" + b.UUID + "' FOR UPDATE",
	} {
		_, err = other.ExecContext(ctx, query)
		must(t, err)
	}
	waiting := make(chan error)
	calls := 0
	moved, err := e.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error {
		if calls++; calls == 1 { // the port's row is ours; the other one shall wait for it
			go func() {
				_, err := other.ExecContext(ctx, "UPDATE ports SET vendor = 'v' WHERE uuid = $1", p.UUID)
				if err == nil {
					err = other.Commit()
				}
				waiting <- err
			}()
			for n := 0; n == 0; {
				err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "+
					"WHERE NOT l.granted AND a.datname = current_database()").Scan(&n)
				if err != nil {
					return err
				}
			}
		}
		p.NodeUUID = b.UUID // waits for the node that the other one holds
		return nil
	})
	must(t, err)
	must(t, <-waiting)
	if calls < 2 { // more when it takes the port's row again before the other one does
		t.Fatal("there was no deadlock")
	}
	equal(t, "what the other one wrote", moved.Vendor, "v")
	equal(t, "node", moved.NodeUUID, b.UUID)
}

// A call gives up at its deadline while SQLite's one writer is busy; the busy one gives up at its own, and leaves nothing
// behind.
func TestDeadline(t *testing.T) {
	e := open(t, "sqlite")
	must(t, e.Close())
	e.cfg.Timeout = 3 * time.Second
	e.Store = reopen(t, e.cfg)
	n := e.node(t)
	entered := make(chan struct{})
	slow := make(chan error)
	go func() {
		_, err := e.ForceNode(t.Context(), n.UUID, 0, func(n *ferric.Node) error {
			close(entered)
			time.Sleep(e.cfg.Timeout + 100*time.Millisecond)
			n.Owner = "slow"
			return nil
		})
		slow <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := e.Acquire(ctx, n.UUID, "h", time.Minute)
	wantCode(t, err, ferric.CodeTimeout, "take the lease")
	if _, err := e.Node(t.Context(), n.UUID); err != nil {
		t.Errorf("readers do not wait for the writer: %v", err)
	}
	wantCode(t, <-slow, ferric.CodeTimeout, "change node")
	got, err := e.Node(t.Context(), n.UUID)
	must(t, err)
	equal(t, "node", got, n)
}
