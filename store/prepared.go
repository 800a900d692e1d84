package store

import (
	"context"
	"database/sql"
	"sync"
)

// How much SQL is kept prepared, per connection. Texts are few, but for lists of values in filters and in inserts of many rows.
const (
	maxPrepared     = 256
	maxPreparedText = 8192
)

// prepared runs statements of a SQLite database and keeps them prepared: parsing one takes longer than reading a row. PostgreSQL's client does so
// by itself. It may be used from many goroutines.
type prepared struct {
	db *sql.DB

	mu     sync.Mutex
	stmts  map[string]*sql.Stmt
	wanted map[string]bool // used in a transaction, not prepared yet
}

func newPrepared(db *sql.DB) *prepared {
	return &prepared{db: db, stmts: map[string]*sql.Stmt{}, wanted: map[string]bool{}}
}

// stmt returns the prepared statement, nil if it is not worth one.
func (p *prepared) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	s, full := p.stmts[query], len(p.stmts) >= maxPrepared
	p.mu.Unlock()
	if s != nil || full || len(query) > maxPreparedText {
		return s, nil
	}
	s, err := p.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.stmts[query]; other != nil { // prepared at the same time
		s.Close()
		return other, nil
	}
	p.stmts[query] = s
	return s, nil
}

// ExecContext implements querier.
func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.db.ExecContext(ctx, query, args...)
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements querier.
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.db.QueryContext(ctx, query, args...)
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext implements querier.
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s, err := p.stmt(ctx, query); err == nil && s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return p.db.QueryRowContext(ctx, query, args...)
}

// within returns what is prepared already, for use in a transaction, which holds the connection that preparing needs. What is not is noted for
// prepareWanted.
func (p *prepared) within(query string) *sql.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stmts[query]
	if s == nil && len(p.stmts) < maxPrepared && len(query) <= maxPreparedText {
		p.wanted[query] = true
	}
	return s
}

// prepareWanted prepares what a transaction would have liked to have. A failure costs nothing but time.
func (p *prepared) prepareWanted(ctx context.Context) {
	p.mu.Lock()
	wanted := p.wanted
	if len(wanted) > 0 {
		p.wanted = map[string]bool{}
	}
	p.mu.Unlock()
	for query := range wanted {
		if _, err := p.stmt(ctx, query); err != nil {
			return
		}
	}
}

// inTx runs the statements of a transaction, prepared where they are.
type inTx struct {
	*sql.Tx
	p *prepared // nil on PostgreSQL
}

// ExecContext implements querier.
func (t inTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if s := t.stmt(ctx, query); s != nil {
		return s.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// QueryContext implements querier.
func (t inTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := t.stmt(ctx, query); s != nil {
		return s.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext implements querier.
func (t inTx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s := t.stmt(ctx, query); s != nil {
		return s.QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
}

func (t inTx) stmt(ctx context.Context, query string) *sql.Stmt {
	if t.p == nil {
		return nil
	}
	s := t.p.within(query)
	if s == nil {
		return nil
	}
	return t.Tx.StmtContext(ctx, s)
}
