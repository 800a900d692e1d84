package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"

	"ferric"
	"ferric/state"
)

// Restored tells what became of a database that was restored.
type Restored struct {
	Copy       Copy
	Aside      []string // files of the database that was there before
	Operations int      // that were under way, and were ended
	Stopped    int      // nodes on their way, now failed and in maintenance
	Guarded    int      // available nodes, now in maintenance
}

// Reset says how a restored database is made fit for use.
type Reset struct {
	// TrustAvailable leaves available nodes as they are: nothing was deployed since the backup was made.
	TrustAvailable bool
}

// How much counters are raised that others have seen the values of, and that must not come back: the epoch that agents obey, the versions that
// clients hold as entity tags, the numbers of changes.
const (
	epochLeap   = 1 << 32
	versionLeap = 1 << 20
)

// Restore puts a backup in the place of the SQLite database, which is moved aside, and resets what must not come back: see AfterRestore. The backup is
// checked, migrated and tried with the key file before anything is moved. A crash leaves the old database, the new one, or one that refuses to start
// and says so; then Restore may be run again. CodeConflict while a service runs.
func Restore(ctx context.Context, cfg Config, backup string, r Reset, log *slog.Logger) (*Restored, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	loc, err := cfg.location()
	if err != nil {
		return nil, err
	}
	if loc.pg != nil {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "the database is PostgreSQL: use pg_restore, then `ferric db restored`")
	}
	target := sqliteFile(loc.path)
	lock, err := lockFile(target.lock())
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if _, err := CheckCopy(ctx, backup); err != nil {
		return nil, err
	}
	draft := sqliteFile(target.restoring() + ".part")
	for _, left := range []string{target.restoring(), string(draft), draft.wal(), string(draft) + "-shm", draft.lock()} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, ferric.Errorf(ferric.CodeUnavailable, "remove what is left of an earlier restore: %w", err)
		}
	}
	defer os.Remove(draft.lock())
	defer os.Remove(string(draft))
	if err := copyFile(backup, string(draft)); err != nil {
		return nil, err
	}
	done, err := prepareDraft(ctx, cfg, draft, r, log)
	if err != nil {
		return nil, err
	}
	// The file named so keeps a service from starting until all is done: neither the old database without its log, nor the new one with it.
	if err := settleFile(string(draft), target.restoring()); err != nil {
		return nil, err
	}
	if done.Aside, err = target.moveAside(time.Now()); err != nil {
		return nil, err
	}
	if err := lock.Truncate(0); err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "write the lock file: %w", err)
	}
	if err := settleFile(target.restoring(), string(target)); err != nil {
		return nil, err
	}
	checked, err := CheckCopy(ctx, string(target))
	if err != nil {
		return nil, err
	}
	done.Copy = *checked
	return done, nil
}

// prepareDraft makes a copy of the backup ready, as a database of its own.
func prepareDraft(ctx context.Context, cfg Config, draft sqliteFile, r Reset, log *slog.Logger) (*Restored, error) {
	cfg.KeyFile = cfg.keyFile()
	cfg.URL, cfg.Migrate, cfg.Timeout = string(draft), true, time.Hour
	s, err := Open(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	done, err := s.reset(ctx, r)
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	if _, err := os.Stat(draft.wal()); !errors.Is(err, fs.ErrNotExist) {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "the prepared copy %s was not written out: its write-ahead log is still there", draft)
	}
	return done, nil
}

// moveAside gives the files of a database names that tell what they are.
func (f sqliteFile) moveAside(now time.Time) (moved []string, err error) {
	stamp := ".before-restore-" + now.UTC().Format("20060102T150405.000Z")
	for _, suffix := range []string{"-wal", "-shm", ""} {
		to := string(f) + stamp + suffix
		err := os.Rename(string(f)+suffix, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return moved, ferric.Errorf(ferric.CodeUnavailable, "move the old database aside: %w", err)
		}
		moved = append(moved, to)
	}
	return moved, nil
}

// AfterRestore resets what must not come back with an older database, after other programs (pg_restore) put it there: all leases are free, and their epochs
// higher than any that was given out; operations that were under way have ended, and their nodes are failed and in maintenance; available nodes
// are in maintenance, since they may be in use by now; agents' tokens are gone. CodeConflict while a conductor is alive.
func AfterRestore(ctx context.Context, cfg Config, r Reset, alive time.Duration, log *slog.Logger) (*Restored, error) {
	cfg.Timeout = time.Hour
	s, err := Open(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	conductors, err := s.Conductors(ctx, alive)
	if err != nil {
		return nil, err
	}
	for _, c := range conductors {
		if c.Alive {
			return nil, ferric.Errorf(ferric.CodeConflict, "the conductor %s announced itself at %s: stop all services; if they are, try again after %s",
				c.Host, c.UpdatedAt.Format(time.RFC3339), alive)
		}
	}
	return s.reset(ctx, r)
}

func (s *Store) reset(ctx context.Context, r Reset) (done *Restored, err error) {
	err = s.write(ctx, "reset the restored database", func(ctx context.Context, t *tx) error {
		done = &Restored{}
		var at int64
		if err := t.QueryRowContext(ctx, "SELECT COALESCE(MAX(at), 0) FROM changes").Scan(&at); err != nil {
			return err
		}
		reason := "The database was restored from a backup"
		if at > 0 {
			done.Copy.Changed = fromMicros(at)
			reason += " whose last change is of " + done.Copy.Changed.UTC().Format(time.RFC3339)
		}
		for _, query := range []string{
			fmt.Sprintf("UPDATE nodes SET reservation = '', lease_until = 0, lease_epoch = lease_epoch + %d, version = version + %d", int64(epochLeap), versionLeap),
			"DELETE FROM agent_sessions", "DELETE FROM conductors", "DELETE FROM changes",
			fmt.Sprintf("UPDATE counters SET value = value + %d WHERE name = 'changes'", versionLeap),
		} {
			if _, err := t.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		if err := t.endOperations(ctx, reason, done); err != nil {
			return err
		}
		return t.guardNodes(ctx, reason, r, done)
	})
	return done, err
}

// endOperations ends what was under way: a machine that it is for may be in use by somebody else by now.
func (t *tx) endOperations(ctx context.Context, reason string, done *Restored) error {
	ops, err := operationTable.all(ctx, t.s, t, "WHERE ended_at = 0 ORDER BY id")
	if err != nil {
		return err
	}
	for _, o := range ops {
		before, err := operationTable.values(o)
		if err != nil {
			return err
		}
		if o.Steps, err = readSteps(ctx, t.s, t, o.ID); err != nil {
			return err
		}
		o.Supersede(reason+", and the operation was not carried on", t.now)
		o.settle(t.now)
		if err := t.updateOperation(ctx, o, before); err != nil {
			return err
		}
		if err := writeSteps(ctx, t, &o.Operation); err != nil {
			return err
		}
	}
	done.Operations = len(ops)
	return nil
}

// guardNodes lets nobody use, without a look at the machine, nodes that may be different by now.
func (t *tx) guardNodes(ctx context.Context, reason string, r Reset, done *Restored) error {
	rows, err := t.QueryContext(ctx, "SELECT uuid, provision_state FROM nodes ORDER BY uuid")
	if err != nil {
		return err
	}
	type found struct {
		uuid  string
		state ferric.ProvisionState
	}
	var nodes []found
	for rows.Next() {
		var f found
		if err := rows.Scan(&f.uuid, &f.state); err != nil {
			return errors.Join(err, rows.Close())
		}
		nodes = append(nodes, f)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	machine := state.New()
	for _, f := range nodes {
		moving := state.Transient(f.state) || state.Held(f.state)
		if !moving && (f.state != ferric.Available || r.TrustAvailable) {
			continue
		}
		row, err := lockNode(ctx, t, f.uuid)
		if err != nil {
			return err
		}
		text := reason + ": it may be in use by now. See what the machine is (`ferric doctor --hardware`), then unset maintenance"
		if moving {
			text = fmt.Sprintf("%s, in which the node was %s. See what the machine is (`ferric doctor --hardware`), then unset maintenance", reason, f.state)
			done.Stopped++
		} else {
			done.Guarded++
		}
		n, err := t.change(ctx, row, func(n *ferric.Node) error {
			n.CleanStep, n.DeployStep, n.ServiceStep, n.TargetPowerState = nil, nil, nil, ""
			if !n.Maintenance {
				n.Maintenance, n.MaintenanceReason = true, text
			}
			if !moving {
				return nil
			}
			n.LastError = text
			if machine.Can(n.ProvisionState, state.Fail) {
				return machine.Apply(n, state.Fail, "")
			}
			return machine.Apply(n, state.Abort, "")
		})
		if err != nil {
			return err
		}
		entry := ferric.HistoryEntry{UUID: uuid.NewString(), Event: text, EventType: ferric.EventConductor, Severity: ferric.SeverityError}
		if err := t.addHistory(ctx, n, "", "", []ferric.HistoryEntry{entry}); err != nil {
			return err
		}
	}
	return nil
}
