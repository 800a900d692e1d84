package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	"ferric"

	"github.com/google/uuid"
)

// work carries an operation on until it ends, waits, or ctx ends. A nil error means that all is in the ledger.
func (r *Runner) work(ctx context.Context, lease Lease, op *Operation) error {
	if op.Status.Ended() {
		return nil
	}
	program, ok := r.Programs[op.Kind]
	if !ok {
		return r.fail(ctx, lease, nil, op, ferric.Errorf(ferric.CodeInternal,
			"operation %s is of kind %q, which this version of Ferric does not know", op.ID, op.Kind))
	}
	if op.Conductor != r.Owner {
		if r.TookOver != nil {
			r.TookOver(op)
		}
		op.Conductor = r.Owner
	}
	var begun *ferric.Node // when the step under the cursor was begun in the write that ended the one before
	for !op.Status.Ended() {
		if begun == nil && r.draining() {
			return nil // all is in the ledger; another conductor goes on as soon as the lease is given back
		}
		s := r.next(op)
		if s == nil {
			return r.end(ctx, lease, program, op)
		}
		if op.Abort != "" && op.Status != Failing && (s.Status == Pending || !program.Spares(op, s)) {
			if err := r.fail(ctx, lease, program, op, ferric.Errorf(ferric.CodeConflict, "%s", op.Abort)); err != nil {
				return err
			}
			continue
		}
		var goesOn bool
		var err error
		if begun, goesOn, err = r.step(ctx, lease, program, op, s, begun); err != nil || !goesOn {
			return err
		}
	}
	return nil
}

// next returns the step to run, passing over steps that do not apply: clean-up steps while all is well, others once
// the operation is failing.
func (r *Runner) next(op *Operation) *Step {
	for s := op.Current(); s != nil; s = op.Current() {
		if !s.Status.Ended() && s.CleanUp == (op.Status == Failing) {
			return s
		}
		if !s.Status.Ended() {
			s.Status = Skipped
		}
		op.Cursor++
	}
	return nil
}

// step runs one step once. begun is the node if the step was begun already, and what it returns the node if the next one was. goesOn is false when
// the operation now waits.
func (r *Runner) step(ctx context.Context, lease Lease, program Program, op *Operation, s *Step, begun *ferric.Node) (next *ferric.Node, goesOn bool, err error) {
	node, repeated := begun, begun == nil && s.Status == Running
	if repeated {
		op.Takeovers++
		r.log.Warn("carrying on a step that was interrupted", "node", op.NodeUUID, "operation", op.ID,
			"step", s.Interface+"."+s.Name, "attempts", s.Attempts)
		if s.Repeat == Never {
			return nil, true, r.fail(ctx, lease, program, op, ferric.Errorf(ferric.CodeInternal,
				"step %s.%s was interrupted and must not be run twice; look at the machine, then start the operation again",
				s.Interface, s.Name))
		}
	}
	if begun == nil {
		var view Mutate
		if s.Status != Waiting { // a look at how a wait stands shows nothing on the node: most often the wait just goes on
			view = program.View(Begins, op)
		}
		r.count(op)
		r.begin(op, s)
		if node, err = r.checkpoint(ctx, lease, op, nil, view); err != nil {
			return nil, false, fmt.Errorf("write the beginning of step %s.%s: %w", s.Interface, s.Name, err)
		}
	}
	t := &Task{Op: op, Step: s, Node: node, Repeated: repeated, CleanUp: s.CleanUp, runner: r, lease: lease}
	fn, err := program.Func(op, s)
	var out Outcome
	if err == nil {
		r.watch(lease)
		out, err = r.try(ctx, fn, t)
	}
	if lost := Fenced(ctx); lost != nil {
		return nil, false, lost // whoever comes next carries on
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx) // stopping
	}
	if ferric.IsCode(err, ferric.CodeStale) {
		return nil, false, err
	}
	if err != nil && s.Repeat != Never && r.stoodStill(lease) {
		return nil, false, ferric.Errorf(ferric.CodeStale, "this process stood still for longer than its lease of the node lasts; what failed meanwhile is tried again: %w", err)
	}
	if err != nil {
		return nil, true, r.fail(ctx, lease, program, op, err)
	}
	switch out.kind {
	case wait:
		return nil, false, r.wait(ctx, lease, program, op, s, out)
	case hold:
		return nil, false, r.rest(ctx, lease, program, op, s)
	case again:
		return nil, true, r.giveUp(ctx, lease, op, s, out)
	}
	next, err = r.done(ctx, lease, program, op, s, out)
	return next, true, err
}

// begin marks a step as one that runs.
func (r *Runner) begin(op *Operation, s *Step) {
	if s.Status != Waiting {
		s.Attempts++
		if s.StartedAt.IsZero() {
			s.StartedAt = r.now()
		}
	}
	s.Status = Running
	if op.Status != Failing {
		op.Status = Running
	}
	op.UpdatedAt = r.now()
}

// call runs a step's code and turns a panic into an error: one broken step must not end the process.
func (r *Runner) call(ctx context.Context, fn Func, t *Task) (out Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("a step panicked", "node", t.Op.NodeUUID, "step", t.Step.Interface+"."+t.Step.Name,
				"panic", p, "stack", string(debug.Stack()))
			err = ferric.Errorf(ferric.CodeInternal, "step %s.%s: internal error: %v", t.Step.Interface, t.Step.Name, p)
		}
	}()
	return fn(ctx, t)
}

// done writes down that a step has succeeded, and in the same write what follows from it: the beginning of the next step, for which it returns the
// node, or the end of the operation.
func (r *Runner) done(ctx context.Context, lease Lease, program Program, op *Operation, s *Step, out Outcome) (next *ferric.Node, err error) {
	if out.result != nil {
		b, err := json.Marshal(out.result)
		if err != nil {
			return nil, r.fail(ctx, lease, program, op, ferric.Errorf(ferric.CodeInternal, "result of step %s.%s: %w", s.Interface, s.Name, err))
		}
		s.Result = b
	}
	s.Status, s.EndedAt = Succeeded, r.now()
	entry := r.entry(op, s, ferric.SeverityInfo, fmt.Sprintf("Step %s.%s of the %s completed in %s",
		s.Interface, s.Name, op.Kind, s.EndedAt.Sub(s.StartedAt).Round(time.Millisecond)))
	at := op.Cursor
	if len(out.append) > 0 {
		op.insert(at+1, out.append)
		op.Needs = max(op.Needs, r.spoken())
		s = &op.Steps[at]
	}
	op.Cursor++
	op.clearWait()
	op.UpdatedAt = r.now()
	defer func() {
		if err == nil {
			r.observe(op, s)
		}
	}()
	follows := r.next(op)
	if follows == nil {
		last, view := r.ending(program, op)
		if _, err := r.checkpoint(ctx, lease, op, []ferric.HistoryEntry{entry, last}, view); err != nil {
			return nil, fmt.Errorf("write the end of the %s: %w", op.Kind, err)
		}
		return nil, nil
	}
	var view Mutate
	pending := *follows
	// Not one that must not be begun twice: this process may be told to stop before the step's code runs.
	together := follows.Status == Pending && follows.Repeat != Never && op.Abort == "" && !r.draining()
	if together {
		r.begin(op, follows)
		view = program.View(Begins, op)
	}
	node, err := r.checkpoint(ctx, lease, op, []ferric.HistoryEntry{entry}, view)
	if err != nil {
		return nil, fmt.Errorf("write the end of step %s.%s: %w", s.Interface, s.Name, err)
	}
	switch {
	case !together:
		return nil, nil
	case op.Abort != "": // it came meanwhile, and the step's code has not run
		*r.next(op) = pending
		return nil, nil
	}
	return node, nil
}

// giveUp ends a step that others do anew.
func (r *Runner) giveUp(ctx context.Context, lease Lease, op *Operation, s *Step, out Outcome) error {
	s.Status, s.Error, s.EndedAt = Skipped, out.why, r.now()
	entry := r.entry(op, s, ferric.SeverityError, fmt.Sprintf("Step %s.%s of the %s was given up after %s and is begun anew: %s",
		s.Interface, s.Name, op.Kind, s.EndedAt.Sub(s.StartedAt).Round(time.Millisecond), out.why))
	at := op.Cursor
	op.insert(at+1, out.append)
	op.Needs = max(op.Needs, r.spoken())
	op.Cursor++
	op.clearWait()
	op.UpdatedAt = r.now()
	if _, err := r.checkpoint(ctx, lease, op, []ferric.HistoryEntry{entry}, nil); err != nil {
		return fmt.Errorf("give up step %s.%s: %w", s.Interface, s.Name, err)
	}
	r.observe(op, &op.Steps[at])
	return nil
}

func (r *Runner) wait(ctx context.Context, lease Lease, program Program, op *Operation, s *Step, out Outcome) error {
	now := r.now()
	if op.WaitFor != out.waitFor || op.WaitWhat != out.what || op.WaitSince.IsZero() {
		op.WaitSince, op.Waited, op.LookedAt = now, 0, now
	}
	if r.stoodStill(lease) { // in the middle of the look, which counts otherwise
		op.LookedAt = now
	}
	op.WaitFor, op.WaitWhat, op.WakeAt = out.waitFor, out.what, now.Add(out.poll)
	op.AbortLater = program.Spares(op, s)
	s.Status = Waiting
	if op.Status != Failing {
		op.Status = Waiting
	}
	op.UpdatedAt = now
	if _, err := r.checkpoint(ctx, lease, op, nil, program.View(Waits, op)); err != nil {
		return fmt.Errorf("write the wait of step %s.%s: %w", s.Interface, s.Name, err)
	}
	return nil
}

// rest ends a hold step and lets the operation rest.
func (r *Runner) rest(ctx context.Context, lease Lease, program Program, op *Operation, s *Step) error {
	s.Status, s.EndedAt = Succeeded, r.now()
	op.Cursor++
	op.clearWait()
	op.Status, op.WaitFor, op.WaitWhat, op.WaitSince = Held, EventUnhold, "the operator's unhold", r.now()
	op.UpdatedAt = r.now()
	if _, err := r.checkpoint(ctx, lease, op, nil, program.View(Holds, op)); err != nil {
		return fmt.Errorf("write the hold of step %s.%s: %w", s.Interface, s.Name, err)
	}
	return nil
}

// fail notes a failure. The first one makes the operation Failing; a failed clean-up step only goes on record.
func (r *Runner) fail(ctx context.Context, lease Lease, program Program, op *Operation, cause error) error {
	text := cause.Error()
	var history []ferric.HistoryEntry
	if s := op.Current(); s != nil {
		s.Error = text
		s.Status, s.EndedAt = Failed, r.now()
		if s.StartedAt.IsZero() {
			s.StartedAt = s.EndedAt
		}
		what := "Step"
		if s.CleanUp {
			what = "Clean-up step"
		}
		history = append(history, r.entry(op, s, ferric.SeverityError, fmt.Sprintf("%s %s.%s of the %s failed after %s: %s", what,
			s.Interface, s.Name, op.Kind, s.EndedAt.Sub(s.StartedAt).Round(time.Millisecond), text)))
		op.Cursor++
		defer r.observe(op, s)
	}
	op.clearWait()
	op.UpdatedAt = r.now()
	var view Mutate
	if op.Status != Failing {
		op.Status, op.Error = Failing, text
		if program != nil {
			view = program.View(Fails, op)
		}
	}
	if program == nil {
		op.Status, op.EndedAt = Failed, r.now()
	}
	if _, err := r.checkpoint(ctx, lease, op, history, view); err != nil {
		return fmt.Errorf("write a failure (%s): %w", text, err)
	}
	return nil
}

// end closes an operation that has no more steps.
func (r *Runner) end(ctx context.Context, lease Lease, program Program, op *Operation) error {
	entry, view := r.ending(program, op)
	if _, err := r.checkpoint(ctx, lease, op, []ferric.HistoryEntry{entry}, view); err != nil {
		return fmt.Errorf("write the end of the %s: %w", op.Kind, err)
	}
	return nil
}

// ending marks an operation as ended and returns what history and node show of that.
func (r *Runner) ending(program Program, op *Operation) (ferric.HistoryEntry, Mutate) {
	moment, severity := EndsWell, ferric.SeverityInfo
	now := r.now()
	text := fmt.Sprintf("The %s completed in %s", op.Kind, now.Sub(op.CreatedAt).Round(time.Millisecond))
	if op.Status == Failing {
		moment, severity = EndsBadly, ferric.SeverityError
		text = fmt.Sprintf("The %s failed after %s: %s", op.Kind, now.Sub(op.CreatedAt).Round(time.Millisecond), op.Error)
		op.Status = Failed
	} else {
		op.Status = Succeeded
	}
	op.clearWait()
	op.UpdatedAt, op.EndedAt = now, now
	entry := r.entry(op, nil, severity, text)
	entry.Duration = now.Sub(op.CreatedAt)
	return entry, program.View(moment, op)
}

// entry makes a history entry. The ledger adds the node's state.
func (r *Runner) entry(op *Operation, s *Step, severity, text string) ferric.HistoryEntry {
	e := ferric.HistoryEntry{UUID: uuid.NewString(), NodeUUID: op.NodeUUID, Conductor: r.Owner, Event: text,
		EventType: eventType(op.Kind), Severity: severity, User: op.User, Project: op.Project, CreatedAt: r.now(), OperationID: op.ID}
	if s != nil {
		e.Step = s.Interface + "." + s.Name
		e.Duration = s.EndedAt.Sub(s.StartedAt)
	}
	return e
}

func eventType(kind string) string {
	switch kind {
	case "clean":
		return ferric.EventCleaning
	case "inspect":
		return ferric.EventIntrospection
	case "verify":
		return ferric.EventVerify
	case "undeploy":
		return ferric.EventUnprovision
	case "adopt":
		return ferric.EventAdoption
	case "power":
		return ferric.EventPower
	case "set_console":
		return ferric.EventConsole
	case "service":
		return ferric.EventServicing
	case "rescue", "unrescue":
		return ferric.EventRescue
	}
	return ferric.EventProvisioning
}

func (r *Runner) observe(op *Operation, s *Step) {
	if r.Observe != nil {
		r.Observe(op, s)
	}
}

func (o *Operation) clearWait() {
	o.WaitFor, o.WaitWhat, o.WaitSince, o.WakeAt = "", "", time.Time{}, time.Time{}
	o.Waited, o.LookedAt = 0, time.Time{}
}

// insert puts steps at an index and numbers all anew.
func (o *Operation) insert(at int, steps []Step) {
	for i := range steps {
		steps[i].Status = Pending
	}
	rest := append([]Step{}, o.Steps[at:]...)
	o.Steps = append(append(o.Steps[:at:at], steps...), rest...)
	for i := range o.Steps {
		o.Steps[i].Seq = i
	}
}
