package conductor_test

import (
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"
)

// TestAbort stops what waits for an agent, at its first call and during a step.
func TestAbort(t *testing.T) {
	for name, c := range map[string]struct {
		verb     string
		from     ferric.ProvisionState
		wait     ferric.ProvisionState
		end      ferric.ProvisionState
		during   string // agent step, "" for the first call
		waitsFor string
	}{
		"deploy, no call yet":  {"active", ferric.Available, ferric.DeployWait, ferric.DeployFailed, "", "first call"},
		"deploy, image":        {"active", ferric.Available, ferric.DeployWait, ferric.DeployFailed, "write_image", "finish"},
		"clean, no call yet":   {"provide", ferric.Manageable, ferric.CleanWait, ferric.CleanFailed, "", "first call"},
		"clean, erasing":       {"provide", ferric.Manageable, ferric.CleanWait, ferric.CleanFailed, "erase_devices_metadata", "finish"},
		"undeploy, erasing":    {"deleted", ferric.Active, ferric.CleanWait, ferric.CleanFailed, "erase_devices_metadata", "finish"},
		"inspect, no call yet": {"inspect", ferric.Manageable, ferric.InspectWait, ferric.InspectFailed, "", "first call"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab", in(c.from))
			if c.during == "" {
				m.with(func(m *machine) { m.deaf = true })
			} else {
				defer m.gate(c.during)()
			}
			b.verb(m.id, c.verb)
			b.waits(m.id, c.waitsFor)
			b.reaches(m.id, c.wait)
			b.verb(m.id, "abort")
			n := b.reaches(m.id, c.end)
			wantWords(t, n.LastError, "was aborted by ada during step")
			if n.Maintenance || n.Fault != "" || n.CleanStep != nil || n.DeployStep != nil {
				t.Errorf("maintenance %v, fault %q, clean step %v, deploy step %v", n.Maintenance, n.Fault, n.CleanStep, n.DeployStep)
			}
			if m.power() != ferric.PowerOff {
				t.Errorf("the machine is %q", m.power())
			}
			wantCode(t, b.try(m.id, "abort"), ferric.CodeInvalid, "abort", string(c.end))
		})
	}
}

// TestAbortIsNeverRefusedByChance aborts while the step under way looks at its agent all the time.
func TestAbortIsNeverRefusedByChance(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", func(c *conductor.Config) { c.AgentPoll = time.Millisecond })
	m := b.site.node("lab", in(ferric.Manageable))
	defer m.gate("erase_devices_metadata")()
	b.verb(m.id, "provide")
	b.waits(m.id, "finish clean.execute_clean_step")
	p.mortal.forget()
	for range 50 {
		if n := b.node(m.id); n.ProvisionState != ferric.CleanWait {
			t.Fatalf("the node flickers: it is %q", n.ProvisionState)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if looks := len(moments(p.mortal, m.id, func(n *ferric.Node) int64 { return n.LeaseEpoch })); looks < 2 {
		t.Errorf("the agent was looked at %d times: this proves nothing", looks)
	}
	b.verb(m.id, "abort")
	b.reaches(m.id, ferric.CleanFailed)
}

// TestAbortSparesSteps lets a step come to its end that does not allow to be interrupted, and says so on the node.
func TestAbortSparesSteps(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable))
	open := m.gate("update_firmware")
	defer open()
	b.verb(m.id, "clean", func(a *rpc.ProvisionArgs) {
		a.Steps = []rpc.StepArgs{{Interface: "firmware", Step: "update_firmware", Args: map[string]any{"url": "http://u:pw@fw"}}, {Interface: "deploy", Step: "erase_devices"}}
	})
	b.waits(m.id, "finish clean.execute_clean_step")
	b.verb(m.id, "abort")
	n := b.until(m.id, "to be aborted after the step", func(n *ferric.Node) bool { return n.CleanStep["abort_after"] == true })
	same(t, "clean step", map[string]any{"interface": "firmware", "step": "update_firmware", "priority": 0.0, "abortable": false, "abort_after": true,
		"args": map[string]any{"url": "http://u:******@fw"}}, n.CleanStep)
	open()
	n = b.reaches(m.id, ferric.CleanFailed)
	wantWords(t, n.LastError, "aborted by ada during step firmware.update_firmware")
	if n.TargetProvisionState != ferric.Manageable || n.Maintenance || m.begun()["update_firmware"] != 1 || m.begun()["erase_devices"] != 0 {
		t.Errorf("target %q, maintenance %v, begun %v", n.TargetProvisionState, n.Maintenance, m.begun())
	}
}

// TestDeleteDuringDeploy tears a node down while its deploy waits for the agent.
func TestDeleteDuringDeploy(t *testing.T) {
	for _, during := range []string{"first call", "write_image"} {
		t.Run(during, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab")
			open := func() {}
			if during == "first call" {
				m.with(func(m *machine) { m.deaf = true })
				b.verb(m.id, "active")
				b.waits(m.id, "first call")
				m.with(func(m *machine) { m.deaf = false })
			} else {
				open = m.gate("write_image")
				b.verb(m.id, "active")
				b.waits(m.id, "finish")
			}
			defer open()
			b.reaches(m.id, ferric.DeployWait)
			deploy := b.operation(m.id)
			b.verb(m.id, "deleted")
			n := b.reaches(m.id, ferric.Available)
			if n.LastError != "" || n.DeployStep != nil || b.site.published(m.id) || m.power() != ferric.PowerOff {
				t.Errorf("error %q, deploy step %v, image still there %v, power %q", n.LastError, n.DeployStep, b.site.published(m.id), m.power())
			}
			deploy, err := b.store.Operation(t.Context(), deploy.ID)
			if err != nil {
				t.Fatal(err)
			}
			if deploy.Status != flow.Failed {
				t.Errorf("the deploy is %s", deploy.Status)
			}
			wantWords(t, deploy.Error, "was given up: the node is being torn down")
			if n := m.begun()["erase_devices_metadata"]; n != 1 {
				t.Errorf("erased %d times", n)
			}
		})
	}
}

// TestProtectedNodeSurvivesDelete leaves even a waiting rebuild alone.
func TestProtectedNodeSurvivesDelete(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Active))
	open := m.gate("write_image")
	b.verb(m.id, "rebuild")
	b.waits(m.id, "finish")
	b.change(m.id, func(n *ferric.Node) { n.Protected = true })
	wantCode(t, b.try(m.id, "deleted"), ferric.CodeForbidden, "is protected")
	open()
	b.reaches(m.id, ferric.Active)
	for _, verb := range []string{"deleted", "rebuild"} {
		wantCode(t, b.try(m.id, verb), ferric.CodeForbidden, "is protected")
	}
	if n := b.reaches(m.id, ferric.Active); n.LastError != "" {
		t.Errorf("last error %q", n.LastError)
	}
}

// TestHold lets a step hold the operation: only the operator lets it go on, or ends it.
func TestHold(t *testing.T) {
	hold := func(a *rpc.ProvisionArgs) {
		one := 75
		a.Steps = []rpc.StepArgs{{Interface: "management", Step: "hold", Priority: &one}}
		if a.Target == "clean" {
			a.Steps = append(a.Steps, rpc.StepArgs{Interface: "deploy", Step: "erase_devices"})
		}
	}
	for name, c := range map[string]struct {
		verb string
		from ferric.ProvisionState
		hold ferric.ProvisionState
		end  ferric.ProvisionState
		fail ferric.ProvisionState
	}{
		"deploy": {"active", ferric.Available, ferric.DeployHold, ferric.Active, ferric.DeployFailed},
		"clean":  {"clean", ferric.Manageable, ferric.CleanHold, ferric.Manageable, ferric.CleanFailed},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.boot("one")
			m := b.site.node("lab", in(c.from))
			b.verb(m.id, c.verb, hold)
			b.reaches(m.id, c.hold)
			wantCode(t, b.try(m.id, "active"), ferric.CodeInvalid, `"active"`, string(c.hold), "abort, unhold")
			p.kill()
			bury(b, "one")
			b.boot("two") // a hold outlives conductors
			b.reaches(m.id, c.hold)
			b.verb(m.id, "unhold")
			b.reaches(m.id, c.end)
		})
		t.Run(name+", aborted", func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab", in(c.from))
			b.verb(m.id, c.verb, hold)
			b.reaches(m.id, c.hold)
			b.verb(m.id, "abort")
			n := b.reaches(m.id, c.fail)
			wantWords(t, n.LastError, "aborted by ada")
		})
	}
}

// TestLastStepWaits ends a deploy with a step that waits for the agent.
func TestLastStepWaits(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	zero, ten := 0, 10
	b.verb(m.id, "active", func(a *rpc.ProvisionArgs) {
		for _, s := range []string{"prepare_instance_boot", "tear_down_agent", "switch_to_tenant_network", "boot_instance"} {
			a.Steps = append(a.Steps, rpc.StepArgs{Interface: "deploy", Step: s, Priority: &zero})
		}
		a.Steps = append(a.Steps, rpc.StepArgs{Interface: "deploy", Step: "inject_files", Priority: &ten})
	})
	n := b.reaches(m.id, ferric.Active)
	if n.DeployStep != nil || n.LastError != "" {
		t.Errorf("deploy step %v, error %q", n.DeployStep, n.LastError)
	}
	if got := m.begun()["inject_files"]; got != 1 {
		t.Errorf("inject_files was begun %d times", got)
	}
}

// TestAbortDuringCleanUp gives the same end as one abort.
func TestAbortDuringCleanUp(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable))
	defer m.gate("erase_devices_metadata")()
	b.verb(m.id, "provide")
	b.waits(m.id, "finish")
	slow := make(chan struct{})
	asked := make(chan struct{}, 1)
	m.with(func(m *machine) { m.slow, m.asked = slow, asked })
	b.verb(m.id, "abort")
	<-asked // the clean-up powers off
	if err := b.try(m.id, "abort"); err != nil {
		wantCode(t, err, ferric.CodeInvalid) // the state may say so already
	}
	close(slow)
	n := b.reaches(m.id, ferric.CleanFailed)
	wantWords(t, n.LastError, "was aborted by ada during step deploy.erase_devices_metadata")
	if op := b.operation(m.id); op.Status != flow.Failed || op.Steps[len(op.Steps)-1].Status != flow.Succeeded {
		t.Errorf("operation %s, last step %s", op.Status, op.Steps[len(op.Steps)-1].Status)
	}
}
