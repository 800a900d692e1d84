package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"ferric"
)

// Outbox is where notices wait; package store keeps it.
type Outbox interface {
	// HoldSink makes the holder the one that delivers to a sink, and returns the ID of the last notice that the sink has taken. held is false if
	// another one does.
	HoldSink(ctx context.Context, sink, holder string, ttl time.Duration) (done int64, held bool, err error)
	LeaveSink(ctx context.Context, sink, holder string) error
	// SinkDone and SinkFailed answer CodeStale if another one delivers.
	SinkDone(ctx context.Context, sink, holder string, id int64, refused int) error
	SinkFailed(ctx context.Context, sink, holder, why string) error
	// Notices returns what comes after an ID, and the ID of the last notice of all.
	Notices(ctx context.Context, after int64, topics []string, limit int) (list []ferric.Notice, last int64, err error)
}

// Sink takes notices.
type Sink interface {
	// Send delivers notices in their order, and returns how many of the first ones have arrived for certain, and why not the next one. A Refused error says
	// that the next one will never be taken.
	Send(ctx context.Context, list []ferric.Notice) (sent int, err error)
	// Close ends connections. Send opens them again.
	Close() error
}

// Refused says that a sink has understood a notice and does not want it, now or later.
type Refused struct{ Why string }

// Error implements error.
func (r *Refused) Error() string { return r.Why }

// Observer is told of deliveries. Methods must not block.
type Observer interface {
	Delivered(sink string, count int, delay time.Duration) // delay: of the oldest one, since it was written
	Refused(sink string)
	DeliveryFailed(sink string)
}

// Courier delivers the notices of some topics to a sink.
type Courier struct {
	Name   string // of the sink, in the database and in messages
	Sink   Sink
	Topics []string
	Outbox Outbox
	Holder string // host name of this conductor
	Log    *slog.Logger
	Watch  Observer
	// Poll is how often it looks whether others have written notices; 0 is a second.
	Poll time.Duration

	heldUntil time.Time // by this process's clock; it holds the sink until then
	done      int64
	failures  int
}

// How a courier works.
const (
	holdFor      = 15 * time.Second // how long others wait for one that is not heard of
	renewAfter   = 5 * time.Second
	batch        = 100
	sendTimeout  = 9 * time.Second // less than what is left of holdFor when it begins
	pollInterval = time.Second
	firstPause   = time.Second
	longestPause = 30 * time.Second
)

// Run delivers until ctx ends. poke wakes it: this process has written notices.
func (c *Courier) Run(ctx context.Context, poke <-chan struct{}) error {
	if c.Poll == 0 {
		c.Poll = pollInterval
	}
	defer c.leave(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		more, err := c.deliver(ctx)
		pause := c.Poll
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			pause = c.failed(ctx, err)
		case more:
			continue
		}
		c.rest(ctx, pause, poke, err == nil)
	}
	return nil
}

// rest waits. After a failure nothing wakes it: it would only fail again.
func (c *Courier) rest(ctx context.Context, pause time.Duration, poke <-chan struct{}, wakeable bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	if !wakeable {
		poke = nil
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-poke:
	}
}

// deliver delivers a batch, if it is this conductor's turn. more says that there may be another one.
func (c *Courier) deliver(ctx context.Context) (more bool, err error) {
	if err := c.hold(ctx); err != nil || time.Now().After(c.heldUntil) {
		return false, err
	}
	list, last, err := c.Outbox.Notices(ctx, c.done, c.Topics, batch)
	if err != nil {
		return false, err
	}
	if len(list) == 0 {
		if last > c.done { // of other topics
			return false, c.progress(ctx, last, 0)
		}
		return false, nil
	}
	sending, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	sent, cause := c.Sink.Send(sending, list)
	refused := 0
	var no *Refused
	if errors.As(cause, &no) {
		n := list[sent]
		c.Log.Warn("a notification is not wanted; it is passed over", "sink", c.Name, "event_type", n.EventType, "message_id", n.MessageID, "about", n.About, "error", cause)
		c.Watch.Refused(c.Name)
		sent, refused, cause = sent+1, 1, nil
	}
	if sent > 0 {
		to := list[sent-1].ID
		if sent == len(list) && len(list) < batch {
			to = last
		}
		if err := c.progress(ctx, to, refused); err != nil {
			return false, err
		}
		c.Watch.Delivered(c.Name, sent-refused, time.Since(list[0].At))
	}
	return cause == nil, cause
}

// progress notes how far the sink has come, also when the courier is told to stop meanwhile: whoever comes next need not send it again.
func (c *Courier) progress(ctx context.Context, id int64, refused int) error {
	if err := c.Outbox.SinkDone(context.WithoutCancel(ctx), c.Name, c.Holder, id, refused); err != nil {
		return c.lost(err)
	}
	if c.failures > 0 {
		c.Log.Info("notifications are delivered again", "sink", c.Name, "failures", c.failures)
	}
	c.done, c.failures = id, 0
	return nil
}

// hold takes or prolongs the sink. It is held if heldUntil is in the future.
func (c *Courier) hold(ctx context.Context) error {
	if time.Until(c.heldUntil) > holdFor-renewAfter {
		return nil
	}
	asked := time.Now()
	done, held, err := c.Outbox.HoldSink(ctx, c.Name, c.Holder, holdFor)
	if err != nil {
		return err
	}
	if !held {
		c.heldUntil = time.Time{}
		return nil
	}
	c.heldUntil, c.done = asked.Add(holdFor), done
	return nil
}

// lost forgets the sink if another one delivers to it.
func (c *Courier) lost(err error) error {
	if ferric.IsCode(err, ferric.CodeStale) {
		c.heldUntil = time.Time{}
	}
	return err
}

// failed notes a failure and returns how long to wait.
func (c *Courier) failed(ctx context.Context, err error) time.Duration {
	if ferric.IsCode(err, ferric.CodeStale) {
		return c.Poll
	}
	c.failures++
	pause := min(firstPause<<min(c.failures-1, 10), longestPause)
	c.Watch.DeliveryFailed(c.Name)
	if c.failures == 1 || c.failures%20 == 0 { // it is in the metrics and in the doctor's report, too
		c.Log.Error("cannot deliver notifications; they wait in the database, and it is tried again", "sink", c.Name, "failures", c.failures, "again_in", pause, "error", err)
	}
	if !c.heldUntil.IsZero() {
		if e := c.Outbox.SinkFailed(ctx, c.Name, c.Holder, err.Error()); e != nil && ctx.Err() == nil {
			c.Log.Warn("cannot note why notifications are not delivered", "sink", c.Name, "error", c.lost(e))
		}
	}
	return pause
}

// leave gives the sink to others and ends connections.
func (c *Courier) leave(ctx context.Context) {
	if !c.heldUntil.IsZero() {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := c.Outbox.LeaveSink(ctx, c.Name, c.Holder); err != nil {
			c.Log.Warn("cannot leave a sink of notifications; others take it over in a moment", "sink", c.Name, "in", holdFor, "error", err)
		}
	}
	if err := c.Sink.Close(); err != nil {
		c.Log.Warn("cannot close the connection to a sink of notifications", "sink", c.Name, "error", err)
	}
}
