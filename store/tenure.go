package store

import (
	"math"
	"sync"
	"time"

	"ferric/flow"
)

// tenure knows which leases of a SQLite database are live. One process has the database, so what that process remembers is all there is, and no clock of
// the host decides: when it is set back, no lease lasts for longer, and when it is set forward, none ends early. A lease that stands in the database and
// is not known here was a dead process's. PostgreSQL has no tenure: there the times in the rows decide.
type tenure struct {
	since func() time.Duration // a clock that nobody sets

	mu   sync.Mutex
	held map[string]holding // by node
}

type holding struct {
	owner string
	epoch int64
	until time.Duration
}

// forever is a duration that does not pass.
const forever time.Duration = math.MaxInt64

// newTenure makes one that goes by a clock; nil is the host's, as it runs and not as it is set.
func newTenure(now func() time.Time) *tenure {
	if now == nil {
		now = time.Now
	}
	begin := now() // time.Now has a reading of the monotonic clock, and Sub uses it
	return &tenure{held: map[string]holding{}, since: func() time.Duration { return now().Sub(begin) }}
}

// holder returns who holds a node's lease, "" if nobody does.
func (t *tenure) holder(node string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ok := t.held[node]; ok && h.until >= t.since() {
		return h.owner
	}
	return ""
}

// take notes a lease that was taken.
func (t *tenure) take(l flow.Lease, ttl time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held[l.NodeUUID] = holding{l.Owner, l.Epoch, t.since() + ttl}
}

// prolong notes that the holders of leases are at work, and returns those that are theirs still. With forever they do not end before the next call:
// their holder is about to write that it is at work, which takes long on a slow disk.
func (t *tenure) prolong(leases []flow.Lease, ttl time.Duration) (kept []flow.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	until := t.since() + ttl
	if ttl == forever {
		until = forever
	}
	for _, l := range leases {
		if h, ok := t.held[l.NodeUUID]; ok && h.owner == l.Owner && h.epoch == l.Epoch {
			h.until = until
			t.held[l.NodeUUID] = h
			kept = append(kept, l)
		}
	}
	return kept
}

// end notes that a lease was given back.
func (t *tenure) end(l flow.Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h, ok := t.held[l.NodeUUID]; ok && h.owner == l.Owner && h.epoch == l.Epoch {
		delete(t.held, l.NodeUUID)
	}
}

// endOf notes that all leases of an owner are free.
func (t *tenure) endOf(owner string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for node, h := range t.held {
		if h.owner == owner {
			delete(t.held, node)
		}
	}
}
