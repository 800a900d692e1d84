package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/flow"
)

// Store is what the doctor reads.
type Store interface {
	Conductors(ctx context.Context, aliveWithin time.Duration) ([]ferric.Conductor, error)
	// Processes lists those that are alive, if several may be.
	Processes(ctx context.Context, aliveWithin time.Duration) ([]ferric.Process, error)
	// EachNodeBrief calls fn for each node, without its documents.
	EachNodeBrief(ctx context.Context, f ferric.NodeFilter, fn func(*ferric.Node) error) error
	// UnfinishedOperations returns all, with the step under way only: Steps[0], Cursor is not an index into it.
	UnfinishedOperations(ctx context.Context) ([]*flow.Operation, error)
	// NodeLeases returns those that were not given back, whether they have run out or not.
	NodeLeases(ctx context.Context) ([]flow.Lease, error)
	// AgentSessions returns all, without tokens and certificates.
	AgentSessions(ctx context.Context) ([]ferric.AgentSession, error)
	Allocations(ctx context.Context, filter ferric.AllocationFilter) ([]*ferric.Allocation, error)
	// Sinks returns what notifications are delivered to.
	Sinks(ctx context.Context) ([]ferric.Sink, error)
}

// Options say how to look.
type Options struct {
	Nodes []string // UUIDs to look at; none: all
	// Owner returns the host name of the conductor that serves a node, "" if none does.
	Owner func(*ferric.Node) string
	Now   func() time.Time

	ProcessAlive   time.Duration // the same for processes of any role
	ConductorAlive time.Duration // a conductor that was silent for longer is dead
	AgentSilent    time.Duration // an agent that was silent for longer is not well
	Grace          time.Duration // what is overdue by less is passed over
	SecondLook     time.Duration // between two looks at leases
}

// What is used where Options are silent.
const (
	defaultAlive      = time.Minute
	defaultSilent     = 5 * time.Minute
	defaultGrace      = 30 * time.Second
	defaultSecondLook = 4 * time.Second

	forgotten   = 7 * 24 * time.Hour // a conductor that has been dead for so long is history
	mostOfAKind = 200                // findings with one code are counted from there on
)

func (o Options) filled() Options {
	o.ConductorAlive = cmp.Or(o.ConductorAlive, defaultAlive)
	o.ProcessAlive = cmp.Or(o.ProcessAlive, o.ConductorAlive)
	o.AgentSilent = cmp.Or(o.AgentSilent, defaultSilent)
	o.Grace = cmp.Or(o.Grace, defaultGrace)
	o.SecondLook = cmp.Or(o.SecondLook, defaultSecondLook)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Owner == nil {
		o.Owner = func(*ferric.Node) string { return "" }
	}
	return o
}

// round is one look at everything.
type round struct {
	Options
	now        time.Time
	conductors []ferric.Conductor
	alive      map[string]bool
	operations map[string][]*flow.Operation // by node
	leases     map[string]flow.Lease
	sessions   map[string]ferric.AgentSession

	orphans  map[[2]string]*ferric.Finding // nodes that no conductor serves, by hardware type and group
	load     map[[2]string]map[string]int  // nodes by hardware type and group, and conductor
	resting  map[string]*ferric.Node       // nodes with a lease that nothing accounts for
	findings []ferric.Finding
	kinds    map[string]int
	nodes    int
}

// Examine looks at everything that the database knows.
func Examine(ctx context.Context, s Store, o Options) (*ferric.Diagnosis, error) {
	r := &round{Options: o.filled(), alive: map[string]bool{}, operations: map[string][]*flow.Operation{}, leases: map[string]flow.Lease{},
		sessions: map[string]ferric.AgentSession{}, orphans: map[[2]string]*ferric.Finding{}, load: map[[2]string]map[string]int{},
		resting: map[string]*ferric.Node{}, kinds: map[string]int{}}
	if err := r.read(ctx, s); err != nil {
		return nil, err
	}
	err := s.EachNodeBrief(ctx, ferric.NodeFilter{UUIDs: r.Nodes, IncludeChildren: true}, func(n *ferric.Node) error {
		r.nodes++
		r.node(n)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(r.Nodes) == 0 {
		if err := r.wholes(ctx, s); err != nil {
			return nil, err
		}
	}
	for _, f := range r.orphans {
		r.add(*f)
	}
	if err := r.leftLeases(ctx, s); err != nil {
		return nil, err
	}
	return &ferric.Diagnosis{Findings: Sort(r.findings), Unseen: []string{}, Nodes: r.nodes}, nil
}

func (r *round) read(ctx context.Context, s Store) (err error) {
	if r.conductors, err = s.Conductors(ctx, r.ConductorAlive); err != nil {
		return err
	}
	for _, c := range r.conductors {
		r.alive[c.Host] = c.Alive
	}
	ops, err := s.UnfinishedOperations(ctx)
	if err != nil {
		return err
	}
	for _, op := range ops {
		r.operations[op.NodeUUID] = append(r.operations[op.NodeUUID], op)
	}
	leases, err := s.NodeLeases(ctx)
	if err != nil {
		return err
	}
	for _, l := range leases {
		r.leases[l.NodeUUID] = l
	}
	sessions, err := s.AgentSessions(ctx)
	if err != nil {
		return err
	}
	for _, a := range sessions {
		r.sessions[a.NodeUUID] = a
	}
	r.now = r.Now()
	return nil
}

// add notes a finding. Of a kind that is very common, the rest is counted on the last one.
func (r *round) add(f ferric.Finding) {
	r.kinds[f.Code]++
	if r.kinds[f.Code] <= mostOfAKind {
		r.findings = append(r.findings, f)
		return
	}
	for i := len(r.findings) - 1; i >= 0; i-- {
		if last := &r.findings[i]; last.Code == f.Code {
			last.Nodes = r.kinds[f.Code] - mostOfAKind + 1
			return
		}
	}
}

// Sort puts findings into an order for people: the worst first, those of one node together.
func Sort(list []ferric.Finding) []ferric.Finding {
	rank := []ferric.Severity{ferric.FindingError, ferric.FindingWarning, ferric.FindingNotice}
	slices.SortStableFunc(list, func(a, b ferric.Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(rank, a.Severity), slices.Index(rank, b.Severity)), strings.Compare(a.Code, b.Code),
			strings.Compare(a.Conductor, b.Conductor), strings.Compare(a.Node, b.Node), a.Since.Compare(b.Since))
	})
	if list == nil {
		list = []ferric.Finding{}
	}
	return list
}
