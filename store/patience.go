package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"ferric"
)

// A PostgreSQL that is restarted, or whose place is taken by its standby, is away for some seconds. What can be asked again without doubt waits for
// it, as long as a call may take (Config.Timeout): reads, and writes that were not committed. A commit whose answer was lost is the caller's
// (ferric.ErrOutage): only who wrote can tell whether it must be written again.

// committing is an error of the commit itself.
type committing struct{ error }

func (c committing) Unwrap() error { return c.error }

// away reports whether the database gave no answer, and nothing can have come of what it was asked unless it was a read.
func (s *Store) away(err error) bool {
	var coded *ferric.Error
	var commit committing
	var pg *pgconn.PgError
	switch {
	case !s.postgres || err == nil || errors.As(err, &coded) || errors.Is(err, context.Canceled) || err.Error() == closedText:
		return false
	case errors.As(err, &pg) && (strings.HasPrefix(pg.Code, "28") || pg.Code == "3D000"): // it would refuse us again
		return false
	case errors.As(err, &commit):
		return unsent(err)
	}
	return errorCode(err) == ferric.CodeUnavailable
}

// unsent reports whether the server never got what it was to be sent.
func unsent(err error) bool {
	var connect *pgconn.ConnectError
	return pgconn.SafeToRetry(err) || errors.As(err, &connect) || errors.Is(err, driver.ErrBadConn)
}

// patiently calls try, and again while wait says so of its error and ctx lasts.
func patiently(ctx context.Context, try func() error, wait func(error) bool) error {
	for n := 1; ; n++ {
		err := try()
		if err == nil || !wait(err) || !rest(ctx, pauseBefore(n)) {
			return err
		}
	}
}

// pauseBefore is the time before the next try.
func pauseBefore(tries int) time.Duration {
	return min(time.Duration(tries)*25*time.Millisecond, 250*time.Millisecond)
}

// rest reports whether ctx lasted that long.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
