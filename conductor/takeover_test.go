package conductor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
)

// brief makes leases and signs of life run out fast, so that others really take over.
func brief(c *conductor.Config) {
	c.LeaseTTL, c.HeartbeatInterval, c.HeartbeatTimeout = 3*time.Second, 100*time.Millisecond, 3*time.Second
}

// TestTakeOverWhenTheLeaseRunsOut kills a conductor in the middle of a step, without any help for the one that goes on.
func TestTakeOverWhenTheLeaseRunsOut(t *testing.T) {
	b := newBench(t)
	first := b.boot("one", brief)
	m := b.site.node("lab")
	slow, asked := make(chan struct{}), make(chan struct{}, 1)
	m.with(func(m *machine) { m.slow, m.asked = slow, asked })
	b.verb(m.id, "active")
	<-asked // the first conductor is about to power the machine off, and holds the lease
	first.kill()
	close(slow)
	if n := b.node(m.id); n.Reservation != "one" {
		t.Fatalf("reserved by %q", n.Reservation)
	}
	b.boot("two", brief)
	b.reaches(m.id, ferric.Active)
	op := b.operation(m.id)
	if op.Conductor != "two" || op.Takeovers == 0 {
		t.Errorf("carried on by %q after %d take-overs", op.Conductor, op.Takeovers)
	}
	if n := m.begun()["write_image"]; n != 1 {
		t.Errorf("the image was written %d times", n)
	}
}

// crew is conductors of which the dead are replaced, by ones with other names.
type crew struct {
	b      *bench
	dice   *rand.Rand
	deaths int // how many are still to die
	hired  int
	procs  []*proc
}

func (c *crew) hire() *proc {
	m := &mortal{Store: c.b.store}
	if c.deaths > 0 {
		c.deaths--
		m.left, m.after = 15+c.dice.IntN(40), c.dice.IntN(2) == 0
	}
	c.hired++
	return c.b.bootOn(m, fmt.Sprint("host-", c.hired), brief)
}

func (c *crew) replace() {
	for i, p := range c.procs {
		if p.mortal.isDead() {
			p.kill()
			c.procs[i] = c.hire()
		}
	}
}

// TestManyDeaths deploys several machines while conductors die at random and new ones with other names come. Everything must end well, and
// no image may be written twice.
func TestManyDeaths(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it waits for a lease to run out as often as a conductor dies")
	}
	b := newBench(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &crew{b: b, dice: rand.New(rand.NewPCG(seed, 0)), deaths: 5}
	c.procs = []*proc{c.hire(), c.hire()}
	var machines []*machine
	for range 5 {
		m := b.site.node("lab")
		machines = append(machines, m)
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			err := b.try(m.id, "active")
			if b.node(m.id).ProvisionState != ferric.Available { // it may be written down though its conductor died
				break
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			c.replace()
		}
	}
	for deadline := time.Now().Add(3 * patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		c.replace()
		if !slices.ContainsFunc(machines, func(m *machine) bool { return b.node(m.id).ProvisionState != ferric.Active }) {
			break
		}
	}
	for _, m := range machines {
		if n := b.reaches(m.id, ferric.Active); n.LastError != "" {
			t.Errorf("error %q", n.LastError)
		}
		same(t, "history of a machine", []string{"boots the ramdisk", "image written", "off", "boots the disk"}, m.history())
	}
	if c.hired < 4 {
		t.Errorf("only %d conductors died", c.hired-2)
	}
}
