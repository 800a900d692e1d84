package conductor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ferric"
	"ferric/conductor/ring"
	"ferric/driver"
)

// powerSync keeps the power states of this conductor's nodes up to date.
//
// A pass asks every machine once. What it works from is in memory: which nodes are this conductor's, and how to reach their BMCs. The database
// is asked for what has changed since the last pass, so that a pass over a fleet at rest costs two small statements; the whole list, without
// documents, is read only when conductors come or go, and now and then to be sure. Credentials are read and decrypted when a node has changed.
//
// Machines are asked side by side in two lanes. Those that answered last time take a slot each, and give it back when they were asked or when
// they are slow: so a BMC that dies holds nobody up. Those that did not answer take slots of another lane. What the answers change is written
// by one goroutine, many nodes at a time (power_record.go).
type powerSync struct {
	c *Conductor

	brisk    chan struct{} // slots of the machines that answered last time
	doubtful chan struct{} // slots of the others
	under    chan struct{} // all that are under way, slow ones included
	forcing  chan struct{} // machines that are being brought back
	wg       sync.WaitGroup
	records  chan *record

	// Of the goroutine that makes the passes.
	members *ring.Ring // that the nodes were chosen by
	change  int64      // the last change that was seen
	wholeAt time.Time  // when the whole list was read

	searching atomic.Bool // the machines that did not answer are being asked

	mu    sync.Mutex
	nodes map[string]*watched
	last  time.Duration // of the last pass
}

// watched is a node of this conductor. Its fields are guarded by powerSync.mu; machine and power are not changed in place.
type watched struct {
	stamp   ferric.Node // what PowerStamps tells
	read    int64       // the version that machine was made from
	machine *driver.Machine
	power   driver.Power

	asking  bool
	silent  bool      // it did not answer when it was asked last
	fails   int       // rounds in a row that did not go well: no answer, or it is not as it is told to be
	heardAt time.Time // when the machine told its power state, or when it came to this conductor
}

const (
	// briskness is how long a machine may take to answer before it gives its slot to the next one.
	briskness = 100 * time.Millisecond
	// slowPerSlot bounds the slow machines that are waited for, as a multiple of the slots.
	slowPerSlot = 16
	// wholeListEvery is how often the whole list is read, though the change feed tells everything.
	wholeListEvery = 10 * time.Minute
	// forcedAtOnce bounds how many machines are brought back to their recorded state at the same time.
	forcedAtOnce = 8
)

func newPowerSync(c *Conductor) *powerSync {
	n := max(c.PowerSyncWorkers, 1)
	return &powerSync{c: c, nodes: map[string]*watched{}, brisk: make(chan struct{}, n), doubtful: make(chan struct{}, n*slowPerSlot/2),
		under: make(chan struct{}, n*slowPerSlot), forcing: make(chan struct{}, forcedAtOnce), records: make(chan *record, n)}
}

// run makes passes until ctx ends, and waits for all that it began.
func (p *powerSync) run(ctx context.Context) {
	var writer sync.WaitGroup
	writer.Go(p.write)
	p.c.every(ctx, p.c.PowerSyncInterval, "power sync", p.pass)
	p.wg.Wait()
	close(p.records)
	writer.Wait()
}

// pass asks every machine that is to be asked, and returns when those that answered last time were.
func (p *powerSync) pass(ctx context.Context) error {
	began := time.Now()
	if err := p.plan(ctx); err != nil {
		return err
	}
	well, others := p.due()
	if err := p.refresh(ctx, well, others); err != nil {
		return err
	}
	var asked sync.WaitGroup
	var lanes sync.WaitGroup
	lanes.Go(func() { p.ask(ctx, well, p.brisk, asked.Add, asked.Done) })
	if p.searching.CompareAndSwap(false, true) { // else the earlier pass is not through with them yet
		p.wg.Go(func() {
			defer p.searching.Store(false)
			p.ask(ctx, others, p.doubtful, func(int) {}, func() {})
		})
	}
	lanes.Wait()
	asked.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	took := time.Since(began)
	p.mu.Lock()
	p.last = took
	p.mu.Unlock()
	p.c.Metrics.PowerPass(len(well)+len(others), took)
	return nil
}

// plan brings the list of nodes up to date.
func (p *powerSync) plan(ctx context.Context) error {
	p.c.mu.Lock()
	members := p.c.members
	p.c.mu.Unlock()
	if p.members == nil || !p.members.Same(members) || time.Since(p.wholeAt) >= wholeListEvery {
		return p.readAll(ctx, members)
	}
	changed, last, whole, err := p.c.Store.ChangedNodes(ctx, p.change)
	if err != nil {
		return err
	}
	if !whole {
		return p.readAll(ctx, members)
	}
	there := make(map[string]bool, len(changed))
	err = p.c.Store.PowerStamps(ctx, changed, func(n *ferric.Node) {
		if p.mine(members, n) {
			there[n.UUID] = true
			p.seen(n)
		}
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range changed {
		if !there[id] {
			delete(p.nodes, id)
		}
	}
	p.change = last
	return nil
}

// readAll reads the whole list. The number of the last change is read first: what is changed meanwhile is seen twice and not missed.
func (p *powerSync) readAll(ctx context.Context, members *ring.Ring) error {
	last, err := p.c.Store.LastChange(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	err = p.c.Store.AllPowerStamps(ctx, func(n *ferric.Node) {
		if p.mine(members, n) {
			there[n.UUID] = true
			p.seen(n)
		}
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.nodes, func(id string, _ *watched) bool { return !there[id] })
	p.change, p.members, p.wholeAt = last, members, time.Now()
	return nil
}

func (p *powerSync) mine(members *ring.Ring, n *ferric.Node) bool {
	host, err := members.Owner(n.UUID, n.ConductorGroup, n.Driver)
	return err == nil && host == p.c.Host
}

// seen notes how a node stands.
func (p *powerSync) seen(n *ferric.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.nodes[n.UUID]
	switch {
	case w == nil:
		p.nodes[n.UUID] = &watched{stamp: *n, heardAt: time.Now()}
	case n.Version >= w.stamp.Version: // else it was read before our own change of it
		w.stamp = *n
	}
}

// asks reports whether a node's power state is to be looked at.
func (w *watched) asks() bool {
	n := &w.stamp
	return n.ProvisionState != ferric.Enroll && n.ProvisionState != ferric.Verifying && n.TargetPowerState == "" &&
		(!n.Maintenance || n.Fault == ferric.FaultPower)
}

// due returns the nodes to ask, those first that were not heard of for longest: the ones that answered last time, and the others.
func (p *powerSync) due() (well, others []*watched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for _, w := range p.nodes {
		switch {
		case !w.asks():
			w.heardAt = now // the time counts from when it is looked at again
		case w.asking: // still, since an earlier pass
		case w.silent || w.stamp.Fault == ferric.FaultPower:
			others = append(others, w)
		default:
			well = append(well, w)
		}
	}
	for _, list := range [][]*watched{well, others} {
		slices.SortFunc(list, func(a, b *watched) int {
			return cmp.Or(a.heardAt.Compare(b.heardAt), cmp.Compare(a.stamp.UUID, b.stamp.UUID))
		})
	}
	return well, others
}

// refresh reads how to reach the BMCs of the nodes that have changed.
func (p *powerSync) refresh(ctx context.Context, lists ...[]*watched) error {
	var stale []string
	p.mu.Lock()
	for _, list := range lists {
		for _, w := range list {
			if w.read != w.stamp.Version {
				stale = append(stale, w.stamp.UUID)
			}
		}
	}
	p.mu.Unlock()
	for some := range slices.Chunk(stale, 500) {
		nodes, err := p.c.Store.Nodes(ctx, ferric.NodeFilter{UUIDs: some, IncludeChildren: true}, ferric.Page{})
		if err != nil {
			return err
		}
		for _, n := range nodes {
			p.know(n)
		}
	}
	return nil
}

// know keeps what a power state is asked with.
func (p *powerSync) know(n *ferric.Node) {
	set, err := p.c.Drivers.Compose(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.nodes[n.UUID]
	if w == nil || n.Version < w.stamp.Version {
		return
	}
	w.stamp, w.read = stampOf(n), n.Version
	if err != nil {
		p.c.nodeLog(n).Warn("power sync: the node's interfaces cannot be used here", "error", err)
		w.machine, w.power = nil, nil
		return
	}
	kept := &ferric.Node{UUID: n.UUID, Name: n.Name, Driver: n.Driver, DriverInfo: n.DriverInfo, Properties: n.Properties, InternalInfo: n.InternalInfo,
		PowerState: n.PowerState, ParentNode: n.ParentNode, Interfaces: n.Interfaces} // the record is all that fake hardware has of its power
	if w.machine != nil && maps.Equal(w.machine.Node.Interfaces, n.Interfaces) {
		kept.Interfaces = w.machine.Node.Interfaces
	}
	w.machine, w.power = &driver.Machine{Node: kept}, set.Power()
}

func stampOf(n *ferric.Node) ferric.Node {
	return ferric.Node{UUID: n.UUID, Version: n.Version, Driver: n.Driver, ConductorGroup: n.ConductorGroup, ProvisionState: n.ProvisionState,
		PowerState: n.PowerState, TargetPowerState: n.TargetPowerState, Maintenance: n.Maintenance, Fault: n.Fault}
}

// ask asks the machines of a lane. begun is told of each, answered when it has answered or is slow.
func (p *powerSync) ask(ctx context.Context, list []*watched, lane chan struct{}, begun func(int), answered func()) {
	for _, w := range list {
		p.mu.Lock()
		n, machine, power := w.stamp, w.machine, w.power
		ready := power != nil && !w.asking
		w.asking = w.asking || ready
		p.mu.Unlock()
		if !ready {
			continue
		}
		if !take(ctx, p.under) {
			p.done(w)
			return
		}
		if !take(ctx, lane) {
			<-p.under
			p.done(w)
			return
		}
		begun(1)
		yield := sync.OnceFunc(func() { <-lane; answered() })
		p.wg.Go(func() {
			defer func() { <-p.under }()
			defer yield()
			slow := time.AfterFunc(briskness, yield)
			defer slow.Stop()
			p.askOne(ctx, w, &n, machine, power)
		})
	}
}

func take(ctx context.Context, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// done lets the next pass ask the node again.
func (p *powerSync) done(w *watched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.asking = false
}

// PowerSyncState is how the power states of a conductor's nodes stand.
type PowerSyncState struct {
	Nodes  int           // whose power states are looked at
	Silent int           // of these: did not answer when they were asked last
	Oldest time.Duration // age of the oldest power state of the others
	Pass   time.Duration // how long the last pass took
}

// PowerSyncState tells how the power states of this conductor's nodes stand now.
func (c *Conductor) PowerSyncState() PowerSyncState {
	p := c.power
	p.mu.Lock()
	defer p.mu.Unlock()
	st := PowerSyncState{Pass: p.last}
	now := time.Now()
	for _, w := range p.nodes {
		if !w.asks() || w.power == nil {
			continue
		}
		st.Nodes++
		if w.silent || w.stamp.Fault == ferric.FaultPower {
			st.Silent++
			continue
		}
		st.Oldest = max(st.Oldest, now.Sub(w.heardAt))
	}
	return st
}
