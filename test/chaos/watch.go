package main

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"
)

// watch measures in the database how long it takes until somebody goes on with what a conductor was doing when it died.
type watch struct {
	db  *sql.DB
	log func(format string, args ...any)
	wg  sync.WaitGroup

	mu    sync.Mutex
	taken []time.Duration
	late  int // not within takeoverPatience
}

// takeoverPatience is how long a take-over is waited for.
const takeoverPatience = time.Minute

// died notes that a conductor died at a time, and watches the steps that it was in the middle of.
func (w *watch) died(ctx context.Context, host string, at time.Time) {
	w.wg.Go(func() {
		held := map[string]int64{} // epoch by node
		deadline := at.Add(takeoverPatience)
		for {
			err := w.read(ctx, held, "SELECT n.uuid, n.lease_epoch FROM nodes n JOIN operations o ON o.node_uuid = n.uuid WHERE n.reservation = $1 "+
				"AND o.ended_at = 0 AND o.status = 'running'", host)
			if err == nil {
				break
			}
			if ctx.Err() != nil || time.Now().After(deadline) {
				return
			}
			sleep(ctx, 20*time.Millisecond) // the database is down, too
		}
		for len(held) > 0 && ctx.Err() == nil {
			now, busy := map[string]int64{}, map[string]int64{}
			// In this order: who is taken over meanwhile is in both.
			if w.read(ctx, busy, "SELECT node_uuid, 1 FROM operations WHERE ended_at = 0") == nil && w.read(ctx, now, "SELECT uuid, lease_epoch FROM nodes") == nil {
				for node, epoch := range held {
					switch {
					case now[node] > epoch:
						delete(held, node)
						w.note(time.Since(at))
					case busy[node] == 0: // who was cut off or paused has ended it itself
						delete(held, node)
					}
				}
			}
			if time.Now().After(deadline) {
				w.mu.Lock()
				w.late += len(held)
				w.mu.Unlock()
				w.log("nobody has taken over from %s within %s: %v", host, takeoverPatience, held)
				return
			}
			sleep(ctx, 50*time.Millisecond)
		}
	})
}

func (w *watch) read(ctx context.Context, into map[string]int64, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rows, err := w.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var node string
		var epoch int64
		if err := rows.Scan(&node, &epoch); err != nil {
			return err
		}
		into[node] = epoch
	}
	return rows.Err()
}

func (w *watch) note(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = append(w.taken, d)
}

// times waits for what is watched and returns how long take-overs took, sorted, and how many never came.
func (w *watch) times() ([]time.Duration, int) {
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.taken)), w.late
}
