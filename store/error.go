package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"ferric"
)

// coded gives an error of the database a code and says what was tried. Errors that have one already pass unchanged. Once
// ctx has ended, that is the reason, whatever the driver calls it (interrupted, transaction done).
func (s *Store) coded(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	var have *ferric.Error
	if errors.As(err, &have) {
		return err
	}
	s.noteDamage(ctx, what, err)
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		err = fmt.Errorf("%w: %w", end, err)
	}
	code := errorCode(err)
	switch code {
	case ferric.CodeUnavailable, ferric.CodeTimeout, ferric.CodeNoSpace:
		err = outage{err}
	}
	if code == ferric.CodeNoSpace {
		disk := "PostgreSQL's disk"
		if s.file != "" {
			disk = "the disk of " + string(s.file)
		}
		return ferric.Errorf(code, "%s: %s is full; free space, and work goes on by itself: %w", what, disk, err)
	}
	return ferric.Errorf(code, "%s: %w", what, err)
}

// outage marks an error as ferric.ErrOutage.
type outage struct{ error }

func (o outage) Unwrap() error { return o.error }

// Is implements the interface that errors.Is looks for.
func (o outage) Is(target error) bool { return target == ferric.ErrOutage }

// closedText is the error of a closed sql.DB, which database/sql does not export.
const closedText = "sql: database is closed"

func errorCode(err error) ferric.Code {
	var pg *pgconn.PgError
	var lite *sqlite.Error
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return ferric.CodeTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, sql.ErrTxDone), pgconn.SafeToRetry(err): // the latter: the connection broke before
		return ferric.CodeUnavailable
	case errors.As(err, &pg):
		switch {
		case pg.Code == "53100":
			return ferric.CodeNoSpace
		case strings.HasPrefix(pg.Code, "08"), strings.HasPrefix(pg.Code, "53"), strings.HasPrefix(pg.Code, "57"), strings.HasPrefix(pg.Code, "58"),
			strings.HasPrefix(pg.Code, "40"), strings.HasPrefix(pg.Code, "25"), strings.HasPrefix(pg.Code, "28"), pg.Code == "3D000":
			return ferric.CodeUnavailable
		}
		return ferric.CodeInternal
	case errors.As(err, &lite):
		switch lite.Code() & 0xff {
		case lib.SQLITE_FULL:
			return ferric.CodeNoSpace
		case lib.SQLITE_ERROR, lib.SQLITE_CONSTRAINT, lib.SQLITE_MISMATCH, lib.SQLITE_MISUSE, lib.SQLITE_RANGE, lib.SQLITE_TOOBIG:
			return ferric.CodeInternal
		}
		return ferric.CodeUnavailable
	case errors.As(err, &connect), errors.As(err, &network):
		return ferric.CodeUnavailable
	case err.Error() == closedText:
		return ferric.CodeUnavailable
	}
	return ferric.CodeInternal
}

// primaryKeys names the primary keys that callers may choose: PostgreSQL reports the constraint, not the column.
var primaryKeys = map[string]string{"nodes": "uuid", "ports": "uuid", "portgroups": "uuid", "chassis": "uuid", "volume_connectors": "uuid",
	"volume_targets": "uuid", "operations": "id", "dhcp_leases": "address", "network_boot_macs": "mac",
	"inspection_rules": "uuid",
	"allocations":      "uuid", "deploy_templates": "uuid", "runbooks": "uuid"}

// duplicate reports whether err says that a unique column has the value already.
func duplicate(err error, table, column string) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505" && (pg.ConstraintName == table+"_"+column+"_uq" ||
			pg.ConstraintName == table+"_pkey" && column == primaryKeys[table])
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		code := lite.Code()
		return (code == lib.SQLITE_CONSTRAINT_UNIQUE || code == lib.SQLITE_CONSTRAINT_PRIMARYKEY) &&
			strings.Contains(err.Error(), " "+table+"."+column+" (") // of several columns, the last
	}
	return false
}

// orphaned reports whether err says that the row referred to (a node, mostly) does not exist.
func orphaned(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23503"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == lib.SQLITE_CONSTRAINT_FOREIGNKEY
}

// refused reports whether the server answered, and would answer the same again: a wrong password, no such database.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code != "57P03" // it is starting
}

// again reports whether the server broke the transaction off for the sake of another one.
func again(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

func nodeNotFound(ident string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", ident)
}

func nodeLocked(uuid, host string) error {
	return ferric.Errorf(ferric.CodeLocked,
		"Node %s is locked by host %s, please retry after the current operation is completed.", uuid, host)
}
