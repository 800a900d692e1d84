package conductor

import (
	"context"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
)

func (c *Conductor) getConsole(ctx context.Context, a rpc.NodeRef) (map[string]string, error) {
	t, err := c.nodeTask(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	if !t.Node.ConsoleEnabled {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Console access is not enabled on node %s", t.Node.UUID)
	}
	if err := t.Set.Console().Validate(ctx, t.Machine); err != nil {
		return nil, err
	}
	return t.Set.Console().ConsoleInfo(ctx, t.Machine)
}

func (c *Conductor) beginConsole(ctx context.Context, a rpc.ConsoleArgs) error {
	return c.beginAction(ctx, rpc.SetConsole, a.NodeRef, flow.Safe, a, func(ctx context.Context, t *driver.Task) (bool, error) {
		return t.Node.ConsoleEnabled == a.Enabled, t.Set.Console().Validate(ctx, t.Machine)
	})
}

// turnConsole turns a console on or off.
func (c *Conductor) turnConsole(ctx context.Context, t *driver.Task, a rpc.ConsoleArgs) (err error) {
	defer func() { c.tellConsole(ctx, t, ferric.ActionConsoleSet, ending(err)) }()
	c.tellConsole(ctx, t, ferric.ActionConsoleSet, ferric.PhaseStart)
	do, doing := t.Set.Console().StopConsole, "disabling"
	if a.Enabled {
		do, doing = t.Set.Console().StartConsole, "enabling"
	}
	if err := do(ctx, t); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "Error %s the console on node %s. Reason: %w", doing, t.Node.UUID, err)
	}
	c.noteConsole(t.Node.UUID, a.Enabled)
	return t.Mutate(ctx, func(n *ferric.Node) error { n.ConsoleEnabled = a.Enabled; return nil })
}

// endConsole turns the console of a node off that is torn down or deleted, which is the action. The rest does not depend on it.
func (c *Conductor) endConsole(ctx context.Context, t *driver.Task, action ferric.Action) {
	if !t.Node.ConsoleEnabled {
		return
	}
	c.tellConsole(ctx, t, action, ferric.PhaseStart)
	err := t.Set.Console().StopConsole(ctx, t)
	if err != nil {
		t.Log.Warn("cannot stop the console", "error", err)
	}
	c.tellConsole(ctx, t, action, ending(err))
	c.noteConsole(t.Node.UUID, false)
}

// noteConsole notes whether a console runs here.
func (c *Conductor) noteConsole(node string, runs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if runs {
		c.consoles[node] = true
	} else {
		delete(c.consoles, node)
	}
}

func (c *Conductor) consoleRuns(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.consoles[node]
}

// keepConsoles starts the consoles that are enabled on this conductor's nodes and do not run, because it was started anew or took the node over,
// and leaves those of nodes that belong to another conductor now.
func (c *Conductor) keepConsoles(ctx context.Context) error {
	enabled := true
	nodes, err := c.Store.NodesBrief(ctx, ferric.NodeFilter{ConsoleEnabled: &enabled, IncludeChildren: true}, ferric.Page{})
	if err != nil {
		return err
	}
	for _, n := range nodes {
		mine, runs := c.ownsNode(n.UUID, n.ConductorGroup, n.Driver), c.consoleRuns(n.UUID)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case mine && !runs:
			err = c.resumeConsole(ctx, n.UUID)
		case !mine && runs:
			err = c.leaveConsole(ctx, n.UUID)
		default:
			continue
		}
		if err != nil && !ferric.IsCode(err, ferric.CodeLocked) && ctx.Err() == nil {
			c.nodeLog(n).Warn("the console is not where it belongs; it will be tried again", "should_run_here", mine, "error", err)
		}
	}
	return nil
}

// ServesConsole returns CodeElsewhere if a node is not this conductor's, or others do not take it for alive, as after it was stopped for a while.
func (c *Conductor) ServesConsole(ctx context.Context, n *ferric.Node) error {
	if err := c.refreshRing(ctx); err != nil {
		return err
	}
	if !c.ownsNode(n.UUID, n.ConductorGroup, n.Driver) {
		return ferric.Errorf(ferric.CodeElsewhere, "the node belongs to another conductor, which has its console: ask the API for its address")
	}
	return nil
}

func (c *Conductor) resumeConsole(ctx context.Context, node string) error {
	return c.onMachine(ctx, node, func(ctx context.Context, t *driver.Task) error {
		if !t.Node.ConsoleEnabled {
			return nil
		}
		c.tellConsole(ctx, t, ferric.ActionConsoleRestore, ferric.PhaseStart)
		err := t.Set.Console().StartConsole(ctx, t)
		c.tellConsole(ctx, t, ferric.ActionConsoleRestore, ending(err))
		if err != nil {
			return err
		}
		c.noteConsole(node, true)
		return nil
	})
}

func (c *Conductor) leaveConsole(ctx context.Context, node string) error {
	t, err := c.nodeTask(ctx, node)
	if err != nil {
		return err
	}
	if leaver, ok := t.Set.Console().(driver.ConsoleLeaver); ok {
		if err := leaver.LeaveConsole(ctx, t.Machine); err != nil {
			return err
		}
	}
	c.noteConsole(node, false)
	return nil
}
