package openstack

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// TestPowerStatesGoToNova: a power change of a machine with an instance is told to the real Nova, which does not have this instance and says so; that of a machine
// without one is not.
func TestPowerStatesGoToNova(t *testing.T) {
	c := newCloud(t)
	f := c.start(t)
	instance := uuid.NewString()
	f.node(t, map[string]any{"name": "without"})
	f.node(t, map[string]any{"name": "with"})
	f.must(t, http.MethodPatch, "/v1/nodes/with", []map[string]any{{"op": "add", "path": "/instance_uuid", "value": instance}})
	for _, node := range []string{"without", "with"} {
		f.must(t, http.MethodPut, "/v1/nodes/"+node+"/states/power", map[string]any{"target": "power on"})
	}
	const counted = `ferric_notifications_total{result="refused",sink="nova"} 1`
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(f.URL + "/metrics")
		check(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		check(t, err)
		if strings.Contains(string(text), counted) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Nova was not told: the metrics have no %s", counted)
		}
	}
	for _, want := range []string{"sink=nova", instance, "POWER_ON", "Nova answers 404"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("the log does not say %s", want)
		}
	}
}
