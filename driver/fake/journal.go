package fake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"

	"golang.org/x/sys/unix"
)

// Journal is what the fake machines themselves remember of the destructive commands that they were given: a file per node, to which lines are
// only ever added. It is kept outside of the database, so that it is evidence against the ledger: every line that says "begin" is one time that
// a disk was written or erased. Conductors on one host share it; it stays when they are killed, as a machine does.
//
// A machine with a journal behaves as an agent does. It knows a command by its operation and step and carries it out once, however often it is
// sent. It goes on while no conductor is there. It refuses a command whose epoch is older than one that it has seen.
type Journal struct {
	Dir string
}

// The events of a journal.
const (
	Begin  = "begin"  // the machine began to do it
	End    = "end"    // it has done it
	Repeat = "repeat" // it was told again, and did nothing
	Refuse = "refuse" // it was told by a conductor that has lost the node, and did nothing
)

// Entry is a line of a journal, as JSON.
type Entry struct {
	At        time.Time     `json:"at"`
	Event     string        `json:"event"`
	Node      string        `json:"node"`
	Operation string        `json:"operation"`
	Seq       int           `json:"seq"`            // of the step in the operation
	Part      int           `json:"part,omitempty"` // of a step that gives several commands, from 0
	Step      string        `json:"step"`           // deploy, erase_devices_metadata, …
	Epoch     int64         `json:"epoch"`
	Takes     time.Duration `json:"takes,omitempty"` // of Begin, in nanoseconds
}

func (e Entry) command() string { return fmt.Sprintf("%s/%d/%d", e.Operation, e.Seq, e.Part) }

// path returns the file of a node. Its UUID comes from the database and is one.
func (j *Journal) path(node string) string { return filepath.Join(j.Dir, node+".jsonl") }

// Read returns a node's journal in the order in which things happened; none is no error.
func (j *Journal) Read(node string) ([]Entry, error) {
	raw, err := os.ReadFile(j.path(node))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "journal of the fake machine: %w", err)
	}
	return parseJournal(raw)
}

func parseJournal(raw []byte) ([]Entry, error) {
	var all []Entry
	for line := range bytes.Lines(raw) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, ferric.Errorf(ferric.CodeCorrupt, "journal of the fake machine: line %d: %w", len(all)+1, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// change lets decide look at what there is and adds the line that it returns, if any. It waits for others until ctx ends: one of them may be paused.
func (j *Journal) change(ctx context.Context, node string, decide func([]Entry) *Entry) error {
	if err := os.MkdirAll(j.Dir, 0o700); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "journal of the fake machine: %w", err)
	}
	f, err := os.OpenFile(j.path(node), os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "journal of the fake machine: %w", err)
	}
	defer f.Close()
	for unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		if err := (Delay{5 * time.Millisecond, 10 * time.Millisecond}).sleep(ctx); err != nil {
			return err
		}
	}
	all, err := j.Read(node)
	if err != nil {
		return err
	}
	line := decide(all)
	if line == nil {
		return nil
	}
	line.At = time.Now().UTC()
	raw, err := json.Marshal(line)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "journal of the fake machine: %w", err)
	}
	if _, err = f.Write(append(raw, '\n')); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "journal of the fake machine: %w", err)
	}
	return nil
}

// begin gives the machine a command and returns when it will have been carried out. CodeStale when the machine has had orders from a conductor
// that came later.
func (j *Journal) begin(ctx context.Context, command Entry, takes time.Duration) (until time.Time, err error) {
	stale := int64(0)
	err = j.change(ctx, command.Node, func(all []Entry) *Entry {
		e := command
		e.Event, e.Takes = Begin, takes
		until = time.Now().Add(takes)
		for _, had := range all {
			if had.Event != Refuse && had.Epoch > command.Epoch {
				stale, e.Event, e.Takes = had.Epoch, Refuse, 0
			}
			if had.Event == Begin && had.command() == command.command() && e.Event != Refuse {
				until, e.Event, e.Takes = had.At.Add(had.Takes), Repeat, 0
			}
		}
		return &e
	})
	if err == nil && stale > 0 {
		err = ferric.Errorf(ferric.CodeStale, "the fake machine of node %s has had orders of epoch %d and takes none of epoch %d", command.Node, stale, command.Epoch)
	}
	return until, err
}

// end notes that the machine has carried out a command, unless that has been noted.
func (j *Journal) end(ctx context.Context, command Entry) error {
	return j.change(ctx, command.Node, func(all []Entry) *Entry {
		for _, had := range all {
			if had.Event == End && had.command() == command.command() {
				return nil
			}
		}
		e := command
		e.Event = End
		return &e
	})
}

// order is a command of the task's step; outside of operations it is nobody's.
func order(t *driver.Task, step string, part int) Entry {
	if t.Flow == nil {
		return Entry{Node: t.Node.UUID, Step: step, Part: part}
	}
	return Entry{Node: t.Node.UUID, Operation: t.Flow.Op.ID, Seq: t.Flow.Step.Seq, Part: part, Step: step, Epoch: t.Flow.Epoch()}
}

// carryOut lets the machine do what destroys data or must not be done twice. It takes its time, and at its end has an effect, which may be had again.
func (h *Hardware) carryOut(ctx context.Context, command Entry, delay Delay, effect func() error) error {
	if h.Journal == nil {
		if err := delay.sleep(ctx); err != nil {
			return err
		}
		return effect()
	}
	until, err := h.Journal.begin(ctx, command, delay.pick())
	if err != nil {
		return err
	}
	left := time.Until(until)
	if err := (Delay{left, left}).sleep(ctx); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return err
	}
	return h.Journal.end(ctx, command)
}

// destroy does what would change a machine's disks.
func (h *Hardware) destroy(ctx context.Context, t *driver.Task, step string, delay Delay) (flow.Outcome, error) {
	if h.Journal == nil {
		return flow.Done(nil), delay.sleep(ctx)
	}
	return flow.Done(nil), h.carryOut(ctx, order(t, step, 0), delay, func() error { return nil })
}
