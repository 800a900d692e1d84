package conductor

import (
	"context"
	"sync"
	"time"

	"ferric"
)

// agentCalls are the heartbeats that told nothing but that the agent is alive, and for which nothing waited. They are written a second later, those
// of all agents together. A conductor that is killed loses that second: the agents seem to have called a little earlier than they have, and the
// next heartbeats put it right.
type agentCalls struct {
	mu   sync.Mutex
	last map[string]ferric.AgentSession // by node: the session that it belongs to, and the time
}

// agentCallsEvery is how often they are written; agentCallsAtOnce bounds the nodes of one transaction.
const (
	agentCallsEvery  = time.Second
	agentCallsAtOnce = 1000
)

// note keeps when the agent of a session called.
func (a *agentCalls) note(s *ferric.AgentSession, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[string]ferric.AgentSession{}
	}
	a.last[s.NodeUUID] = ferric.AgentSession{NodeUUID: s.NodeUUID, StartedAt: s.StartedAt, LastHeartbeat: at}
}

// update gives a session that was read from the database the call that is not written yet.
func (a *agentCalls) update(s *ferric.AgentSession) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l, ok := a.last[s.NodeUUID]; ok && l.StartedAt.Equal(s.StartedAt) && l.LastHeartbeat.After(s.LastHeartbeat) {
		s.LastHeartbeat = l.LastHeartbeat
	}
}

// some returns some of what is to be written.
func (a *agentCalls) some() []ferric.AgentSession {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []ferric.AgentSession
	for _, l := range a.last {
		if list = append(list, l); len(list) == agentCallsAtOnce {
			break
		}
	}
	return list
}

// written forgets what was written, unless the agent has called again.
func (a *agentCalls) written(list []ferric.AgentSession) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range list {
		if a.last[l.NodeUUID] == l {
			delete(a.last, l.NodeUUID)
		}
	}
}

// writeAgentCalls writes the calls every second until ctx ends, and then what is left.
func (c *Conductor) writeAgentCalls(ctx context.Context) {
	tick := time.NewTicker(agentCallsEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		c.flushAgentCalls()
	}
}

// flushAgentCalls writes what there is when it begins. It has a context of its own: the store bounds the time.
func (c *Conductor) flushAgentCalls() {
	c.calls.mu.Lock()
	left := len(c.calls.last)
	c.calls.mu.Unlock()
	for left > 0 {
		list := c.calls.some()
		if len(list) == 0 {
			return
		}
		if err := c.Store.AgentsCalled(context.Background(), list); err != nil {
			c.Log.Warn("cannot write when agents called; it will be tried again", "agents", len(list), "error", err)
			return
		}
		c.calls.written(list)
		left -= len(list)
	}
}
