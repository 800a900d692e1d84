package store

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// together reads records by their keys, those that are wanted at the same moment with one statement: when thousands of agents call in the same second,
// most of what a read costs is not the record. Nobody waits for others to come: a statement takes whoever is there when it begins, so that each sees
// what was committed before it asked.
type together[V any] struct {
	// read returns the records that there are. It bounds its own time.
	read func(ctx context.Context, keys []string) (map[string]V, error)

	mu      sync.Mutex
	waiting []*wish[V]
	readers int
	running sync.WaitGroup
}

// wish is what one caller waits for.
type wish[V any] struct {
	key   string
	v     V
	found bool
	err   error
	done  chan struct{}
}

// One statement reads at most togetherAtOnce records; togetherReaders of them are under way at most, so that one that hangs does not hold up all.
const (
	togetherAtOnce  = 64
	togetherReaders = 2
)

// get returns the record of a key, false if there is none.
func (t *together[V]) get(ctx context.Context, key string) (v V, found bool, err error) {
	w := &wish[V]{key: key, done: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, w)
	if t.readers < togetherReaders {
		t.readers++
		t.running.Go(t.serve)
	}
	t.mu.Unlock()
	select {
	case <-w.done:
		return w.v, w.found, w.err
	case <-ctx.Done():
		return v, false, ctx.Err()
	}
}

// serve reads until nobody waits any more.
func (t *together[V]) serve() {
	for {
		runtime.Gosched() // whoever is about to ask may come along
		t.mu.Lock()
		batch := t.waiting
		if len(batch) == 0 {
			t.readers--
			t.mu.Unlock()
			return
		}
		batch = batch[:min(len(batch), togetherAtOnce)]
		t.waiting = slices.Clone(t.waiting[len(batch):])
		t.mu.Unlock()
		keys := make([]string, len(batch))
		for i, w := range batch {
			keys[i] = w.key
		}
		found, err := t.read(context.Background(), keys)
		for _, w := range batch {
			w.v, w.found = found[w.key]
			w.err = err
			close(w.done)
		}
	}
}

// wait returns when no read is under way.
func (t *together[V]) wait() { t.running.Wait() }

// oneOf is "column IN ($1, …)" for the keys, and its arguments. The list is filled up with the last key to a power of two: few texts to prepare.
func oneOf(column string, keys []string) (string, []any) {
	size := 1
	for size < len(keys) {
		size *= 2
	}
	if size == 1 {
		return column + " = $1", []any{clean(keys[0])}
	}
	var b strings.Builder
	b.WriteString(column + " IN (")
	args := make([]any, size)
	for i := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
		args[i] = clean(keys[min(i, len(keys)-1)])
	}
	b.WriteString(")")
	return b.String(), args
}
