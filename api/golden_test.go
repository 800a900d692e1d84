package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/flow"
	"ferric/rpc"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	nodeID    = "6d85703a-565d-469a-96ce-30b6de53079d"
	portID    = "d2b30520-907d-46c8-bfee-c5586e6fb3a1"
	historyID = "e5840e39-b4ba-4a93-8071-cff9aa2c9633"
	opID      = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"

	chassisID   = "dff29d23-1ded-43b4-8ae1-5eebb3e30de1"
	portgroupID = "e43c722c-248e-4c6e-8ce8-0d8ff129387a"
	connectorID = "9bf93e01-d728-47a3-ad4b-5e66a835037c"
	targetID    = "bd4d008c-7d31-463d-abf9-6c23d9d55f7f"
)

// golden fills a fixture with one of everything.
func goldenFixture(t *testing.T) *fixture {
	f := newFixture(t)
	f.must(201, "POST", "/v1/chassis", m{"uuid": chassisID, "description": "Sample chassis"})
	f.must(201, "POST", "/v1/nodes", m{"uuid": nodeID, "name": "metal-1", "driver": "ipmi", "resource_class": "large", "owner": "project-1",
		"driver_info":   m{"ipmi_address": "192.0.2.1", "ipmi_password": "secret", "nested": m{"auth_token": "secret"}},
		"properties":    m{"capabilities": "boot_mode:uefi", "memory_mb": 4096},
		"instance_info": m{"image_source": "http://192.0.2.2/image.qcow2", "image_url": "http://192.0.2.2/temp-secret", "configdrive": "secret"},
		"description":   "A <node> & its \"quotes\"", "network_data": m{"links": []any{m{"id": "eth0", "type": "phy", "ethernet_mac_address": "52:54:00:00:00:01"}}, "networks": []any{}, "services": []any{}}})
	f.must(201, "POST", "/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:AA:BB:CC", "name": "port-1",
		"physical_network": "physnet1", "local_link_connection": m{"switch_id": "0A:1b:2c:3d:4e:5f", "port_id": "Ethernet3/1"}})
	f.must(201, "POST", "/v1/portgroups", m{"uuid": portgroupID, "node_uuid": nodeID, "address": "11:11:11:11:11:11", "name": "test_portgroup",
		"physical_network": "physnet1", "category": "hypernet", "properties": m{"miimon": 100}})
	f.must(201, "POST", "/v1/volume/connectors", m{"uuid": connectorID, "node_uuid": nodeID, "type": "iqn", "connector_id": "iqn.2017-07.org.openstack:01:d9a51732c3f"})
	f.must(201, "POST", "/v1/volume/targets", m{"uuid": targetID, "node_uuid": nodeID, "volume_type": "iscsi", "boot_index": 0,
		"volume_id": "04452bed-5367-4202-8bf5-de4335ac56d2", "properties": m{"target_iqn": "iqn.x", "auth_password": "secret"}})
	f.must(204, "PUT", "/v1/nodes/metal-1/traits", m{"traits": []string{"HW_CPU_X86_VMX", "CUSTOM_TRAIT1"}})
	f.change(nodeID, func(n *ferric.Node) {
		n.ProvisionState, n.TargetProvisionState, n.PowerState = ferric.InspectWait, ferric.Manageable, ferric.PowerOn
		n.LastError = "Nothing of note"
		n.InternalInfo = map[string]any{"agent_url": "https://192.0.2.9:9999", "agent_secret_token": "secret"}
		n.DeployStep = map[string]any{"interface": "deploy", "step": "write_image"}
		n.InspectionStartedAt = clock
		secure := true
		n.SecureBoot, n.BootMode = &secure, ferric.BootModeUEFI
	})
	f.must(201, "POST", "/v1/inspection_rules", m{"uuid": ruleID, "description": "Set properties", "priority": 50,
		"conditions": []any{m{"op": "!is-empty", "args": m{"value": "{inventory[cpu][count]}"}, "loop": []any{"x"}, "multiple": "all"}},
		"actions":    []any{m{"op": "set-attribute", "args": m{"path": "/properties/cpus", "value": "{inventory[cpu][count]}"}}}})
	f.must(201, "POST", "/v1/inspection_rules", m{"uuid": "783bf33a-a8e3-4e23-a645-1e95a1f95186", "description": "BMC credentials", "sensitive": true,
		"actions": []any{m{"op": "set-attribute", "args": m{"path": "/driver_info/ipmi_password", "value": "secret"}}}})
	ctx := t.Context()
	for _, err := range []error{
		f.store.AddHistory(ctx, &ferric.HistoryEntry{UUID: historyID, NodeUUID: nodeID, Conductor: "host-1", Event: strings.Repeat("long ", 60),
			EventType: ferric.EventProvisioning, Severity: ferric.SeverityError, User: "admin", Project: "p", State: ferric.DeployFailed,
			TargetState: ferric.Active, Duration: 12500 * time.Millisecond}),
		f.store.SetInventory(ctx, &ferric.Inventory{NodeUUID: nodeID, Inventory: json.RawMessage(`{"cpu":{"count":2}}`),
			PluginData: json.RawMessage(`{"macs":["52:54:00:aa:bb:cc"]}`)}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	hardwareRecords(t, f)
	f.must(201, "POST", "/v1/allocations", m{"uuid": allocationID, "name": "allocation-1", "resource_class": "bm-large", "owner": "project-1",
		"traits": []string{"CUSTOM_GOLD"}, "candidate_nodes": []string{"metal-1"}})
	f.must(201, "POST", "/v1/deploy_templates", m{"uuid": templateID, "name": "CUSTOM_HYPERTHREADING_ON",
		"steps": []m{aStep("priority", nil), {"interface": "management", "step": "set", "args": m{"password": "secret"}, "priority": 10}}})
	f.must(201, "POST", "/v1/runbooks", m{"uuid": runbookID, "name": "CUSTOM_AWESOME", "description": "What to do", "steps": []m{aStep("order", nil)}})
	f.must(204, "PUT", "/v1/runbooks/CUSTOM_AWESOME/traits", m{"traits": []string{"CUSTOM_AWESOME"}})
	startOperation(t, f)
	return f
}

// startOperation puts an operation into the ledger that is in the middle of its second step.
func startOperation(t *testing.T, f *fixture) {
	ctx := t.Context()
	lease, err := f.store.Acquire(ctx, nodeID, "host-1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	op := &flow.Operation{ID: opID, NodeUUID: nodeID, Kind: "inspect", Lane: flow.Provision, Status: flow.Running, RequestID: "req-1",
		User: "admin", Conductor: "host-1", Steps: []flow.Step{
			{Seq: 0, Interface: "inspect", Name: "start", Priority: 100, Repeat: flow.Safe, Args: map[string]any{"password": "secret"},
				Status: flow.Succeeded, Attempts: 1, StartedAt: clock, EndedAt: clock.Add(2 * time.Second)},
			{Seq: 1, Interface: "inspect", Name: "wait for the agent", Priority: 90, Repeat: flow.Check, Source: "agent", Status: flow.Waiting,
				Attempts: 2, StartedAt: clock.Add(2 * time.Second)},
			{Seq: 2, Interface: "power", Name: "off", Repeat: flow.Safe, CleanUp: true, Hidden: true, Status: flow.Pending},
		}}
	if _, err := f.store.Start(ctx, lease, op, nil); err != nil {
		t.Fatal(err)
	}
	op.Status, op.Cursor, op.WaitFor, op.WaitWhat = flow.Waiting, 1, "inspection", "the agent's inventory"
	op.WaitSince, op.WakeAt = clock.Add(2*time.Second), clock.Add(30*time.Minute)
	if _, err := f.store.Checkpoint(ctx, lease, op, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.store.Release(ctx, lease); err != nil {
		t.Fatal(err)
	}
}

// TestGolden compares whole answers, headers of note included, with files that were read by a person.
func TestGolden(t *testing.T) {
	f := goldenFixture(t)
	f.conductor.on(rpc.Lookup, func(any) (any, error) {
		return rpc.LookupReply{Token: strings.Repeat("t", 43), HeartbeatTimeout: 5 * time.Minute}, nil
	})
	n := "/v1/nodes/" + nodeID
	inspection := m{"inventory": m{"interfaces": []any{m{"mac_address": "52:54:00:aa:bb:cc"}}}, "root_disk": "/dev/sda"}
	for name, c := range map[string]struct {
		method, path string
		body         any
	}{
		"root":                     {"GET", "- /", nil},
		"v1-1.1":                   {"GET", "- /v1", nil},
		"v1-1.115":                 {"GET", "1.115 /v1/", nil},
		"node-1.1":                 {"GET", "1.1 " + n, nil},
		"node-1.38":                {"GET", "1.38 " + n, nil},
		"node-1.39":                {"GET", "1.39 " + n, nil},
		"node-1.82":                {"GET", "1.82 " + n, nil},
		"node-1.115":               {"GET", "1.115 " + n, nil},
		"node-fields":              {"GET", n + "?fields=name,extra,traits,conductor", nil},
		"nodes-1.1":                {"GET", "1.1 /v1/nodes", nil},
		"nodes-1.115":              {"GET", "/v1/nodes?limit=1", nil},
		"nodes-detail-query":       {"GET", "/v1/nodes?detail=True&limit=1&sort_key=name&sort_dir=desc&maintenance=no", nil},
		"nodes-detail-path":        {"GET", "/v1/nodes/detail?limit=1", nil},
		"nodes-fields":             {"GET", "/v1/nodes?fields=uuid,driver_info&limit=1", nil},
		"states-1.1":               {"GET", "1.1 " + n + "/states", nil},
		"states-1.115":             {"GET", n + "/states", nil},
		"port-1.1":                 {"GET", "1.1 /v1/ports/" + portID, nil},
		"port-1.53":                {"GET", "1.53 /v1/ports/" + portID, nil},
		"port-1.115":               {"GET", "/v1/ports/" + portID, nil},
		"ports":                    {"GET", "/v1/ports?limit=1", nil},
		"ports-of-node-detail":     {"GET", n + "/ports?detail=true", nil},
		"traits":                   {"GET", n + "/traits", nil},
		"chassis-1.1":              {"GET", "1.1 /v1/chassis/" + chassisID, nil},
		"chassis-fields":           {"GET", "/v1/chassis/" + chassisID + "?fields=nodes,extra", nil},
		"chassis-list":             {"GET", "/v1/chassis?limit=1", nil},
		"chassis-list-detail":      {"GET", "1.1 /v1/chassis/detail", nil},
		"portgroup-1.23":           {"GET", "1.23 /v1/portgroups/test_portgroup", nil},
		"portgroup-1.115":          {"GET", "/v1/portgroups/" + portgroupID, nil},
		"portgroups":               {"GET", "/v1/portgroups?limit=1", nil},
		"portgroups-of-node":       {"GET", n + "/portgroups/detail?limit=1", nil},
		"volume":                   {"GET", "/v1/volume/", nil},
		"volume-of-node":           {"GET", n + "/volume", nil},
		"connector":                {"GET", "1.32 /v1/volume/connectors/" + connectorID, nil},
		"connectors":               {"GET", "/v1/volume/connectors?limit=1", nil},
		"connectors-of-node":       {"GET", n + "/volume/connectors?detail=True&limit=1", nil},
		"target":                   {"GET", "1.32 /v1/volume/targets/" + targetID, nil},
		"targets":                  {"GET", "/v1/volume/targets?fields=boot_index,properties&limit=1", nil},
		"targets-of-node":          {"GET", n + "/volume/targets", nil},
		"shards":                   {"GET", "/v1/shards", nil},
		"vifs":                     {"GET", n + "/vifs", nil},
		"validate":                 {"GET", n + "/validate", nil},
		"boot-device":              {"GET", n + "/management/boot_device", nil},
		"boot-devices":             {"GET", n + "/management/boot_device/supported", nil},
		"history":                  {"GET", n + "/history?limit=1", nil},
		"history-detail-1.78":      {"GET", "1.78 " + n + "/history?detail=true", nil},
		"history-entry-1.115":      {"GET", n + "/history/" + historyID, nil},
		"allocations-1.52":         {"GET", "1.52 /v1/allocations?limit=1", nil},
		"allocation-1.115":         {"GET", "/v1/allocations/allocation-1", nil},
		"deploy-templates":         {"GET", "/v1/deploy_templates?limit=1", nil},
		"deploy-templates-detail":  {"GET", "/v1/deploy_templates?detail=True", nil},
		"deploy-template":          {"GET", "/v1/deploy_templates/" + templateID, nil},
		"runbooks":                 {"GET", "1.92 /v1/runbooks", nil},
		"runbook-1.92":             {"GET", "1.92 /v1/runbooks/" + runbookID, nil},
		"runbook-1.115":            {"GET", "/v1/runbooks/CUSTOM_AWESOME", nil},
		"runbook-traits":           {"GET", "/v1/runbooks/CUSTOM_AWESOME/traits", nil},
		"history-detail-1.113":     {"GET", "1.113 " + n + "/history?detail=true", nil},
		"inventory":                {"GET", n + "/inventory", nil},
		"inspection-rules":         {"GET", "1.96 /v1/inspection_rules", nil},
		"inspection-rules-detail":  {"GET", "/v1/inspection_rules?detail=true&limit=1", nil},
		"inspection-rule":          {"GET", "/v1/inspection_rules/" + ruleID, nil},
		"children":                 {"GET", n + "/children", nil},
		"drivers-1.1":              {"GET", "1.1 /v1/drivers", nil},
		"driver-1.30":              {"GET", "1.30 /v1/drivers/fake-hardware", nil},
		"driver-1.115":             {"GET", "/v1/drivers/fake-hardware", nil},
		"driver-properties":        {"GET", "/v1/drivers/fake-hardware/properties", nil},
		"bios-1.40":                {"GET", "1.40 " + n + "/bios", nil},
		"bios-1.115":               {"GET", "/v1/nodes/metal-1/bios", nil},
		"bios-detail":              {"GET", n + "/bios?detail=True", nil},
		"bios-fields":              {"GET", n + "/bios?fields=name,read_only", nil},
		"bios-setting-1.73":        {"GET", "1.73 " + n + "/bios/Virtualization", nil},
		"bios-setting-1.115":       {"GET", "/v1/nodes/metal-1/bios/Virtualization", nil},
		"firmware-1.86":            {"GET", "1.86 " + n + "/firmware", nil},
		"firmware-1.115":           {"GET", n + "/firmware", nil},
		"firmware-fields":          {"GET", n + "/firmware?fields=component,current_version", nil},
		"console-off":              {"GET", n + "/states/console", nil},
		"indicators":               {"GET", "/v1/nodes/metal-1/management/indicators", nil},
		"indicator":                {"GET", n + "/management/indicators/led@system", nil},
		"vmedia":                   {"GET", n + "/vmedia", nil},
		"vendor-methods":           {"GET", n + "/vendor_passthru/methods", nil},
		"driver-vendor-methods":    {"GET", "/v1/drivers/ipmi/vendor_passthru/methods", nil},
		"driver-raid":              {"GET", "/v1/drivers/ipmi/raid/logical_disk_properties", nil},
		"conductors":               {"GET", "/v1/conductors", nil},
		"conductor":                {"GET", "/v1/conductors/host-1", nil},
		"lookup-1.22":              {"GET", "1.22 /v1/lookup?addresses=52:54:00:AA:BB:CC,garbage", nil},
		"lookup-1.62":              {"GET", "1.62 /v1/lookup?node_uuid=" + nodeID, nil},
		"continue-inspection-1.1":  {"POST", "- /v1/continue_inspection", inspection},
		"continue-inspection-1.84": {"POST", "1.84 /v1/continue_inspection", inspection},
		"operation":                {"GET", "/ferric/v1/operations/" + opID, nil},
		"operations":               {"GET", "- /ferric/v1/nodes/metal-1/operations", nil},
		"doctor":                   {"GET", "- /ferric/v1/doctor?node=metal-1&hardware=true", nil},
		"error-handler":            {"GET", "/v1/nodes/nobody", nil},
		"error-route":              {"GET", "/v1/nowhere", nil},
		"error-method":             {"PUT", "/v1/nodes/" + nodeID, m{}},
		"error-version":            {"GET", "1.999 /v1/nodes", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.do(c.method, c.path, c.body)
			var b bytes.Buffer
			b.WriteString(c.method + " " + c.path + "\n")
			b.WriteString(string(r.header.Get("Content-Type")))
			for _, h := range []string{"X-Openstack-Ironic-Api-Version", "X-Openstack-Ironic-Api-Minimum-Version",
				"X-Openstack-Ironic-Api-Maximum-Version", "Location", "Etag", "Allow"} {
				if v := r.header.Get(h); v != "" {
					b.WriteString("\n" + h + ": " + v)
				}
			}
			b.WriteString("\n\n")
			var v any
			if err := json.Unmarshal(r.body, &v); err != nil {
				t.Fatalf("%q: %v", r.body, err)
			}
			pretty, _ := json.MarshalIndent(v, "", "  ")
			got := strings.ReplaceAll(b.String()+string(pretty)+"\n", f.server.URL, "http://host")
			if strings.Contains(got, `"secret"`) || strings.Contains(got, "temp-secret") {
				t.Errorf("a secret is shown:\n%s", got)
			}
			file := filepath.Join("testdata", "golden", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", file, diff)
			}
		})
	}
}
