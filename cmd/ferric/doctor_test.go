package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"ferric/lab/bmc"
)

// patient is a service whose database is made ill.
type patient struct {
	*testing.T
	client
	db *sql.DB
}

func (p *patient) sql(statement string, args ...any) {
	p.T.Helper()
	if _, err := p.db.Exec(statement, args...); err != nil {
		p.T.Fatalf("%s: %v", statement, err)
	}
}

// ago is a time in the past as the database keeps it.
func ago(d time.Duration) int64 { return time.Now().Add(-d).UnixMicro() }

// operation enters an unfinished operation with one step for a node. status is the step's, too.
func (p *patient) operation(node, status, waitFor string, wakeAt int64) {
	p.T.Helper()
	due := wakeAt
	if due == 0 {
		due = time.Now().Add(24 * 365 * time.Hour).UnixMicro()
	}
	id := "00000000-0000-4000-8000-" + fmt.Sprintf("%012x", []byte(node)[:min(6, len(node))])
	p.sql(`INSERT INTO operations (id, node_uuid, kind, lane, status, error, step_cursor, request_id, user_id, project, abort_reason, wait_for, wait_what,
		wait_since, wake_at, due_at, signals, signal_marks, created_at, updated_at, ended_at, conductor, takeovers, params)
		SELECT $1, uuid, 'clean', 'provision', $2, '', 0, '', '', '', '', $3, 'the first call of the agent', $4, $5, $6, 0, '', $4, $4, 0, 'one', 0, '' FROM nodes WHERE name = $7`,
		id, status, waitFor, ago(time.Hour), wakeAt, due, node)
	p.sql(`INSERT INTO steps (operation_id, seq, interface, name, priority, args, repeat_mode, clean_up, hidden, source, status, attempts, error, started_at, ended_at, data, result)
		VALUES ($1, 0, 'deploy', 'erase_devices', 10, '', 'safe', 0, 0, '', $2, 1, '', $3, 0, '', '')`, id, status, ago(time.Hour))
}

// illness is one thing that can be wrong.
type illness struct {
	node    m // fields of the node that has it, besides name and driver; nil: it is no node's
	state   string
	harm    func(p *patient, node string)
	code    string
	say, do string
}

// illnesses are all that there are. port is a BMC's, whose machine is on.
func illnesses(port string) map[string]illness {
	ipmi := m{"driver": "ipmi", "driver_info": m{"ipmi_address": "127.0.0.1", "ipmi_port": port, "ipmi_username": "admin", "ipmi_password": "pw",
		"deploy_kernel": "http://i/k", "deploy_ramdisk": "http://i/r"}}
	return map[string]illness{
		"stateless": {m{}, "deploying", func(*patient, string) {}, "state-without-operation", `in the state "deploying", but nothing is under way`, "sets it to failed"},
		"failed": {m{}, "clean failed", func(p *patient, n string) {
			p.sql("UPDATE nodes SET last_error = 'the disk is gone', maintenance = 1 WHERE name = $1", n)
		},
			"failed", `"clean failed"`, "maintenance unset failed, then openstack baremetal node manage failed"},
		"lonely": {m{"conductor_group": "nowhere"}, "manageable", func(*patient, string) {}, "no-conductor", `conductor group "nowhere"`, "conductor.conductor_group"},
		"overdue": {m{"conductor_group": "elsewhere"}, "cleaning", func(p *patient, n string) { p.operation(n, "running", "", ago(time.Hour)) },
			"overdue", "should have been carried on 1h0m", "no-conductor"},
		"endless": {m{}, "clean wait", func(p *patient, n string) { p.operation(n, "waiting", "heartbeat", 0) }, "waits-without-end", "waits without an end: the first call of the agent", "node abort endless"},
		"cloudy": {m{}, "cleaning", func(p *patient, n string) {
			p.operation(n, "waiting", "", time.Now().Add(time.Minute).UnixMicro())
			p.sql("UPDATE operations SET wait_what = 'the service Neutron to answer again' WHERE node_uuid = (SELECT uuid FROM nodes WHERE name = $1)", n)
		}, "waits-for-service", "for the service Neutron to answer again", "node abort cloudy"},
		"nothing": {m{}, "cleaning", func(p *patient, n string) { p.operation(n, "waiting", "", 0) }, "waits-for-nothing", "waits for nothing that could come", "node abort nothing"},
		"silent": {m{}, "clean wait", func(p *patient, n string) {
			p.operation(n, "waiting", "heartbeat", time.Now().Add(time.Hour).UnixMicro())
			p.sql(`INSERT INTO agent_sessions (node_uuid, callback_url, version, started_at, looked_up_at, last_heartbeat, verify_ca)
				SELECT uuid, '', '', $1, $1, $1, '' FROM nodes WHERE name = $2`, ago(20*time.Minute), n)
		}, "agent-silent", "has not called since", "node abort silent"},
		"ghostly": {m{}, "manageable", func(p *patient, n string) {
			p.sql("UPDATE nodes SET reservation = 'ghost', lease_until = $1 WHERE name = $2", ago(-5*time.Minute), n)
		}, "lease-of-the-dead", "locked by ghost, which is not alive", "the lock ends"},
		"future": {m{}, "manageable", func(p *patient, n string) {
			p.sql("UPDATE nodes SET reservation = 'one', lease_until = $1 WHERE name = $2", ago(-time.Hour), n)
		}, "lease-from-the-future", "locked by one until", "set the clocks right"},
		"locked": {m{}, "manageable", func(p *patient, n string) {
			p.sql("UPDATE nodes SET reservation = 'one', lease_until = $1 WHERE name = $2", ago(-5*time.Minute), n)
		}, "lease-without-operation", "locked by one, with nothing under way", "look again in a minute"},
		"dark": {m{}, "manageable", func(p *patient, n string) {
			p.sql("UPDATE nodes SET fault = 'power failure', maintenance = 1, maintenance_reason = 'no answer' WHERE name = $1", n)
		}, "bmc-silent", "the BMC does not answer", "node validate dark"},
		"targeted": {m{}, "manageable", func(p *patient, n string) {
			p.sql("UPDATE nodes SET target_power_state = 'power on', updated_at = $1 WHERE name = $2", ago(time.Hour), n)
		}, "power-target-left", `on its way to "power on"`, "node power on|off targeted"},
		"unlike": {ipmi, "manageable", func(*patient, string) {}, "power-differs", `the machine is "power on", and on record it is "power off"`, "power on|off"},
		"astray": {ipmi, "active", func(p *patient, n string) {
			p.must(204, "PUT", "/v1/nodes/"+n+"/management/boot_device", m{"boot_device": "pxe", "persistent": true})
		}, "boot-device-differs", `boots from "pxe" every time`, "boot device set --persistent"},
		"deaf": {m{"driver": "ipmi", "driver_info": m{"ipmi_address": "127.0.0.1", "ipmi_port": 9, "deploy_kernel": "http://i/k", "deploy_ramdisk": "http://i/r"}}, "manageable",
			func(*patient, string) {}, "bmc-silent", "the BMC does not answer", "node validate"},
		"unbootable": {m{"driver": "ipmi"}, "manageable", func(*patient, string) {}, "no-ramdisk", "has no deploy", "ferric ramdisk build"},
		"mute sink": {nil, "", func(p *patient, _ string) {
			p.sql("INSERT INTO outbox_sinks (name, error, failing_since) VALUES ('rabbitmq', 'no route to host', $1)", ago(time.Hour))
		}, "notifications-wait", "wait to be delivered to rabbitmq", "mend the settings in [notifications]"},
		"full sink": {nil, "", func(p *patient, _ string) {
			p.sql("INSERT INTO outbox_sinks (name, dropped, dropped_at) VALUES ('webhook', 7, $1)", ago(time.Hour))
		}, "notifications-dropped", "7 since it was set up", "read the API once"},
		"ghost host": {nil, "", func(p *patient, _ string) {
			p.sql("INSERT INTO conductors (hostname, conductor_group, drivers, boot_id, created_at, updated_at, retired) VALUES ('dead-host', '', '[]', 'b', $1, $1, 0)", ago(10*time.Minute))
		}, "conductor-dead", "dead-host is not alive", "start ferric serve on dead-host"},
		"fast host": {nil, "", func(p *patient, _ string) {
			p.sql("INSERT INTO conductors (hostname, conductor_group, drivers, boot_id, created_at, updated_at, retired) VALUES ('fast-host', 'x', '[]', 'b', $1, $1, 0)", ago(-10*time.Minute))
		}, "clock-skew", "announced itself", "NTP"},
		"mute host": {nil, "", func(p *patient, _ string) {
			p.sql("INSERT INTO conductors (hostname, conductor_group, drivers, boot_id, created_at, updated_at, retired) VALUES ('mute-host', 'x', '[]', 'b', $1, $1, 0)", ago(0))
		}, "conductor-unreachable", "does not answer on the bus", "bus.url"},
	}
}

// find returns the finding of a kind about a node or a host.
func find(r report, code, subject string) (reportFinding, bool) {
	for _, f := range r.Findings {
		if f.Code == code && (f.NodeName == subject || subject == "") {
			return f, true
		}
	}
	return reportFinding{}, false
}

// TestDoctor makes a real service ill in every way, and shows what the doctor says of each.
func TestDoctor(t *testing.T) {
	server, err := bmc.Start(running{}, bmc.Options{Users: []bmc.User{{Name: "admin", Password: "pw"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	_, port, err := net.SplitHostPort(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	url, stop := ferricd(t, dir, "--set", "conductor.sync_power_state_interval=0s", "--set", "conductor.check_provision_state_interval=24h",
		"--set", "drivers.enabled_hardware_types=fake-hardware,ipmi")
	p := &patient{T: t, client: client{t, url}}
	see := func(want int, args ...string) report {
		t.Helper()
		code, text := ferricRun(t.Context(), append([]string{"doctor", "--json", "--data-dir", dir}, args...)...)
		var r report
		if err := json.Unmarshal([]byte(text), &r); code != want || want != 2 && err != nil {
			t.Fatalf("ferric doctor %v: exit %d, want %d: %v\n%s", args, code, want, err, text)
		}
		return r
	}
	p.must(201, "POST", "/v1/nodes", m{"name": "well", "driver": "fake-hardware"})
	p.lives("well", "manage", "manageable")
	if r := see(0, "--url", url, "--hardware"); r.Nodes != 1 || !r.Healthy {
		t.Errorf("a healthy service: %+v", r)
	}

	if p.db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "ferric.db")+"?_pragma=busy_timeout(10000)"); err != nil {
		t.Fatal(err)
	}
	defer p.db.Close()
	for name, ill := range illnesses(port) {
		if ill.node == nil {
			continue
		}
		node := m{"name": name, "driver": "fake-hardware"}
		for k, v := range ill.node {
			node[k] = v
		}
		if ill.node["conductor_group"] != nil { // the API makes no node that no conductor serves
			delete(node, "conductor_group")
		}
		p.must(201, "POST", "/v1/nodes", node)
		p.sql("UPDATE nodes SET provision_state = $1, provision_updated_at = $2, power_state = 'power off' WHERE name = $3", ill.state, ago(time.Hour), name)
		if g := ill.node["conductor_group"]; g != nil {
			p.sql("UPDATE nodes SET conductor_group = $1 WHERE name = $2", g, name)
		}
	}
	for name, ill := range illnesses(port) {
		ill.harm(p, name)
	}
	p.verb(202, "well", "clean", m{"clean_steps": []m{{"interface": "deploy", "step": "hold"}}})
	p.reaches("well", "clean hold")

	r := see(1, "--url", url, "--hardware")
	want := illnesses(port)
	want["well"] = illness{m{}, "", nil, "held", "rests", "node unhold well"}
	for name, ill := range want {
		subject := name
		if ill.node == nil {
			subject = ""
		}
		f, ok := find(r, ill.code, subject)
		if !ok {
			t.Errorf("%s: %s was not found", name, ill.code)
			continue
		}
		if !strings.Contains(f.What, ill.say) || !strings.Contains(f.Do, ill.do) || f.Why == "" {
			t.Errorf("%s: what %q, why %q, do %q", name, f.What, f.Why, f.Do)
		}
	}

	// One node: its own illness, and no other's.
	if r := see(1, "dark", "--url", url); len(r.Findings) != 1 || r.Findings[0].NodeName != "dark" || r.Nodes != 1 {
		t.Errorf("doctor of one node: %+v", r)
	}
	see(0, "--url", url, "unlike") // without --hardware nobody knows
	see(2, "--url", url, "nobody")
	see(2, "--url", "http://127.0.0.1:1")
	if code, text := ferricRun(t.Context(), "doctor", "--data-dir", dir, "--url", url, "dark"); code != 1 || !strings.Contains(text, "error: bmc-silent: dark (") || !strings.Contains(text, "  do    look at") {
		t.Errorf("in words: exit %d\n%s", code, text)
	}

	// Nothing runs: the database itself is looked into. Allocations are stuck only now.
	p.must(201, "POST", "/v1/allocations", m{"name": "stuck", "resource_class": "gold"})
	stop()
	p.sql("UPDATE allocations SET state = 'allocating', due_at = $1, conductor = 'dead-host'", ago(time.Hour))
	r = see(1, "--db")
	for _, code := range []string{"allocation-stuck", "overdue", "failed", "state-without-operation", "no-conductor"} {
		if _, ok := find(r, code, ""); !ok {
			t.Errorf("--db does not find %s: %+v", code, r)
		}
	}
	if len(r.Unseen) == 0 {
		t.Error("--db does not say what it did not look at")
	}
	see(2, "--db", "--data-dir", t.TempDir())
}
