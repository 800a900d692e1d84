package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"
)

// TestPowerSyncOfFakeHardware: the record is all that fake hardware has of its power, and stays as it is when it is looked at.
func TestPowerSyncOfFakeHardware(t *testing.T) {
	url, _ := ferricd(t, t.TempDir(), "--set", "conductor.sync_power_state_interval=10ms")
	node := url + "/v1/nodes/first"
	call(t, "POST", url+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "first"})
	call(t, "PUT", node+"/states/provision", map[string]any{"target": "manage"})
	awaitState(t, node, "manageable")
	call(t, "PUT", node+"/states/power", map[string]any{"target": "power on"})
	deadline := time.Now().Add(time.Minute)
	for call(t, "GET", node, nil)["power_state"] != "power on" {
		if time.Now().After(deadline) {
			t.Fatal("the node is not powered on")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for asked := powerAnswers(t, url); powerAnswers(t, url) < asked+3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody looks at power states")
		}
	}
	if n := call(t, "GET", node, nil); n["power_state"] != "power on" || n["fault"] != nil {
		t.Errorf("after some looks: power state %v, fault %v", n["power_state"], n["fault"])
	}
}

// powerAnswers is how often a machine has told its power state.
func powerAnswers(t *testing.T, url string) (n int) {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`(?m)^ferric_power_sync_seconds_count\{result="ok"\} (\d+)`).FindSubmatch(text); m != nil {
		if _, err := fmt.Sscan(string(m[1]), &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}
