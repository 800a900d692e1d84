package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"ferric"
)

// stockClient is Debian's python3-openstackclient with python3-ironicclient.
type stockClient struct {
	t    *testing.T
	base []string
	in   io.Writer
	out  *bufio.Scanner
}

func newStockClient(t *testing.T, endpoint string) *stockClient {
	t.Helper()
	check := exec.Command("/usr/bin/python3", "-c", "import openstackclient, ironicclient")
	if out, err := check.CombinedOutput(); err != nil {
		t.Skipf("THE STOCK CLIENT IS NOT TESTED: python3-openstackclient and python3-ironicclient are not installed: %s", out)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "testdata/stockclient.py")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PYTHONWARNINGS=ignore", "HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	c := &stockClient{t: t, in: in, out: bufio.NewScanner(out), base: []string{"--os-auth-type", "none", "--os-endpoint", endpoint}}
	c.out.Buffer(nil, 16<<20)
	return c
}

// run runs one command line and returns its exit code and output.
func (c *stockClient) run(args ...string) (code any, out, errOut string) {
	c.t.Helper()
	line, _ := json.Marshal(append(append([]string{}, c.base...), args...))
	if _, err := fmt.Fprintf(c.in, "%s\n", line); err != nil {
		c.t.Fatal(err)
	}
	if !c.out.Scan() {
		c.t.Fatalf("openstack %v: no answer: %v", args, c.out.Err())
	}
	var r struct {
		Code     any
		Out, Err string
	}
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
		c.t.Fatalf("openstack %v: %q", args, c.out.Bytes())
	}
	return r.Code, r.Out, r.Err
}

// ok runs "openstack baremetal …", which must succeed.
func (c *stockClient) ok(args ...string) string {
	c.t.Helper()
	code, out, errOut := c.run(append([]string{"baremetal"}, args...)...)
	if code != 0.0 {
		c.t.Fatalf("openstack baremetal %s: code %v\n%s%s", strings.Join(args, " "), code, out, errOut)
	}
	return out
}

// object is ok for a command that shows an object.
func (c *stockClient) object(args ...string) m {
	c.t.Helper()
	var got m
	if out := c.ok(append(args, "-f", "json")...); json.Unmarshal([]byte(out), &got) != nil {
		c.t.Fatalf("openstack baremetal %s: %s", strings.Join(args, " "), out)
	}
	return got
}

// list is ok for a command that lists.
func (c *stockClient) list(args ...string) []m {
	c.t.Helper()
	var got []m
	if out := c.ok(append(args, "-f", "json")...); json.Unmarshal([]byte(out), &got) != nil {
		c.t.Fatalf("openstack baremetal %s: %s", strings.Join(args, " "), out)
	}
	return got
}

// fails runs a command that must fail with the text.
func (c *stockClient) fails(text string, args ...string) {
	c.t.Helper()
	code, out, errOut := c.run(append([]string{"baremetal"}, args...)...)
	if code == 0.0 || !strings.Contains(out+errOut, text) {
		c.t.Errorf("openstack baremetal %s: code %v, want a failure with %q in\n%s%s", strings.Join(args, " "), code, text, out, errOut)
	}
}

// groups drives what nodes are grouped by and what belongs to them.
func (c *stockClient) groups(node string) {
	c.t.Helper()
	chassis := c.object("chassis", "create", "--description", "rack 1", "--extra", "a=b")["uuid"].(string)
	c.ok("chassis", "set", chassis, "--description", "rack 2", "--extra", "c=d")
	c.ok("chassis", "unset", chassis, "--extra", "a")
	if got := c.object("chassis", "show", chassis); got["description"] != "rack 2" || fmt.Sprint(got["extra"]) != "map[c:d]" {
		c.t.Errorf("chassis show: %v", got)
	}
	c.ok("node", "set", node, "--chassis-uuid", chassis)
	if got := c.list("node", "list", "--chassis", chassis); len(got) != 1 {
		c.t.Errorf("node list --chassis: %v", got)
	}
	c.fails("contains nodes", "chassis", "delete", chassis)
	c.ok("node", "unset", node, "--chassis-uuid")
	if got := c.list("chassis", "list", "--long"); len(got) != 1 {
		c.t.Errorf("chassis list: %v", got)
	}
	c.ok("chassis", "delete", chassis)

	group := c.object("port", "group", "create", "--node", node, "--name", "bond0", "--address", "52:54:00:AA:BB:10", "--mode", "802.3ad",
		"--property", "miimon=100", "--unsupport-standalone-ports")
	if group["mode"] != "802.3ad" || group["standalone_ports_supported"] != false || group["address"] != "52:54:00:aa:bb:10" {
		c.t.Errorf("port group create: %v", group)
	}
	port := c.object("port", "create", "52:54:00:aa:bb:11", "--node", node, "--port-group", group["uuid"].(string), "--pxe-enabled", "False")
	if port["portgroup_uuid"] != group["uuid"] {
		c.t.Errorf("port create: %v", port)
	}
	c.fails("doesn't support standalone ports", "port", "create", "52:54:00:aa:bb:12", "--node", node, "--port-group", group["uuid"].(string),
		"--pxe-enabled", "True")
	c.ok("port", "group", "set", "bond0", "--support-standalone-ports", "--property", "x=y", "--name", "bond1")
	c.ok("port", "group", "unset", "bond1", "--property", "miimon", "--address")
	if got := c.object("port", "group", "show", "bond1"); got["address"] != nil || fmt.Sprint(got["properties"]) != "map[x:y]" {
		c.t.Errorf("port group show: %v", got)
	}
	if got := c.list("port", "group", "list", "--node", node); len(got) != 1 || got[0]["Name"] != "bond1" {
		c.t.Errorf("port group list: %v", got)
	}
	if got := c.list("port", "list", "--port-group", "bond1"); len(got) != 1 {
		c.t.Errorf("port list --port-group: %v", got)
	}
	c.fails("contains ports", "port", "group", "delete", "bond1")
	c.ok("port", "delete", port["uuid"].(string))
	c.ok("port", "group", "delete", "bond1")

	connector := c.object("volume", "connector", "create", "--node", node, "--type", "iqn", "--connector-id", "iqn.1")["uuid"].(string)
	c.fails("already exists", "volume", "connector", "create", "--node", node, "--type", "iqn", "--connector-id", "iqn.1")
	c.ok("volume", "connector", "set", connector, "--connector-id", "iqn.2", "--extra", "a=b")
	c.ok("volume", "connector", "unset", connector, "--extra", "a")
	if got := c.list("volume", "connector", "list", "--node", node); len(got) != 1 || got[0]["Connector ID"] != "iqn.2" {
		c.t.Errorf("volume connector list: %v", got)
	}
	c.ok("volume", "connector", "delete", connector)
	target := c.object("volume", "target", "create", "--node", node, "--type", "iscsi", "--volume-id", "v1", "--boot-index", "0",
		"--property", "auth_password=pw")["uuid"].(string)
	c.ok("volume", "target", "set", target, "--boot-index", "1", "--property", "lun=0")
	if got := c.object("volume", "target", "show", target); got["boot_index"] != 1.0 || fmt.Sprint(got["properties"]) != "map[auth_password:****** lun:0]" {
		c.t.Errorf("volume target show: %v", got)
	}
	c.ok("volume", "target", "delete", target)
}

// TestStockClient drives Ferric with the client that operators have.
func TestStockClient(t *testing.T) {
	t.Parallel() // it waits for the client a lot
	f := newFixture(t)
	c := newStockClient(t, f.server.URL)

	node := c.object("node", "create", "--driver", "fake-hardware", "--name", "metal-1", "--driver-info", "ipmi_password=pw",
		"--property", "cpus=4", "--resource-class", "big", "--network-data", `{"links": [], "networks": [], "services": []}`, "--extra", "a=b")
	id := node["uuid"].(string)
	for k, want := range (m{"name": "metal-1", "driver": "fake-hardware", "provision_state": "enroll", "resource_class": "big", "maintenance": false,
		"power_state": nil, "created_at": "2026-11-22T10:11:12+00:00"}) {
		if node[k] != want {
			t.Errorf("created: %s is %v, want %v", k, node[k], want)
		}
	}
	c.fails("A node with name metal-1 already exists.", "node", "create", "--driver", "fake-hardware", "--name", "metal-1")
	c.ok("node", "create", "--driver", "ipmi", "--name", "metal-2")

	if got := c.list("node", "list"); len(got) != 2 || got[0]["Name"] == nil || got[0]["Provisioning State"] != "enroll" {
		t.Errorf("node list: %v", got)
	}
	if got := c.list("node", "list", "--driver", "ipmi", "--fields", "name", "uuid"); len(got) != 1 || got[0]["Name"] != "metal-2" {
		t.Errorf("node list --driver: %v", got)
	}
	if got := c.list("node", "list", "--long", "--sort", "name:desc"); len(got) != 2 || got[0]["Name"] != "metal-2" || got[1]["Resource Class"] != "big" {
		t.Errorf("node list --long: %v", got)
	}
	if got := c.list("node", "list", "--limit", "1"); len(got) != 1 {
		t.Errorf("node list --limit 1: %v", got)
	}
	if got := c.list("node", "list", "--maintenance"); len(got) != 0 {
		t.Errorf("node list --maintenance: %v", got)
	}
	if got := c.object("node", "show", "metal-1"); got["uuid"] != id || got["driver_info"].(m)["ipmi_password"] != "******" {
		t.Errorf("node show: %v", got)
	}
	if got := c.object("node", "show", id, "--fields", "name", "extra"); got["name"] != "metal-1" || len(got) != 2 {
		t.Errorf("node show --fields: %v", got)
	}
	c.fails("Node nobody could not be found.", "node", "show", "nobody")

	c.ok("node", "set", "metal-1", "--property", "memory_mb=4096", "--name", "metal-one", "--driver-info", "ipmi_address=192.0.2.1",
		"--instance-info", "image_source=http://192.0.2.2/i", "--deploy-interface", "direct", "--lessee", "p2")
	c.ok("node", "set", "metal-one", "--owner", "p1", "--description", "A machine")
	if got := c.object("node", "show", "metal-one"); got["owner"] != "p1" || got["description"] != "A machine" {
		t.Errorf("after set: %v", got)
	}
	c.ok("node", "unset", "metal-one", "--extra", "a", "--resource-class", "--owner")
	got := c.object("node", "show", "metal-one")
	if got["extra"] == nil || len(got["extra"].(m)) != 0 || got["resource_class"] != nil || got["owner"] != nil || got["lessee"] != "p2" ||
		got["deploy_interface"] != "direct" || fmt.Sprint(got["properties"]) != "map[cpus:4 memory_mb:4096]" {
		t.Errorf("after set and unset: %v", got)
	}
	c.fails("Schema error for patch", "node", "set", "metal-one", "--description", strings.Repeat("x", 5000))

	port := c.object("port", "create", "52:54:00:AA:BB:CC", "--node", id, "--physical-network", "p", "--local-link-connection", "switch_id=0a:1b:2c:3d:4e:5f",
		"--local-link-connection", "port_id=e1")
	if port["address"] != "52:54:00:aa:bb:cc" || port["node_uuid"] != id || port["pxe_enabled"] != true {
		t.Errorf("port create: %v", port)
	}
	c.fails("A port with MAC address 52:54:00:aa:bb:cc already exists.", "port", "create", "52:54:00:aa:bb:cc", "--node", id)
	if got := c.list("port", "list", "--node", "metal-one"); len(got) != 1 || got[0]["Address"] != "52:54:00:aa:bb:cc" {
		t.Errorf("port list: %v", got)
	}
	c.ok("port", "set", port["uuid"].(string), "--pxe-disabled", "--extra", "x=y")
	c.ok("port", "unset", port["uuid"].(string), "--physical-network")
	if got := c.object("port", "show", port["uuid"].(string)); got["pxe_enabled"] != false || got["physical_network"] != nil {
		t.Errorf("port show: %v", got)
	}
	if got := c.object("port", "show", "--address", "52:54:00:aa:bb:cc"); got["uuid"] != port["uuid"] {
		t.Errorf("port show --address: %v", got)
	}

	c.groups(id)
	if got := c.list("node", "validate", "metal-one"); len(got) != 2 {
		t.Errorf("node validate: %v", got)
	}
	c.ok("node", "maintenance", "set", "metal-one", "--reason", "cabling")
	if got := c.object("node", "show", "metal-one"); got["maintenance"] != true || got["maintenance_reason"] != "cabling" {
		t.Errorf("in maintenance: %v", got)
	}
	c.ok("node", "maintenance", "unset", "metal-one")
	c.ok("node", "power", "on", "metal-one")
	c.ok("node", "power", "off", "metal-one", "--soft", "--power-timeout", "10")
	c.ok("node", "reboot", "metal-one")
	if got := c.object("node", "show", "metal-one"); got["power_state"] != "power on" || got["maintenance"] != false {
		t.Errorf("after power and maintenance: %v", got)
	}
	c.ok("node", "boot", "device", "set", "metal-one", "pxe", "--persistent")
	if got := c.object("node", "boot", "device", "show", "metal-one"); got["boot_device"] != "pxe" || got["persistent"] != true {
		t.Errorf("boot device: %v", got)
	}
	if got := c.object("node", "boot", "device", "show", "metal-one", "--supported"); !strings.Contains(fmt.Sprint(got), "disk") {
		t.Errorf("boot devices: %v", got)
	}
	c.ok("node", "inject", "nmi", "metal-one")

	c.ok("node", "add", "trait", "metal-one", "CUSTOM_A", "HW_CPU_X86_VMX")
	c.ok("node", "remove", "trait", "metal-one", "CUSTOM_A")
	if got := c.list("node", "trait", "list", "metal-one"); len(got) != 1 || got[0]["Traits"] != "HW_CPU_X86_VMX" {
		t.Errorf("traits: %v", got)
	}
	c.ok("node", "vif", "attach", "metal-one", "1974dcfa-836f-41b2-b541-686c100900e5")
	if got := c.list("node", "vif", "list", "metal-one"); len(got) != 1 {
		t.Errorf("vifs: %v", got)
	}
	c.ok("node", "vif", "detach", "metal-one", "1974dcfa-836f-41b2-b541-686c100900e5")

	// The verbs, each waited for.
	for _, step := range []struct {
		want string
		args []string
	}{{"manageable", []string{"manage"}}, {"manageable", []string{"inspect"}}, {"available", []string{"provide"}},
		{"active", []string{"deploy", "--config-drive", `{"meta_data": {"hostname": "h"}}`}}, {"available", []string{"undeploy"}}} {
		c.ok(append(append([]string{"node"}, step.args[0], "metal-one", "--wait", "30"), step.args[1:]...)...)
		if got := c.object("node", "show", "metal-one")["provision_state"]; got != step.want {
			t.Fatalf("after %s: %v, want %s", step.args[0], got, step.want)
		}
	}
	c.fails("can not be performed on node", "node", "rescue", "metal-one", "--rescue-password", "x")
	history := c.list("node", "history", "list", "metal-one")
	if len(history) != 5 || history[3]["Description of the event"] != "did active" {
		t.Errorf("history: %v", history)
	}
	entry := c.object("node", "history", "get", "metal-one", history[0]["UUID"].(string))
	if entry["event_type"] != "provisioning" || entry["conductor"] != "host-1" {
		t.Errorf("history get: %v", entry)
	}
	if err := f.store.SetInventory(t.Context(), &ferric.Inventory{NodeUUID: id, Inventory: json.RawMessage(`{"cpu":{}}`)}); err != nil {
		t.Fatal(err)
	}

	if got := c.list("driver", "list"); len(got) != 2 || got[0]["Supported driver(s)"] != "fake-hardware" {
		t.Errorf("driver list: %v", got)
	}
	if got := c.object("driver", "show", "fake-hardware"); got["default_power_interface"] != "fake" {
		t.Errorf("driver show: %v", got)
	}
	if got := c.list("driver", "property", "list", "fake-hardware"); len(got) != 1 {
		t.Errorf("driver property list: %v", got)
	}
	if got := c.list("conductor", "list"); len(got) != 1 || got[0]["Alive"] != true {
		t.Errorf("conductor list: %v", got)
	}
	if got := c.object("conductor", "show", "host-1"); got["hostname"] != "host-1" {
		t.Errorf("conductor show: %v", got)
	}

	c.ok("port", "delete", port["uuid"].(string))
	c.ok("node", "delete", "metal-one", "metal-2")
	if got := c.list("node", "list"); len(got) != 0 {
		t.Errorf("after delete: %v", got)
	}
}
