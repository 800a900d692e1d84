package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/config"
	"ferric/driver"
	"ferric/obs"
	"ferric/openstack"
)

// TestEveryHardwareTypeIsComplete: what a hardware type names exists, and is of the kind that it is named for.
func TestEveryHardwareTypeIsComplete(t *testing.T) {
	cfg := config.Defaults()
	have := implementations(cfg, parts{cloud: new(openstack.Session)}) // inside of OpenStack: everything there is
	is := map[ferric.InterfaceKind]func(driver.Interface) bool{
		ferric.KindPower:      func(i driver.Interface) bool { _, ok := i.(driver.Power); return ok },
		ferric.KindManagement: func(i driver.Interface) bool { _, ok := i.(driver.Management); return ok },
		ferric.KindBoot:       func(i driver.Interface) bool { _, ok := i.(driver.Boot); return ok },
		ferric.KindDeploy:     func(i driver.Interface) bool { _, ok := i.(driver.Deploy); return ok },
		ferric.KindInspect:    func(i driver.Interface) bool { _, ok := i.(driver.Inspect); return ok },
		ferric.KindNetwork:    func(i driver.Interface) bool { _, ok := i.(driver.Network); return ok },
		ferric.KindStorage:    func(i driver.Interface) bool { _, ok := i.(driver.Storage); return ok },
		ferric.KindBIOS:       func(i driver.Interface) bool { _, ok := i.(driver.BIOS); return ok },
		ferric.KindFirmware:   func(i driver.Interface) bool { _, ok := i.(driver.Firmware); return ok },
		ferric.KindRAID:       func(i driver.Interface) bool { _, ok := i.(driver.RAID); return ok },
		ferric.KindConsole:    func(i driver.Interface) bool { _, ok := i.(driver.Console); return ok },
		ferric.KindVendor:     func(i driver.Interface) bool { _, ok := i.(driver.Vendor); return ok },
	}
	for _, hw := range hardwareTypes() {
		for _, kind := range ferric.InterfaceKinds() {
			if len(hw.Supports[kind]) == 0 {
				t.Errorf("%s supports no %s interface", hw.Name, kind)
			}
			for _, name := range hw.Supports[kind] {
				impl := have[kind][name]
				if impl == nil {
					t.Errorf("%s: there is no %s interface %q", hw.Name, kind, name)
				} else if is[kind] != nil && !is[kind](impl) {
					t.Errorf("%s: the %s interface %q has the wrong type %T", hw.Name, kind, name, impl)
				}
			}
		}
	}
}

// ferricd runs the service in this process until the test ends or stop is called, and returns its URL.
func ferricd(t *testing.T, dir string, args ...string) (url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	var stderr bytes.Buffer
	cfg, _ := loadConfig("serve", append([]string{"--data-dir", dir, "--listen", address, "--host", "one"}, args...), &stderr, nil)
	if cfg == nil {
		t.Fatal(stderr.String())
	}
	log, err := obs.NewLogger(io.Discard, obs.LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, err := newService(ctx, cfg, log)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	}
	t.Cleanup(stop)
	return "http://" + address, stop
}

// call makes a request to the API that must succeed.
func call(t *testing.T, method, url string, body any) map[string]any {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.95")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, url, resp.StatusCode, text, err)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s %s: %v: %s", method, url, err, text)
		}
	}
	return out
}

func awaitState(t *testing.T, node, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		v := call(t, "GET", node, nil)
		if v["provision_state"] == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node is %v, not %s: %v", v["provision_state"], want, v["last_error"])
		}
	}
}

// TestServe takes a node of fake-hardware through its life, with a restart in the middle of its cleaning: everything in one process, no settings.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	url, stop := ferricd(t, dir, "--set", "fake.clean_delay=1s")
	call(t, "POST", url+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "first"})
	verb := func(target string) {
		t.Helper()
		call(t, "PUT", url+"/v1/nodes/first/states/provision", map[string]any{"target": target})
	}
	verb("manage")
	awaitState(t, url+"/v1/nodes/first", "manageable")
	verb("provide")
	stop()
	url, _ = ferricd(t, dir)
	awaitState(t, url+"/v1/nodes/first", "available")
	verb("active")
	awaitState(t, url+"/v1/nodes/first", "active")
	verb("deleted")
	awaitState(t, url+"/v1/nodes/first", "available")
	for _, path := range []string{"/healthcheck", "/metrics"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %v", path, resp.StatusCode, err)
		}
		if path == "/metrics" && !strings.Contains(string(text), `ferric_step_seconds_count{operation="undeploy"`) {
			t.Errorf("/metrics does not count the steps of the undeploy")
		}
	}
}

// TestGroups: what belongs to a node, through the API, the bus, the conductor and the database.
func TestGroups(t *testing.T) {
	url, _ := ferricd(t, t.TempDir())
	type object = map[string]any
	chassis := call(t, "POST", url+"/v1/chassis", object{"description": "rack 1"})["uuid"].(string)
	node := call(t, "POST", url+"/v1/nodes", object{"driver": "fake-hardware", "name": "first", "chassis_uuid": chassis})["uuid"].(string)
	call(t, "POST", url+"/v1/portgroups", object{"node_uuid": node, "name": "bond0"})
	group := call(t, "GET", url+"/v1/portgroups/bond0", nil)["uuid"]
	ports := []string{}
	for _, mac := range []string{"52:54:00:00:00:01", "52:54:00:00:00:02"} {
		ports = append(ports, call(t, "POST", url+"/v1/ports", object{"node_uuid": node, "address": mac, "portgroup_uuid": group})["uuid"].(string))
	}
	spare := call(t, "POST", url+"/v1/ports", object{"node_uuid": node, "address": "52:54:00:00:00:03"})["uuid"].(string)
	target := call(t, "POST", url+"/v1/volume/targets", object{"node_uuid": node, "volume_type": "iscsi", "volume_id": "v", "boot_index": 0})["uuid"].(string)

	vifs := url + "/v1/nodes/first/vifs"
	call(t, "POST", vifs, object{"id": "vif-1"})
	call(t, "POST", vifs, object{"id": "vif-2", "port_uuid": spare})
	if got := call(t, "GET", url+"/v1/portgroups/bond0", nil)["internal_info"]; fmt.Sprint(got) != "map[tenant_vif_port_id:vif-1]" {
		t.Errorf("the port group has %v", got)
	}
	if got := call(t, "GET", vifs, nil)["vifs"].([]any); len(got) != 2 {
		t.Errorf("VIFs %v", got)
	}
	call(t, "DELETE", vifs+"/vif-1", nil)
	call(t, "POST", vifs, object{"id": "vif-3", "portgroup_uuid": group})
	call(t, "DELETE", vifs+"/vif-3", nil)

	patch := func(path, field string, value any) object {
		t.Helper()
		return call(t, "PATCH", url+path, []object{{"op": "add", "path": "/" + field, "value": value}})
	}
	patch("/v1/portgroups/bond0", "mode", "802.3ad")
	patch("/v1/ports/"+ports[0], "pxe_enabled", false)
	call(t, "PUT", url+"/v1/nodes/first/states/power", object{"target": "power off"})
	for deadline := time.Now().Add(time.Minute); call(t, "GET", url+"/v1/nodes/first", nil)["power_state"] != "power off"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the node does not turn off")
		}
	}
	if got := patch("/v1/volume/targets/"+target, "boot_index", 1)["boot_index"]; got != 1.0 {
		t.Errorf("boot index %v", got)
	}
	call(t, "DELETE", url+"/v1/ports/"+ports[0], nil)
	call(t, "DELETE", url+"/v1/nodes/first", nil)
	for _, list := range []string{"ports", "portgroups", "volume/targets"} {
		got := call(t, "GET", url+"/v1/"+list, nil)
		if left := got[filepath.Base(list)].([]any); len(left) != 0 {
			t.Errorf("%s of a deleted node: %v", list, left)
		}
	}
	call(t, "DELETE", url+"/v1/chassis/"+chassis, nil)
}

// TestTwoInOneProcess: nothing is global, so two services do not disturb each other; but they cannot share a data directory.
func TestTwoInOneProcess(t *testing.T) {
	dir := t.TempDir()
	one, _ := ferricd(t, dir)
	two, _ := ferricd(t, t.TempDir())
	call(t, "POST", one+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "mine"})
	if nodes := call(t, "GET", two+"/v1/nodes", nil)["nodes"].([]any); len(nodes) != 0 {
		t.Errorf("the other service has nodes: %v", nodes)
	}
	var stderr bytes.Buffer
	if code := run(t.Context(), []string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0"}, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "use") {
		t.Errorf("a second service on the same data directory: exit %d, %s", code, stderr.String())
	}
}

func TestCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ferric.toml")
	if err := os.WriteFile(file, []byte("[api]\nlisten = \"127.0.0.1:1\"\nlisen = \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		out  []string // in standard output or standard error
	}{
		"nothing":            {nil, 2, []string{"serve", "ramdisk"}},
		"help":               {[]string{"--help"}, 0, []string{"serve", "lab"}},
		"unknown subcommand": {[]string{"fly"}, 2, []string{`no subcommand "fly"`}},
		"version":            {[]string{"version"}, 0, []string{"ferric "}},
		"unknown key":        {[]string{"serve", "--config", file}, 1, []string{"api.lisen", file + ":3", "api.listen"}},
		"bad priority": {[]string{"config", "show", "--set", "conductor.clean_step_priority_override=deploy.erase_devices=lots"}, 1,
			[]string{"conductor.clean_step_priority_override", "deploy.erase_devices", "a whole number from 0 to 1000"}},
		"unknown interface":  {[]string{"config", "show", "--set", "drivers.default_boot_interface=floppy"}, 1, []string{"drivers.default_boot_interface", "ipxe"}},
		"secrets are masked": {[]string{"config", "show", "--set", "bus.url=nats://h:1", "--set", "bus.user=u", "--set", "bus.password=hunter2"}, 0, []string{`password = "******"`}},
		"reference":          {[]string{"config", "reference"}, 0, []string{"[conductor]"}},
		"unknown db command": {[]string{"db", "drop"}, 2, []string{"migrate"}},
		"agent elsewhere":    {[]string{"agent"}, 2, []string{"ramdisk"}},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, &stdout, &stderr)
			all := stdout.String() + stderr.String()
			if code != tt.code {
				t.Errorf("exit %d, want %d: %s", code, tt.code, all)
			}
			for _, want := range tt.out {
				if !strings.Contains(all, want) {
					t.Errorf("%q is missing in: %s", want, all)
				}
			}
			if strings.Contains(all, "hunter2") {
				t.Errorf("the secret is shown: %s", all)
			}
		})
	}
}

func TestDB(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ args, want string }{
		{"db migrate", "the schema is at version"}, {"db version", "this ferric wants"}, {"db rotate-key", "is in use; 0 secrets were encrypted anew"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append(strings.Fields(tt.args), "--data-dir", dir), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), tt.want) {
			t.Errorf("ferric %s: exit %d, %s%s", tt.args, code, fmt.Sprint(&stdout), fmt.Sprint(&stderr))
		}
	}
}
