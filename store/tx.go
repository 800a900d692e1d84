package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"ferric"
	"ferric/flow"
)

// querier is a database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// tx is a transaction that writes. Its changes are numbered and written last.
type tx struct {
	inTx
	s       *Store
	now     time.Time
	changes []ferric.Change
	notices []ferric.Notice
}

// finish writes what the transaction tells others.
func (t *tx) finish(ctx context.Context) error {
	if err := t.writeChanges(ctx); err != nil {
		return err
	}
	return t.writeNotices(ctx)
}

// tells reports whether there is anything for listeners.
func (t *tx) tells() bool { return len(t.changes)+len(t.notices) > 0 }

// forUpdate ends a SELECT whose row the transaction is going to write. SQLite's transactions exclude each other anyway.
func (t *tx) forUpdate() string {
	if t.s.postgres {
		return " FOR NO KEY UPDATE"
	}
	return ""
}

// mutateError carries an error of the caller's own function through unchanged.
type mutateError struct{ error }

func (e mutateError) Unwrap() error { return e.error }

const maxTries = 8

// write runs fn in a transaction, again if the server broke it off, and tells the listeners once it is committed.
//
// Work under a lease changes nothing once the lease is lost (CodeStale). A write that carries out a call of the API is noted with it
// (flow.CarriesOut).
func (s *Store) write(ctx context.Context, what string, fn func(ctx context.Context, t *tx) error) error {
	return s.writeWith(ctx, what, s.commit, fn)
}

// urgent is write for what must not wait for others: signs of life and renewals of leases. On PostgreSQL it has connections of its own.
func (s *Store) urgent(ctx context.Context, what string, fn func(ctx context.Context, t *tx) error) error {
	return s.writeWith(ctx, what, func(ctx context.Context, fn func(ctx context.Context, t *tx) error) (bool, error) {
		if s.vital == nil {
			return s.commit(ctx, fn)
		}
		return s.writeOnce(ctx, s.vital, fn)
	}, fn)
}

func (s *Store) writeWith(ctx context.Context, what string,
	commit func(context.Context, func(context.Context, *tx) error) (bool, error), fn func(ctx context.Context, t *tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	fn = guarded(ctx, fn)
	for try := 1; ; try++ {
		changed, err := commit(ctx, fn)
		if err == nil {
			if changed {
				s.notify()
			}
			return nil
		}
		var own mutateError
		if errors.As(err, &own) {
			return own.error
		}
		var pause time.Duration
		switch {
		case s.away(err):
			pause = pauseBefore(try)
		case again(err) && try < maxTries:
			pause = time.Duration(rand.Int64N(int64(try) * int64(5*time.Millisecond)))
		default:
			return s.coded(ctx, what, err)
		}
		if !rest(ctx, pause) {
			return s.coded(ctx, what, err)
		}
	}
}

// commit runs fn in a transaction, which on SQLite it may share with others.
func (s *Store) commit(ctx context.Context, fn func(ctx context.Context, t *tx) error) (changed bool, err error) {
	if err := s.Damage(); err != nil {
		return false, err
	}
	if s.group != nil {
		return s.group.write(ctx, fn)
	}
	return s.writeOnce(ctx, s.w, fn)
}

func (s *Store) writeOnce(ctx context.Context, db *sql.DB, fn func(ctx context.Context, t *tx) error) (changed bool, err error) {
	begun, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer begun.Rollback() // does nothing after the commit
	t := &tx{inTx: inTx{begun, s.wp}, s: s, now: s.now()}
	if err := fn(ctx, t); err != nil {
		return false, err
	}
	if err := t.finish(ctx); err != nil {
		return false, err
	}
	if err := begun.Commit(); err != nil {
		return false, committing{err}
	}
	if s.wp != nil {
		s.wp.prepareWanted(ctx)
	}
	return t.tells(), nil
}

// read runs fn on one consistent view of the database. fn is called again after an outage: it must begin anew.
func (s *Store) read(ctx context.Context, what string, fn func(ctx context.Context, q querier) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.coded(ctx, what, patiently(ctx, func() error {
		view, err := s.r.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		defer view.Rollback()
		return fn(ctx, inTx{view, s.rp})
	}, s.away))
}

// get runs fn, which reads with a single statement. fn is called again after an outage: it must begin anew.
func (s *Store) get(ctx context.Context, what string, fn func(ctx context.Context, q querier) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if s.rp != nil {
		return s.coded(ctx, what, fn(ctx, s.rp))
	}
	return s.coded(ctx, what, patiently(ctx, func() error { return fn(ctx, s.r) }, s.away))
}

// exec runs one statement outside of a larger transaction and returns how many rows it touched.
func (s *Store) exec(ctx context.Context, what, query string, args ...any) (int, error) {
	if _, leased := flow.LeaseOf(ctx); s.postgres && !leased {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		n := 0
		err := patiently(ctx, func() (err error) {
			n, err = affected(s.w.ExecContext(ctx, query, args...))
			return err
		}, func(err error) bool { return s.away(err) && unsent(err) })
		return n, s.coded(ctx, what, err)
	}
	n := 0
	err := s.write(ctx, what, func(ctx context.Context, t *tx) (err error) {
		n, err = affected(t.ExecContext(ctx, query, args...))
		return err
	})
	return n, err
}

func affected(res sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// OnChange adds a function that is called after every commit that wrote changes or notices. It runs on the writer's goroutine and
// must not block: send to a channel of capacity 1 and give up if it is full.
func (s *Store) OnChange(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onChange = append(s.onChange, fn)
}

func (s *Store) notify() {
	s.mu.Lock()
	list := s.onChange
	s.mu.Unlock()
	for _, fn := range list {
		fn()
	}
}
