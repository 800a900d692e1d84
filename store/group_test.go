package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"ferric"
	"ferric/store"
)

// TestWritersTogether lets many write at once, which on SQLite share transactions. Some fail, some have given up, one panics: each gets its own
// answer, and what was answered with success is there, no more and no less.
func TestWritersTogether(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		shared := &ferric.Node{Driver: "fake-hardware", Extra: map[string]any{"n": 0.0}}
		must(t, e.CreateNode(t.Context(), shared))
		refused := errors.New("refused by the caller")
		gone, giveUp := context.WithCancel(t.Context())
		giveUp()
		var done, created atomic.Int64
		var work sync.WaitGroup
		for i := range 120 {
			work.Go(func() {
				ctx, kind := t.Context(), i%6
				if kind == 5 {
					ctx = gone
				}
				if kind == 4 { // a statement fails: the name is taken
					err := e.CreateNode(ctx, &ferric.Node{Driver: "fake-hardware", Name: "taken"})
					if err == nil {
						created.Add(1)
					} else if !ferric.IsCode(err, ferric.CodeConflict) {
						t.Error(err)
					}
					return
				}
				defer func() {
					if p := recover(); (p != nil) != (kind == 3) {
						t.Errorf("writer %d: panic %v", i, p)
					}
				}()
				_, err := e.ForceNode(ctx, shared.UUID, 0, func(n *ferric.Node) error {
					switch kind {
					case 2:
						return refused
					case 3:
						panic("in the caller's function")
					}
					n.Extra["n"] = n.Extra["n"].(float64) + 1
					return nil
				})
				switch {
				case err == nil && kind < 2:
					done.Add(1)
				case kind == 2 && errors.Is(err, refused), kind == 5 && err != nil:
				default:
					t.Errorf("writer %d: %v", i, err)
				}
			})
		}
		work.Wait()
		n, err := e.Node(t.Context(), shared.UUID)
		must(t, err)
		if n.Extra["n"] != float64(done.Load()) || done.Load() != 40 || created.Load() != 1 {
			t.Errorf("the node counts %v, %d writers succeeded of 40; %d nodes of one name", n.Extra["n"], done.Load(), created.Load())
		}
	})
}

// BenchmarkWriters changes nodes from several goroutines, each change durable when it returns.
func BenchmarkWriters(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", engine, writers), func(b *testing.B) {
				e := open(b, engine)
				var next atomic.Int64
				var work sync.WaitGroup
				begin := make(chan struct{})
				for range writers {
					n := &ferric.Node{Driver: "fake-hardware"}
					if err := e.CreateNode(b.Context(), n); err != nil {
						b.Fatal(err)
					}
					work.Go(func() {
						<-begin
						change(b, e.Store, n.UUID, &next)
					})
				}
				b.ResetTimer()
				close(begin)
				work.Wait()
			})
		}
	}
}

func change(b *testing.B, s *store.Store, uuid string, next *atomic.Int64) {
	for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
		_, err := s.ForceNode(b.Context(), uuid, 0, func(n *ferric.Node) error {
			n.Extra = map[string]any{"n": i}
			return nil
		})
		if err != nil {
			b.Error(err)
			return
		}
	}
}
