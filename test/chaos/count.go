package main

import (
	"maps"
	"math/rand/v2"
	"sync"

	"ferric/test/cluster"
)

// claims are the processes that are in trouble: each is in one at a time.
type claims struct {
	mu   sync.Mutex
	held map[*cluster.Process]bool
}

// take claims one of the processes, nil if all are claimed.
func (c *claims) take(d *dice, among []*cluster.Process) *cluster.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = map[*cluster.Process]bool{}
	}
	for _, i := range d.perm(len(among)) {
		if p := among[i]; !c.held[p] {
			c.held[p] = true
			return p
		}
	}
	return nil
}

func (c *claims) give(p *cluster.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, p)
}

// counts counts by name.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name] += n
}

func (c *counts) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// dice are thrown by several goroutines.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (d *dice) intN(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(n)
}

func (d *dice) perm(n int) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.Perm(n)
}
