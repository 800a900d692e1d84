package store

import (
	"context"
	"time"

	"ferric"
	"ferric/flow"
)

// guarded makes a transaction depend on what its context says: the lease that the work relies on, and the call that it carries out.
func guarded(ctx context.Context, fn func(ctx context.Context, t *tx) error) func(ctx context.Context, t *tx) error {
	lease, leased := flow.LeaseOf(ctx)
	request := flow.CarriedOut(ctx)
	if !leased && request.Key == "" {
		return fn
	}
	return func(ctx context.Context, t *tx) error {
		if leased {
			if _, err := lockOwned(ctx, t, lease); err != nil {
				return err
			}
		}
		if request.Key != "" {
			if err := t.noteRequest(ctx, request); err != nil {
				return err
			}
		}
		return fn(ctx, t)
	}
}

// noteRequest notes that an attempt of a call is carried out by this transaction. flow.ErrCarriedOut if another attempt was.
func (t *tx) noteRequest(ctx context.Context, r flow.Request) error {
	n, err := affected(t.ExecContext(ctx, "INSERT INTO requests (key, attempt, created_at) VALUES ($1, $2, $3) "+
		"ON CONFLICT (key) DO UPDATE SET created_at = excluded.created_at WHERE requests.attempt = excluded.attempt",
		clean(r.Key), clean(r.Attempt), micros(t.now)))
	if err == nil && n == 0 {
		return mutateError{flow.ErrCarriedOut}
	}
	return err
}

// NoteRequest notes that ctx's call has been carried out, with what it answered if that cannot be found out again; the answer is encrypted.
func (s *Store) NoteRequest(ctx context.Context, answer []byte) error {
	r := flow.RequestOf(ctx)
	if r.Key == "" {
		return nil
	}
	ctx = flow.WithoutLease(ctx) // it happened, whoever holds the node now
	return s.write(ctx, "note a request", func(ctx context.Context, t *tx) error {
		if err := t.noteRequest(ctx, r); err != nil {
			return err
		}
		if len(answer) == 0 {
			return nil
		}
		sealed, err := s.keys.seal("requests", "answer", r.Key, answer)
		if err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, "UPDATE requests SET answer = $1 WHERE key = $2", sealed, clean(r.Key))
		return err
	})
}

// Request reports whether a call has been carried out, and what was noted of its answer.
func (s *Store) Request(ctx context.Context, key string) (answer []byte, done bool, err error) {
	var sealed []byte
	err = s.get(ctx, "look for a request", func(ctx context.Context, q querier) error {
		err := q.QueryRowContext(ctx, "SELECT answer FROM requests WHERE key = $1", clean(key)).Scan(&sealed)
		if missing(err) {
			return nil
		}
		done = err == nil
		return err
	})
	if err != nil || len(sealed) == 0 {
		return nil, done, err
	}
	answer, err = s.keys.open("requests", "answer", key, sealed)
	if err != nil {
		return nil, true, ferric.Errorf(ferric.CodeInternal, "read the answer of a request: %w", err)
	}
	return answer, true, nil
}

// PruneRequests forgets the calls that were carried out before a time.
func (s *Store) PruneRequests(ctx context.Context, before time.Time) (int, error) {
	return s.exec(ctx, "prune requests", "DELETE FROM requests WHERE created_at < $1", micros(before))
}
