package conductor

import (
	"context"
	"time"

	"ferric"
)

// Changes is the outbox of the change feed; package store keeps it.
type Changes interface {
	Changes(ctx context.Context, after int64, limit int) ([]ferric.Change, error)
	LastChange(ctx context.Context) (int64, error)
	PruneChanges(ctx context.Context, before time.Time) (int, error)
}

// feedPoll is the longest time that a change of another process waits to be published.
const feedPoll = time.Second

// feedKeep is how long changes stay in the outbox for readers that come back.
const feedKeep = 7 * 24 * time.Hour

// PublishChanges publishes what is new in the outbox, in order, until ctx ends. Of several conductors only the first by name
// publishes; when it dies the next one begins with what was changed since it was surely alive. So a reader may see a change twice (its ID
// tells), and after a gap reads the outbox.
// poke wakes it at once.
func (c *Conductor) PublishChanges(ctx context.Context, outbox Changes, poke <-chan struct{}, publish func(context.Context, ferric.Change) error) error {
	last, err := outbox.LastChange(ctx)
	if err != nil {
		return err
	}
	prune := time.NewTicker(10 * time.Minute)
	defer prune.Stop()
	for {
		if last, err = c.publishFrom(ctx, outbox, last, publish); err != nil && ctx.Err() == nil {
			c.Log.Error("cannot publish changes; trying again", "after", last, "error", err)
		}
		timer := time.NewTimer(feedPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-poke:
		case <-timer.C:
		case <-prune.C:
			if _, err := outbox.PruneChanges(ctx, time.Now().Add(-feedKeep)); err != nil && ctx.Err() == nil {
				c.Log.Error("cannot prune the outbox; trying again", "error", err)
			}
		}
		timer.Stop()
	}
}

// publishFrom publishes all changes after last, if it is this conductor's turn, and returns the new last.
func (c *Conductor) publishFrom(ctx context.Context, outbox Changes, last int64, publish func(context.Context, ferric.Change) error) (int64, error) {
	c.mu.Lock()
	hosts := c.members.Hosts()
	c.mu.Unlock()
	mine := len(hosts) == 0 || hosts[0] == c.Host
	for {
		batch, err := outbox.Changes(ctx, last, 500)
		if err != nil || len(batch) == 0 {
			return last, err
		}
		for _, change := range batch {
			switch {
			case mine:
				if err := publish(ctx, change); err != nil {
					return last, err
				}
			case c.Store.Now().Sub(change.At) < 2*c.HeartbeatTimeout:
				return last, nil // the one whose turn it is may be dead already
			}
			last = change.ID
		}
	}
}
