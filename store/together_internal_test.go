package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTogether: while reads are under way, others wait; the next statement reads them together, and everybody gets their own record.
func TestTogether(t *testing.T) {
	var sizes []int
	var mu sync.Mutex
	gate, began := make(chan struct{}), make(chan struct{}, togetherReaders)
	var free atomic.Bool
	r := together[string]{read: func(_ context.Context, keys []string) (map[string]string, error) {
		if !free.Load() {
			began <- struct{}{}
			<-gate
		}
		mu.Lock()
		sizes = append(sizes, len(keys))
		mu.Unlock()
		found := map[string]string{}
		for _, k := range keys {
			if !strings.HasPrefix(k, "missing") {
				found[k] = "record of " + k
			}
		}
		return found, nil
	}}
	var work sync.WaitGroup
	want := func(key string) {
		v, found, err := r.get(t.Context(), key)
		if missing := strings.HasPrefix(key, "missing"); err != nil || found == missing || found && v != "record of "+key {
			t.Errorf("%s: %q, %v, %v", key, v, found, err)
		}
	}
	for i := range togetherReaders { // one after the other: each has a reader of its own
		work.Go(func() { want(fmt.Sprint("first", i)) })
		<-began
	}
	const many = 3 * togetherAtOnce
	for i := range many {
		work.Go(func() { want([]string{fmt.Sprint("key", i), fmt.Sprint("missing", i), "same"}[i%3]) })
	}
	for waiting := 0; waiting < many; {
		r.mu.Lock()
		waiting = len(r.waiting)
		r.mu.Unlock()
	}
	free.Store(true)
	close(gate)
	work.Wait()
	r.running.Wait()
	total := 0
	for _, n := range sizes {
		total += n
		if n > togetherAtOnce {
			t.Errorf("one statement read %d keys", n)
		}
	}
	if total != many+togetherReaders || len(sizes) != togetherReaders+many/togetherAtOnce || r.readers != 0 {
		t.Errorf("%d keys in %v statements, %d readers left", total, sizes, r.readers)
	}
}

// TestTogetherFails: a failure is that of everybody in the statement and of nobody else; who gives up does not wait.
func TestTogetherFails(t *testing.T) {
	broken, gate, began := errors.New("broken"), make(chan struct{}), make(chan struct{})
	r := together[int]{read: func(_ context.Context, keys []string) (map[string]int, error) {
		switch keys[0] {
		case "bad":
			return nil, broken
		case "slow":
			close(began)
			<-gate
		}
		return map[string]int{keys[0]: 1}, nil
	}}
	if _, _, err := r.get(t.Context(), "bad"); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, found, err := r.get(ctx, "slow"); !errors.Is(err, context.Canceled) || found {
		t.Errorf("given up: %v, %v", found, err)
	}
	if v, found, err := r.get(t.Context(), "good"); err != nil || !found || v != 1 {
		t.Errorf("beside a slow one: %d, %v, %v", v, found, err)
	}
	close(gate)
	r.running.Wait()
}

func TestOneOf(t *testing.T) {
	for name, c := range map[string]struct {
		keys []string
		sql  string
		args int
	}{
		"one":   {[]string{"a"}, "k = $1", 1},
		"two":   {[]string{"a", "b"}, "k IN ($1, $2)", 2},
		"three": {[]string{"a", "b", "c"}, "k IN ($1, $2, $3, $4)", 4},
	} {
		t.Run(name, func(t *testing.T) {
			sql, args := oneOf("k", c.keys)
			if sql != c.sql || len(args) != c.args || args[c.args-1] != c.keys[len(c.keys)-1] {
				t.Errorf("%s %v", sql, args)
			}
		})
	}
}
