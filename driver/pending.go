package driver

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ferric"
	"ferric/flow"
)

// Pending is the error of work that cannot go on before something happens elsewhere: another service gives no answer, or has not done its part yet. A step
// of an operation that ends with it waits, in the ledger, and its code is called again when the event comes or Poll has passed; nothing has failed. Outside of
// operations callers get Err, with its code.
type Pending struct {
	Event string        // of flow, "" for none
	What  string        // what is being waited for, for people; the same text is the same wait
	Poll  time.Duration // when to look again; 0: soon at first, and less and less often
	// Timeout bounds the whole wait, 0: for ever. Only time counts in which a conductor looked.
	Timeout time.Duration
	Err     error
}

// Error implements error.
func (p *Pending) Error() string { return p.Err.Error() }

// Unwrap leads to the code.
func (p *Pending) Unwrap() error { return p.Err }

// How often a wait is looked after that does not say so.
const (
	soonest = 2 * time.Second
	latest  = 30 * time.Second
)

// Wait turns an error that has a Pending in its chain into a wait of the task's step. ok is false for any other error, and for a step that must not be
// run twice.
func (t *Task) Wait(err error) (out flow.Outcome, ok bool, failed error) {
	var p *Pending
	if !errors.As(err, &p) || t.Flow == nil || t.Flow.Step.Repeat == flow.Never {
		return flow.Outcome{}, false, nil
	}
	level := slog.LevelWarn
	if t.Flow.Op.WaitWhat == p.What {
		level = slog.LevelDebug // it was told when the wait began
	}
	t.Log.Log(context.Background(), level, "a step waits", "for", p.What, "because", p.Err.Error())
	poll := p.Poll
	if poll <= 0 {
		if t.Flow.Op.WaitWhat == p.What {
			poll = t.Flow.Waited() / 4
		}
		poll = min(max(poll, soonest), latest)
	}
	out, failed = t.Flow.Wait(p.Event, p.What, poll, p.Timeout)
	if failed != nil {
		failed = ferric.Errorf(ferric.ErrorCode(failed), "%w (%v)", failed, err)
	}
	return out, true, failed
}
