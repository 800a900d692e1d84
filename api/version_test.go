package api_test

import (
	"fmt"
	"strings"
	"testing"

	"ferric"
)

// nodeSince is the first microversion that shows each field of a node, from Ironic's REST API version history.
var nodeSince = map[string]int{
	"uuid": 1, "driver": 1, "driver_info": 1, "properties": 1, "instance_info": 1, "instance_uuid": 1, "extra": 1, "chassis_uuid": 1,
	"power_state": 1, "target_power_state": 1, "provision_state": 1, "target_provision_state": 1, "last_error": 1, "maintenance": 1,
	"maintenance_reason": 1, "reservation": 1, "console_enabled": 1, "provision_updated_at": 1, "created_at": 1, "updated_at": 1,
	"links": 1, "ports": 1,
	"driver_internal_info": 3, "name": 5, "inspection_started_at": 6, "inspection_finished_at": 6, "clean_step": 7, "raid_config": 12,
	"target_raid_config": 12, "states": 14, "network_interface": 20, "resource_class": 21, "portgroups": 24,
	"boot_interface": 31, "console_interface": 31, "deploy_interface": 31, "inspect_interface": 31, "management_interface": 31,
	"power_interface": 31, "raid_interface": 31, "vendor_interface": 31, "volume": 32, "storage_interface": 33, "traits": 37,
	"rescue_interface": 38, "bios_interface": 40, "fault": 42, "deploy_step": 44, "conductor_group": 46, "automated_clean": 47,
	"protected": 48, "protected_reason": 48, "conductor": 49, "owner": 50, "description": 51, "allocation_uuid": 52, "retired": 61,
	"retired_reason": 61, "lessee": 65, "network_data": 66, "boot_mode": 75, "secure_boot": 75, "shard": 82, "parent_node": 83,
	"firmware_interface": 86, "service_step": 87, "disable_power_off": 95, "instance_name": 104, "health": 109,
}

// portSince is the same for a port.
var portSince = map[string]int{
	"uuid": 1, "address": 1, "extra": 1, "node_uuid": 1, "created_at": 1, "updated_at": 1, "links": 1, "internal_info": 18,
	"local_link_connection": 19, "pxe_enabled": 19, "portgroup_uuid": 24, "physical_network": 34, "is_smartnic": 53, "name": 88,
	"description": 97, "vendor": 100, "category": 101, "available_for_dynamic_portgroup": 111,
}

// allocationSince, templateSince and runbookSince are the same for the objects that schedule and plan.
var (
	allocationSince = map[string]int{"candidate_nodes": 52, "created_at": 52, "extra": 52, "last_error": 52, "links": 52, "name": 52, "node_uuid": 52,
		"owner": 60, "resource_class": 52, "state": 52, "traits": 52, "updated_at": 52, "uuid": 52}
	templateSince = map[string]int{"created_at": 55, "extra": 55, "links": 55, "name": 55, "steps": 55, "updated_at": 55, "uuid": 55}
	runbookSince  = map[string]int{"created_at": 92, "description": 112, "disable_ramdisk": 92, "extra": 92, "links": 92, "name": 92, "owner": 92,
		"public": 92, "steps": 92, "traits": 112, "updated_at": 92, "uuid": 92}
	historySince = map[string]int{"uuid": 78, "created_at": 78, "severity": 78, "event_type": 78, "event": 78, "conductor": 78, "user": 78, "links": 78,
		"project": 113, "state": 115, "target_provision_state": 115, "duration_seconds": 115}
)

// TestSchedulingFieldsByVersion is TestFieldsByVersion for objects that came later, and whose paths did not exist before.
func TestSchedulingFieldsByVersion(t *testing.T) {
	f := newFixture(t)
	node := f.node(nil)
	f.must(201, "POST", "/v1/allocations", m{"name": "a", "resource_class": "x"})
	f.must(201, "POST", "/v1/deploy_templates", m{"name": "CUSTOM_A", "steps": []m{aStep("priority", nil)}})
	f.must(201, "POST", "/v1/runbooks", m{"name": "r", "steps": []m{aStep("order", nil)}})
	if err := f.store.AddHistory(t.Context(), &ferric.HistoryEntry{UUID: historyID, NodeUUID: node, Event: "e"}); err != nil {
		t.Fatal(err)
	}
	for path, since := range map[string]map[string]int{"/v1/allocations/a": allocationSince, "/v1/deploy_templates/CUSTOM_A": templateSince,
		"/v1/runbooks/r": runbookSince, "/v1/nodes/" + node + "/history/" + historyID: historySince} {
		for v := since["uuid"]; v <= 115; v++ {
			got := f.must(200, "GET", fmt.Sprintf("1.%d %s", v, path), nil).object(t)
			for name, first := range since {
				if _, shown := got[name]; shown != (v >= first) {
					t.Errorf("%s at 1.%d: %s shown: %v; its first version is 1.%d", path, v, name, shown, first)
				}
			}
			for name := range got {
				if _, known := since[name]; !known {
					t.Errorf("%s at 1.%d: %s is not in the history of versions", path, v, name)
				}
			}
		}
	}
}

// portgroupSince, chassisSince, connectorSince and targetSince are the same for what has these names.
var (
	portgroupSince = map[string]int{"uuid": 23, "address": 23, "extra": 23, "internal_info": 23, "name": 23, "node_uuid": 23,
		"standalone_ports_supported": 23, "created_at": 23, "updated_at": 23, "links": 23, "ports": 23, "mode": 26, "properties": 26,
		"physical_network": 102, "category": 103, "dynamic_portgroup": 111}
	chassisSince   = map[string]int{"uuid": 1, "description": 1, "extra": 1, "created_at": 1, "updated_at": 1, "links": 1, "nodes": 1}
	connectorSince = map[string]int{"uuid": 32, "node_uuid": 32, "type": 32, "connector_id": 32, "extra": 32, "created_at": 32, "updated_at": 32, "links": 32}
	targetSince    = map[string]int{"uuid": 32, "node_uuid": 32, "volume_type": 32, "volume_id": 32, "boot_index": 32, "properties": 32, "extra": 32,
		"created_at": 32, "updated_at": 32, "links": 32}
)

func TestFieldsByVersion(t *testing.T) {
	f := newFixture(t)
	node := f.node(nil)
	port := f.must(201, "POST", "/v1/ports", m{"node_uuid": node, "address": "52:54:00:00:00:01"}).object(t)["uuid"].(string)
	group := f.must(201, "POST", "/v1/portgroups", m{"node_uuid": node}).object(t)["uuid"].(string)
	chassis := f.must(201, "POST", "/v1/chassis", nil).object(t)["uuid"].(string)
	connector := f.must(201, "POST", "/v1/volume/connectors", m{"node_uuid": node, "type": "ip", "connector_id": "1"}).object(t)["uuid"].(string)
	target := f.must(201, "POST", "/v1/volume/targets", m{"node_uuid": node, "volume_type": "iscsi", "volume_id": "1", "boot_index": 0}).object(t)["uuid"].(string)
	for path, since := range map[string]map[string]int{"/v1/nodes/" + node: nodeSince, "/v1/ports/" + port: portSince,
		"/v1/portgroups/" + group: portgroupSince, "/v1/chassis/" + chassis: chassisSince, "/v1/volume/connectors/" + connector: connectorSince,
		"/v1/volume/targets/" + target: targetSince} {
		for v := since["uuid"]; v <= 115; v++ {
			got := f.must(200, "GET", fmt.Sprintf("1.%d %s", v, path), nil).object(t)
			for name, first := range since {
				if _, shown := got[name]; shown != (v >= first) {
					t.Errorf("%s at 1.%d: %s shown: %v; its first version is 1.%d", path, v, name, shown, first)
				}
			}
			for name := range got {
				if _, known := since[name]; !known {
					t.Errorf("%s at 1.%d: %s is not in the history of versions", path, v, name)
				}
			}
		}
	}
}

// TestFieldsAskedForTooEarly asks for each field one version before it exists: in fields=, as a sort key, and in a patch.
func TestFieldsAskedForTooEarly(t *testing.T) {
	f := newFixture(t)
	node := f.node(nil)
	for name, first := range nodeSince {
		if first == 1 || name == "links" || name == "ports" || name == "states" || name == "portgroups" || name == "volume" {
			continue
		}
		before := fmt.Sprintf("1.%d ", first-1)
		if first > 8 {
			if r := f.do("GET", before+"/v1/nodes?fields="+name, nil); r.status != 406 || r.text(t) != "Request not acceptable." {
				t.Errorf("fields=%s at %s: %d %s", name, before, r.status, r.body)
			}
			f.must(200, "GET", fmt.Sprintf("1.%d /v1/nodes?fields=%s", first, name), nil)
		}
		if r := f.do("GET", before+"/v1/nodes?sort_key="+name, nil); r.status != 406 {
			t.Errorf("sort_key=%s at %s: %d %s", name, before, r.status, r.body)
		}
		if r := f.do("PATCH", before+"/v1/nodes/"+node, []m{{"op": "add", "path": "/" + name, "value": nil}}); r.status != 406 && r.status != 400 {
			t.Errorf("patch of %s at %s: %d %s", name, before, r.status, r.body)
		}
	}
	for collection, since := range map[string]map[string]int{"ports": portSince, "portgroups": portgroupSince} {
		for name, first := range since {
			if first <= 23 || name == "links" {
				continue
			}
			for _, query := range []string{"fields", "sort_key"} {
				path := fmt.Sprintf("1.%d /v1/%s?%s=%s", first-1, collection, query, name)
				if r := f.do("GET", path, nil); r.status != 406 {
					t.Errorf("%s: %d %s", path, r.status, r.body)
				}
			}
			f.must(200, "GET", fmt.Sprintf("1.%d /v1/%s?fields=%s", first, collection, name), nil)
		}
	}
	if r := f.do("GET", "1.7 /v1/nodes?fields=uuid", nil); r.status != 406 {
		t.Errorf("fields= at 1.7: %d", r.status)
	}
}

// TestRoutesByVersion asks for each path that came later in the version before and in its own.
func TestRoutesByVersion(t *testing.T) {
	f := newFixture(t)
	node := f.node(m{"name": "one"})
	f.must(201, "POST", "/v1/allocations", m{"name": "a", "resource_class": "x"})
	f.must(201, "POST", "/v1/runbooks", m{"name": "r", "steps": []m{aStep("order", nil)}})
	f.must(201, "POST", "/v1/portgroups", m{"node_uuid": node, "name": "bond0"})
	for name, c := range map[string]struct {
		method, path string
		body         any
		first, then  int
	}{
		"inject_nmi":  {"PUT", "/v1/nodes/" + node + "/management/inject_nmi", nil, 29, 204},
		"vifs":        {"GET", "/v1/nodes/" + node + "/vifs", nil, 28, 200},
		"traits":      {"GET", "/v1/nodes/" + node + "/traits", nil, 37, 200},
		"set traits":  {"PUT", "/v1/nodes/" + node + "/traits", m{"traits": []string{}}, 37, 204},
		"history":     {"GET", "/v1/nodes/" + node + "/history", nil, 78, 200},
		"inventory":   {"GET", "/v1/nodes/" + node + "/inventory", nil, 81, 404},
		"children":    {"GET", "/v1/nodes/" + node + "/children", nil, 83, 200},
		"rules":       {"GET", "/v1/inspection_rules", nil, 96, 200},
		"rule":        {"GET", "/v1/inspection_rules/" + node, nil, 96, 404},
		"add a rule":  {"POST", "/v1/inspection_rules", m{"actions": failing()}, 96, 201},
		"drop rules":  {"DELETE", "/v1/inspection_rules", nil, 96, 204},
		"conductors":  {"GET", "/v1/conductors", nil, 49, 200},
		"lookup":      {"GET", "/v1/lookup?node_uuid=" + node, nil, 22, 404},
		"BIOS":        {"GET", "/v1/nodes/" + node + "/bios", nil, 40, 200},
		"setting":     {"GET", "/v1/nodes/" + node + "/bios/x", nil, 40, 404},
		"firmware":    {"GET", "/v1/nodes/" + node + "/firmware", nil, 86, 200},
		"boot mode":   {"PUT", "/v1/nodes/" + node + "/states/boot_mode", m{"target": "uefi"}, 76, 202},
		"secure boot": {"PUT", "/v1/nodes/" + node + "/states/secure_boot", m{"target": true}, 76, 202},
		"indicators":  {"GET", "/v1/nodes/" + node + "/management/indicators", nil, 63, 200},
		"indicator":   {"GET", "/v1/nodes/" + node + "/management/indicators/led@system", nil, 63, 200},
		"set light":   {"PUT", "/v1/nodes/" + node + "/management/indicators/led@system", m{"state": "on"}, 63, 204},
		"vmedia":      {"GET", "/v1/nodes/" + node + "/vmedia", nil, 93, 200},
		"attach":      {"POST", "/v1/nodes/" + node + "/vmedia", m{"device_type": "cdrom", "image_url": "http://x/y"}, 89, 204},
		"detach":      {"DELETE", "/v1/nodes/" + node + "/vmedia", nil, 89, 204},
		"node's name": {"GET", "/v1/nodes/one", nil, 5, 200},

		"allocations":         {"GET", "/v1/allocations", nil, 52, 200},
		"allocation":          {"GET", "/v1/allocations/a", nil, 52, 200},
		"create allocation":   {"POST", "/v1/allocations", m{"resource_class": "x"}, 52, 201},
		"patch allocation":    {"PATCH", "/v1/allocations/a", []m{}, 57, 200},
		"delete allocation":   {"DELETE", "/v1/allocations/gone", nil, 52, 404},
		"node's allocation":   {"GET", "/v1/nodes/" + node + "/allocation", nil, 52, 404},
		"templates":           {"GET", "/v1/deploy_templates", nil, 55, 200},
		"create template":     {"POST", "/v1/deploy_templates", m{"name": "CUSTOM_A", "steps": []m{aStep("priority", nil)}}, 55, 201},
		"patch template":      {"PATCH", "/v1/deploy_templates/gone", []m{}, 55, 404},
		"delete template":     {"DELETE", "/v1/deploy_templates/gone", nil, 55, 404},
		"runbooks":            {"GET", "/v1/runbooks", nil, 92, 200},
		"create runbook":      {"POST", "/v1/runbooks", m{"name": "CUSTOM_A", "steps": []m{aStep("order", nil)}}, 92, 201},
		"delete runbook":      {"DELETE", "/v1/runbooks/gone", nil, 92, 404},
		"runbook's traits":    {"GET", "/v1/runbooks/r/traits", nil, 112, 200},
		"set its traits":      {"PUT", "/v1/runbooks/r/traits", m{"traits": []string{}}, 112, 204},
		"add to its traits":   {"PUT", "/v1/runbooks/r/traits/CUSTOM_A", nil, 112, 204},
		"portgroups":          {"GET", "/v1/portgroups", nil, 23, 200},
		"portgroup details":   {"GET", "/v1/portgroups/detail", nil, 23, 200},
		"create portgroup":    {"POST", "/v1/portgroups", m{"node_uuid": node}, 23, 201},
		"portgroup":           {"GET", "/v1/portgroups/bond0", nil, 23, 200},
		"patch portgroup":     {"PATCH", "/v1/portgroups/bond0", []m{}, 23, 200},
		"delete no portgroup": {"DELETE", "/v1/portgroups/bond9", nil, 23, 404},
		"portgroup's ports":   {"GET", "/v1/portgroups/bond0/ports", nil, 24, 200},
		"portgroup's details": {"GET", "/v1/portgroups/bond0/ports/detail", nil, 24, 200},
		"node's portgroups":   {"GET", "/v1/nodes/one/portgroups", nil, 24, 200},
		"node's details":      {"GET", "/v1/nodes/one/portgroups/detail", nil, 24, 200},
		"volume":              {"GET", "/v1/volume", nil, 32, 200},
		"connectors":          {"GET", "/v1/volume/connectors", nil, 32, 200},
		"create connector":    {"POST", "/v1/volume/connectors", m{"node_uuid": node, "type": "ip", "connector_id": "1"}, 32, 201},
		"targets":             {"GET", "/v1/volume/targets", nil, 32, 200},
		"create target":       {"POST", "/v1/volume/targets", m{"node_uuid": node, "volume_type": "i", "volume_id": "1", "boot_index": 0}, 32, 201},
		"node's volume":       {"GET", "/v1/nodes/one/volume", nil, 32, 200},
		"node's connectors":   {"GET", "/v1/nodes/one/volume/connectors", nil, 32, 200},
		"node's targets":      {"GET", "/v1/nodes/one/volume/targets", nil, 32, 200},
		"shards":              {"GET", "/v1/shards", nil, 82, 200},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			early := 404
			switch collection, _, _ := strings.Cut(strings.TrimPrefix(c.path, "/v1/"), "/"); collection {
			case "allocations", "deploy_templates", "runbooks":
				if c.method != "GET" && c.first != 112 {
					early = 405
				}
			}
			f.must(early, c.method, fmt.Sprintf("1.%d %s", c.first-1, c.path), c.body)
			f.must(c.then, c.method, fmt.Sprintf("1.%d %s", c.first, c.path), c.body)
		})
	}
}

func TestNegotiation(t *testing.T) {
	f := newFixture(t)
	const ironic, standard = "X-OpenStack-Ironic-API-Version", "OpenStack-API-Version"
	for name, c := range map[string]struct {
		header []string
		status int
		used   string
		text   string
	}{
		"none":              {nil, 200, "1.1", ""},
		"ironic's":          {[]string{ironic, "1.33"}, 200, "1.33", ""},
		"latest":            {[]string{ironic, "latest"}, 200, "1.115", ""},
		"Latest":            {[]string{ironic, "LaTeSt"}, 200, "1.115", ""},
		"standard":          {[]string{standard, "baremetal 1.40"}, 200, "1.40", ""},
		"standard latest":   {[]string{standard, "baremetal latest"}, 200, "1.115", ""},
		"both":              {[]string{ironic, "1.33", standard, "compute 2.1, baremetal 1.40"}, 200, "1.40", ""},
		"another service":   {[]string{standard, "compute 2.79"}, 200, "1.1", ""},
		"spaces":            {[]string{ironic, " 1.5 "}, 200, "1.5", ""},
		"newest":            {[]string{ironic, "1.115"}, 200, "1.115", ""},
		"too new":           {[]string{ironic, "1.116"}, 406, "", "Version 1.116 was requested but the minor version is not supported by this service. The supported version range is: [1.1, 1.115]."},
		"too old":           {[]string{ironic, "1.0"}, 406, "", "Version 1.0 was requested but the minor version is not supported by this service. The supported version range is: [1.1, 1.115]."},
		"another major":     {[]string{ironic, "2.1"}, 406, "", "Mutually exclusive versions requested. Version 2.1 requested but not supported by this service. The supported version range is: [1.1, 1.115]."},
		"garbage":           {[]string{ironic, "x"}, 406, "", "Invalid value for X-OpenStack-Ironic-API-Version header"},
		"garbage minor":     {[]string{ironic, "1.x"}, 406, "", "Invalid value for X-OpenStack-Ironic-API-Version header"},
		"three numbers":     {[]string{ironic, "1.2.3"}, 406, "", "Invalid value for X-OpenStack-Ironic-API-Version header"},
		"negative":          {[]string{ironic, "1.-1"}, 406, "", "Version 1.-1 was requested but the minor version is not supported by this service. The supported version range is: [1.1, 1.115]."},
		"standard, garbage": {[]string{standard, "baremetal x"}, 406, "", "Invalid value for X-OpenStack-Ironic-API-Version header"},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, "GET", "- /v1/nodes", nil, c.header...)
			if got := r.header.Get(ironic); got != c.used {
				t.Errorf("version used: %q, want %q", got, c.used)
			}
			if c.text == "" {
				return
			}
			if got := r.fault(t); got["description"] != c.text || got["code"] != 406.0 || got["title"] != "Not Acceptable" {
				t.Errorf("error %v, want the description %q", got, c.text)
			}
		})
	}
	r := f.must(406, "GET", "1.999 /v1", nil)
	if r.header.Get("X-OpenStack-Ironic-API-Minimum-Version") != "1.1" || r.header.Get("X-OpenStack-Ironic-API-Maximum-Version") != "1.115" {
		t.Errorf("the refusal does not say the range: %v", r.header)
	}
}
