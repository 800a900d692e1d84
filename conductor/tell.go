package conductor

import (
	"context"

	"ferric"
	"ferric/driver"
)

// tellingPower changes a machine's power with do, and tells other programs when that begins and how it ends, together with what is recorded of it.
func (c *Conductor) tellingPower(ctx context.Context, t *driver.Task, target ferric.PowerState, do func() error) error {
	if !c.Notices || t.Mutate == nil {
		return do()
	}
	if err := tell(ctx, t, ferric.News{Action: ferric.ActionPowerSet, Phase: ferric.PhaseStart, Power: target}); err != nil {
		return err
	}
	if err := do(); err != nil {
		if e := tell(ctx, t, ferric.News{Action: ferric.ActionPowerSet, Phase: ferric.PhaseError, Power: target}); e != nil {
			t.Log.Warn("cannot write the notification of a power change that failed; it is lost", "target", target, "error", e)
		}
		return err
	}
	return t.Mutate(ctx, func(n *ferric.Node) error {
		n.PowerState, n.TargetPowerState = endState(target), ""
		n.Tell(ferric.News{Action: ferric.ActionPowerSet, Phase: ferric.PhaseEnd, Power: target})
		return nil
	})
}

// tell writes news of a task's node that come with no change of it.
func tell(ctx context.Context, t *driver.Task, news ferric.News) error {
	return t.Mutate(ctx, func(n *ferric.Node) error { n.Tell(news); return nil })
}

// tellConsole tells other programs of a console. It goes on without if that cannot be written.
func (c *Conductor) tellConsole(ctx context.Context, t *driver.Task, action ferric.Action, phase ferric.Phase) {
	if !c.Notices {
		return
	}
	if err := tell(ctx, t, ferric.News{Action: action, Phase: phase}); err != nil {
		t.Log.Warn("cannot write the notification of a console; it is lost", "action", action, "phase", phase, "error", err)
	}
}

// ending is how work ends that err came of.
func ending(err error) ferric.Phase {
	if err != nil {
		return ferric.PhaseError
	}
	return ferric.PhaseEnd
}
