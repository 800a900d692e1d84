package conductor_test

import (
	"context"
	"testing"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"

	"github.com/google/uuid"
)

// portStep is a management interface with a deploy step that waits until the network service has bound the machine's port, as a network interface
// does after it asked for that.
type portStep struct {
	labManagement
	bound chan struct{}
}

func (p portStep) Steps(_ *driver.Machine, phase driver.Phase) []driver.Step {
	if phase != driver.DeployPhase {
		return nil
	}
	return []driver.Step{{Name: "await_port", Phase: phase, Priority: 10, Repeat: flow.Safe, Run: func(context.Context, *driver.Task) (flow.Outcome, error) {
		select {
		case <-p.bound:
			return flow.Done(nil), nil
		default:
			return flow.Wait(flow.EventBindPort, "the network to bind the port", time.Hour), nil
		}
	}}}
}

// TestExternalEvent: an operation that waits for the network goes on at once when the event comes, and not for another one.
func TestExternalEvent(t *testing.T) {
	b := newBench(t)
	drivers := b.site.registry()
	step := portStep{labManagement{b.site}, make(chan struct{})}
	drivers.Implementations[ferric.KindManagement]["lab"] = step
	b.bootWith(&mortal{Store: b.store}, b.settings("one"), drivers)
	m := b.site.node("lab")
	tell := func(event string) error {
		return b.call(rpc.ExternalEvent, rpc.EventArgs{NodeRef: ref(m.id), Event: event}, nil)
	}
	b.verb(m.id, "active")
	b.waits(m.id, "the network to bind the port")
	if err := tell(flow.EventUnbindPort); err != nil {
		t.Fatal(err)
	}
	if op := b.waits(m.id, "the network to bind the port"); time.Until(op.WakeAt) < 50*time.Minute {
		t.Errorf("another event woke it: it looks again at %v", op.WakeAt)
	}
	close(step.bound)
	if err := tell(flow.EventBindPort); err != nil {
		t.Fatal(err)
	}
	b.reaches(m.id, ferric.Active)
	if err := tell(flow.EventDeletePort); err != nil { // nobody waits
		t.Error(err)
	}
	wantCode(t, b.call(rpc.ExternalEvent, rpc.EventArgs{NodeRef: ref(uuid.NewString()), Event: flow.EventBindPort}, nil), ferric.CodeNotFound)
}
