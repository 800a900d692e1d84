package conductor

import (
	"context"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/rpc"
	"ferric/state"
)

// record is a change that came of asking a machine.
type record struct {
	ferric.NodeChange
	w     *watched
	after func() // when it was written
}

// recordsAtOnce bounds the nodes of one transaction.
const recordsAtOnce = 200

// write writes records, those together that came while earlier ones were written, until there are no more to come.
func (p *powerSync) write() {
	for r := range p.records {
		batch := []*record{r}
		for more := true; more && len(batch) < recordsAtOnce; {
			select {
			case next, ok := <-p.records:
				if more = ok; ok {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		p.writeBatch(batch)
	}
}

// writeBatch has a context of its own: what was heard is written even if the conductor stops; the store bounds the time.
func (p *powerSync) writeBatch(batch []*record) {
	changes := make([]*ferric.NodeChange, len(batch))
	for i, r := range batch {
		changes[i] = &r.NodeChange
	}
	if err := p.c.Store.ChangeNodes(context.Background(), changes); err != nil {
		p.c.Log.Warn("power sync: cannot record power states; they will be asked for again", "nodes", len(batch), "error", err)
		for _, r := range batch {
			p.done(r.w)
		}
		return
	}
	for _, r := range batch {
		switch ferric.ErrorCode(r.Err) {
		case "":
			p.know(r.Node)
			if r.after != nil {
				r.after()
			}
		case ferric.CodeLocked, ferric.CodeConflict, ferric.CodeNotFound: // somebody works on it, and will record it
		default:
			p.c.Log.Warn("power sync: cannot record the power state", "node", r.UUID, "error", r.Err)
		}
		p.done(r.w)
	}
}

// askOne asks one machine and does what has to be done about the answer. n is the node as it was last seen.
func (p *powerSync) askOne(ctx context.Context, w *watched, n *ferric.Node, machine *driver.Machine, power driver.Power) {
	began := time.Now()
	asking, cancel := context.WithTimeout(driver.WithBackground(ctx), p.c.PowerTimeout)
	is, err := power.PowerState(asking, machine)
	cancel()
	if ctx.Err() != nil {
		p.done(w)
		return
	}
	p.c.Metrics.PowerSynced(ferric.ErrorCode(err), time.Since(began))
	switch {
	case err != nil:
		p.unknown(w, n, err)
	case is == n.PowerState && n.Fault != ferric.FaultPower:
		p.heard(w)
		p.done(w)
	case p.c.ForcePowerState && n.PowerState != "" && is != n.PowerState && n.Fault == "":
		p.differs(ctx, w, n, is)
	default:
		p.record(w, n, is)
	}
}

// heard notes that the machine is as it should be.
func (p *powerSync) heard(w *watched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.fails, w.silent, w.heardAt = 0, false, time.Now()
}

// failed counts one more round that did not go well, and returns how many there were in a row.
func (p *powerSync) failed(w *watched, silent bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.fails++
	if w.silent = silent; !silent {
		w.heardAt = time.Now()
	}
	return w.fails
}

// record has what a machine is written down. If the node was changed since it was seen, what the BMC said may be old already: the next pass will
// tell.
func (p *powerSync) record(w *watched, n *ferric.Node, is ferric.PowerState) {
	r := &record{w: w, after: func() { p.heard(w) }}
	r.UUID, r.Version = n.UUID, n.Version
	r.Change = func(n *ferric.Node) error {
		corrected(n, is)
		if n.Fault == ferric.FaultPower {
			n.Maintenance, n.MaintenanceReason, n.Fault, n.LastError = false, "", "", ""
		}
		return nil
	}
	switch {
	case n.Fault == ferric.FaultPower:
		r.History = p.c.entry(n, ferric.SeverityInfo, "The BMC answers again, the machine is "+string(is)+"; maintenance has ended")
	case n.PowerState != "" && n.PowerState != is:
		r.History = p.c.entry(n, ferric.SeverityInfo, "The machine is "+string(is)+" though it was recorded as "+string(n.PowerState)+"; recorded what it is")
	}
	p.records <- r
}

// corrected records a power state that nobody has asked for. It is news.
func corrected(n *ferric.Node, is ferric.PowerState) {
	if n.PowerState != is {
		n.Tell(ferric.News{Action: ferric.ActionPowerStateCorrected, Phase: ferric.PhaseSuccess, Power: n.PowerState})
	}
	n.PowerState = is
}

// unknown counts a failure and after too many puts the node into maintenance, until its BMC answers again.
func (p *powerSync) unknown(w *watched, n *ferric.Node, cause error) {
	if p.failed(w, true) <= p.c.PowerSyncMaxRetries || n.Fault == ferric.FaultPower {
		p.done(w)
		return
	}
	text := "During sync_power_state, max retries exceeded for node " + n.UUID + ", the BMC does not answer: " + cause.Error()
	r := &record{w: w}
	r.UUID = n.UUID
	r.Change = func(n *ferric.Node) error {
		corrected(n, "")
		n.LastError = text
		if !n.Maintenance {
			n.Maintenance, n.MaintenanceReason, n.Fault = true, text, ferric.FaultPower
		}
		return nil
	}
	r.History = p.c.entry(n, ferric.SeverityError, text)
	p.records <- r
}

// differs brings a machine back to the power state that is on record, unless somebody works on the node, or it does not stay as it is told.
func (p *powerSync) differs(ctx context.Context, w *watched, n *ferric.Node, is ferric.PowerState) {
	if state.Transient(n.ProvisionState) { // an operation under way knows better
		p.heard(w)
		p.done(w)
		return
	}
	if p.failed(w, false) > p.c.PowerSyncMaxRetries {
		p.record(w, n, is)
		return
	}
	defer p.done(w)
	if !take(ctx, p.forcing) {
		return
	}
	defer func() { <-p.forcing }()
	p.c.forcePower(ctx, n, is)
}

// forcePower begins the power change that brings a machine back, unless the node was changed since it was seen.
func (c *Conductor) forcePower(ctx context.Context, n *ferric.Node, is ferric.PowerState) {
	a := rpc.PowerArgs{NodeRef: rpc.NodeRef{UUID: n.UUID}, Target: n.PowerState}
	err := c.beginPower(ctx, a, c.PowerTimeout, func(now *ferric.Node) error {
		if now.PowerState != n.PowerState || now.ProvisionState != n.ProvisionState || now.TargetPowerState != "" || now.Maintenance {
			return ferric.Errorf(ferric.CodeConflict, "the node was changed meanwhile")
		}
		return nil
	})
	switch ferric.ErrorCode(err) {
	case "":
		c.note(ctx, n, ferric.EventMonitoring, ferric.SeverityInfo, "The machine is "+string(is)+" though it was recorded as "+string(n.PowerState)+"; bringing it back")
	case ferric.CodeConflict, ferric.CodeLocked: // somebody works on it: the next sync will tell
	default:
		c.nodeLog(n).Error("power sync: cannot bring the machine back to its recorded power state", "is", is, "recorded", n.PowerState, "error", err)
	}
}

// entry makes an entry about what was seen for the node's history.
func (c *Conductor) entry(n *ferric.Node, severity, text string) *ferric.HistoryEntry {
	return &ferric.HistoryEntry{NodeUUID: n.UUID, Conductor: c.Host, Event: text, EventType: ferric.EventMonitoring, Severity: severity}
}
