package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric/openstack/notify"
)

// listener is a webhook's server. It can be away.
type listener struct {
	mu    sync.Mutex
	away  bool
	heard []notify.Message // each once
	tries int
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m notify.Message
	err := json.NewDecoder(r.Body).Decode(&m)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	if l.away || err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if !slices.ContainsFunc(l.heard, func(h notify.Message) bool { return h.MessageID == m.MessageID }) {
		l.heard = append(l.heard, m)
	}
}

func (l *listener) goes(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

// until returns what was heard, once the last of it is of an event type.
func (l *listener) until(t *testing.T, last string) []notify.Message {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		l.mu.Lock()
		heard := slices.Clone(l.heard)
		l.mu.Unlock()
		if len(heard) > 0 && heard[len(heard)-1].EventType == "baremetal."+last {
			return heard
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was not heard: %v", last, events(heard))
		}
	}
}

// events writes down what was told, in short: "node.provision_set.start manage enroll→verifying".
func events(list []notify.Message) []string {
	var out []string
	for _, m := range list {
		var p struct {
			Data map[string]any `json:"ironic_object.data"`
		}
		if json.Unmarshal(m.Payload, &p) != nil {
			p.Data = nil
		}
		s := strings.TrimPrefix(m.EventType, "baremetal.")
		text := func(name string) string { v, _ := p.Data[name].(string); return v }
		switch {
		case strings.Contains(s, "provision_set"):
			s += " " + text("event") + " " + text("previous_provision_state") + "→" + text("provision_state")
		case strings.Contains(s, "power_set"):
			s += " " + text("to_power")
		case strings.Contains(s, "corrected"):
			s += " " + text("from_power") + "→" + text("power_state")
		}
		out = append(out, s)
	}
	return out
}

// TestNotifications lives a node's life with a real service, and hears of all of it, in order: whatever the receiver does meanwhile, and although the service is
// stopped and started again before anything could be delivered.
func TestNotifications(t *testing.T) {
	ears := &listener{away: true}
	server := httptest.NewServer(ears)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	args := []string{"--set", "notifications.drivers=webhook", "--set", "notifications.webhook_url=" + server.URL, "--set", "conductor.sync_power_state_interval=0s",
		"--set", "conductor.automated_clean=false"}
	url, stop := ferricd(t, dir, args...)
	c := client{t, url}
	c.must(201, "POST", "/v1/nodes", m{"name": "n", "driver": "fake-hardware", "driver_info": m{"ipmi_password": "s3cret"}})
	node := c.must(200, "GET", "/v1/nodes/n", nil)["uuid"]
	port := m{"node_uuid": node, "address": "11:22:33:44:55:66"}
	c.must(201, "POST", "/v1/ports", port)
	c.must(409, "POST", "/v1/ports", port)
	c.set("n", "/extra/a", 1)
	c.must(202, "PUT", "/v1/nodes/n/maintenance", m{"reason": "look"})
	c.must(202, "DELETE", "/v1/nodes/n/maintenance", nil)
	c.must(204, "PUT", "/v1/nodes/n/traits", m{"traits": []string{"CUSTOM_A"}})
	c.lives("n", "manage", "manageable")
	c.lives("n", "provide", "available")
	c.lives("n", "manage", "manageable")
	stop()

	url, _ = ferricd(t, dir, args...)
	c = client{t, url}
	c.must(202, "PUT", "/v1/nodes/n/states/power", m{"target": "power on"})
	for c.must(200, "GET", "/v1/nodes/n", nil)["target_power_state"] != nil {
		time.Sleep(5 * time.Millisecond)
	}
	c.reaches("n", "manageable")
	c.must(202, "PUT", "/v1/nodes/n/states/power", m{"target": "rebooting"})
	for c.must(200, "GET", "/v1/nodes/n", nil)["target_power_state"] != nil {
		time.Sleep(5 * time.Millisecond)
	}
	c.reaches("n", "manageable")
	ears.goes(false)
	c.must(204, "DELETE", "/v1/nodes/n", nil)

	heard := ears.until(t, "node.delete.end")
	want := []string{
		"node.create.start", "node.create.end",
		"port.create.start", "port.create.end",
		"port.create.start", "port.create.error",
		"node.update.start", "node.update.end",
		"node.maintenance_set.start", "node.maintenance_set.end",
		"node.maintenance_set.start", "node.maintenance_set.end",
		"node.update.start", "node.update.end",
		"node.provision_set.start manage enroll→verifying",
		"node.provision_set.end done verifying→manageable",
		"node.provision_set.start provide manageable→cleaning",
		"node.provision_set.end done cleaning→available",
		"node.provision_set.success manage available→manageable",
		"node.power_set.start power on", "node.power_set.end power on",
		"node.power_set.start rebooting", "node.power_set.end rebooting",
		"node.delete.start", "node.delete.end",
	}
	if diff := cmp.Diff(want, events(heard)); diff != "" {
		t.Errorf("told (-want +have):\n%s", diff)
	}
	for _, h := range heard {
		if strings.Contains(string(h.Payload), "s3cret") {
			t.Errorf("%s shows a secret", h.EventType)
		}
		if !strings.HasSuffix(h.PublisherID, ".one") || h.Timestamp == "" {
			t.Errorf("%s is published by %q at %q", h.EventType, h.PublisherID, h.Timestamp)
		}
	}
	if ears.tries <= len(heard) {
		t.Errorf("%d posts for %d notifications: the receiver was never away", ears.tries, len(heard))
	}
}

func TestNotificationSettings(t *testing.T) {
	for setting, want := range map[string]string{
		"notifications.drivers=rabbitmq": "notifications.transport_url: says where RabbitMQ is",
		"notifications.drivers=webhook":  "notifications.webhook_url: is needed",
		"notifications.drivers=nats":     "set bus.url",
		"notifications.drivers=kafka":    "is not allowed",
	} {
		code, text := ferricRun(t.Context(), "serve", "--data-dir", t.TempDir(), "--set", setting)
		if code == 0 || !strings.Contains(text, want) {
			t.Errorf("%s: exit %d, %q does not say %q", setting, code, text, want)
		}
	}
}
