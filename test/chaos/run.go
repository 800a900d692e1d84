package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"ferric/test/cluster"
)

// options say what a run is to be.
type options struct {
	Deploys int
	Nodes   int
	Every   time.Duration
	Outage  time.Duration
	Faults  []string
	Seed    uint64
	Bin     string
	Dir     string
	Log     func(format string, args ...any)
}

func defaults() options {
	return options{Deploys: 1000, Every: 2 * time.Second, Outage: 8 * time.Second, Seed: uint64(time.Now().UnixNano()),
		Faults: []string{"kill-conductor", "kill-api", "kill-nats", "kill-postgresql"}, Log: func(string, ...any) {}}
}

// settings are the cluster's: machines that take their time, and room for all of them at once.
func settings() []string {
	return []string{"fake.deploy_delay=200ms..1s", "fake.clean_delay=200ms..1s", "fake.power_delay=0s..100ms",
		"conductor.max_concurrent_deploy=100000", "conductor.max_concurrent_clean=100000"}
}

// run brings a cluster up, works on it while bad things happen, and says what came of it.
func run(ctx context.Context, o options) (*result, error) {
	if o.Nodes == 0 {
		o.Nodes = max(20, o.Deploys/20)
	}
	o.Nodes = min(o.Nodes, o.Deploys)
	known := faults()
	for _, name := range o.Faults {
		if known[name] == nil {
			return nil, fmt.Errorf("there is no fault %q", name)
		}
	}
	c, err := cluster.Up(ctx, cluster.Spec{Settings: settings(), Bin: o.Bin, Dir: o.Dir, Log: o.Log})
	if err != nil {
		return nil, err
	}
	r, err := work(ctx, c, o)
	if err != nil || !r.Good() {
		o.Log("logs, database and journals stay in %s", c.Keep())
	}
	return r, errors.Join(err, c.Down())
}

// work lets users work on a cluster while bad things happen to it.
func work(ctx context.Context, c *cluster.Cluster, o options) (*result, error) {
	db, err := c.Database("ferric")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(8)
	client := c.Client()
	defer client.Close()
	nodes, err := enroll(ctx, client, o)
	if err != nil {
		return nil, err
	}
	o.Log("%d nodes are available; %d deploys begin (seed %d)", len(nodes), o.Deploys, o.Seed)
	m := &monkey{cluster: c, dice: dice{rand: rand.New(rand.NewPCG(o.Seed, 0))}, outage: o.Outage, log: o.Log, watch: &watch{db: db, log: o.Log}}
	began := time.Now()
	stop := m.run(ctx, o)
	errs := users(ctx, client, nodes, o, m.struckAll)
	took := time.Since(began)
	if err := stop(); err != nil {
		return nil, err
	}
	r := &result{Faults: m.counts.all(), Took: took, Nodes: nodes, Errors: errs, Client: client.Stats()}
	r.Takeovers, r.Late = m.watch.times()
	for _, p := range c.Processes() {
		for _, death := range p.Deaths() {
			r.Deaths = append(r.Deaths, p.Name+" "+death)
		}
	}
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	for try := 0; ; try++ { // it may have been killed last
		if r.Proof, err = c.Prove(ctx, db, nodes); err == nil || try == 50 {
			return r, err
		}
		sleep(ctx, 200*time.Millisecond)
	}
}

// enroll makes the nodes and brings them to available, in peace.
func enroll(ctx context.Context, client *cluster.Client, o options) ([]*cluster.Node, error) {
	nodes := make([]*cluster.Node, o.Nodes)
	errs := make([]error, o.Nodes)
	var users sync.WaitGroup
	slots := make(chan struct{}, 50)
	for i := range nodes {
		users.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if nodes[i], errs[i] = client.Enroll(ctx); errs[i] == nil {
				errs[i] = client.Provide(ctx, nodes[i])
			}
		})
	}
	users.Wait()
	return nodes, errors.Join(errs...)
}

// users lets a user per node deploy and undeploy until all deploys are done, and something of every kind has happened. A user whose node
// has failed gives up.
func users(ctx context.Context, client *cluster.Client, nodes []*cluster.Node, o options, struckAll func() bool) []error {
	var mu sync.Mutex
	left := o.Deploys
	var errs []error
	next := func(err error) bool {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			o.Log("%v", err)
			errs = append(errs, err)
			return false
		}
		if left <= 0 && struckAll() {
			return false
		}
		if left--; left >= 0 && left%100 == 0 {
			o.Log("%d deploys are left to begin", left)
		}
		return true
	}
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			var err error
			for next(err) {
				if err = client.Deploy(ctx, n); err == nil {
					err = client.Undeploy(ctx, n)
				}
			}
		})
	}
	all.Wait()
	return errs
}

// struckAll reports whether something of every kind has happened.
func (m *monkey) struckAll() bool { return m.left.Load() <= 0 }

// run lets bad things happen until the function that it returns is called, which waits until all is repaired.
func (m *monkey) run(ctx context.Context, o options) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	m.left.Store(int64(len(o.Faults)))
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	all.Go(func() {
		if len(o.Faults) == 0 {
			return
		}
		var turns []int
		for {
			if len(turns) == 0 { // every kind has its turn, in any order
				turns = m.dice.perm(len(o.Faults))
			}
			name := o.Faults[turns[0]]
			turns = turns[1:]
			if sleep(ctx, o.Every); ctx.Err() != nil {
				return
			}
			m.left.Add(-1)
			do := faults()[name]
			all.Go(func() {
				if err := do(ctx, m); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
				}
			})
		}
	})
	return func() error {
		cancel()
		all.Wait()
		mu.Lock()
		defer mu.Unlock()
		return errors.Join(errs...)
	}
}
