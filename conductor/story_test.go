package conductor_test

import (
	"testing"

	"ferric"
	"ferric/rpc"

	"github.com/google/go-cmp/cmp"
)

// stage is a node's provision state and target at one moment.
type stage struct{ State, Target ferric.ProvisionState }

func stages(n *ferric.Node) stage { return stage{n.ProvisionState, n.TargetProvisionState} }

func same[T any](t testing.TB, what string, want, have T) {
	t.Helper()
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s (-want +have):\n%s", what, diff)
	}
}

// TestLifeOfFakeHardware takes a node of fake hardware through everything that there is.
func TestLifeOfFakeHardware(t *testing.T) {
	b := newBench(t)
	p := b.boot("one")
	var n ferric.Node
	if err := b.call(rpc.CreateNode, rpc.NodeArgs{Node: &ferric.Node{Name: "n1", Driver: "fake-hardware"}}, &n); err != nil {
		t.Fatal(err)
	}
	if n.ProvisionState != ferric.Enroll || n.Interfaces[ferric.KindDeploy] != "fake" {
		t.Fatalf("created as %q with %v", n.ProvisionState, n.Interfaces)
	}
	life := []struct {
		verb string
		end  ferric.ProvisionState
		want []stage
	}{
		{"manage", ferric.Manageable, []stage{{ferric.Verifying, ferric.Manageable}, {ferric.Manageable, ""}}},
		{"inspect", ferric.Manageable, []stage{{ferric.Inspecting, ferric.Manageable}, {ferric.Manageable, ""}}},
		{"provide", ferric.Available, []stage{{ferric.Cleaning, ferric.Available}, {ferric.Available, ""}}},
		{"active", ferric.Active, []stage{{ferric.Deploying, ferric.Active}, {ferric.Active, ""}}},
		{"rebuild", ferric.Active, []stage{{ferric.Deploying, ferric.Active}, {ferric.Active, ""}}},
		{"deleted", ferric.Available, []stage{{ferric.Deleting, ferric.Available}, {ferric.Cleaning, ferric.Available}, {ferric.Available, ""}}},
		{"manage", ferric.Manageable, []stage{{ferric.Manageable, ""}}},
		{"adopt", ferric.Active, []stage{{ferric.Adopting, ferric.Active}, {ferric.Active, ""}}},
	}
	for _, l := range life {
		p.mortal.forget()
		b.verb(n.UUID, l.verb)
		end := b.reaches(n.UUID, l.end)
		same(t, l.verb, l.want, moments(p.mortal, n.UUID, stages))
		if end.LastError != "" || end.CleanStep != nil || end.DeployStep != nil || end.Conductor != "one" {
			t.Errorf("after %s: error %q, clean step %v, deploy step %v, conductor %q", l.verb, end.LastError, end.CleanStep, end.DeployStep, end.Conductor)
		}
	}
}

// TestLifeWithAgent takes a machine through its life with an agent in a ramdisk.
func TestLifeWithAgent(t *testing.T) {
	b := newBench(t)
	p := b.boot("one")
	m := b.site.node("lab", in(ferric.Enroll), func(n *ferric.Node) { n.LastError = "old" })
	id := m.id

	b.verb(id, "manage")
	n := b.reaches(id, ferric.Manageable)
	if n.LastError != "" || n.PowerState != ferric.PowerOff || n.Properties["vendor"] != "lab" {
		t.Errorf("managed with error %q, power %q, properties %v", n.LastError, n.PowerState, n.Properties)
	}

	b.verb(id, "inspect")
	n = b.reaches(id, ferric.Manageable)
	same(t, "history of the inspection", []string{"boots the ramdisk", "off"}, m.history())
	if n.InspectionFinishedAt.IsZero() || !n.InspectionStartedAt.IsZero() {
		t.Errorf("inspected from %v to %v", n.InspectionStartedAt, n.InspectionFinishedAt)
	}
	same(t, "properties", map[string]any{"cpu_arch": "x86_64", "cpus": 4.0, "memory_mb": 4096.0, "local_gb": 19.0, "vendor": "lab",
		"capabilities": "boot_mode:uefi"}, n.Properties)

	p.mortal.forget()
	b.verb(id, "provide")
	n = b.reaches(id, ferric.Available)
	same(t, "history of the cleaning", []string{"boots the ramdisk", "erased", "off"}, m.history())
	// How often it waits depends on how fast the agent is; it always does so for the erasing.
	cleaning, waiting := stage{ferric.Cleaning, ferric.Available}, stage{ferric.CleanWait, ferric.Available}
	was := moments(p.mortal, id, stages)
	for i, s := range was {
		switch want := []stage{cleaning, waiting}[i%2]; {
		case i == len(was)-1 && i%2 == 1 && i >= 3 && s == stage{ferric.Available, ""}:
		case i == len(was)-1 || s != want:
			t.Errorf("state %d of %v", i, was)
		}
	}
	same(t, "clean steps", []any{nil, "erase_devices_metadata", nil}, moments(p.mortal, id, func(n *ferric.Node) any { return n.CleanStep["step"] }))

	b.change(id, func(n *ferric.Node) { n.InstanceID = "6d2f4a94-8f0e-4d7c-a5c8-111111111111" })
	p.mortal.forget()
	b.verb(id, "active", func(a *rpc.ProvisionArgs) { a.ConfigDrive = []byte(`{"meta_data": {}}`) })
	n = b.reaches(id, ferric.Active)
	same(t, "history of the deploy", []string{"boots the ramdisk", "image written", "off", "boots the disk"}, m.history())
	same(t, "deploy steps", []any{nil, "deploy", "write_image", "burn_in", "prepare_instance_boot", "tear_down_agent", "switch_to_tenant_network", "boot_instance", nil},
		moments(p.mortal, id, func(n *ferric.Node) any { return n.DeployStep["step"] }))
	if n.PowerState != ferric.PowerOn || b.site.published(id) || m.bootDevice() != ferric.BootDisk || m.drive != `drive of {"meta_data":{}}` {
		t.Errorf("deployed: power %q, image still there %v, boot device %q, drive %q", n.PowerState, b.site.published(id), m.bootDevice(), m.drive)
	}
	if _, err := b.store.AgentSession(t.Context(), id); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the agent's session is still there: %v", err)
	}

	p.mortal.forget()
	open := m.gate("erase_devices_metadata")
	b.verb(id, "deleted")
	b.waits(id, "finish clean.execute_clean_step")
	n = b.reaches(id, ferric.CleanWait)
	if n.InstanceID != "" || len(n.InstanceInfo) > 0 || n.CleanStep["step"] != "erase_devices_metadata" || n.TargetProvisionState != ferric.Available {
		t.Errorf("while it is cleaned: instance %q, info %v, clean step %v, target %q", n.InstanceID, n.InstanceInfo, n.CleanStep, n.TargetProvisionState)
	}
	if _, err := b.store.ConfigDrive(t.Context(), id); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the config drive is still there: %v", err)
	}
	open()
	n = b.reaches(id, ferric.Available)
	if n.PowerState != ferric.PowerOff || n.DeployStep != nil {
		t.Errorf("undeployed: power %q, deploy step %v", n.PowerState, n.DeployStep)
	}
	same(t, "history of the undeploy", []string{"off", "boots the ramdisk", "erased", "off"}, m.history())
	for what, times := range map[string]int{"write_image": 1, "erase_devices_metadata": 2, "burn_in": 1, "image.install_bootloader": 1} {
		if got := m.begun()[what]; got != times {
			t.Errorf("%s was begun %d times, want %d", what, got, times)
		}
	}
}
