package conductor_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// mortal is a store whose conductor can be killed: at its nth write to the ledger, before that write is done or after it
// is done but before the conductor knows. From then on nothing gets through. It also remembers what the node looked like at each write.
type mortal struct {
	*store.Store
	mu    sync.Mutex
	left  int // writes until death, 0: none
	after bool
	dead  bool
	last  func() // called right before it dies; may be nil
	seen  []*ferric.Node
}

var errKilled = &ferric.Error{Code: ferric.CodeUnavailable, Message: "killed"}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// moments returns the values of a field of the node in the order in which they were written, each once in a row.
func moments[T comparable](m *mortal, id string, field func(*ferric.Node) T) []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []T
	for _, n := range m.seen {
		if n.UUID == id {
			out = append(out, field(n))
		}
	}
	return slices.Compact(out)
}

// all returns what nodes looked like, in the order in which they were written.
func (m *mortal) all() []*ferric.Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

func (m *mortal) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = nil
}

// ledger does a write of the ledger, which counts.
func (m *mortal) ledger(do func() (*ferric.Node, error)) (*ferric.Node, error) {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return nil, errKilled
	}
	dies := false
	if m.left > 0 {
		m.left--
		dies = m.left == 0
	}
	if dies && !m.after {
		m.mu.Unlock()
		if m.last != nil {
			m.last()
		}
		m.die()
		return nil, errKilled
	}
	m.mu.Unlock()
	n, err := do()
	if dies && m.last != nil {
		m.last()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if dies {
		m.dead = true
	}
	if m.dead {
		return nil, errKilled
	}
	if n != nil {
		m.seen = append(m.seen, n.Clone())
	}
	return n, err
}

// other does any other write, which does not count.
func (m *mortal) other(do func() error) error {
	if m.isDead() {
		return errKilled
	}
	return do()
}

func (m *mortal) Acquire(ctx context.Context, node, owner string, ttl time.Duration) (l flow.Lease, err error) {
	_, err = m.ledger(func() (*ferric.Node, error) { l, err = m.Store.Acquire(ctx, node, owner, ttl); return nil, err })
	return l, err
}

func (m *mortal) Release(ctx context.Context, l flow.Lease) error {
	_, err := m.ledger(func() (*ferric.Node, error) { return nil, m.Store.Release(ctx, l) })
	return err
}

func (m *mortal) Start(ctx context.Context, l flow.Lease, op *flow.Operation, f flow.Mutate) (*ferric.Node, error) {
	return m.ledger(func() (*ferric.Node, error) { return m.Store.Start(ctx, l, op, f) })
}

func (m *mortal) Checkpoint(ctx context.Context, l flow.Lease, op *flow.Operation, h []ferric.HistoryEntry, f flow.Mutate) (*ferric.Node, error) {
	return m.ledger(func() (*ferric.Node, error) { return m.Store.Checkpoint(ctx, l, op, h, f) })
}

func (m *mortal) UpdateNode(ctx context.Context, l flow.Lease, f flow.Mutate) (*ferric.Node, error) {
	return m.ledger(func() (*ferric.Node, error) { return m.Store.UpdateNode(ctx, l, f) })
}

func (m *mortal) CreateAllocation(ctx context.Context, a *ferric.Allocation) error {
	_, err := m.ledger(func() (*ferric.Node, error) { return nil, m.Store.CreateAllocation(ctx, a) })
	return err
}

func (m *mortal) Allocate(ctx context.Context, id, host string) (taken bool, left ferric.Candidates, err error) {
	_, err = m.ledger(func() (*ferric.Node, error) { taken, left, err = m.Store.Allocate(ctx, id, host); return nil, err })
	return taken, left, err
}

func (m *mortal) UpdateAllocation(ctx context.Context, id string, version int64, f func(*ferric.Allocation) error) (a *ferric.Allocation, err error) {
	_, err = m.ledger(func() (*ferric.Node, error) { a, err = m.Store.UpdateAllocation(ctx, id, version, f); return nil, err })
	return a, err
}

func (m *mortal) Renew(ctx context.Context, l []flow.Lease, ttl time.Duration) (kept []flow.Lease, err error) {
	err = m.other(func() error { kept, err = m.Store.Renew(ctx, l, ttl); return err })
	return kept, err
}

func (m *mortal) ReleaseOwner(ctx context.Context, owner string) (n int, err error) {
	err = m.other(func() error { n, err = m.Store.ReleaseOwner(ctx, owner); return err })
	return n, err
}

func (m *mortal) Signal(ctx context.Context, node, event string) error {
	return m.other(func() error { return m.Store.Signal(ctx, node, event) })
}

func (m *mortal) BeginAgentSession(ctx context.Context, node string) error {
	return m.write(func() error { return m.Store.BeginAgentSession(ctx, node) })
}

func (m *mortal) EndAgentSession(ctx context.Context, node string) error {
	return m.write(func() error { return m.Store.EndAgentSession(ctx, node) })
}

func (m *mortal) ChangeAgentSession(ctx context.Context, node string, f func(*ferric.AgentSession) error) (s *ferric.AgentSession, err error) {
	err = m.other(func() error { s, err = m.Store.ChangeAgentSession(ctx, node, f); return err })
	return s, err
}

func (m *mortal) AgentsCalled(ctx context.Context, calls []ferric.AgentSession) error {
	return m.other(func() error { return m.Store.AgentsCalled(ctx, calls) })
}

func (m *mortal) SetConfigDrive(ctx context.Context, node string, data []byte) error {
	return m.write(func() error { return m.Store.SetConfigDrive(ctx, node, data) })
}

func (m *mortal) DeleteConfigDrive(ctx context.Context, node string) error {
	return m.write(func() error { return m.Store.DeleteConfigDrive(ctx, node) })
}

func (m *mortal) SetDriverState(ctx context.Context, node, name string, state []byte) error {
	return m.other(func() error { return m.Store.SetDriverState(ctx, node, name, state) })
}

func (m *mortal) SetBIOSSettings(ctx context.Context, node string, s []ferric.BIOSSetting) error {
	return m.write(func() error { return m.Store.SetBIOSSettings(ctx, node, s) })
}

func (m *mortal) SetFirmware(ctx context.Context, node string, c []ferric.FirmwareComponent) error {
	return m.write(func() error { return m.Store.SetFirmware(ctx, node, c) })
}

func (m *mortal) SetInventory(ctx context.Context, i *ferric.Inventory) error {
	return m.write(func() error { return m.Store.SetInventory(ctx, i) })
}

func (m *mortal) SetInspection(ctx context.Context, i *ferric.Inspection) error {
	return m.other(func() error { return m.Store.SetInspection(ctx, i) }) // an agent waits for it
}

func (m *mortal) DeleteInspection(ctx context.Context, node string) error {
	return m.write(func() error { return m.Store.DeleteInspection(ctx, node) })
}

func (m *mortal) Discover(ctx context.Context, n *ferric.Node, addresses []string, i *ferric.Inspection) (id string, made bool, err error) {
	err = m.write(func() error { id, made, err = m.Store.Discover(ctx, n, addresses, i); return err })
	return id, made, err
}

func (m *mortal) CreatePort(ctx context.Context, p *ferric.Port) error {
	return m.write(func() error { return m.Store.CreatePort(ctx, p) })
}

func (m *mortal) DeletePort(ctx context.Context, uuid string) error {
	return m.write(func() error { return m.Store.DeletePort(ctx, uuid) })
}

// write is ledger for what returns no node.
func (m *mortal) write(do func() error) error {
	_, err := m.ledger(func() (*ferric.Node, error) { return nil, do() })
	return err
}
