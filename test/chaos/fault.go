package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"ferric/test/cluster"
)

// fault does something bad to the cluster and makes it good again before it returns.
type fault func(ctx context.Context, m *monkey) error

// faults are the kinds by name.
func faults() map[string]fault {
	return map[string]fault{
		"kill-conductor": func(ctx context.Context, m *monkey) error { return m.kill(ctx, m.cluster.Conductors, m.downtime()) },
		"kill-api":       func(ctx context.Context, m *monkey) error { return m.kill(ctx, m.cluster.APIs, 0) },
		"kill-nats":      func(ctx context.Context, m *monkey) error { return m.kill(ctx, m.cluster.NATS, 0) },
		"kill-postgresql": func(ctx context.Context, m *monkey) error {
			return m.kill(ctx, []*cluster.Process{m.cluster.PostgreSQL}, 0)
		},
		"cut-db":  func(ctx context.Context, m *monkey) error { return m.cut(ctx, m.cluster.Conductors, cluster.DB) },
		"cut-bus": func(ctx context.Context, m *monkey) error { return m.cut(ctx, m.cluster.Conductors, cluster.Bus) },
		"cut-all": func(ctx context.Context, m *monkey) error {
			return m.cut(ctx, m.cluster.Conductors, cluster.DB, cluster.Bus, cluster.BMC)
		},
		"cut-nats": func(ctx context.Context, m *monkey) error { return m.cut(ctx, m.cluster.NATS, cluster.Bus) },
		"pause":    func(ctx context.Context, m *monkey) error { return m.pause(ctx) },
	}
}

func faultNames() []string { return slices.Sorted(maps.Keys(faults())) }

// monkey is who does it.
type monkey struct {
	cluster *cluster.Cluster
	dice    dice
	watch   *watch
	outage  time.Duration // how long cuts and pauses last
	log     func(format string, args ...any)
	busy    claims
	counts  counts
	left    atomic.Int64 // kinds whose turn has not come yet
}

// downtime is how long a killed conductor stays down: two out of three are started again at once, the others stay down long enough for other
// conductors to take over.
func (m *monkey) downtime() time.Duration {
	if m.dice.intN(3) > 0 {
		return 0
	}
	return time.Duration(2+m.dice.intN(6)) * time.Second
}

// kill kills one of the processes and starts it again after a while.
func (m *monkey) kill(ctx context.Context, among []*cluster.Process, down time.Duration) error {
	p := m.busy.take(&m.dice, among)
	if p == nil {
		return nil // all are in trouble already
	}
	defer m.busy.give(p)
	at := time.Now()
	p.Kill()
	m.counts.add("kill "+p.Kind, 1)
	if p.Kind == cluster.Conductor {
		m.watch.died(ctx, p.Name, at)
	}
	m.log("killed %s; it stays down for %s", p.Name, down)
	sleep(ctx, down)
	return p.Start()
}

// cut cuts one of the processes' hosts off networks for a while.
func (m *monkey) cut(ctx context.Context, among []*cluster.Process, nets ...string) error {
	p := m.busy.take(&m.dice, among)
	if p == nil {
		return nil
	}
	defer m.busy.give(p)
	at := time.Now()
	if err := m.cluster.Cut(ctx, p, nets...); err != nil {
		return err
	}
	m.counts.add(fmt.Sprintf("cut %s off %v", p.Kind, nets), 1)
	if p.Kind == cluster.Conductor && slices.Contains(nets, cluster.DB) {
		m.watch.died(ctx, p.Name, at)
	}
	m.log("cut %s off %v for %s", p.Name, nets, m.outage)
	sleep(ctx, m.outage)
	return m.cluster.Heal(context.WithoutCancel(ctx), p, nets...)
}

// pause stops a conductor for longer than its leases last, and lets it go on.
func (m *monkey) pause(ctx context.Context) error {
	p := m.busy.take(&m.dice, m.cluster.Conductors)
	if p == nil {
		return nil
	}
	defer m.busy.give(p)
	at := time.Now()
	if err := p.Pause(); err != nil {
		return err
	}
	m.counts.add("pause conductor", 1)
	m.watch.died(ctx, p.Name, at)
	m.log("paused %s for %s", p.Name, m.outage)
	sleep(ctx, m.outage)
	return p.Continue()
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
