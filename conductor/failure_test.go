package conductor_test

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/agentapi"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"
)

func TestWrongCredentials(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Enroll), func(n *ferric.Node) { n.DriverInfo["password"] = "wrong" })
	b.verb(m.id, "manage")
	n := b.until(m.id, "enrolled with a reason", func(n *ferric.Node) bool {
		return n.ProvisionState == ferric.Enroll && n.LastError != "" && n.Reservation == ""
	})
	wantWords(t, n.LastError, "Failed to get power state", "the BMC refuses the user name or password")
	if n.TargetProvisionState != "" || n.Maintenance {
		t.Errorf("target %q, maintenance %v", n.TargetProvisionState, n.Maintenance)
	}
	b.change(m.id, func(n *ferric.Node) { n.DriverInfo = map[string]any{} })
	b.verb(m.id, "manage")
	n = b.until(m.id, "told what is missing", func(n *ferric.Node) bool { return strings.Contains(n.LastError, "password is missing") })
	wantWords(t, n.LastError, "validate the power interface")
	b.change(m.id, func(n *ferric.Node) { n.DriverInfo = map[string]any{"password": "right"} })
	b.reaches(m.id, ferric.Enroll)
	b.verb(m.id, "manage")
	if n = b.reaches(m.id, ferric.Manageable); n.LastError != "" {
		t.Errorf("last error %q", n.LastError)
	}
}

// TestPowerFailsInTheMiddle breaks the BMC while the image is written.
func TestPowerFailsInTheMiddle(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	open := m.gate("write_image")
	b.verb(m.id, "active")
	b.waits(m.id, "finish deploy.execute_deploy_step")
	m.with(func(m *machine) {
		m.broken = ferric.Errorf(ferric.CodeUnavailable, "the BMC at 192.0.2.9 does not answer")
	})
	open()
	n := b.reaches(m.id, ferric.DeployFailed)
	wantWords(t, n.LastError, "power off after the image was written", "the BMC at 192.0.2.9 does not answer")
	if n.TargetProvisionState != ferric.Active || n.DeployStep != nil || n.Maintenance {
		t.Errorf("target %q, deploy step %v, maintenance %v", n.TargetProvisionState, n.DeployStep, n.Maintenance)
	}
	m.with(func(m *machine) { m.broken = nil })
	b.verb(m.id, "active")
	if n = b.reaches(m.id, ferric.Active); n.LastError != "" {
		t.Errorf("last error %q", n.LastError)
	}
}

// TestDeployStepFails lets the agent fail: the reason and the path of the logs are in last_error, the machine is off.
func TestDeployStepFails(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	m.fails("write_image", agentapi.TypeImageChecksum, "sha256 of the image is abc, not def")
	b.verb(m.id, "active")
	n := b.reaches(m.id, ferric.DeployFailed)
	wantWords(t, n.LastError, "sha256 of the image is abc, not def", "The ramdisk's logs are in ")
	_, path, _ := strings.Cut(n.LastError, "logs are in ")
	if logs, err := os.ReadFile(path); string(logs) != "the logs of "+m.id {
		t.Errorf("logs in %s: %q, %v", path, logs, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm() != 0o600 {
		t.Errorf("the logs have mode %v", info.Mode())
	}
	if m.power() != ferric.PowerOff || n.PowerState != ferric.PowerOff || b.site.published(m.id) {
		t.Errorf("power %q, recorded %q, image still there %v", m.power(), n.PowerState, b.site.published(m.id))
	}
	op := b.operation(m.id)
	if op.Status != flow.Failed || op.Error != n.LastError {
		t.Errorf("operation %s: %s", op.Status, op.Error)
	}
	history, err := b.store.History(t.Context(), m.id, ferric.Page{})
	if err != nil || len(history) == 0 {
		t.Fatal(err)
	}
	last := history[len(history)-1]
	if last.Severity != ferric.SeverityError || last.User != "ada" || last.State != ferric.DeployFailed || last.OperationID != op.ID {
		t.Errorf("last entry of the history: %+v", last)
	}
}

// TestLogsOnAFullDisk fills the disk of the ramdisk's logs: the failure is told as ever, with what became of the logs and what to do, and no half of them stays behind.
// With space again they are kept again.
func TestLogsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("ferric-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("SKIPPED: a small disk cannot be mounted here (root can): %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.LogsDir = dir })
	m := b.site.node("lab")
	m.fails("write_image", agentapi.TypeImageChecksum, "sha256 of the image is abc, not def")
	b.verb(m.id, "active")
	n := b.reaches(m.id, ferric.DeployFailed)
	wantWords(t, n.LastError, "sha256 of the image is abc, not def", "The ramdisk's logs cannot be kept", "agent.deploy_logs_dir is full", dir, "free space")
	if left, err := filepath.Glob(filepath.Join(dir, "*.tar.gz*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	m.fails("write_image", agentapi.TypeImageChecksum, "sha256 of the image is abc, not def")
	b.verb(m.id, "active")
	b.reaches(m.id, ferric.DeployFailed)
	if kept, err := filepath.Glob(filepath.Join(dir, m.id+"_*.tar.gz")); err != nil || len(kept) != 1 {
		t.Errorf("with space again %v are kept, %v", kept, err)
	}
}

// TestPowerStaysOnAfterFailure leaves the machine to people who look into it.
func TestPowerStaysOnAfterFailure(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.PowerOffAfterFail, c.CollectLogs = false, "never" })
	m := b.site.node("lab")
	m.fails("write_image", agentapi.TypeImageWrite, "/dev/sda: input/output error")
	b.verb(m.id, "active")
	n := b.reaches(m.id, ferric.DeployFailed)
	if n.LastError != "agent command deploy.execute_deploy_step failed: /dev/sda: input/output error" {
		t.Errorf("last error %q", n.LastError)
	}
	if m.power() != ferric.PowerOn {
		t.Errorf("the machine is %q", m.power())
	}
}

func TestImageIsMissing(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", func(n *ferric.Node) { n.InstanceInfo["image_source"] = "http://images/missing" })
	b.verb(m.id, "active")
	n := b.reaches(m.id, ferric.DeployFailed)
	wantWords(t, n.LastError, "image http://images/missing: HTTP 404")
	if h := m.history(); len(h) > 0 {
		t.Errorf("the machine was touched: %v", h)
	}
}

// TestCleanStepFails puts the node into maintenance with the reason; an operator's own reason is not overwritten.
func TestCleanStepFails(t *testing.T) {
	for name, reason := range map[string]string{"": "", "in maintenance already": "the fan is being replaced"} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.boot("one")
			m := b.site.node("lab", in(ferric.Manageable), func(n *ferric.Node) { n.Maintenance, n.MaintenanceReason = reason != "", reason })
			m.fails("erase_devices_metadata", agentapi.TypeBlockDeviceErase, "/dev/sda is frozen")
			b.verb(m.id, "provide")
			n := b.reaches(m.id, ferric.CleanFailed)
			wantWords(t, n.LastError, "/dev/sda is frozen", "The ramdisk's logs are in ")
			if reason == "" {
				reason = n.LastError
			}
			if !n.Maintenance || n.Fault != ferric.FaultClean || n.MaintenanceReason != reason {
				t.Errorf("maintenance %v, fault %q, reason %q, want %q", n.Maintenance, n.Fault, n.MaintenanceReason, reason)
			}
			if n.CleanStep != nil || n.TargetProvisionState != ferric.Available || m.power() != ferric.PowerOff {
				t.Errorf("clean step %v, target %q, power %q", n.CleanStep, n.TargetProvisionState, m.power())
			}
			b.verb(m.id, "manage")
			if n = b.reaches(m.id, ferric.Manageable); n.LastError != "" || !n.Maintenance {
				t.Errorf("managed with error %q, maintenance %v", n.LastError, n.Maintenance)
			}
		})
	}
}

// TestUndeployFails breaks the BMC before any cleaning: the node is in error and may be torn down again.
func TestUndeployFails(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Active), func(n *ferric.Node) { n.InstanceID = "6d2f4a94-8f0e-4d7c-a5c8-222222222222" })
	m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeUnavailable, "no answer") })
	b.verb(m.id, "deleted")
	n := b.reaches(m.id, ferric.ErrorState)
	if n.Maintenance || n.InstanceID == "" || n.LastError == "" {
		t.Errorf("maintenance %v, instance %q, error %q", n.Maintenance, n.InstanceID, n.LastError)
	}
	m.with(func(m *machine) { m.broken = nil })
	b.verb(m.id, "deleted")
	if n = b.reaches(m.id, ferric.Available); n.InstanceID != "" || n.LastError != "" {
		t.Errorf("instance %q, error %q", n.InstanceID, n.LastError)
	}
}

// TestAgentIsLost lets the agent fall silent for ever, and for a while.
func TestAgentIsLost(t *testing.T) {
	t.Run("for ever", func(t *testing.T) {
		b := newBench(t)
		b.boot("one", func(c *conductor.Config) { c.AgentTimeout = 200 * time.Millisecond })
		m := b.site.node("lab", in(ferric.Manageable))
		open := m.gate("erase_devices_metadata")
		defer open()
		b.verb(m.id, "provide")
		b.waits(m.id, "finish clean.execute_clean_step")
		m.with(func(m *machine) { m.deny = true })
		n := b.reaches(m.id, ferric.CleanFailed)
		wantWords(t, n.LastError, "timed out after 200ms waiting for the agent to answer about clean.execute_clean_step")
		if strings.Contains(n.LastError, "agent_token") {
			t.Errorf("the token is in the error: %s", n.LastError)
		}
	})
	t.Run("for a while", func(t *testing.T) {
		b := newBench(t)
		b.boot("one")
		m := b.site.node("lab", in(ferric.Manageable))
		open := m.gate("erase_devices_metadata")
		b.verb(m.id, "provide")
		b.waits(m.id, "finish clean.execute_clean_step")
		m.with(func(m *machine) { m.deny = true })
		b.waits(m.id, "answer about clean.execute_clean_step")
		open()
		m.with(func(m *machine) { m.deny = false })
		b.reaches(m.id, ferric.Available)
		if n := m.begun()["erase_devices_metadata"]; n != 1 {
			t.Errorf("erased %d times", n)
		}
	})
	t.Run("while it is asked for its steps", func(t *testing.T) {
		b := newBench(t)
		b.boot("one")
		m := b.site.node("lab", in(ferric.Manageable))
		m.with(func(m *machine) { m.deny = true })
		b.verb(m.id, "provide")
		b.waits(m.id, "answer about clean.get_clean_steps")
		m.with(func(m *machine) { m.deny = false })
		b.reaches(m.id, ferric.Available)
	})
}

// TestMachineIsRestarted lets another agent, which never got the token, answer in the place of the first.
func TestMachineIsRestarted(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab")
	defer m.gate("write_image")()
	b.verb(m.id, "active")
	b.waits(m.id, "finish deploy.execute_deploy_step")
	a := m.running()
	a.mu.Lock()
	a.token = "another boot's"
	a.mu.Unlock()
	n := b.reaches(m.id, ferric.DeployFailed)
	wantWords(t, n.LastError, "Token invalid", "the machine was probably restarted during deploy.execute_deploy_step")
	if strings.Contains(n.LastError, "agent_token") {
		t.Errorf("the token is in the error: %s", n.LastError)
	}
}

// TestAgentIsBusy lets another command run on the agent when a step is to begin.
func TestAgentIsBusy(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Manageable))
	m.with(func(m *machine) { m.occupied = true })
	b.verb(m.id, "provide")
	b.waits(m.id, "answer about clean.execute_clean_step")
	m.with(func(m *machine) { m.occupied = false })
	b.reaches(m.id, ferric.Available)
	if n := m.begun()["erase_devices_metadata"]; n != 1 {
		t.Errorf("erased %d times", n)
	}
}

// TestStockAgent deploys with an agent that chooses its commands' ids itself, over a change of conductors.
func TestStockAgent(t *testing.T) {
	b := newBench(t)
	p := b.boot("one")
	m := b.site.node("lab")
	m.with(func(m *machine) { m.stock = true })
	open := m.gate("write_image")
	b.verb(m.id, "active")
	b.waits(m.id, "finish deploy.execute_deploy_step")
	p.kill()
	b.boot("one")
	open()
	b.reaches(m.id, ferric.Active)
	for what, n := range m.begun() {
		if n != 1 {
			t.Errorf("%s was begun %d times", what, n)
		}
	}
}

// TestAgentNeverCalls says what is known about the machine when the wait is over.
func TestAgentNeverCalls(t *testing.T) {
	short := func(c *conductor.Config) {
		c.DeployCallbackTimeout, c.CleanCallbackTimeout, c.InspectCallbackTimeout = 150*time.Millisecond, 150*time.Millisecond, 150*time.Millisecond
	}
	for name, c := range map[string]struct {
		verb    string
		from    ferric.ProvisionState
		end     ferric.ProvisionState
		meddle  func(*bench, *machine)
		explain []string
	}{
		"deploy":  {"active", ferric.Available, ferric.DeployFailed, nil, []string{"never looked its node up", "MAC addresses", "DHCP"}},
		"clean":   {"provide", ferric.Manageable, ferric.CleanFailed, nil, []string{"never looked its node up"}},
		"inspect": {"inspect", ferric.Manageable, ferric.InspectFailed, nil, []string{"never looked its node up"}},
		"it went off": {"active", ferric.Available, ferric.DeployFailed, func(b *bench, m *machine) { m.set(ferric.PowerOff) },
			[]string{"The machine is off"}},
		"the BMC is gone": {"active", ferric.Available, ferric.DeployFailed, func(b *bench, m *machine) {
			m.with(func(m *machine) { m.broken = ferric.Errorf(ferric.CodeUnavailable, "no route to host") })
		}, []string{"The BMC does not answer either", "no route to host"}},
		"only a lookup": {"active", ferric.Available, ferric.DeployFailed, func(b *bench, m *machine) {
			if err := b.call(rpc.Lookup, ref(m.id), nil); err != nil {
				b.Error(err)
			}
		}, []string{"looked its node up at", "no heartbeat followed", "http://192.0.2.1:6385"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			p := b.boot("one", short)
			m := b.site.node("lab", in(c.from))
			m.with(func(m *machine) { m.deaf = true })
			if c.meddle != nil { // time enough to do so
				p.stop()
				p = b.boot("one")
			}
			b.verb(m.id, c.verb)
			if c.meddle != nil {
				b.waits(m.id, "first call of the agent")
				c.meddle(b, m)
				p.stop()
				p = b.boot("one", short)
				if err := b.store.Signal(t.Context(), m.id, flow.EventHeartbeat); err != nil { // look now
					t.Fatal(err)
				}
				p.Poke()
			}
			n := b.reaches(m.id, c.end)
			wantWords(t, n.LastError, append(c.explain, "timed out after 150ms waiting for the first call of the agent on the machine")...)
		})
	}
}

// TestHeartbeatsAreChecked plays an agent that is not the one.
func TestHeartbeatsAreChecked(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", func(c *conductor.Config) { c.AgentRequireTLS = true })
	m := b.site.node("lab")
	wantCode(t, b.call(rpc.Lookup, ref(m.id), nil), ferric.CodeNotFound, "could not be found")
	wantCode(t, b.call(rpc.Lookup, ref("6d2f4a94-8f0e-4d7c-a5c8-333333333333"), nil), ferric.CodeNotFound)
	m.with(func(m *machine) { m.deaf = true })
	b.verb(m.id, "active")
	b.waits(m.id, "first call of the agent")

	beat := func(change func(*rpc.HeartbeatArgs)) error {
		a := rpc.HeartbeatArgs{NodeRef: ref(m.id), CallbackURL: "https://192.0.2.7:9999", AgentToken: "guess"}
		change(&a)
		return p.call(rpc.Heartbeat, a, nil)
	}
	wantCode(t, beat(func(a *rpc.HeartbeatArgs) { a.AgentToken = "" }), ferric.CodeInvalid, "Invalid or missing agent token")
	var first, second rpc.LookupReply
	for _, reply := range []*rpc.LookupReply{&first, &second} {
		if err := p.call(rpc.Lookup, ref(m.id), reply); err != nil {
			t.Fatal(err)
		}
	}
	if len(first.Token) < agentapi.MinTokenLength || second.Token != agentapi.MaskedToken || first.HeartbeatTimeout != time.Minute {
		t.Errorf("tokens of %d characters and %q, heartbeat timeout %s", len(first.Token), second.Token, first.HeartbeatTimeout)
	}
	for name, c := range map[string]struct {
		change func(*rpc.HeartbeatArgs)
		words  string
	}{
		"wrong token": {func(*rpc.HeartbeatArgs) {}, "Invalid or missing agent token"},
		"the mask":    {func(a *rpc.HeartbeatArgs) { a.AgentToken = second.Token }, "Invalid or missing agent token"},
		"no TLS":      {func(a *rpc.HeartbeatArgs) { a.AgentToken, a.CallbackURL = first.Token, "http://192.0.2.7:9999" }, "must begin with https://"},
		"no URL":      {func(a *rpc.HeartbeatArgs) { a.AgentToken, a.CallbackURL = first.Token, "" }, "callback_url"},
		"no host":     {func(a *rpc.HeartbeatArgs) { a.AgentToken, a.CallbackURL = first.Token, "https://" }, "callback_url"},
		"file URL":    {func(a *rpc.HeartbeatArgs) { a.AgentToken, a.CallbackURL = first.Token, "file:///etc/passwd" }, "callback_url"},
		"other node":  {func(a *rpc.HeartbeatArgs) { a.UUID = "6d2f4a94-8f0e-4d7c-a5c8-333333333333" }, "Invalid or missing agent token"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, beat(c.change), ferric.CodeInvalid, c.words) })
	}
	b.waits(m.id, "first call of the agent") // nothing of this counted
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	right := func(a *rpc.HeartbeatArgs) { a.AgentToken, a.CallbackURL = first.Token, server.URL }
	if err := beat(right); err != nil {
		t.Fatal(err)
	}
	wantCode(t, beat(func(a *rpc.HeartbeatArgs) { right(a); a.CallbackURL = "https://192.0.2.8:9999" }), ferric.CodeInvalid, `change in ramdisk provided "callback_url"`)
	if err := beat(right); err != nil {
		t.Errorf("the second heartbeat: %v", err)
	}
	b.waits(m.id, "answer about deploy.get_deploy_steps") // that server has no certificate to be trusted by
	b.verb(m.id, "abort")
	n := b.reaches(m.id, ferric.DeployFailed)
	if n.Properties["agent_token"] != nil || strings.Contains(n.LastError, first.Token) {
		t.Error("the token is on the node")
	}
	wantCode(t, beat(right), ferric.CodeInvalid, "Invalid or missing agent token")
}
