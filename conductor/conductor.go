package conductor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"ferric"
	"ferric/conductor/ring"
	"ferric/driver"
	"ferric/flow"
	"ferric/inspection"
	"ferric/rpc"
	"ferric/state"
)

// Store is what the conductor needs of the database, besides the ledger. Package store implements it.
type Store interface {
	flow.Ledger
	// Now is the time by the clock that all conductors share.
	Now() time.Time

	CreateNode(ctx context.Context, n *ferric.Node) error
	Node(ctx context.Context, uuid string) (*ferric.Node, error)
	Nodes(ctx context.Context, f ferric.NodeFilter, p ferric.Page) ([]*ferric.Node, error)
	CountNodes(ctx context.Context, f ferric.NodeFilter, atMost int) (int, error)
	NodesBrief(ctx context.Context, f ferric.NodeFilter, p ferric.Page) ([]*ferric.Node, error)
	// Places lists what the ring needs to know of each node.
	Places(ctx context.Context) ([]ferric.Place, error)
	// ChangeNode changes a node that nobody holds a lease on; ForceNode does so whoever holds it.
	ChangeNode(ctx context.Context, uuid string, version int64, m func(*ferric.Node) error) (*ferric.Node, error)
	ForceNode(ctx context.Context, uuid string, version int64, m func(*ferric.Node) error) (*ferric.Node, error)
	DeleteNode(ctx context.Context, uuid string, l flow.Lease) error
	// What follows is for work on many nodes.
	AllPowerStamps(ctx context.Context, fn func(*ferric.Node)) error
	PowerStamps(ctx context.Context, uuids []string, fn func(*ferric.Node)) error
	LastChange(ctx context.Context) (int64, error)
	ChangedNodes(ctx context.Context, afterID int64) (uuids []string, lastID int64, whole bool, err error)
	ChangeNodes(ctx context.Context, changes []*ferric.NodeChange) error

	PartStore

	CreatePort(ctx context.Context, p *ferric.Port) error
	Ports(ctx context.Context, f ferric.PortFilter) ([]*ferric.Port, error)
	UpdatePort(ctx context.Context, uuid string, version int64, m func(*ferric.Port) error) (*ferric.Port, error)
	DeletePort(ctx context.Context, uuid string) error

	AddHistory(ctx context.Context, e *ferric.HistoryEntry) error
	PruneHistory(ctx context.Context, perNode int) (int, error)
	PruneOperations(ctx context.Context, perNode int) (int, error)

	AgentSession(ctx context.Context, node string) (*ferric.AgentSession, error)
	AgentContact(ctx context.Context, node string) (s *ferric.AgentSession, busy bool, err error)
	AgentsCalled(ctx context.Context, calls []ferric.AgentSession) error
	BeginAgentSession(ctx context.Context, node string) error
	EndAgentSession(ctx context.Context, node string) error
	ChangeAgentSession(ctx context.Context, node string, m func(*ferric.AgentSession) error) (*ferric.AgentSession, error)

	SetInventory(ctx context.Context, i *ferric.Inventory) error
	Inventory(ctx context.Context, node string) (*ferric.Inventory, error)
	SetInspection(ctx context.Context, i *ferric.Inspection) error
	Inspection(ctx context.Context, node string) (*ferric.Inspection, error)
	DeleteInspection(ctx context.Context, node string) error
	// Discover makes a node of an unknown machine, unless a node has one of the addresses: then it returns that one's UUID.
	Discover(ctx context.Context, n *ferric.Node, addresses []string, i *ferric.Inspection) (uuid string, made bool, err error)
	InspectionRules(ctx context.Context, f ferric.InspectionRuleFilter) ([]*ferric.InspectionRule, error)

	// States are what drivers remember of machines.
	driver.States
	SetBIOSSettings(ctx context.Context, node string, settings []ferric.BIOSSetting) error
	SetFirmware(ctx context.Context, node string, components []ferric.FirmwareComponent) error

	SetConfigDrive(ctx context.Context, node string, data []byte) error
	ConfigDrive(ctx context.Context, node string) ([]byte, error)
	DeleteConfigDrive(ctx context.Context, node string) error

	RequestStore
	AllocationStore
	// Runbook and RunbookByName answer CodeNotFound if there is none.
	Runbook(ctx context.Context, uuid string) (*ferric.Runbook, error)
	RunbookByName(ctx context.Context, name string) (*ferric.Runbook, error)
	DeployTemplates(ctx context.Context, f ferric.DeployTemplateFilter) ([]*ferric.DeployTemplate, error)

	Announce(ctx context.Context, c ferric.Conductor) error
	Retire(ctx context.Context, host string) error
	Conductors(ctx context.Context, aliveWithin time.Duration) ([]ferric.Conductor, error)
}

// PartStore holds what belongs to nodes. The changes take the version that they are made from, 0 for any, and answer CodeConflict for another
// one and for a duplicate.
type PartStore interface {
	Port(ctx context.Context, uuid string) (*ferric.Port, error)
	Portgroup(ctx context.Context, uuid string) (*ferric.Portgroup, error)
	Portgroups(ctx context.Context, f ferric.PortgroupFilter) ([]*ferric.Portgroup, error)
	UpdatePortgroup(ctx context.Context, uuid string, version int64, m func(*ferric.Portgroup) error) (*ferric.Portgroup, error)
	// DeletePortgroup answers CodeInvalid while the group has ports.
	DeletePortgroup(ctx context.Context, uuid string) error

	VolumeConnector(ctx context.Context, uuid string) (*ferric.VolumeConnector, error)
	UpdateVolumeConnector(ctx context.Context, uuid string, version int64, m func(*ferric.VolumeConnector) error) (*ferric.VolumeConnector, error)
	DeleteVolumeConnector(ctx context.Context, uuid string) error
	VolumeConnectors(ctx context.Context, f ferric.VolumeFilter) ([]*ferric.VolumeConnector, error)
	VolumeTargets(ctx context.Context, f ferric.VolumeFilter) ([]*ferric.VolumeTarget, error)
	VolumeTarget(ctx context.Context, uuid string) (*ferric.VolumeTarget, error)
	UpdateVolumeTarget(ctx context.Context, uuid string, version int64, m func(*ferric.VolumeTarget) error) (*ferric.VolumeTarget, error)
	DeleteVolumeTarget(ctx context.Context, uuid string) error
}

// ConfigDrives turns what a user gave as a config drive into the ISO image that is written to the machine.
type ConfigDrives interface {
	// Build takes a JSON object (meta_data, network_data, user_data, vendor_data) or a JSON string (a URL, or base64 of
	// a gzipped image) and returns the base64 of the gzipped image. CodeInvalid names what is wrong.
	Build(ctx context.Context, node *ferric.Node, raw []byte) ([]byte, error)
}

// Deps is what a conductor works with. All fields must be set but those that say otherwise.
type Deps struct {
	Store        Store
	Drivers      *driver.Registry
	ConfigDrives ConfigDrives
	Log          *slog.Logger
	Metrics      Metrics
	// Local tells for an examination what is not well on this host: disks, files. nil: nobody looks.
	Local func(ctx context.Context) []ferric.Finding
	// CallsArrive says whether agents' calls can reach a conductor. While they cannot, waits for them do not run out. nil: always.
	CallsArrive func() bool
	// Cluster is what there is besides the database when there are several conductors. Its fields may be nil.
	Cluster Cluster
}

// Cluster ties a conductor to the others.
type Cluster struct {
	// Members lists the conductors with who is alive, as the database and the bus say together; nil: as the database says.
	Members func(ctx context.Context) ([]ferric.Conductor, error)
	// Leaving tells the others that the conductor takes no calls and begins nothing any more.
	Leaving func()
	// Released tells the others that work on a node may go on.
	Released func(nodeUUID string)
}

// Metrics is told what happens, for people who watch. Methods must not block.
type Metrics interface {
	StepEnded(kind, step, status string, d time.Duration)
	// PowerSynced is told of every machine that was asked for its power state; failure is "" if it answered. PowerPass is told of every pass.
	PowerSynced(failure ferric.Code, d time.Duration)
	PowerPass(nodes int, d time.Duration)
	Heartbeat()
	// TookOver is told of operations that another conductor had begun, LeasesRenewed of every round of renewals.
	TookOver(kind string)
	LeasesRenewed(leases, lost int, late time.Duration, err error)
	// Ring is told how many conductors are alive and how many nodes this one serves.
	Ring(members, nodes int)
}

// Conductor is one conductor process. Make it with New, run it with Run.
type Conductor struct {
	Config
	Deps
	machine *state.Machine
	runner  *flow.Runner
	inspect *inspection.Processor
	power   *powerSync
	calls   agentCalls
	// answering is what answers makes: it is asked for with every call.
	answering map[rpc.Method]answer
	wanted    chan struct{} // an allocation came in
	// moved have tokens when nodes may have moved from conductor to conductor: consoles are looked after, and nodes are counted.
	moved [2]chan struct{}

	mu       sync.Mutex
	members  *ring.Ring
	leaving  bool
	gone     map[string]bool // conductors that are known and not alive
	consoles map[string]bool // nodes whose console runs here
}

// New makes a conductor. CodeInvalid if the configuration is wrong.
func New(c Config, d Deps) (*Conductor, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := d.Drivers.Check(); err != nil {
		return nil, err
	}
	co := &Conductor{Config: c, Deps: d, machine: state.New(), members: ring.New(nil), consoles: map[string]bool{},
		wanted: make(chan struct{}, 1), moved: [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}}
	co.power, co.answering = newPowerSync(co), co.answers()
	var err error
	if co.inspect, err = inspection.New(c.Inspection.Settings); err != nil {
		return nil, err
	}
	if _, err := co.builtInRules(); err != nil {
		return nil, err
	}
	co.runner = flow.New(flow.Config{
		Ledger: d.Store, Owner: c.Host, Programs: co.programs(), Owns: co.owns, Workers: c.Workers, Reserved: c.ReservedWorkers,
		LeaseTTL: c.LeaseTTL, LockWait: c.LockWait, Drain: c.Drain, Log: d.Log, Orphaned: co.orphaned, Renewed: d.Metrics.LeasesRenewed,
		TookOver: func(op *flow.Operation) { d.Metrics.TookOver(op.Kind) }, Released: d.Cluster.Released,
		Now: d.Store.Now, Serving: d.CallsArrive, Spoken: co.spoken,
		Observe: func(op *flow.Operation, s *flow.Step) {
			d.Metrics.StepEnded(op.Kind, s.Interface+"."+s.Name, string(s.Status), s.EndedAt.Sub(s.StartedAt))
		},
	})
	return co, nil
}

// Start announces the conductor and frees the leases that its dead self held. Call it before calls are served.
func (c *Conductor) Start(ctx context.Context) error {
	freed, err := c.Store.ReleaseOwner(ctx, c.Host)
	if err != nil {
		return err
	}
	if freed > 0 {
		c.Log.Warn("the conductor did not stop in order the last time; its work is carried on", "nodes", freed)
	}
	if err := c.announce(ctx); err != nil {
		return err
	}
	return c.refreshRing(ctx)
}

// Run works until ctx ends. Then it says so, begins nothing more, and lets the steps under way come to their ends for as long as Config.Drain
// says: other conductors go on at once. What is still under way then stays in the ledger.
func (c *Conductor) Run(ctx context.Context) error {
	var announcing, loops sync.WaitGroup
	announcing.Go(func() { c.every(ctx, c.HeartbeatInterval, "announce", c.beat) })
	loops.Go(func() { c.power.run(ctx) })
	loops.Go(func() { c.writeAgentCalls(ctx) })
	loops.Go(func() { c.every(ctx, time.Hour, "prune history", c.prune) })
	loops.Go(func() { c.everyAndWhen(ctx, c.ConsoleInterval, c.moved[0], "consoles", c.keepConsoles) })
	loops.Go(func() { c.every(ctx, c.StuckInterval, "stuck detection", c.findStuck) })
	loops.Go(func() { c.everyAndWhen(ctx, countInterval, c.moved[1], "count nodes", c.countNodes) })
	loops.Go(func() { c.allocate(ctx) })
	var left error
	loops.Go(func() {
		<-ctx.Done()
		announcing.Wait() // a last sign of life must not come after the goodbye
		left = c.leave(context.WithoutCancel(ctx))
	})
	err := c.runner.Run(ctx)
	loops.Wait()
	return errors.Join(err, left)
}

// leave tells the others that this conductor stops.
func (c *Conductor) leave(ctx context.Context) error {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.runner.Stop()
	if c.Cluster.Leaving != nil {
		c.Cluster.Leaving()
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return c.Store.Retire(ctx, c.Host)
}

// Poke makes the conductor look for due operations at once: an event came in.
func (c *Conductor) Poke() { c.runner.Poke() }

// every calls do now and then every interval. Errors are logged: there is nobody else to tell.
func (c *Conductor) every(ctx context.Context, interval time.Duration, what string, do func(context.Context) error) {
	c.everyAndWhen(ctx, interval, nil, what, do)
}

// everyAndWhen is every, and calls do when there is a token in poke, too.
func (c *Conductor) everyAndWhen(ctx context.Context, interval time.Duration, poke <-chan struct{}, what string, do func(context.Context) error) {
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			c.Log.Error("periodic task failed; it will be tried again", "task", what, "in", interval, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-poke:
		}
	}
}

// operationsKept is how many ended operations of a node stay in the ledger, with their timelines.
const operationsKept = 50

func (c *Conductor) prune(ctx context.Context) error {
	if c.HistoryPerNode > 0 {
		if _, err := c.Store.PruneHistory(ctx, c.HistoryPerNode); err != nil {
			return err
		}
	}
	if _, err := c.Store.PruneOperations(ctx, operationsKept); err != nil {
		return err
	}
	if _, err := c.Store.PruneRequests(ctx, time.Now().Add(-requestsKept)); err != nil {
		return err
	}
	return c.pruneLogs(time.Now())
}

func (c *Conductor) announce(ctx context.Context) error {
	return c.Store.Announce(ctx, ferric.Conductor{Host: c.Host, Group: c.Group, HardwareTypes: c.Drivers.TypeNames(), BootID: c.BootID,
		Protocol: rpc.Protocol()})
}

func (c *Conductor) beat(ctx context.Context) error {
	if err := c.announce(ctx); err != nil {
		return err
	}
	return c.refreshRing(ctx)
}

// refreshRing reads who is alive.
func (c *Conductor) refreshRing(ctx context.Context) error {
	all, err := c.list(ctx)
	if err != nil {
		return err
	}
	r, gone := ring.New(all), map[string]bool{}
	for _, m := range all {
		gone[m.Host] = !m.Alive
	}
	c.mu.Lock()
	c.members, c.gone = r, gone
	c.mu.Unlock()
	return nil
}

func (c *Conductor) list(ctx context.Context) ([]ferric.Conductor, error) {
	if c.Cluster.Members != nil {
		return c.Cluster.Members(ctx)
	}
	return c.Store.Conductors(ctx, c.HeartbeatTimeout)
}

// MembersChanged is told that a conductor came or went: its work is looked for at once.
func (c *Conductor) MembersChanged(ctx context.Context) {
	if err := c.refreshRing(ctx); err != nil {
		if ctx.Err() == nil {
			c.Log.Warn("cannot read who is alive; the next sign of life tries again", "error", err)
		}
		return
	}
	c.runner.Poke()
	for _, poke := range c.moved {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
}

// orphaned reports whether the conductor that holds a node is gone: its lease will run out.
func (c *Conductor) orphaned(ctx context.Context, nodeUUID string) bool {
	n, err := c.Store.Node(ctx, nodeUUID)
	if err != nil || n.Reservation == "" {
		return err == nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.Reservation != c.Host && c.gone[n.Reservation]
}

// countInterval is how often the nodes of this conductor are counted.
const countInterval = 30 * time.Second

// countNodes tells how many nodes the ring gives to this conductor.
func (c *Conductor) countNodes(ctx context.Context) error {
	places, err := c.Store.Places(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	r := c.members
	c.mu.Unlock()
	mine := 0
	for _, p := range places {
		if host, err := r.Owner(p.UUID, p.ConductorGroup, p.Driver); err == nil && host == c.Host {
			mine++
		}
	}
	c.Metrics.Ring(len(r.Hosts()), mine)
	return nil
}

// owns reports whether the ring gives a node's operation to this conductor.
func (c *Conductor) owns(d flow.Due) bool {
	if d.Driver == "" { // the ledger does not say
		ctx, cancel := context.WithTimeout(context.Background(), c.LeaseTTL)
		defer cancel()
		n, err := c.Store.Node(ctx, d.NodeUUID)
		if err != nil {
			return false
		}
		d.Driver = n.Driver
	}
	if d.Needs > rpc.Newest { // whatever the ring may say
		return false
	}
	c.mu.Lock()
	r := c.members.Speaking(d.Needs)
	c.mu.Unlock()
	host, err := r.Owner(d.NodeUUID, d.ConductorGroup, d.Driver)
	return err == nil && host == c.Host
}

func (c *Conductor) ownsNode(uuid, group, driver string) bool {
	c.mu.Lock()
	r := c.members
	c.mu.Unlock()
	host, err := r.Owner(uuid, group, driver)
	return err == nil && host == c.Host
}

// spoken is the newest version of the protocol that all conductors speak which are alive, this one included.
func (c *Conductor) spoken() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return min(c.members.Spoken(), rpc.Newest)
}
