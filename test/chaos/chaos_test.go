package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ferric/test/cluster"
)

// up brings up the cluster that the tests share.
func up(t *testing.T) *cluster.Cluster {
	t.Helper()
	if os.Getenv("FERRIC_QEMU") == "" {
		t.Skip("SKIPPED: makes network namespaces and runs PostgreSQL: set FERRIC_QEMU=1 and run as root (make test does)")
	}
	if os.Geteuid() != 0 {
		t.Fatal("FERRIC_QEMU=1 needs root: network namespaces")
	}
	c, err := cluster.Up(t.Context(), cluster.Spec{Settings: settings(), Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the processes said last:\n%s", c.Logs(4000))
		}
		if err := c.Down(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestChaos is the short form of make chaos: on one cluster, users deploy and clean while processes are killed, and while conductors are cut off
// and stopped. Each part ends when its deploys are done and everything has happened once.
func TestChaos(t *testing.T) {
	c := up(t)
	t.Run("kill", func(t *testing.T) {
		storm(t, c, options{Deploys: 60, Nodes: 30, Every: 2 * time.Second})
	})
	t.Run("partition", func(t *testing.T) {
		storm(t, c, options{Deploys: 20, Nodes: 10, Every: 2 * time.Second, Outage: 5 * time.Second,
			Faults: []string{"cut-db", "cut-bus", "cut-all", "pause"}})
	})
	t.Run("BMC network", func(t *testing.T) { cutOffFromBMCs(t, c) })
	t.Run("upgrade", func(t *testing.T) { upgrade(t, c) })
	for _, p := range c.Processes() {
		for _, death := range p.Deaths() {
			t.Errorf("%s %s", p.Name, death)
		}
	}
}

func storm(t *testing.T, c *cluster.Cluster, o options) {
	o.Seed, o.Log = uint64(time.Now().UnixNano()), t.Logf
	if o.Faults == nil {
		o.Faults = defaults().Faults
	}
	r, err := work(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r)
	if !r.Good() {
		t.Error("something was lost, or ran twice")
	}
}

// cutOffFromBMCs cuts the conductors off their machines and asks for power: it comes once the network is back, once for each machine, and nobody
// has to do anything.
func cutOffFromBMCs(t *testing.T, c *cluster.Cluster) {
	ctx := t.Context()
	machines, end, err := c.Machines(ctx, 9)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	client := c.Client()
	defer client.Close()
	nodes := make([]*cluster.Node, len(machines))
	each := func(do func(i int) error) <-chan error {
		done := make(chan error, len(machines))
		for i := range machines {
			go func() { done <- do(i) }()
		}
		return done
	}
	wait := func(done <-chan error) {
		t.Helper()
		for range machines {
			err = errors.Join(err, <-done)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wait(each(func(i int) (err error) { nodes[i], err = client.EnrollMachine(ctx, machines[i]); return err }))
	for _, p := range c.Conductors {
		if err := c.Cut(ctx, p, cluster.BMC); err != nil {
			t.Fatal(err)
		}
	}
	done := each(func(i int) error { return client.Power(ctx, nodes[i], "power on") })
	sleep(ctx, 5*time.Second)
	for i, m := range machines {
		if on, _ := m.State(); on {
			t.Errorf("machine %d is on: the cut is none", i)
		}
	}
	for _, p := range c.Conductors {
		if err := c.Heal(ctx, p, cluster.BMC); err != nil {
			t.Fatal(err)
		}
	}
	wait(done)
	for i, m := range machines {
		if on, changes := m.State(); !on || changes != 1 {
			t.Errorf("machine %d is on: %v, after %d changes", i, on, changes)
		}
	}
}

// TestResult: the table says when something went wrong, and Good does not pass over it.
func TestResult(t *testing.T) {
	fine := func() *result { return &result{Proof: &cluster.Proof{}, Took: time.Minute} }
	if r := fine(); !r.Good() {
		t.Errorf("nothing is wrong:\n%s", r)
	}
	for name, c := range map[string]struct {
		spoil func(*result)
		says  string
	}{
		"failed":            {func(r *result) { r.Errors = []error{cluster.ErrFailed} }, "failed  1"},
		"stuck":             {func(r *result) { r.Errors = []error{cluster.ErrStuck} }, "stuck  1"},
		"never taken over":  {func(r *result) { r.Late = 1 }, "stuck  1"},
		"ran twice":         {func(r *result) { r.Proof.Twice = 1 }, "that ran twice  1"},
		"records differ":    {func(r *result) { r.Proof.Problems = []string{"so"} }, "ledger  1"},
		"there is no proof": {func(r *result) { r.Proof = nil }, "deploys  0"},
	} {
		t.Run(name, func(t *testing.T) {
			r := fine()
			c.spoil(r)
			if text := strings.Join(strings.Fields(r.String()), " "); r.Good() || !strings.Contains(text, strings.Join(strings.Fields(c.says), " ")) {
				t.Errorf("good: %v\n%s", r.Good(), r)
			}
		})
	}
}
