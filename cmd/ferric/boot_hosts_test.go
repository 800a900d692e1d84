package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTwoBootHosts has two hosts on one segment, which share PostgreSQL and NATS, and a machine that boots there. Whichever host answers its DHCP, it gets the same
// address; each serves all that it boots, also what the other one prepared. The host that prepared the boot and gave the lease is killed, and the other one renews
// the lease and serves on.
func TestTwoBootHosts(t *testing.T) {
	const mac, port = "52:54:00:79:00:01", "8080"
	c, seg := newCluster(t), newSegment(t)
	addresses := map[string]string{"host-1": "10.79.80.1", "host-2": "10.79.80.2"}
	machine := seg.host("", mac)
	files := map[string]string{"kernel": strings.Repeat("the kernel ", 1000), "ramdisk": strings.Repeat("the ramdisk ", 5000), "image": strings.Repeat("\x00", 510) + "\x55\xaa" + strings.Repeat("the image", 100000)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.hosts = map[string]*netHost{}
	for _, name := range []string{"host-1", "host-2"} {
		h := seg.host(addresses[name]+"/24", "")
		c.hosts[name] = h
		for _, n := range c.nats {
			h.forward(h, nil, strings.TrimPrefix(n.ClientURL(), "nats://"))
		}
		h.forward(h, nil, databaseAddress(t, c))
		c.start(name, "api,conductor,boot", "--set", "boot.interface=eth0", "--set", "boot.http_port="+port,
			"--set", "boot.dhcp=server", "--set", "boot.dhcp_range=10.79.80.100-10.79.80.199", "--set", "boot.deploy_kernel="+filepath.Join(c.dir, "kernel"),
			"--set", "boot.deploy_ramdisk="+filepath.Join(c.dir, "ramdisk"), "--set", "image.file_url_allowed_paths="+c.dir)
	}
	api := c.procs["host-1"]
	c.members(api, "host-1", "host-2")
	node := c.must(api, "POST", "/v1/nodes", m{"name": "n", "driver": "fake-hardware", "automated_clean": false, "boot_interface": "ipxe", "deploy_interface": "direct",
		"instance_info": m{"image_source": "file://" + filepath.Join(c.dir, "image"), "image_disk_format": "raw"}})["uuid"].(string)
	c.must(api, "POST", "/v1/ports", m{"node_uuid": node, "address": mac})
	for _, v := range []struct{ target, end string }{{"manage", "manageable"}, {"provide", "available"}, {"active", "wait call-back"}} {
		c.must(api, "PUT", "/v1/nodes/n/states/provision", m{"target": v.target})
		c.reaches(api, "n", v.end)
	}

	// One address, whichever host answers, and both together.
	var address string
	for _, name := range []string{"host-1", "host-2", ""} {
		for _, h := range []string{"host-1", "host-2"} {
			c.hosts[h].plug(name == "" || name == h)
		}
		told := machine.newDHCPClient().once()
		if address == "" {
			address = told["ip"]
		}
		if told["ip"] != address || told["boot_file"] != "undionly.kpxe" || name != "" && (told["serverid"] != addresses[name] || told["siaddr"] != addresses[name]) {
			t.Errorf("with %q on the segment the machine is told %v", name, told)
		}
	}
	seg.ip("-n", machine.ns, "addr", "add", address+"/24", "dev", "eth0")

	// Each serves everything, by its own address.
	boots := func(host string) {
		t.Helper()
		own := "http://" + addresses[host] + ":" + port
		script := fetch(t, machine, own+"/ipxe/"+strings.ReplaceAll(mac, ":", "-")+"/boot.ipxe")
		urls := regexp.MustCompile(`http://[0-9.]+:8080/images/[^\s]+`).FindAllString(script, -1)
		if len(urls) != 2 || !strings.Contains(script, " ipa-api-url="+own) {
			t.Fatalf("the script of %s:\n%s", host, script)
		}
		for i, name := range []string{"kernel", "ramdisk"} {
			if got := fetch(t, machine, urls[i]); !strings.HasPrefix(urls[i], own) || got != files[name] {
				t.Errorf("%s has %d bytes at %s, want %d", name, len(got), urls[i], len(files[name]))
			}
		}
		tftp, err := machine.command("busybox", "tftp", "-g", "-r", "ipxe/"+strings.ReplaceAll(mac, ":", "-")+"/boot.ipxe", "-l", "/dev/stdout", addresses[host]).Output()
		if err != nil || string(tftp) != script {
			t.Errorf("by TFTP: %v\n%s", err, tftp)
		}
	}
	for host := range addresses {
		boots(host)
	}
	// An agent that booted from one knows the other, too.
	for host, other := range map[string]string{"host-1": "host-2", "host-2": "host-1"} {
		both := fmt.Sprintf(" ipa-api-url=http://%s:%s,http://%s:%s ", addresses[host], port, addresses[other], port)
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			script := fetch(t, machine, "http://"+addresses[host]+":"+port+"/ipxe/"+strings.ReplaceAll(mac, ":", "-")+"/boot.ipxe")
			if strings.Contains(script, both) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the script of %s lacks %q:\n%s", host, both, script)
			}
		}
	}
	ids, err := filepath.Glob(filepath.Join(c.dir, "*", "images", "shared", node+"_image_*"))
	if err != nil || len(ids) != 1 {
		t.Fatalf("the image is shared as %v, %v", ids, err)
	}
	for host := range addresses {
		if got := fetch(t, machine, "http://"+addresses[host]+":"+port+"/images/"+filepath.Base(ids[0])); got != files["image"] {
			t.Errorf("the image has %d bytes at %s", len(got), host)
		}
	}

	// The host that prepared the boot, and of which the machine has its lease, dies.
	dead := c.must(api, "GET", "/v1/nodes/n", nil)["conductor"].(string)
	alive := map[string]string{"host-1": "host-2", "host-2": "host-1"}[dead]
	c.hosts[alive].plug(false)
	client := machine.newDHCPClient()
	client.start()
	if told := client.event("bound"); told["serverid"] != addresses[dead] || told["ip"] != address {
		t.Fatalf("the machine is told %v", told)
	}
	c.hosts[alive].plug(true)
	c.procs[dead].kill()
	if err := client.cmd.Process.Signal(syscall.SIGUSR1); err != nil { // renew
		t.Fatal(err)
	}
	if told := client.event("renew"); told["serverid"] != addresses[alive] || told["ip"] != address {
		t.Errorf("after the death of %s the machine is told %v", dead, told)
	}
	boots(alive)
	// Its agent finds its node there.
	if got := fetch(t, machine, "http://"+addresses[alive]+":"+port+"/v1/lookup?addresses="+mac); !strings.Contains(got, node) {
		t.Errorf("the lookup: %s", got)
	}
	// When the deploy is given up, nothing is served any more, and nothing stays behind: what the dead host left is gone when it is back.
	c.must(c.procs[alive], "PUT", "/v1/nodes/n/states/provision", m{"target": "deleted"})
	c.reaches(c.procs[alive], "n", "available")
	gone := func(host string) {
		t.Helper()
		resp, err := machine.client().Get("http://" + addresses[host] + ":" + port + "/ipxe/" + strings.ReplaceAll(mac, ":", "-") + "/boot.ipxe")
		if err != nil || resp.StatusCode != 404 {
			t.Errorf("after the end: %v, %v", resp, err)
		}
	}
	gone(alive)
	c.start(dead, "api,conductor,boot", "--set", "boot.interface=eth0", "--set", "boot.http_port="+port, "--set", "boot.dhcp=server", "--set", "boot.dhcp_range=10.79.80.100-10.79.80.199")
	gone(dead)
	if left, err := filepath.Glob(filepath.Join(c.dir, "*", "images", "shared", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// databaseAddress is where a cluster's PostgreSQL listens.
func databaseAddress(t *testing.T, c *cluster) string {
	t.Helper()
	i := slices.IndexFunc(c.shared, func(s string) bool { return strings.HasPrefix(s, "database.url=") })
	_, rest, _ := strings.Cut(c.shared[i], "@")
	address, _, _ := strings.Cut(rest, "/")
	return address
}

// fetch gets a file from a host; it must be there.
func fetch(t *testing.T, from *netHost, url string) string {
	t.Helper()
	rq, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	rq.Header.Set("X-OpenStack-Ironic-API-Version", "1.95") // for what agents ask
	resp, err := from.client().Do(rq)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %s, %v: %s", url, resp.Status, err, text)
	}
	return string(text)
}
