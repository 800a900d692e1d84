package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"ferric/lab"
)

// node is a machine of the lab as Ferric knows it.
type node struct {
	*site
	name string
	m    *lab.Machine
}

// enrol creates the node and its port.
func (s *site) enrol(m *lab.Machine, bootInterface string, more map[string]any) *node {
	s.t.Helper()
	body := map[string]any{
		"name": m.Name, "driver": "ipmi", "boot_interface": bootInterface,
		"driver_info": map[string]any{"ipmi_address": m.BMC.Address, "ipmi_port": m.BMC.Port, "ipmi_username": m.BMC.User, "ipmi_password": m.BMC.Password},
	}
	for k, v := range more {
		body[k] = v
	}
	uuid := s.must("POST", "/v1/nodes", body)["uuid"]
	s.must("POST", "/v1/ports", map[string]any{"node_uuid": uuid, "address": m.NICs[0].MAC})
	return &node{site: s, name: m.Name, m: m}
}

func (n *node) get() map[string]any { return n.must("GET", "/v1/nodes/"+n.name, nil) }

// verb asks for a provision verb.
func (n *node) verb(target string, more map[string]any) {
	n.t.Helper()
	body := map[string]any{"target": target}
	for k, v := range more {
		body[k] = v
	}
	n.must("PUT", "/v1/nodes/"+n.name+"/states/provision", body)
}

// patch sets fields.
func (n *node) set(fields map[string]any) {
	n.t.Helper()
	var ops []map[string]any
	for path, v := range fields {
		ops = append(ops, map[string]any{"op": "add", "path": path, "value": v})
	}
	n.must("PATCH", "/v1/nodes/"+n.name, ops)
}

// until waits until the node is in one of the states. A failed state that is not wanted ends the test with its reason.
func (n *node) until(timeout time.Duration, states ...string) map[string]any {
	n.t.Helper()
	return n.watch(timeout, func(v map[string]any) bool { return slices.Contains(states, v["provision_state"].(string)) }, states...)
}

// watch polls the node until ok says so.
func (n *node) watch(timeout time.Duration, ok func(map[string]any) bool, wanted ...string) map[string]any {
	n.t.Helper()
	last := ""
	for began, deadline := time.Now(), time.Now().Add(timeout); ; time.Sleep(100 * time.Millisecond) {
		code, v := n.call("GET", "/v1/nodes/"+n.name, nil)
		if code != 200 {
			if time.Now().After(deadline) {
				n.t.Fatalf("%s: GET: %d %v", n.name, code, v["error_message"])
			}
			continue // Ferric may just be starting
		}
		state := fmt.Sprint(v["provision_state"], " ", v["deploy_step"], v["clean_step"])
		if state != last {
			n.t.Logf("%s %6.1fs %s", n.name, time.Since(began).Seconds(), state)
			last = state
		}
		if ok(v) {
			return v
		}
		if s := v["provision_state"].(string); strings.HasSuffix(s, "failed") && !slices.Contains(wanted, s) {
			n.t.Fatalf("%s is %s: %v", n.name, s, v["last_error"])
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s is still %q after %s: last_error %v, reservation %v", n.name, v["provision_state"], timeout, v["last_error"], v["reservation"])
		}
	}
}

// console waits until the machine has written what matches, after the first skip bytes, and returns the number of bytes so far.
func (n *node) console(timeout time.Duration, pattern string, skip int) int {
	n.t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(timeout); ; time.Sleep(200 * time.Millisecond) {
		b, err := os.ReadFile(n.m.Log())
		if err == nil && len(b) > skip && re.Match(b[skip:]) {
			return len(b)
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: nothing on the console matches %q within %s", n.name, pattern, timeout)
		}
	}
}

func (n *node) consoleSize() int {
	info, err := os.Stat(n.m.Log())
	if err != nil {
		return 0
	}
	return int(info.Size())
}

// operation returns the node's newest operation.
func (n *node) operation() map[string]any {
	n.t.Helper()
	list := n.must("GET", "/ferric/v1/nodes/"+n.name+"/operations", nil)["operations"].([]any)
	return n.must("GET", "/ferric/v1/operations/"+list[0].(map[string]any)["id"].(string), nil)
}

// steps returns how often each step of the node's newest operation was begun, by "interface.step".
func (n *node) steps() map[string]int {
	n.t.Helper()
	out := map[string]int{}
	for _, s := range n.operation()["steps"].([]any) {
		s := s.(map[string]any)
		out[fmt.Sprint(s["interface"], ".", s["step"])] = int(s["attempts"].(float64))
	}
	return out
}
