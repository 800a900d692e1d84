package main

import "strings"

// groups is about what belongs to nodes: chassis, port groups, volume connectors and targets, deploy templates.
func groups(t *talk) {
	t.post("/v1/chassis", m{"uuid": chassisID, "description": "a rack", "extra": m{"a": 1}})
	t.post("/v1/chassis", m{"uuid": chassisID})
	t.post("/v1/chassis", m{"description": strings.Repeat("x", 300)})
	enroll(t, m{"chassis_uuid": chassisID})
	t.get("/v1/chassis/" + chassisID)
	t.get("/v1/chassis/" + chassisID + "/nodes")
	t.get("/v1/chassis/" + chassisID + "/nodes/detail")
	t.get("/v1/chassis/detail")
	t.get("/v1/nodes?chassis_uuid=" + chassisID)
	t.get("/v1/nodes?chassis_uuid=" + nobody)
	t.at(24).patch(nodePath, op("remove", "chassis_uuid", nil))
	t.del("/v1/chassis/" + chassisID)
	t.patch(nodePath, op("remove", "chassis_uuid", nil))
	t.del("/v1/chassis/" + chassisID)
	t.del("/v1/chassis/" + chassisID)

	group, port := "/v1/portgroups/"+groupID, "/v1/ports/"+portID
	t.post("/v1/portgroups", m{"uuid": groupID, "node_uuid": nodeID, "name": "bond0", "address": "52:54:00:00:00:21"})
	t.post("/v1/portgroups", m{"node_uuid": nodeID, "name": "bond0"})
	t.post("/v1/portgroups", m{"node_uuid": nodeID, "address": "52:54:00:00:00:21"})
	t.post("/v1/portgroups", m{"node_uuid": nobody})
	t.post("/v1/portgroups", m{"node_uuid": nodeID, "name": "not a name"})
	t.post("/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:00:00:22", "portgroup_uuid": groupID})
	t.post("/v1/ports", m{"node_uuid": nodeID, "address": "52:54:00:00:00:23", "portgroup_uuid": nobody})
	t.get(group)
	t.get("/v1/portgroups/bond0")
	t.get(group + "/ports")
	t.get(group + "/ports/detail")
	t.get("/v1/ports?portgroup=" + groupID)
	t.get("/v1/ports?portgroup=bond0")
	t.get("/v1/ports?portgroup=bond0&node=alpha")
	t.get(nodePath + "/portgroups")
	t.get(nodePath + "/portgroups/detail")
	t.get(nodePath + "/portgroups/" + groupID)
	t.get("/v1/portgroups?address=52:54:00:00:00:21")
	t.get("/v1/portgroups?node=alpha")
	t.change(group, "mode", "802.3ad")
	t.change(group, "standalone_ports_supported", false)
	t.change(group, "node_uuid", nobody)
	t.change(port, "pxe_enabled", true)
	t.del(group)
	t.change(port, "portgroup_uuid", nil)
	t.patch(port, op("remove", "portgroup_uuid", nil))
	t.del(group)
	t.at(22).get("/v1/portgroups")

	conn, target := "/v1/volume/connectors/"+connID, "/v1/volume/targets/"+targetID
	t.get("/v1/volume")
	t.get("/v1/volume/")
	t.get(nodePath + "/volume")
	t.post("/v1/volume/connectors", m{"uuid": connID, "node_uuid": nodeID, "type": "iqn", "connector_id": "iqn.one"})
	t.post("/v1/volume/connectors", m{"node_uuid": nodeID, "type": "iqn", "connector_id": "iqn.one"})
	t.post("/v1/volume/connectors", m{"node_uuid": nodeID, "type": "nonsense", "connector_id": "iqn.two"})
	t.post("/v1/volume/connectors", m{"node_uuid": nobody, "type": "iqn", "connector_id": "iqn.two"})
	t.post("/v1/volume/targets", m{"uuid": targetID, "node_uuid": nodeID, "volume_type": "iscsi", "boot_index": 0, "volume_id": "v",
		"properties": m{"auth_password": "s", "target_lun": 1}})
	t.post("/v1/volume/targets", m{"node_uuid": nodeID, "volume_type": "iscsi", "boot_index": 0, "volume_id": "w"})
	t.post("/v1/volume/targets", m{"node_uuid": nodeID, "volume_type": "iscsi", "boot_index": -1, "volume_id": "w"})
	t.post("/v1/volume/targets", m{"node_uuid": nodeID, "volume_type": "iscsi", "boot_index": "x", "volume_id": "w"})
	t.get(conn)
	t.get(target)
	t.get("/v1/volume/connectors?node=alpha")
	t.get("/v1/volume/connectors?detail=true")
	t.get("/v1/volume/targets?detail=true")
	t.get(nodePath + "/volume/connectors")
	t.get(nodePath + "/volume/targets")
	t.change(conn, "connector_id", "iqn.three")
	t.change(target, "boot_index", 2)
	t.put(nodePath+"/states/power", m{"target": "power on"})
	t.rest(nodeID)
	t.change(conn, "connector_id", "iqn.four")
	t.del(conn)
	t.put(nodePath+"/states/power", m{"target": "power off"})
	t.rest(nodeID)
	t.del(conn)
	t.del(target)
	t.at(31).get("/v1/volume")

	template := "/v1/deploy_templates/" + templID
	t.post("/v1/deploy_templates", m{"uuid": templID, "name": "CUSTOM_ONE", "steps": []any{step()}, "extra": m{}})
	t.post("/v1/deploy_templates", m{"name": "CUSTOM_ONE", "steps": []any{step()}})
	for _, bad := range []m{{"name": "lower"}, {"steps": []any{}}, {"steps": []any{with(step(), "priority", -1)}}, {"steps": []any{with(step(), "interface", "nope")}},
		{"steps": []any{with(step(), "args", 7)}}, {"steps": []any{step(), step()}}, {"steps": []any{m{"step": "x"}}}, {"steps": nil}} {
		t.post("/v1/deploy_templates", m{"name": pick(bad, "name", "CUSTOM_TWO"), "steps": pick(bad, "steps", []any{step()})})
	}
	t.get(template)
	t.get("/v1/deploy_templates/CUSTOM_ONE")
	t.get("/v1/deploy_templates?detail=true")
	t.change(template, "name", "CUSTOM_THREE")
	t.change(template, "steps/0/priority", 10)
	t.change(template, "steps/-", with(step(), "step", "other"))
	t.patch(template, op("remove", "steps/0", nil))
	t.patch(template, op("remove", "steps", nil))
	t.get(template)
	t.del(template)
	t.del(template)
}

func pick(from m, key string, otherwise any) any {
	if v, ok := from[key]; ok {
		return v
	}
	return otherwise
}

// allocations makes nodes available and asks for them.
func allocations(t *talk) {
	enroll(t, m{"resource_class": "big"})
	t.post("/v1/nodes", m{"driver": "fake-hardware", "uuid": otherNode, "name": "beta", "resource_class": "small"})
	for _, id := range []string{nodeID, otherNode} {
		path := "/v1/nodes/" + id
		t.put(path+"/states/power", m{"target": "power on"})
		t.rest(id)
		for _, verb := range []string{"manage", "provide"} {
			t.put(path+"/states/provision", m{"target": verb})
			t.rest(id)
		}
	}
	t.put("/v1/nodes/"+nodeID+"/traits", m{"traits": []any{"CUSTOM_A"}})
	one := "/v1/allocations/" + allocID
	settle := func() {
		t.both(func(_ int, s *side) {
			for range 100 {
				if s.ask(t.ctx, "GET", one, nil).object()["state"] != "allocating" {
					return
				}
			}
		})
	}
	t.post("/v1/allocations", m{"uuid": allocID, "name": "mine", "resource_class": "big", "traits": []any{"CUSTOM_A"}, "extra": m{"a": 1}})
	settle()
	t.get(one)
	t.get("/v1/allocations/mine")
	t.get(nodePath + "/allocation")
	t.get(nodePath)
	t.post("/v1/allocations", m{"name": "mine", "resource_class": "big"})
	t.post("/v1/allocations", m{"name": "bad name", "resource_class": "big"})
	t.post("/v1/allocations", m{"name": "other"})
	t.post("/v1/allocations", m{"resource_class": "big", "candidate_nodes": []any{nobody}})
	t.post("/v1/allocations", m{"resource_class": "big", "candidate_nodes": "alpha"})
	t.post("/v1/allocations", m{"resource_class": "big", "traits": []any{"nonsense"}})
	t.post("/v1/allocations", m{"resource_class": "big", "state": "active"})
	t.post("/v1/allocations", m{"node": otherNode})
	t.post("/v1/allocations", m{"node": nobody})
	for _, q := range []string{"", "?node=alpha", "?node=beta", "?resource_class=big", "?state=active", "?state=nonsense", "?owner=x", "?fields=name,state", "?limit=1",
		"?sort_key=name", "?sort_key=candidate_nodes"} {
		t.get("/v1/allocations" + q)
	}
	t.change(one, "name", "renamed")
	t.change(one, "extra", m{"b": 2})
	t.change(one, "resource_class", "small")
	t.at(56).change(one, "name", "again")
	t.at(51).get("/v1/allocations")
	t.change(nodePath, "instance_uuid", nil)
	t.patch(nodePath, op("remove", "instance_uuid", nil))
	t.del(nodePath)
	t.del(nodePath + "/allocation")
	t.get(nodePath + "/allocation")
	t.del(one)
	t.post("/v1/allocations", m{"uuid": allocID, "resource_class": "none of it"})
	settle()
	t.get(one)
	t.del(one)
	t.get(nodePath)
}
