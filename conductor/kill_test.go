package conductor_test

import (
	"fmt"
	"testing"

	"ferric"

	"github.com/google/go-cmp/cmp"
)

// death is one way to kill a conductor.
type death struct {
	after bool   // after the write instead of before it
	heir  string // host name of the conductor that goes on
}

// killing is a verb whose conductor is killed.
type killing struct {
	verb  string
	from  ferric.ProvisionState
	end   ferric.ProvisionState
	begun map[string]int // agent commands and steps: how often they must be begun
	want  []string       // what must happen to the machine, once each and in this order
}

func killings() map[string]killing {
	erased := map[string]int{"erase_devices_metadata": 1}
	return map[string]killing{
		"deploy": {"active", ferric.Available, ferric.Active, map[string]int{"write_image": 1, "burn_in": 1, "image.install_bootloader": 1},
			[]string{"boots the ramdisk", "image written", "off", "boots the disk"}},
		"clean":    {"provide", ferric.Manageable, ferric.Available, erased, []string{"boots the ramdisk", "erased", "off"}},
		"undeploy": {"deleted", ferric.Active, ferric.Available, erased, []string{"boots the ramdisk", "erased", "off"}},
		"inspect":  {"inspect", ferric.Manageable, ferric.Manageable, map[string]int{}, []string{"boots the ramdisk", "off"}},
	}
}

// TestKilledAtEveryWrite kills the conductor at every one of its writes to the ledger, before the write and after it. The conductor that
// comes then, with the same name or another one, must bring the operation to its end, and nothing may be done to the machine twice.
func TestKilledAtEveryWrite(t *testing.T) {
	for name, k := range killings() {
		for _, d := range []death{{false, "one"}, {true, "two"}, {true, "one"}, {false, "two"}} {
			t.Run(fmt.Sprintf("%s, after=%v, then %s", name, d.after, d.heir), func(t *testing.T) {
				t.Parallel()
				if odd := d.after == (d.heir == "one"); odd && (name != "deploy" || testing.Short() || killEvery > 1) {
					t.Skip("two of four ways to die are enough here")
				}
				for n := 2; ; n += killEvery { // the first write takes the lease for the call
					if !killedAt(t, k, d, n) {
						t.Logf("killed at %d writes", n-2)
						if n < 15 {
							t.Errorf("it ended after %d writes; it was not killed often", n)
						}
						return
					}
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// killedAt reports whether the operation came as far as the nth write.
func killedAt(t *testing.T, k killing, d death, n int) bool {
	b := newBench(t)
	defer b.site.close()
	m := b.site.node("lab", in(k.from))
	first := &mortal{Store: b.store, left: n, after: d.after, last: m.called}
	p := b.bootOn(first, "one")
	err := b.try(m.id, k.verb)
	b.until(m.id, "dead or done", func(n *ferric.Node) bool {
		return first.isDead() || n.ProvisionState == k.end && n.TargetProvisionState == "" && n.Reservation == ""
	})
	came := first.isDead()
	p.kill()
	if err != nil && b.node(m.id).ProvisionState == k.from {
		return came // the call was refused, and nothing was begun
	}
	if d.heir != "one" {
		bury(b, "one")
	}
	next := b.boot(d.heir)
	node := b.reaches(m.id, k.end)
	next.stop()
	if node.LastError != "" || node.DeployStep != nil || node.CleanStep != nil {
		t.Errorf("killed at write %d: error %q, deploy step %v, clean step %v", n, node.LastError, node.DeployStep, node.CleanStep)
	}
	for what, times := range k.begun {
		if got := m.begun()[what]; got != times {
			t.Errorf("killed at write %d: %s was begun %d times, want %d", n, what, got, times)
		}
	}
	if diff := cmp.Diff(k.want, m.history()); diff != "" {
		t.Errorf("killed at write %d: history of the machine (-want +have):\n%s", n, diff)
	}
	return came
}

// bury does what time does after a conductor's death: its leases run out and it counts as down.
func bury(b *bench, host string) {
	b.Helper()
	if _, err := b.store.ReleaseOwner(b.Context(), host); err != nil {
		b.Fatal(err)
	}
	if err := b.store.Retire(b.Context(), host); err != nil {
		b.Fatal(err)
	}
}
