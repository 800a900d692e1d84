package conductor_test

import (
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/rpc"
)

// TestBootIsTriedAgain starts a machine whose ramdisk gets nowhere, or whose agent loses the answer to its lookup and so never has a token. Ferric starts the
// machine again, and the clean goes on.
func TestBootIsTriedAgain(t *testing.T) {
	for name, lookedUp := range map[string]bool{"the ramdisk does not come up": false, "the answer to the lookup is lost": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one", func(c *conductor.Config) { c.BootRetryTimeout = 300 * time.Millisecond })
			m := b.site.node("lab", in(ferric.Manageable))
			m.with(func(m *machine) { m.deaf = true })
			b.verb(m.id, "provide")
			b.reaches(m.id, ferric.CleanWait)
			if lookedUp {
				if err := b.call(rpc.Lookup, ref(m.id), nil); err != nil {
					t.Fatal(err)
				}
			}
			for deadline := time.Now().Add(patience); m.count("boots the ramdisk") < 2; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the machine was not started again: %v", m.history())
				}
			}
			m.with(func(m *machine) { m.deaf = false })
			b.reaches(m.id, ferric.Available)
			history, err := b.store.History(t.Context(), m.id, ferric.Page{})
			if err != nil {
				t.Fatal(err)
			}
			told := false
			for _, e := range history {
				told = told || strings.Contains(e.Event, "did not call within 300ms; the machine is started again")
			}
			if !told {
				t.Errorf("the history does not tell of it: %v", history)
			}
		})
	}
}
