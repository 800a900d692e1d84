package fake

import (
	"context"
	"sync"
	"testing"
	"time"

	"ferric"

	"github.com/google/go-cmp/cmp"
)

func events(t *testing.T, j *Journal, node string) []string {
	t.Helper()
	all, err := j.Read(node)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range all {
		list = append(list, e.Event)
	}
	return list
}

// TestMachineCarriesACommandOutOnce: whoever sends it, and however often.
func TestMachineCarriesACommandOutOnce(t *testing.T) {
	ctx, j := context.Background(), &Journal{Dir: t.TempDir()}
	first := Entry{Node: "n", Operation: "o", Seq: 3, Step: "deploy", Epoch: 5}
	until, err := j.begin(ctx, first, time.Hour)
	if err != nil || time.Until(until) < 59*time.Minute {
		t.Fatalf("%s, %v", until, err)
	}
	next := first // of the conductor that takes over
	next.Epoch = 6
	same, err := (&Journal{Dir: j.Dir}).begin(ctx, next, time.Minute)
	if err != nil || same.Sub(until).Abs() > time.Second {
		t.Errorf("told again it ends %s instead of %s: %v", same, until, err)
	}
	if _, err := j.begin(ctx, first, time.Hour); !ferric.IsCode(err, ferric.CodeStale) {
		t.Errorf("the conductor that lost the node is told %v", err)
	}
	if err := j.end(ctx, next); err != nil {
		t.Fatal(err)
	}
	if err := j.end(ctx, first); err != nil {
		t.Fatal(err)
	}
	other := Entry{Node: "n", Operation: "o", Seq: 4, Step: "erase", Epoch: 6}
	if _, err := j.begin(ctx, other, 0); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{Begin, Repeat, Refuse, End, Begin}, events(t, j, "n")); diff != "" {
		t.Error(diff)
	}
	if all, err := j.Read("stranger"); err != nil || all != nil {
		t.Errorf("a machine that did nothing has %v, %v", all, err)
	}
}

// TestJournalIsSharedByConductors: of many that tell the machine at the same time, one makes it begin.
func TestJournalIsSharedByConductors(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			j := &Journal{Dir: dir}
			if _, err := j.begin(ctx, Entry{Node: "n", Operation: "o", Epoch: 1}, 0); err != nil {
				t.Error(err)
			}
			if err := j.end(ctx, Entry{Node: "n", Operation: "o", Epoch: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	count := map[string]int{}
	for _, e := range events(t, &Journal{Dir: dir}, "n") {
		count[e]++
	}
	if diff := cmp.Diff(map[string]int{Begin: 1, Repeat: 19, End: 1}, count); diff != "" {
		t.Error(diff)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"event":"begin","node":"n","seq":1}` + "\n{"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := parseJournal(raw); err != nil && !ferric.IsCode(err, ferric.CodeCorrupt) {
			t.Error(err)
		}
	})
}
