package main

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"ferric"
	"ferric/bus"
	"ferric/conductor"
	"ferric/conductor/ring"
	"ferric/rpc"
	"ferric/store"
)

// envelope is a call of the API on the bus.
type envelope struct {
	Method rpc.Method      `json:"method"`
	Args   json.RawMessage `json:"args"`
}

// outgoing is an envelope whose arguments have yet to be written as JSON.
type outgoing struct {
	Method rpc.Method `json:"method"`
	Args   any        `json:"args"`
}

// callSubject is where a conductor listens.
func callSubject(host string) string { return bus.Subject("conductor", host) }

// serveCalls lets a conductor answer the calls that are sent to it.
func serveCalls(b *bus.Bus, c *conductor.Conductor, limit int) (*bus.Service, error) {
	return b.Serve(callSubject(c.Host), "", limit, bus.Handle(func(ctx context.Context, e envelope) (any, error) {
		return c.Call(ctx, e.Method, e.Args)
	}))
}

// ringAge is how old the list of conductors may be that calls are sent by.
const ringAge = time.Second

// calls sends the API's calls to the conductor that the ring names.
type calls struct {
	store   *store.Store
	bus     *bus.Bus
	timeout time.Duration // after which a silent conductor counts as down

	mu     sync.Mutex
	ring   *ring.Ring
	readAt time.Time
}

func newCalls(s *store.Store, b *bus.Bus, timeout time.Duration) *calls {
	return &calls{store: s, bus: b, timeout: timeout}
}

// members returns the ring, at most ringAge old.
func (c *calls) members(ctx context.Context) (*ring.Ring, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ring != nil && time.Since(c.readAt) < ringAge {
		return c.ring, nil
	}
	all, err := c.store.Conductors(ctx, c.timeout)
	if err != nil {
		return nil, err
	}
	c.ring, c.readAt = ring.New(all), time.Now()
	return c.ring, nil
}

// Owner returns the host name of the conductor that serves a node, "" if none does.
func (c *calls) Owner(ctx context.Context, n *ferric.Node) string {
	r, err := c.members(ctx)
	if err != nil {
		return ""
	}
	host, err := r.Owner(n.UUID, n.ConductorGroup, n.Driver)
	if err != nil {
		return ""
	}
	return host
}

// Call implements api.Conductors.
func (c *calls) Call(ctx context.Context, n *ferric.Node, method rpc.Method, req, resp any) error {
	r, err := c.members(ctx)
	if err != nil {
		return err
	}
	host, err := r.Owner(n.UUID, n.ConductorGroup, n.Driver)
	if err != nil {
		return err
	}
	return c.send(ctx, host, method, req, resp)
}

// CallAny implements api.Conductors: the first conductor that can be reached answers.
func (c *calls) CallAny(ctx context.Context, method rpc.Method, req, resp any) error {
	r, err := c.members(ctx)
	if err != nil {
		return err
	}
	err = ferric.Errorf(ferric.CodeUnavailable, "No conductor is alive.")
	for _, host := range r.Hosts() {
		if err = c.send(ctx, host, method, req, resp); !ferric.IsCode(err, ferric.CodeUnavailable) {
			return err
		}
	}
	return err
}

func (c *calls) send(ctx context.Context, host string, method rpc.Method, req, resp any) error {
	return c.bus.Call(ctx, callSubject(host), outgoing{method, req}, resp)
}
