package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// client speaks to a running service as the newest client would.
type client struct {
	*testing.T
	url string
}

// ask makes a request and returns what came.
func (c client) ask(method, path string, body any) (status int, answer map[string]any, text string) {
	c.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		c.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.Context(), method, c.url+path, bytes.NewReader(b))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	answer = map[string]any{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			c.Fatalf("%s %s: %v: %s", method, path, err, raw)
		}
	}
	return resp.StatusCode, answer, string(raw)
}

func (c client) must(status int, method, path string, body any) map[string]any {
	c.Helper()
	got, answer, text := c.ask(method, path, body)
	if got != status {
		c.Fatalf("%s %s: %d %s, want %d", method, path, got, text, status)
	}
	return answer
}

// set sets one field of a node.
func (c client) set(node, path string, value any) {
	c.Helper()
	c.must(200, "PATCH", "/v1/nodes/"+node, []m{{"op": "add", "path": path, "value": value}})
}

// m is a JSON object.
type m = map[string]any

// verb asks for a provision verb.
func (c client) verb(status int, node, target string, args ...m) {
	c.Helper()
	body := m{"target": target}
	for _, a := range args {
		for k, v := range a {
			body[k] = v
		}
	}
	c.must(status, "PUT", "/v1/nodes/"+node+"/states/provision", body)
}

// reaches waits until nobody works on the node and it is in the state.
func (c client) reaches(node, state string) m {
	c.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		n := c.must(200, "GET", "/v1/nodes/"+node, nil)
		if n["provision_state"] == state && n["reservation"] == nil {
			return n
		}
		if s := fmt.Sprint(n["provision_state"]); time.Now().After(deadline) || strings.HasSuffix(s, "failed") && n["reservation"] == nil {
			c.Fatalf("%s is %q and not %q: %v", node, s, state, n["last_error"])
		}
	}
}

// lives does a verb to its end, which leaves no trace of a step and no error.
func (c client) lives(node, target, end string, args ...m) m {
	c.Helper()
	c.verb(202, node, target, args...)
	n := c.reaches(node, end)
	for _, field := range []string{"clean_step", "deploy_step", "service_step"} {
		if step, _ := n[field].(m); len(step) > 0 {
			c.Errorf("after %s, %s is %v", target, field, step)
		}
	}
	if n["last_error"] != nil || n["maintenance"] != false || n["fault"] != nil {
		c.Errorf("after %s: last_error %v, maintenance %v, fault %v", target, n["last_error"], n["maintenance"], n["fault"])
	}
	return n
}

// TestWholeLife takes fake hardware through everything that a node can be, over HTTP.
func TestWholeLife(t *testing.T) {
	url, _ := ferricd(t, t.TempDir(), "--set", "conductor.sync_power_state_interval=0s")
	c := client{t, url}
	hold := m{"interface": "deploy", "step": "hold"}
	node := "one"
	id := fmt.Sprint(c.must(201, "POST", "/v1/nodes", m{"name": node, "driver": "fake-hardware", "instance_info": m{"image_source": "http://images.example/i.qcow2"}})["uuid"])

	c.lives(node, "manage", "manageable")
	c.lives(node, "inspect", "manageable")

	t.Log("manual cleaning, held on the way")
	c.verb(202, node, "clean", m{"clean_steps": []m{hold, {"interface": "power", "step": "wait", "args": m{"seconds": 0}}, {"interface": "power", "step": "reboot"},
		{"interface": "deploy", "step": "erase_devices"}}})
	if n := c.reaches(node, "clean hold"); n["target_provision_state"] != "manageable" || n["clean_step"].(m)["step"] != "hold" {
		t.Errorf("held: target %v, clean step %v", n["target_provision_state"], n["clean_step"])
	}
	c.verb(400, node, "provide")
	c.lives(node, "unhold", "manageable")
	c.verb(202, node, "clean", m{"clean_steps": []m{hold}, "disable_ramdisk": true})
	c.reaches(node, "clean hold")
	c.verb(202, node, "abort")
	c.reaches(node, "clean failed")
	c.lives(node, "manage", "manageable")
	c.lives(node, "provide", "available")

	t.Log("deploy and rebuild")
	c.lives(node, "active", "active", m{"configdrive": m{"meta_data": m{"hostname": "one"}, "vendor_data": m{"x": 1}}})
	c.lives(node, "rebuild", "active", m{"configdrive": m{"user_data": "#!/bin/sh"}, "deploy_steps": []m{{"interface": "power", "step": "reboot", "args": m{}, "priority": 50}}})

	t.Log("service")
	c.lives(node, "service", "active", m{"service_steps": []m{{"interface": "deploy", "step": "burn_in"}}})
	c.verb(202, node, "service", m{"service_steps": []m{{"interface": "deploy", "step": "burn_in"}, hold, {"interface": "deploy", "step": "burn_in"}}})
	c.reaches(node, "service hold")
	c.lives(node, "unhold", "active")
	c.verb(202, node, "service", m{"service_steps": []m{{"interface": "deploy", "step": "polish"}}})
	if n := c.reaches(node, "service failed"); !strings.Contains(fmt.Sprint(n["last_error"]), "node does not support this service step") {
		t.Errorf("last error %v", n["last_error"])
	}
	c.verb(202, node, "abort")
	c.reaches(node, "active")

	t.Log("a child works for its parent")
	child := fmt.Sprint(c.must(201, "POST", "/v1/nodes", m{"name": "child", "driver": "fake-hardware", "parent_node": id})["uuid"])
	c.lives("child", "manage", "manageable")
	c.lives(node, "service", "active", m{"service_steps": []m{{"interface": "power", "step": "power_on", "execute_on_child_nodes": true, "limit_child_node_execution": []string{child}}}})
	if n := c.reaches("child", "manageable"); n["power_state"] != "power on" {
		t.Errorf("the child is %v", n["power_state"])
	}
	c.must(204, "DELETE", "/v1/nodes/child", nil)

	t.Log("rescue")
	c.verb(400, node, "rescue")
	c.lives(node, "rescue", "rescue", m{"rescue_password": "open sesame"})
	if _, _, text := c.ask("GET", "/v1/nodes/"+node, nil); strings.Contains(text, "sesame") || strings.Contains(text, "$5$") {
		t.Errorf("the password is shown: %s", text)
	}
	c.lives(node, "unrescue", "active")

	t.Log("protection, and the end")
	c.set(node, "/protected", true)
	for _, target := range []string{"deleted", "rebuild"} {
		c.verb(403, node, target)
	}
	c.must(403, "DELETE", "/v1/nodes/"+node, nil)
	c.set(node, "/protected", false)
	c.must(202, "PUT", "/v1/nodes/"+node+"/maintenance", m{"reason": "a look"})
	for target, args := range map[string]m{"rebuild": {}, "rescue": {"rescue_password": "x"}, "service": {"service_steps": []m{{"interface": "deploy", "step": "burn_in"}}}} {
		c.verb(400, node, target, args)
	}
	c.must(202, "DELETE", "/v1/nodes/"+node+"/maintenance", nil)
	c.must(409, "DELETE", "/v1/nodes/"+node, nil)
	c.lives(node, "deleted", "available")
	c.lives(node, "manage", "manageable")
	c.lives(node, "adopt", "active")
	c.lives(node, "undeploy", "available")
	c.lives(node, "deploy", "active", m{})
	c.set(node, "/retired", true)
	c.lives(node, "undeploy", "manageable")
	c.verb(400, node, "provide")

	var kinds []string
	for _, h := range c.must(200, "GET", "/v1/nodes/"+node+"/history?detail=True", nil)["history"].([]any) {
		kinds = append(kinds, fmt.Sprint(h.(m)["event_type"]))
	}
	for _, want := range []string{"verify", "introspection", "cleaning", "provisioning", "servicing", "rescue", "adoption", "unprovision"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("no %s in the history: %v", want, kinds)
		}
	}
	c.must(204, "DELETE", "/v1/nodes/"+node, nil)
}
