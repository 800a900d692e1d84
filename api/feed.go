package api

import (
	"context"
	"sync"
	"time"

	"ferric"
)

// feedKept is how many changes the feed holds for clients that keep up; others read the database. feedPoll is the longest time that a change
// waits if the bus is down.
const (
	feedKept = 4096
	feedPoll = 2 * time.Second
)

// event is a change with its text, which is made once for all clients.
type event struct {
	ferric.Change
	text []byte
}

// feed reads the outbox once for all clients of this process and wakes them. A client costs its goroutine and nothing else: it looks up what
// comes after the ID that it saw last, so that slow clients keep nobody waiting.
type feed struct {
	mu      sync.Mutex
	running bool
	clients int
	events  []event       // the newest, in order, without gaps
	last    int64         // ID of the last change that is known
	wake    chan struct{} // closed when something was added
	joined  chan struct{} // of capacity 1: a client came
	done    chan struct{} // closed when the feed ends
}

func newFeed() *feed {
	return &feed{wake: make(chan struct{}), joined: make(chan struct{}, 1), done: make(chan struct{})}
}

// join takes in a client; false if the feed does not run or has max clients.
func (f *feed) join(max int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.running || f.clients >= max {
		return false
	}
	f.clients++
	select {
	case f.joined <- struct{}{}:
	default:
	}
	return true
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients--
}

// after returns changes after an ID, and what to wait for if there is no more; have is false if the database must be asked.
func (f *feed) after(id int64) (batch []event, wake <-chan struct{}, have bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id >= f.last {
		return nil, f.wake, true
	}
	if len(f.events) == 0 || f.events[0].ID > id+1 {
		return nil, nil, false
	}
	from := int(id + 1 - f.events[0].ID)
	to := min(from+eventBatch, len(f.events))
	if to == len(f.events) {
		wake = f.wake
	}
	return f.events[from:to:to], wake, true
}

// Events runs the change feed until ctx ends; it must run for GET /ferric/v1/events to be served. poke tells that there may be changes. The
// clients are sent away when it ends.
func (a *API) Events(ctx context.Context, poke <-chan struct{}) error {
	f := a.feed
	f.mu.Lock()
	f.running = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running = false
		f.mu.Unlock()
		close(f.done)
	}()
	poll := time.NewTicker(feedPoll)
	defer poll.Stop()
	for {
		if err := f.read(ctx, a.deps.Changes); err != nil && ctx.Err() == nil {
			a.log.ErrorContext(ctx, "the change feed cannot read the changes; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-poke:
		case <-f.joined:
		case <-poll.C:
		}
	}
}

// read takes in what is new. Without clients nothing is read.
func (f *feed) read(ctx context.Context, store ChangeStore) error {
	f.mu.Lock()
	clients, last := f.clients, f.last
	f.mu.Unlock()
	if clients == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, eventRead)
	defer cancel()
	newest, err := store.LastChange(ctx)
	if err != nil {
		return err
	}
	if newest-last > feedKept { // nobody was there for long: clients that want more ask the database
		last = newest - feedKept
	}
	for last < newest {
		list, err := store.Changes(ctx, last, eventBatch)
		if err != nil {
			return err
		}
		if len(list) == 0 { // pruned meanwhile; clients find out by the database
			f.skip(newest)
			return nil
		}
		f.add(list)
		last = list[len(list)-1].ID
	}
	return nil
}

// skip goes on after changes that cannot be had any more.
func (f *feed) skip(to int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events, f.last = nil, to
	close(f.wake)
	f.wake = make(chan struct{})
}

// add appends changes, forgets the oldest and wakes the clients.
func (f *feed) add(list []ferric.Change) {
	added := make([]event, len(list))
	for i := range list {
		added[i] = event{list[i], appendEvent(nil, &list[i])}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if list[0].ID != f.last+1 {
		f.events = nil
	}
	// What clients hold of the old array is never written again: elements are only added behind, and left behind in front.
	if f.events = append(f.events, added...); len(f.events) > feedKept {
		f.events = f.events[len(f.events)-feedKept:]
	}
	f.last = list[len(list)-1].ID
	close(f.wake)
	f.wake = make(chan struct{})
}
