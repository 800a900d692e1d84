package conductor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"

	"github.com/google/go-cmp/cmp"
)

// shown are the steps of an operation with their ends, without Ferric's own but for the one that starts a machine anew.
func shownSteps(op *flow.Operation) []string {
	var out []string
	for _, s := range op.Steps {
		if !s.Hidden || s.Name == "restart_ramdisk" {
			out = append(out, fmt.Sprintf("%s %s", s.Name, s.Status))
		}
	}
	return out
}

// TestPowerCut cuts the machine's power in the middle of a step that may be repeated: it is repeated, on a fresh boot, and nothing else is.
func TestPowerCut(t *testing.T) {
	for name, c := range map[string]struct {
		from    ferric.ProvisionState
		verb    string
		dying   string
		lively  bool
		end     ferric.ProvisionState
		history []string
		steps   []string
		begun   map[string]int
	}{
		"deploy, image": {from: ferric.Available, verb: "active", dying: "write_image", end: ferric.Active,
			history: []string{"boots the ramdisk", "image written", "off", "boots the ramdisk", "image written", "off", "boots the disk"},
			steps: []string{"deploy succeeded", "write_image skipped", "restart_ramdisk succeeded", "write_image succeeded", "burn_in succeeded",
				"prepare_instance_boot succeeded", "tear_down_agent succeeded", "switch_to_tenant_network succeeded", "boot_instance succeeded"},
			begun: map[string]int{"write_image": 2, "burn_in": 1}},
		"deploy, the power comes back by itself": {from: ferric.Available, verb: "active", dying: "write_image", lively: true, end: ferric.Active,
			history: []string{"boots the ramdisk", "image written", "off", "boots the ramdisk", "off", "boots the ramdisk", "image written", "off", "boots the disk"},
			begun:   map[string]int{"write_image": 2, "burn_in": 1}},
		"deploy, agent asked for its steps": {from: ferric.Available, verb: "active", dying: agentapi.CmdGetDeploySteps, end: ferric.Active,
			history: []string{"boots the ramdisk", "off", "boots the ramdisk", "image written", "off", "boots the disk"},
			begun:   map[string]int{"write_image": 1, "burn_in": 1}},
		"cleaning": {from: ferric.Manageable, verb: "provide", dying: "erase_devices_metadata", end: ferric.Available,
			history: []string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "erased", "off"},
			steps:   []string{"erase_devices_metadata skipped", "restart_ramdisk succeeded", "erase_devices_metadata succeeded"},
			begun:   map[string]int{"erase_devices_metadata": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.boot("one", restarts(2))
			m := b.site.node("lab", in(c.from))
			m.with(func(m *machine) { m.dying, m.lively = c.dying, c.lively })
			b.verb(m.id, c.verb)
			n := b.until(m.id, "done", func(n *ferric.Node) bool {
				if strings.HasSuffix(string(n.ProvisionState), "failed") && n.Reservation == "" {
					t.Fatalf("%s: %s", n.ProvisionState, n.LastError)
				}
				return n.ProvisionState == c.end && b.over(n, flow.Provision)
			})
			same(t, "history of the machine", c.history, m.history())
			if c.steps != nil {
				same(t, "steps", c.steps, shownSteps(b.operation(m.id)))
			}
			if n.LastError != "" {
				t.Errorf("last error %q", n.LastError)
			}
			for what, times := range c.begun {
				if got := m.begun()[what]; got != times {
					t.Errorf("%s was begun %d times, want %d", what, got, times)
				}
			}
		})
	}
}

// TestPowerCutAfterTheImage writes the image anew as long as the agent has not told the disks to keep it.
func TestPowerCutAfterTheImage(t *testing.T) {
	b := newBench(t)
	b.boot("one", restarts(2))
	m := b.site.node("lab")
	m.with(func(m *machine) {
		m.dying = agentapi.CmdInstallBootloader
		m.steps[agentapi.DeployStep] = m.steps[agentapi.DeployStep][:1] // no step of a vendor's
	})
	b.verb(m.id, "active")
	b.reaches(m.id, ferric.Active)
	same(t, "history", []string{"boots the ramdisk", "image written", "off", "boots the ramdisk", "image written", "off", "boots the disk"}, m.history())
	same(t, "steps", []string{"deploy succeeded", "write_image succeeded", "prepare_instance_boot skipped", "restart_ramdisk succeeded", "write_image succeeded",
		"prepare_instance_boot succeeded", "tear_down_agent succeeded", "switch_to_tenant_network succeeded", "boot_instance succeeded"}, shownSteps(b.operation(m.id)))
}

// TestPowerCutInAStepThatIsNotRepeated fails with what people need to know, and runs nothing twice.
func TestPowerCutInAStepThatIsNotRepeated(t *testing.T) {
	b := newBench(t)
	b.boot("one", restarts(2))
	m := running(b)
	m.with(func(m *machine) { m.dying = "flash" })
	b.verb(m.id, "service", asks(flash(), burnIn()))
	n := b.reaches(m.id, ferric.ServiceFailed)
	wantWords(t, n.LastError, "the machine is off", "Whether step firmware.flash was done is not known", "may do harm", "look at the machine", "start the service again")
	if have := m.begun(); have["flash"] != 1 || have["burn_in"] != 0 {
		t.Errorf("begun: %v", have)
	}

	t.Run("behind a step of a vendor's that the image's being written again would repeat", func(t *testing.T) {
		m := b.site.node("lab")
		m.with(func(m *machine) { m.dying = agentapi.CmdInstallBootloader })
		b.verb(m.id, "active")
		n := b.reaches(m.id, ferric.DeployFailed)
		wantWords(t, n.LastError, "Whether step deploy.burn_in was done is not known", "start the deploy again")
		if have := m.begun(); have["write_image"] != 1 || have["burn_in"] != 1 {
			t.Errorf("begun: %v", have)
		}
	})
}

// TestPowerCutsEnd gives up when a machine dies of its deploy.
func TestPowerCutsEnd(t *testing.T) {
	for allowed, words := range map[int][]string{0: {"the machine is off"}, 1: {"the machine is off", "started anew 1 times before in this deploy", "deploy.agent_restarts"}} {
		b := newBench(t)
		b.boot("one", restarts(allowed))
		m := b.site.node("lab")
		m.with(func(m *machine) { m.dying, m.mortal = "write_image", true })
		b.verb(m.id, "active")
		n := b.reaches(m.id, ferric.DeployFailed)
		wantWords(t, n.LastError, words...)
		if got := m.begun()["write_image"]; got != allowed+1 {
			t.Errorf("with %d restarts allowed the image was begun %d times", allowed, got)
		}
	}
}

// TestAgentIsSilent starts a machine anew whose agent is silent for too long, as one does that came back from a power cut with its disk's half-written system.
func TestAgentIsSilent(t *testing.T) {
	b := newBench(t)
	b.boot("one", restarts(1), func(c *conductor.Config) { c.AgentTimeout = 200 * time.Millisecond })
	m := b.site.node("lab", in(ferric.Manageable))
	open := m.gate("erase_devices_metadata")
	defer open()
	b.verb(m.id, "provide")
	b.waits(m.id, "finish clean.execute_clean_step")
	m.with(func(m *machine) { m.deny = true })
	b.until(m.id, "started anew", func(*ferric.Node) bool { return m.count("boots the ramdisk") == 2 })
	open()
	m.with(func(m *machine) { m.deny = false })
	b.reaches(m.id, ferric.Available)
	same(t, "history", []string{"boots the ramdisk", "erased", "off", "boots the ramdisk", "erased", "off"}, m.history())
}

// TestLookupAloneRestartsNothing lets a stranger on the network look the node up while its agent works.
func TestLookupAloneRestartsNothing(t *testing.T) {
	b := newBench(t)
	b.boot("one", restarts(2))
	m := b.site.node("lab")
	open := m.gate("write_image")
	b.verb(m.id, "active")
	b.waits(m.id, "finish deploy.execute_deploy_step")
	var reply rpc.LookupReply
	if err := b.call(rpc.Lookup, ref(m.id), &reply); err != nil || reply.Token != agentapi.MaskedToken {
		t.Fatalf("token %q, %v", reply.Token, err)
	}
	open()
	b.reaches(m.id, ferric.Active)
	if diff := cmp.Diff([]string{"boots the ramdisk", "image written", "off", "boots the disk"}, m.history()); diff != "" {
		t.Errorf("history (-want +have):\n%s", diff)
	}
}
