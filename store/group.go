package store

import (
	"context"
	"errors"
	"sync"
)

// group brings writers of a SQLite database together: those that come while a transaction is on its way to the disk share the next one, and so its
// fsync. Each has a savepoint of its own, so that one that fails takes nothing of the others with it. It may be used from many goroutines.
type group struct {
	s *Store

	turn sync.Mutex // held by the writer whose turn it is to do the work of all that wait

	mu      sync.Mutex
	waiting []*writer
}

// writer is a function that wants to write.
type writer struct {
	ctx     context.Context
	fn      func(ctx context.Context, t *tx) error
	done    bool // guarded by group.turn, as what follows
	changed bool
	err     error
	panics  any // what fn panicked with, to go on in the writer's own goroutine
}

// run calls fn, and keeps a panic for the writer.
func (w *writer) run(ctx context.Context, t *tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.panics, err = p, errPanic
		}
	}()
	return w.fn(ctx, t)
}

// maxShared bounds a transaction.
const maxShared = 64

// errPanic stands for a panic until it goes on.
var errPanic = errors.New("a panic in a transaction")

// write runs fn in a transaction and returns when it is committed, with whether it wrote changes.
func (g *group) write(ctx context.Context, fn func(ctx context.Context, t *tx) error) (changed bool, err error) {
	w := &writer{ctx: ctx, fn: fn}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	g.await(w)
	if w.panics != nil {
		panic(w.panics)
	}
	return w.changed, w.err
}

// await returns when w's work is done, by this goroutine or by another one.
func (g *group) await(w *writer) {
	g.turn.Lock()
	defer g.turn.Unlock()
	for !w.done {
		g.commit(g.next())
	}
}

// next takes those who wait, the first ones first.
func (g *group) next() []*writer {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxShared)
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return batch
}

// commit does the work of a batch, and marks all of it as done.
func (g *group) commit(batch []*writer) {
	if len(batch) > 1 && g.together(batch) {
		return
	}
	for _, w := range batch {
		w.changed, w.err = g.s.writeOnce(w.ctx, g.s.w, w.run)
		w.done = true
	}
}

// together commits a batch in one transaction. It returns false, and nothing is done, if the transaction was broken off.
func (g *group) together(batch []*writer) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), g.s.timeout)
	defer cancel()
	begun, err := g.s.w.BeginTx(ctx, nil)
	if err != nil {
		return false
	}
	defer begun.Rollback() // does nothing after the commit
	type result struct {
		changed bool
		err     error
	}
	results := make([]result, len(batch))
	for i, w := range batch {
		if err := w.ctx.Err(); err != nil {
			results[i].err = err
			continue
		}
		t := &tx{inTx: inTx{begun, g.s.wp}, s: g.s, now: g.s.now()}
		if _, err := t.ExecContext(ctx, "SAVEPOINT writer"); err != nil {
			return false
		}
		// Not the writer's own context: the end of a statement that is interrupted is the end of the whole transaction.
		own, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), g.s.timeout)
		err := w.run(own, t)
		if err == nil {
			err = t.finish(own)
		}
		cancel()
		if err != nil {
			if _, err := t.ExecContext(ctx, "ROLLBACK TO writer"); err != nil {
				return false
			}
		}
		if _, err := t.ExecContext(ctx, "RELEASE writer"); err != nil {
			return false
		}
		results[i] = result{err == nil && t.tells(), err}
	}
	if begun.Commit() != nil {
		return false
	}
	for i, w := range batch {
		w.done, w.changed, w.err = true, results[i].changed, results[i].err
	}
	g.s.wp.prepareWanted(ctx)
	return true
}
