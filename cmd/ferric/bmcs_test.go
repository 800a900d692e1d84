package main

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ferric/lab"
	"ferric/lab/bmc"
)

// newFleet starts virtual BMCs on a port of their own.
func newFleet(t *testing.T, o bmc.FleetOptions) *bmc.Fleet {
	t.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Port = free.LocalAddr().(*net.UDPAddr).Port
	free.Close()
	f, err := bmc.StartFleet(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// TestPowerSyncOfFleet has the service look after 500 machines of which every twentieth has a dead BMC: what is done to the others behind its back is noticed,
// all over RMCP+ and through the API; the dead ones go into maintenance, and come back.
func TestPowerSyncOfFleet(t *testing.T) {
	const count = 500
	f := newFleet(t, bmc.FleetOptions{Count: count, Seed: 3, Loss: 0.001, Dead: 0.05})
	url, _ := ferricd(t, t.TempDir(), "--set", "conductor.sync_power_state_interval=200ms", "--set", "conductor.force_power_state_during_sync=false",
		"--set", "conductor.power_state_sync_max_retries=1", "--set", "ipmi.min_command_interval=200ms")
	done, err := lab.Enrolment{URL: url, State: "available"}.Enrol(t.Context(), f)
	if err != nil || done.Created != count || done.There != 0 {
		t.Fatalf("enrolled %+v, %v", done, err)
	}
	if done, err = (lab.Enrolment{URL: url, State: "available"}).Enrol(t.Context(), f); err != nil || done.Created != 0 || done.There != count {
		t.Fatalf("enrolled again: %+v, %v", done, err)
	}
	// is tells how a node should look: its power state as the fleet has it, or maintenance.
	is := func(i int) string {
		switch {
		case f.Dead(i):
			return "<nil> power failure"
		case f.Power(i):
			return "power on <nil>"
		}
		return "power off <nil>"
	}
	settled := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
			want, got := map[string]string{}, map[string]string{}
			for i := range count {
				want[lab.FleetNode(i)] = is(i)
			}
			for _, n := range call(t, "GET", url+"/v1/nodes?limit=1000&fields=name,power_state,fault", nil)["nodes"].([]any) {
				n := n.(map[string]any)
				got[n["name"].(string)] = fmt.Sprint(n["power_state"], " ", n["fault"])
			}
			if maps.Equal(want, got) {
				return
			}
			if time.Now().After(deadline) {
				maps.DeleteFunc(want, func(name, v string) bool { return got[name] == v })
				t.Fatalf("%s: not as they should be: %d nodes; they should be %v", what, len(want), want)
			}
		}
	}
	settled("at first")
	control := httptest.NewServer(lab.FleetControl(f))
	defer control.Close()
	post := func(path string, status int) {
		t.Helper()
		resp, err := http.Post(control.URL+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: HTTP %d, want %d", path, resp.StatusCode, status)
		}
	}
	post("/power?state=on", http.StatusNoContent)
	settled("switched on")
	for i := 0; i < count; i += 3 {
		f.SetPower(i, false)
	}
	post("/restart", http.StatusNoContent)
	settled("a third switched off, and all BMCs restarted")
	post("/dead?share=0", http.StatusNoContent)
	settled("the dead ones answer")
	post("/power?state=sideways", http.StatusBadRequest)
	post("/power?state=on&bmc=500", http.StatusBadRequest)
	post("/dead?share=2", http.StatusBadRequest)
	if got := call(t, "GET", control.URL+"/status", nil); got["bmcs"] != 500.0 || got["dead"] != 0.0 || got["sessions"] == 0.0 {
		t.Errorf("status %v", got)
	}
}
