package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/api"
	"ferric/rpc"
	"ferric/state"
)

func TestProvision(t *testing.T) {
	f := newFixture(t)
	step := m{"interface": "deploy", "step": "erase_devices"}
	deployStep := m{"interface": "deploy", "step": "write_image", "args": m{"x": 1}, "priority": 80}
	five, three := 80, 3
	for name, c := range map[string]struct {
		version string
		state   ferric.ProvisionState
		body    m
		status  int
		text    string
		want    *rpc.ProvisionArgs // but for the node
	}{
		"manage":                  {"1.4", ferric.Enroll, m{"target": "manage"}, 202, "", &rpc.ProvisionArgs{Target: "manage"}},
		"provide":                 {"1.4", ferric.Manageable, m{"target": "provide"}, 202, "", &rpc.ProvisionArgs{Target: "provide"}},
		"active":                  {"1.1", ferric.Available, m{"target": "active"}, 202, "", &rpc.ProvisionArgs{Target: "active"}},
		"active, null arguments":  {"1.115", ferric.Available, m{"target": "active", "configdrive": nil, "clean_steps": nil, "rescue_password": nil, "runbook": nil}, 202, "", &rpc.ProvisionArgs{Target: "active"}},
		"drive as URL":            {"1.1", ferric.Available, m{"target": "active", "configdrive": "http://h/drive"}, 202, "", &rpc.ProvisionArgs{Target: "active", ConfigDrive: []byte(`"http://h/drive"`)}},
		"drive as base64":         {"1.1", ferric.Available, m{"target": "active", "configdrive": "H4sI\nAAA="}, 202, "", &rpc.ProvisionArgs{Target: "active", ConfigDrive: []byte(`"H4sI\nAAA="`)}},
		"drive as object":         {"1.56", ferric.Available, m{"target": "active", "configdrive": m{"meta_data": m{"hostname": "h"}, "user_data": "#!"}}, 202, "", &rpc.ProvisionArgs{Target: "active", ConfigDrive: []byte(`{"meta_data":{"hostname":"h"},"user_data":"#!"}`)}},
		"drive with vendor data":  {"1.59", ferric.Available, m{"target": "active", "configdrive": m{"vendor_data": m{}}}, 202, "", &rpc.ProvisionArgs{Target: "active", ConfigDrive: []byte(`{"vendor_data":{}}`)}},
		"rebuild with a drive":    {"1.35", ferric.Active, m{"target": "rebuild", "configdrive": "http://h/drive"}, 202, "", &rpc.ProvisionArgs{Target: "rebuild", ConfigDrive: []byte(`"http://h/drive"`)}},
		"deploy steps":            {"1.69", ferric.Available, m{"target": "active", "deploy_steps": []m{deployStep}}, 202, "", &rpc.ProvisionArgs{Target: "active", Steps: []rpc.StepArgs{{Interface: "deploy", Step: "write_image", Args: map[string]any{"x": 1.0}, Priority: &five}}}},
		"clean":                   {"1.15", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}}, 202, "", &rpc.ProvisionArgs{Target: "clean", Steps: []rpc.StepArgs{{Interface: "deploy", Step: "erase_devices"}}}},
		"clean without ramdisk":   {"1.70", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}, "disable_ramdisk": true}, 202, "", &rpc.ProvisionArgs{Target: "clean", DisableRamdisk: true, Steps: []rpc.StepArgs{{Interface: "deploy", Step: "erase_devices"}}}},
		"service":                 {"1.87", ferric.Active, m{"target": "service", "service_steps": []m{step}}, 202, "", &rpc.ProvisionArgs{Target: "service", Steps: []rpc.StepArgs{{Interface: "deploy", Step: "erase_devices"}}}},
		"rescue":                  {"1.38", ferric.Active, m{"target": "rescue", "rescue_password": "pw"}, 202, "", &rpc.ProvisionArgs{Target: "rescue", RescuePassword: "pw"}},
		"undeploy":                {"1.73", ferric.Active, m{"target": "undeploy"}, 202, "", &rpc.ProvisionArgs{Target: "undeploy"}},
		"deleted":                 {"1.1", ferric.Active, m{"target": "deleted"}, 202, "", &rpc.ProvisionArgs{Target: "deleted"}},
		"abort":                   {"1.13", ferric.CleanWait, m{"target": "abort"}, 202, "", &rpc.ProvisionArgs{Target: "abort"}},
		"abort of inspection":     {"1.41", ferric.InspectWait, m{"target": "abort"}, 202, "", &rpc.ProvisionArgs{Target: "abort"}},
		"abort of a deploy":       {"1.110", ferric.DeployWait, m{"target": "abort"}, 202, "", &rpc.ProvisionArgs{Target: "abort"}},
		"unhold":                  {"1.85", ferric.CleanHold, m{"target": "unhold"}, 202, "", &rpc.ProvisionArgs{Target: "unhold"}},
		"manage too early":        {"1.3", ferric.Enroll, m{"target": "manage"}, 406, "Request not acceptable.", nil},
		"deploy too early":        {"1.72", ferric.Available, m{"target": "deploy"}, 406, "", nil},
		"rescue too early":        {"1.37", ferric.Active, m{"target": "rescue", "rescue_password": "x"}, 406, "", nil},
		"unhold too early":        {"1.84", ferric.CleanHold, m{"target": "unhold"}, 406, "", nil},
		"service too early":       {"1.86", ferric.Active, m{"target": "service", "service_steps": []m{step}}, 406, "", nil},
		"abort inspection early":  {"1.40", ferric.InspectWait, m{"target": "abort"}, 406, "", nil},
		"abort deploy early":      {"1.109", ferric.DeployWait, m{"target": "abort"}, 406, "", nil},
		"deploy steps early":      {"1.68", ferric.Available, m{"target": "active", "deploy_steps": []m{deployStep}}, 406, "should be 1.69", nil},
		"no ramdisk, early":       {"1.69", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}, "disable_ramdisk": true}, 406, "disable_ramdisk is not acceptable in this API version", nil},
		"runbook early":           {"1.91", ferric.Manageable, m{"target": "clean", "runbook": "r"}, 406, "", nil},
		"no such runbook":         {"1.92", ferric.Manageable, m{"target": "clean", "runbook": "r"}, 404, "Runbook r could not be found.", nil},
		"no ramdisk for a deploy": {"1.115", ferric.Available, m{"target": "active", "disable_ramdisk": true}, 400, "disable_ramdisk is supported only with manual cleaning or servicing", nil},
		"drive for clean":         {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}, "configdrive": "http://h"}, 400, "Adding a config drive is only supported when setting provision state to active, rebuild", nil},
		"drive for rebuild early": {"1.34", ferric.Active, m{"target": "rebuild", "configdrive": "http://h"}, 400, "only supported when setting provision state to active", nil},
		"drive object early":      {"1.55", ferric.Available, m{"target": "active", "configdrive": m{"meta_data": m{}}}, 400, "starting with API version 1.56", nil},
		"drive vendor early":      {"1.58", ferric.Available, m{"target": "active", "configdrive": m{"vendor_data": m{}}}, 400, "starting with API version 1.59", nil},
		"drive, unknown part":     {"1.115", ferric.Available, m{"target": "active", "configdrive": m{"x": 1}}, 400, "Invalid configdrive format: Additional properties are not allowed ('x' was unexpected)", nil},
		"drive, wrong part":       {"1.115", ferric.Available, m{"target": "active", "configdrive": m{"meta_data": 1}}, 400, "meta_data must be an object", nil},
		"drive, garbage":          {"1.115", ferric.Available, m{"target": "active", "configdrive": "{not JSON}"}, 400, "it is neither a JSON, nor a URL, nor a base64 string", nil},
		"drive, number":           {"1.115", ferric.Available, m{"target": "active", "configdrive": 5}, 400, "configdrive", nil},
		"clean without steps":     {"1.115", ferric.Manageable, m{"target": "clean"}, 400, `"clean_steps" is required when setting target provision state to clean`, nil},
		"service without steps":   {"1.115", ferric.Active, m{"target": "service"}, 400, `"service_steps" is required`, nil},
		"clean steps for provide": {"1.115", ferric.Manageable, m{"target": "provide", "clean_steps": []m{step}}, 400, `"clean_steps" is only valid when setting target provision state to clean`, nil},
		"steps, no list":          {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": "x"}, 400, "clean_steps", nil},
		"step without name":       {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy"}}}, 400, "Invalid clean_steps: step 1: 'step' is a required property", nil},
		"step of no interface":    {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step, {"interface": "x", "step": "y"}}}, 400, "step 2: interface 'x' is not one of bios, deploy", nil},
		"step with an extra":      {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy", "step": "y", "z": 1}}}, 400, "('z' was unexpected)", nil},
		"deploy step, no args":    {"1.115", ferric.Available, m{"target": "active", "deploy_steps": []m{{"interface": "deploy", "step": "x", "priority": 1}}}, 400, "'args' is a required property", nil},
		"deploy step, priority":   {"1.115", ferric.Available, m{"target": "active", "deploy_steps": []m{{"interface": "deploy", "step": "x", "args": m{}, "priority": -1}}}, 400, "priority must be", nil},
		"rescue without password": {"1.115", ferric.Active, m{"target": "rescue"}, 400, `A non-empty "rescue_password" is required`, nil},
		"rescue with blanks":      {"1.115", ferric.Active, m{"target": "rescue", "rescue_password": "  "}, 400, `A non-empty "rescue_password" is required`, nil},
		"password for manage":     {"1.115", ferric.Enroll, m{"target": "manage", "rescue_password": "x"}, 400, `"rescue_password" is only valid`, nil},
		"deploy with a drive":     {"1.115", ferric.Available, m{"target": "deploy", "configdrive": "http://h"}, 400, "only supported when setting provision state to active, rebuild", nil},
		"deploy with steps":       {"1.115", ferric.Available, m{"target": "deploy", "deploy_steps": []m{deployStep}}, 400, `"deploy_steps" is only valid when setting target provision state to active or rebuild`, nil},
		"deploy steps for clean":  {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}, "deploy_steps": []m{deployStep}}, 400, `"deploy_steps" is only valid`, nil},
		"service steps for clean": {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}, "service_steps": []m{step}}, 400, `"service_steps" is only valid when setting target provision state to service`, nil},
		"empty password":          {"1.115", ferric.Manageable, m{"target": "provide", "rescue_password": ""}, 400, `"rescue_password" is only valid`, nil},
		"password, no text":       {"1.115", ferric.Active, m{"target": "rescue", "rescue_password": 5}, 400, "Expected string for rescue_password", nil},
		"ramdisk, no truth":       {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{step}, "disable_ramdisk": "maybe"}, 400, "Invalid disable_ramdisk: Unrecognized value 'maybe'", nil},
		"no ramdisk for service":  {"1.108", ferric.Active, m{"target": "service", "service_steps": []m{step}, "disable_ramdisk": true}, 202, "", &rpc.ProvisionArgs{Target: "service", DisableRamdisk: true, Steps: []rpc.StepArgs{{Interface: "deploy", Step: "erase_devices"}}}},
		"the same, early":         {"1.107", ferric.Active, m{"target": "service", "service_steps": []m{step}, "disable_ramdisk": true}, 406, "disable_ramdisk is not acceptable in this API version", nil},
		"unhold, early and wrong": {"1.84", ferric.Active, m{"target": "unhold"}, 400, "can not be performed", nil},
		"ordered step":            {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy", "step": "x", "order": "3", "args": m{}}}}, 202, "", &rpc.ProvisionArgs{Target: "clean", Steps: []rpc.StepArgs{{Interface: "deploy", Step: "x", Order: &three, Args: m{}}}}},
		"order of a half":         {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy", "step": "x", "order": 1.5}}}, 400, "order must be an integer", nil},
		"order that is true":      {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy", "step": "x", "order": true}}}, 400, "order must be an integer", nil},
		"priority as text":        {"1.69", ferric.Available, m{"target": "active", "deploy_steps": []m{{"interface": "deploy", "step": "x", "args": m{}, "priority": "80"}}}, 202, "", &rpc.ProvisionArgs{Target: "active", Steps: []rpc.StepArgs{{Interface: "deploy", Step: "x", Args: m{}, Priority: &five}}}},
		"step, no name":           {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy", "step": ""}}}, 400, "step must be a name", nil},
		"step, args no object":    {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []m{{"interface": "deploy", "step": "x", "args": 1}}}, 400, "args must be an object", nil},
		"step, no object":         {"1.115", ferric.Manageable, m{"target": "clean", "clean_steps": []any{"x"}}, 400, "is not of type 'object'", nil},
		"on children":             {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": true}}}, 202, "", &rpc.ProvisionArgs{Target: "service", Steps: []rpc.StepArgs{{Interface: "power", Step: "reboot", OnChildren: true}}}},
		"on one child":            {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": true, "limit_child_node_execution": []string{nodeID}}}}, 202, "", &rpc.ProvisionArgs{Target: "service", Steps: []rpc.StepArgs{{Interface: "power", Step: "reboot", OnChildren: true, Children: []string{nodeID}}}}},
		"limited, on none":        {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": false, "limit_child_node_execution": []string{"x"}}}}, 202, "", &rpc.ProvisionArgs{Target: "service", Steps: []rpc.StepArgs{{Interface: "power", Step: "reboot"}}}},
		"child, no UUID":          {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": true, "limit_child_node_execution": []any{"x"}}}}, 400, "Invalid entry detected for execute_on_child_node", nil},
		"child, a number":         {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": true, "limit_child_node_execution": []any{5}}}}, 400, "Invalid entry detected for execute_on_child_node", nil},
		"child, not there":        {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": true, "limit_child_node_execution": []any{"6d2f4a94-8f0e-4d7c-a5c8-999999999999"}}}}, 404, "could not be found", nil},
		"children, no truth":      {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": "yes"}}}, 400, "'yes' is not of type 'boolean'", nil},
		"children, no list":       {"1.115", ferric.Active, m{"target": "service", "service_steps": []m{{"interface": "power", "step": "reboot", "execute_on_child_nodes": true, "limit_child_node_execution": "x"}}}, 400, "'x' is not of type 'array'", nil},
		"children for a deploy":   {"1.115", ferric.Available, m{"target": "active", "deploy_steps": []m{{"interface": "deploy", "step": "x", "args": m{}, "priority": 1, "execute_on_child_nodes": true}}}, 400, "('execute_on_child_nodes' was unexpected)", nil},
		"no such verb":            {"1.115", ferric.Active, m{"target": "launch"}, 400, `The requested action "launch" can not be performed`, nil},
		"no target":               {"1.115", ferric.Active, m{}, 400, "Missing mandatory parameter: target", nil},
		"wrong state":             {"1.115", ferric.Active, m{"target": "provide"}, 400, `can not be performed on node "` + nodeID + `" while it is in state "active". Allowed there: rebuild, deleted, undeploy, rescue, service.`, nil},
		"manage while cleaning":   {"1.115", ferric.Cleaning, m{"target": "manage"}, 409, "is locked by host", nil},
		"clean while deleting":    {"1.115", ferric.Deleting, m{"target": "clean", "clean_steps": []m{step}}, 409, "is locked by host", nil},
		"in transition":           {"1.115", ferric.Cleaning, m{"target": "provide"}, 409, "is locked by host", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			n := &ferric.Node{UUID: nodeID, Driver: "ipmi", ProvisionState: c.state}
			if err := f.store.CreateNode(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			defer f.forget(nodeID)
			var got *rpc.ProvisionArgs
			f.conductor.on(rpc.Provision, func(req any) (any, error) { a := req.(rpc.ProvisionArgs); got = &a; return nil, nil })
			r := f.must(c.status, "PUT", c.version+" /v1/nodes/"+nodeID+"/states/provision", c.body)
			if c.want != nil {
				c.want.NodeRef = rpc.NodeRef{UUID: nodeID, Caller: administrator()}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("conductor told (-want +got):\n%s", diff)
				}
				return
			}
			if got != nil {
				t.Errorf("the conductor was told %+v", got)
			}
			if !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q, want %q in it", r.text(t), c.text)
			}
		})
	}
}

// TestVerbsInAllStates compares the API's answer to every verb in every state with the state machine.
func TestVerbsInAllStates(t *testing.T) {
	f := newFixture(t)
	machine := state.New()
	f.conductor.on(rpc.Provision, func(any) (any, error) { return nil, nil })
	steps := []m{{"interface": "deploy", "step": "x"}}
	for target, args := range map[string]m{"active": {}, "deploy": {}, "rebuild": {}, "deleted": {}, "undeploy": {}, "manage": {}, "provide": {}, "inspect": {}, "abort": {},
		"clean": {"clean_steps": steps}, "adopt": {}, "rescue": {"rescue_password": "pw"}, "unrescue": {}, "unhold": {}, "service": {"service_steps": steps}} {
		event, ok := state.EventFor(target)
		if !ok {
			t.Fatalf("no event for %s", target)
		}
		args["target"] = target
		for _, s := range state.All() {
			want, text := 400, `The requested action "`+target+`" can not be performed on node "`+nodeID+`" while it is in state "`+string(s)+`".`
			switch {
			case state.Transient(s) && !state.Waiting(s):
				want, text = 409, "Node "+nodeID+" is locked by host host-7"
			case machine.Can(s, event):
				want, text = 202, ""
			}
			if err := f.store.CreateNode(t.Context(), &ferric.Node{UUID: nodeID, Driver: "ipmi", ProvisionState: s, Conductor: "host-7"}); err != nil {
				t.Fatal(err)
			}
			r := f.do("PUT", "1.115 /v1/nodes/"+nodeID+"/states/provision", args)
			if r.status != want || want != 202 && !strings.HasPrefix(r.text(t), text) {
				t.Errorf("%s in %q: %d %s, want %d", target, s, r.status, r.body, want)
			}
			if want == 202 && (len(r.body) > 0 || !strings.HasSuffix(r.header.Get("Location"), "/v1/nodes/"+nodeID+"/states")) {
				t.Errorf("%s in %q: body %q, location %q", target, s, r.body, r.header.Get("Location"))
			}
			f.forget(nodeID)
		}
	}
}

// TestVerbsAndVersions tries every verb at the version in which it came, and at the one before.
func TestVerbsAndVersions(t *testing.T) {
	f := newFixture(t)
	f.conductor.on(rpc.Provision, func(any) (any, error) { return nil, nil })
	steps := []m{{"interface": "deploy", "step": "x"}}
	for target, c := range map[string]struct {
		since int
		state ferric.ProvisionState
		args  m
	}{
		"active": {1, ferric.Available, m{}}, "rebuild": {1, ferric.Active, m{}}, "deleted": {1, ferric.Active, m{}}, "manage": {4, ferric.Enroll, m{}},
		"provide": {4, ferric.Manageable, m{}}, "inspect": {6, ferric.Manageable, m{}}, "abort": {13, ferric.CleanWait, m{}},
		"clean": {15, ferric.Manageable, m{"clean_steps": steps}}, "adopt": {17, ferric.Manageable, m{}}, "rescue": {38, ferric.Active, m{"rescue_password": "x"}},
		"unrescue": {38, ferric.Rescue, m{}}, "deploy": {73, ferric.Available, m{}}, "undeploy": {73, ferric.Active, m{}}, "unhold": {85, ferric.DeployHold, m{}},
		"service": {87, ferric.Active, m{"service_steps": steps}},
	} {
		c.args["target"] = target
		if err := f.store.CreateNode(t.Context(), &ferric.Node{UUID: nodeID, Driver: "ipmi", ProvisionState: c.state}); err != nil {
			t.Fatal(err)
		}
		f.must(202, "PUT", fmt.Sprintf("1.%d /v1/nodes/%s/states/provision", c.since, nodeID), c.args)
		if c.since > 1 {
			f.must(406, "PUT", fmt.Sprintf("1.%d /v1/nodes/%s/states/provision", c.since-1, nodeID), c.args)
		}
		f.forget(nodeID)
	}
}

// TestProvisionLocked: a node that somebody works on is locked rather than in the wrong state.
func TestProvisionLocked(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	if _, err := f.store.Acquire(t.Context(), id, "host-9", time.Hour); err != nil {
		t.Fatal(err)
	}
	r := f.must(409, "PUT", "/v1/nodes/"+id+"/states/provision", m{"target": "active"})
	want := "Node " + id + " is locked by host host-9, please retry after the current operation is completed."
	if r.text(t) != want || r.header.Get("Retry-After") == "" {
		t.Errorf("%s %v", r.body, r.header)
	}
	if got := f.must(200, "GET", "/v1/nodes/"+id, nil).object(t)["reservation"]; got != "host-9" {
		t.Errorf("reservation %v", got)
	}
	f.must(202, "PUT", "/v1/nodes/"+id+"/maintenance", m{"reason": "why"})
	got := f.must(200, "GET", "/v1/nodes/"+id, nil).object(t)
	if got["maintenance"] != true || got["maintenance_reason"] != "why" {
		t.Errorf("%v %v", got["maintenance"], got["maintenance_reason"])
	}
}

func TestProvisionInMaintenance(t *testing.T) {
	f := newFixture(t)
	id := f.node(m{"maintenance": true})
	f.change(id, func(n *ferric.Node) { n.ProvisionState = ferric.Available })
	r := f.must(400, "PUT", "/v1/nodes/"+id+"/states/provision", m{"target": "active"})
	if want := "The provisioning operation can't be performed on node " + id + " because it's in maintenance mode."; r.text(t) != want {
		t.Errorf("%s", r.body)
	}
}

func TestPower(t *testing.T) {
	f := newFixture(t)
	id := f.node(m{"name": "one"})
	var got rpc.PowerArgs
	f.conductor.on(rpc.ChangePower, func(req any) (any, error) { got = req.(rpc.PowerArgs); return nil, nil })
	for _, target := range []ferric.PowerState{ferric.PowerOn, ferric.PowerOff, ferric.Reboot, ferric.SoftReboot, ferric.SoftPowerOff} {
		f.must(202, "PUT", "/v1/nodes/one/states/power", m{"target": target, "timeout": 30})
		if want := (rpc.PowerArgs{NodeRef: rpc.NodeRef{UUID: id, Caller: administrator()}, Target: target, Timeout: 30 * time.Second}); got != want {
			t.Errorf("conductor told %+v, want %+v", got, want)
		}
	}
	f.must(202, "PUT", "1.26 /v1/nodes/one/states/power", m{"target": "rebooting"})
}

// busyStore shows nodes as worked on until they have been read a few times.
type busyStore struct {
	api.Store
	reads, busy int
}

func (s *busyStore) NodeByIdent(ctx context.Context, ident string) (*ferric.Node, error) {
	n, err := s.Store.NodeByIdent(ctx, ident)
	if s.reads++; err == nil && s.reads <= s.busy {
		n.Reservation, n.ProvisionState, n.TargetProvisionState = "host-9", ferric.Verifying, ferric.Manageable
	}
	return n, err
}

// TestProvisionWaits: a request waits a short time for a node that somebody works on.
func TestProvisionWaits(t *testing.T) {
	for name, c := range map[string]struct {
		target              string
		busy, status, reads int
	}{
		"it becomes free":      {"manage", 3, 202, 4},
		"it does not":          {"manage", 10, 409, 4},
		"it is free":           {"manage", 0, 202, 1},
		"not in any state now": {"active", 2, 400, 3},
	} {
		t.Run(name, func(t *testing.T) {
			busy := &busyStore{}
			f := newFixture(t, func(config *api.Config, deps *api.Deps) {
				config.LockedTries, config.LockedInterval = 3, time.Millisecond
				busy.Store, deps.Store = deps.Store, busy
			})
			id := f.node(nil)
			busy.reads, busy.busy = 0, c.busy
			f.must(c.status, "PUT", "/v1/nodes/"+id+"/states/provision", m{"target": c.target})
			if busy.reads != c.reads {
				t.Errorf("the node was read %d times, want %d", busy.reads, c.reads)
			}
		})
	}
}

// TestStepsHideSecrets shows the step under way without the passwords among its arguments.
func TestStepsHideSecrets(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	step := func(name string) map[string]any {
		return map[string]any{"interface": "bios", "step": name, "args": map[string]any{"password": "hunter2", "settings": []any{map[string]any{"name": "a"}}}}
	}
	f.change(id, func(n *ferric.Node) {
		n.CleanStep, n.DeployStep, n.ServiceStep = step("c"), step("d"), step("s")
		n.InstanceInfo = map[string]any{"hashed_rescue_password": "$5$x$y"}
	})
	r := f.must(200, "GET", "1.115 /v1/nodes/"+id, nil)
	for _, secret := range []string{"hunter2", "$5$"} {
		if strings.Contains(string(r.body), secret) {
			t.Errorf("%s is shown: %s", secret, r.body)
		}
	}
	for field, name := range map[string]string{"clean_step": "c", "deploy_step": "d", "service_step": "s"} {
		got, _ := r.object(t)[field].(map[string]any)
		if got["step"] != name || got["args"].(map[string]any)["password"] != "******" {
			t.Errorf("%s is %v", field, got)
		}
	}
}
