package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"ferric"
	"ferric/bus"
	"ferric/conductor"
	"ferric/conductor/ring"
	"ferric/flow"
	"ferric/rpc"
)

// envelope is a call of the API on the bus.
type envelope struct {
	Method rpc.Method      `json:"method"`
	Args   json.RawMessage `json:"args"`
	// Key is the same for all attempts of a call, "" if there is one attempt only. Attempt is each one's own.
	Key      string `json:"key,omitempty"`
	Attempt  string `json:"attempt,omitempty"`
	Repeated bool   `json:"repeated,omitempty"`
	// Needs is the version of the protocol that the call is in, Speaks the newest one that the caller understands.
	Needs  int `json:"needs,omitempty"`
	Speaks int `json:"speaks,omitempty"`
}

// outgoing is an envelope whose arguments have yet to be written as JSON.
type outgoing struct {
	Method   rpc.Method `json:"method"`
	Args     any        `json:"args"`
	Key      string     `json:"key,omitempty"`
	Attempt  string     `json:"attempt,omitempty"`
	Repeated bool       `json:"repeated,omitempty"`
	Needs    int        `json:"needs"`
	Speaks   int        `json:"speaks"`
}

// callOf makes an envelope of a call.
func callOf(method rpc.Method, args any) outgoing {
	return outgoing{Method: method, Args: args, Needs: rpc.Needs(method, args), Speaks: rpc.Newest}
}

// understood returns an error if this program does not speak as the caller does. The caller goes by what conductors say that they speak, which may have
// changed a moment ago: then another one takes the call.
func (e envelope) understood(host string) error {
	if max(e.Needs, 1) > rpc.Newest || max(e.Speaks, 1) < rpc.Oldest {
		return ferric.Errorf(ferric.CodeElsewhere, "the call %s is in protocol %d, from a program that knows protocols up to %d, and conductor %s speaks %s",
			e.Method, max(e.Needs, 1), max(e.Speaks, 1), host, rpc.Protocol())
	}
	return nil
}

// callSubject is where a conductor listens.
func callSubject(host string) string { return bus.Subject("conductor", host) }

// serveCalls lets a conductor answer the calls that are sent to it.
func serveCalls(b *bus.Bus, c *conductor.Conductor, limit int) (*bus.Service, error) {
	return b.Serve(callSubject(c.Host), "", limit, bus.Handle(func(ctx context.Context, e envelope) (any, error) {
		if err := e.understood(c.Host); err != nil {
			return nil, err
		}
		if e.Key != "" {
			ctx = flow.WithRequest(ctx, flow.Request{Key: e.Key, Attempt: e.Attempt, Repeated: e.Repeated})
		}
		out, err := c.Call(ctx, e.Method, e.Args)
		if err != nil && errors.Is(ctx.Err(), context.Canceled) { // not the caller's deadline: this process stops
			return nil, ferric.Errorf(ferric.CodeElsewhere, "conductor %s stopped while it worked on the call: %w", c.Host, err)
		}
		if e.Key != "" && errors.Is(err, ferric.ErrOutage) {
			return nil, ferric.Errorf(ferric.CodeElsewhere, "%w", err)
		}
		return out, err
	}))
}

// The pause between two attempts of a call, and how long ago a conductor may have been alive for a call to wait for it.
const (
	callPause  = 100 * time.Millisecond
	recentlyUp = time.Minute
)

// calls sends the API's calls to the conductor that the ring names. When it does not answer, because it died, was cut off or is stopping, the call is
// repeated at the one that takes its place, for up to patience; the call's key keeps it from being carried out twice.
type calls struct {
	bus      *bus.Bus
	members  *members
	patience time.Duration
	keyed    bool   // there may be other conductors than the one in this process
	repeated func() // told of every repetition
}

// Owner returns the host name of the conductor that serves a node, "" if none does.
func (c *calls) Owner(ctx context.Context, n *ferric.Node) string {
	_, r, err := c.members.read(ctx)
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
	fits := func(m ferric.Conductor) bool {
		return m.Group == n.ConductorGroup && slices.Contains(m.HardwareTypes, n.Driver)
	}
	return c.deliver(ctx, method, req, fits, func(ctx context.Context, r *ring.Ring, e outgoing) error {
		host, err := r.Owner(n.UUID, n.ConductorGroup, n.Driver)
		if err != nil {
			return noOwner{err}
		}
		return c.send(ctx, host, e, resp)
	})
}

// CallAny implements api.Conductors: the first conductor that can be reached answers.
func (c *calls) CallAny(ctx context.Context, method rpc.Method, req, resp any) error {
	fits := func(ferric.Conductor) bool { return true }
	return c.deliver(ctx, method, req, fits, func(ctx context.Context, r *ring.Ring, e outgoing) error {
		var last, way error
		for _, host := range r.Hosts() {
			last = c.send(ctx, host, e, resp)
			switch {
			case last == nil, !ferric.IsCode(last, ferric.CodeUnavailable) && !again(last, false):
				return last
			case again(last, false):
				way = last
				e.Repeated = true
			}
		}
		switch {
		case way != nil:
			return way
		case last != nil:
			return last // all that can be reached say so
		}
		return noOwner{ferric.Errorf(ferric.CodeUnavailable, "No conductor is alive.")}
	})
}

// noOwner says that the ring names no conductor.
type noOwner struct{ error }

// Unwrap returns the error itself.
func (e noOwner) Unwrap() error { return e.error }

// again reports whether an attempt failed for a reason that another conductor, or the next moment, may not have.
func again(err error, repeated bool) bool {
	switch {
	case bus.Unreached(err), ferric.IsCode(err, ferric.CodeElsewhere), ferric.IsCode(err, ferric.CodeStale):
		return true
	case ferric.IsCode(err, ferric.CodeLocked):
		return repeated // most likely an earlier attempt holds the node
	}
	return false
}

// deliver makes attempts until one is answered, patience is over, or ctx ends.
func (c *calls) deliver(ctx context.Context, method rpc.Method, req any, fits func(ferric.Conductor) bool,
	attempt func(ctx context.Context, r *ring.Ring, e outgoing) error) error {
	e := callOf(method, req)
	if c.keyed {
		e.Key = uuid.NewString()
	}
	began := time.Now()
	for {
		changed := c.members.change()
		_, r, err := c.members.read(ctx)
		if err == nil {
			if c.keyed {
				e.Attempt = uuid.NewString()
			}
			if able := r.Meeting(rpc.Protocol()).Speaking(e.Needs); len(able.Hosts()) > 0 || len(r.Hosts()) == 0 {
				err = attempt(ctx, able, e)
			} else {
				err = noOwner{ferric.Errorf(ferric.CodeUnavailable, "No conductor that is alive speaks protocol %d, which the call %s is in: "+
					"an upgrade has begun and is not done (docs/upgrade.md).", e.Needs, method)}
			}
			var none noOwner
			switch {
			case errors.As(err, &none):
				if !c.members.seenWithin(recentlyUp, fits) {
					return none.error
				}
			case err == nil, !again(err, e.Repeated), !c.keyed && !ferric.IsCode(err, ferric.CodeElsewhere):
				return err
			default:
				e.Repeated = c.keyed
			}
		} else if !ferric.IsCode(err, ferric.CodeUnavailable) {
			return err
		}
		if waited := time.Since(began); waited > c.patience || ctx.Err() != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "call %s: no conductor answered within %s: %w", method, waited.Round(time.Millisecond), err)
		}
		if c.repeated != nil {
			c.repeated()
		}
		c.members.forget()
		pause := time.NewTimer(callPause)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// errGone ends a call whose conductor is gone.
var errGone = errors.New("the conductor is gone")

// send makes one attempt at one conductor. It ends when the conductor is lost.
func (c *calls) send(ctx context.Context, host string, e outgoing, resp any) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if lost := c.members.lost(host); lost != nil {
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			select {
			case <-lost:
				cancel(errGone)
			case <-done:
			}
		}()
		defer func() { close(done); <-watched }()
	}
	return c.bus.Call(ctx, callSubject(host), e, resp)
}
