package main

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestInspectionAndDiscovery inspects fake hardware with a rule, enrols a machine that nobody knows, and follows both in the change feed, over HTTP.
func TestInspectionAndDiscovery(t *testing.T) {
	url, _ := ferricd(t, t.TempDir(), "--set", "conductor.sync_power_state_interval=0s", "--set", "discovery.enabled=true",
		"--set", "discovery.driver=fake-hardware", "--set", "inspection.add_ports=all", "--set", "inspection.hooks=$default_hooks,parse-lldp,local-link-connection")
	c := client{t, url}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url+"/ferric/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	var feed *http.Response
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // until it runs
		if feed, err = http.DefaultClient.Do(req); err != nil {
			t.Fatal(err)
		}
		if feed.StatusCode == 200 {
			break
		}
		feed.Body.Close()
		if time.Now().After(deadline) {
			t.Fatal(feed.Status)
		}
	}
	defer feed.Body.Close()

	inventory := func(mac string) m {
		return m{"interfaces": []m{{"name": "eth0", "mac_address": mac, "ipv4_address": "192.0.2.5", "lldp": [][]any{{1, "04112233aabbcc"}, {2, "0561"}}}},
			"cpu": m{"architecture": "x86_64", "count": 8}, "memory": m{"physical_mb": 1024}, "disks": []m{{"name": "/dev/sda", "size": 107374182400}},
			"boot": m{"current_boot_mode": "uefi"}}
	}
	c.must(201, "POST", "/v1/inspection_rules", m{"conditions": []m{{"op": "eq", "args": m{"values": []any{"{inventory[cpu][count]}", "8"}}}},
		"actions": []m{{"op": "set-attribute", "args": m{"path": "/resource_class", "value": "cpu{inventory[cpu][count]}"}}, {"op": "add-trait", "args": m{"name": "CUSTOM_EIGHT"}}}})
	c.must(201, "POST", "/v1/nodes", m{"name": "one", "driver": "fake-hardware", "driver_info": m{"fake_inventory": inventory("52:54:00:00:00:01")}})
	c.lives("one", "manage", "manageable")
	n := c.lives("one", "inspect", "manageable")
	properties, _ := n["properties"].(m)
	if n["resource_class"] != "cpu8" || properties["cpus"] != 8.0 || properties["local_gb"] != 99.0 || n["inspection_finished_at"] == nil {
		t.Errorf("inspected: %v", n)
	}
	found := c.must(200, "GET", "/v1/nodes/one/inventory", nil)
	parsed, _ := found["plugin_data"].(m)["parsed_lldp"].(m)
	if parsed["eth0"] == nil || found["inventory"].(m)["cpu"].(m)["count"] != 8.0 {
		t.Errorf("inventory: %v", found)
	}
	ports := c.must(200, "GET", "/v1/nodes/one/ports?fields=address,local_link_connection", nil)["ports"].([]any)
	if len(ports) != 1 || ports[0].(m)["local_link_connection"].(m)["switch_id"] != "11:22:33:aa:bb:cc" {
		t.Errorf("ports: %v", ports)
	}

	// Two calls of one machine at the same time.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if status, _, text := c.ask("POST", "/v1/continue_inspection", m{"inventory": inventory("52:54:00:00:00:02")}); status != 202 && status != 404 {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	wg.Wait()
	nodes := c.must(200, "GET", "/v1/nodes?provision_state=enroll&fields=uuid,resource_class", nil)["nodes"].([]any)
	if len(nodes) != 1 {
		t.Fatalf("enrolled: %v", nodes)
	}
	id := nodes[0].(m)["uuid"].(string)
	for deadline := time.Now().Add(time.Minute); c.must(200, "GET", "/v1/nodes/"+id, nil)["inspection_finished_at"] == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the discovered machine's data are not processed")
		}
	}
	if n := c.must(200, "GET", "/v1/nodes/"+id, nil); n["resource_class"] != "cpu8" || n["last_error"] != nil {
		t.Errorf("discovered: %v", n)
	}
	for lines := bufio.NewScanner(feed.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), "node.created") && strings.Contains(lines.Text(), id) {
			return
		}
	}
	t.Error("the feed did not tell of the discovered node")
}
