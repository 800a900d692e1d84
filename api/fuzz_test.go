package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ferric"
)

// FuzzRequest sends any method, path, body and version to the whole route table: nothing ends in a 5xx, and every error has
// Ironic's form.
func FuzzRequest(f *testing.F) {
	methods := fuzzMethods()
	for _, seed := range []seed{
		{0, "/", "", ""}, {0, "/v1/nodes?limit=1&sort_key=name&sort_dir=desc&fields=uuid,name", "", "1.115"}, {0, "/v1/nodes/one", "", "1.5"},
		{0, "/v1/nodes?description_contains=%25&shard=a,b&associated=1", "", "1.100"}, {0, "/v1/nodes/detail?marker=" + nodeID, "", "1.43"},
		{2, "/v1/nodes", `{"driver":"ipmi","name":"x","properties":{"a":[1,{"b":null}]},"network_data":{"links":[{"id":"a"}],"networks":[{"id":"n","link":"a"}]}}`, "1.115"},
		{2, "/v1/ports", `{"node_uuid":"` + nodeID + `","address":"00:11:22:33:44:55","local_link_connection":{"port_id":"x","switch_id":"00:11:22:33:44:55"}}`, "1.115"},
		{2, "/v1/ports", `{"node_ident":"one","address":"00:11:22:33:44:56","is_smartnic":"yes"}`, "1.94"},
		{1, "/v1/nodes/one/states/provision", `{"target":"manage","configdrive":{"meta_data":{}},"clean_steps":[{"interface":"deploy","step":"x","args":{},"order":1}]}`, "1.115"},
		{1, "/v1/nodes/one/states/power", `{"target":"soft power off","timeout":1e9}`, "1.27"},
		{1, "/v1/nodes/one/maintenance", `{"reason":null}`, "1.5"}, {1, "/v1/nodes/one/traits", `{"traits":["CUSTOM_X"]}`, "1.37"},
		{1, "/v1/nodes/one/traits/CUSTOM_Y", "", "1.37"}, {4, "/v1/nodes/one/traits", "", "1.37"}, {2, "/v1/nodes/one/vifs", `{"id":"v","port_uuid":"x"}`, "1.67"},
		{4, "/v1/nodes/one/vifs/v", "", "1.67"}, {1, "/v1/nodes/one/management/boot_device", `{"boot_device":"pxe","persistent":"y"}`, "1.5"},
		{0, "/v1/nodes/one/history?detail=1&limit=2", "", "1.115"}, {0, "/v1/lookup?addresses=00:11:22:33:44:55,x&node_uuid=" + nodeID, "", "1.62"},
		{2, "/v1/heartbeat/one", `{"callback_url":"http://[::1","agent_token":"t","ferric":{"epoch":1}}`, "1.72"},
		{2, "/v1/continue_inspection", `{"inventory":{"interfaces":[{"mac_address":"00:11:22:33:44:55"}],"disks":[{"wwn":[null,"a"]}]},"x":1}`, "1.84"},
		{3, "/v1/ports/" + portID, `[{"op":"replace","path":"/address","value":"00:11:22:33:44:57"}]`, "1.115"},
		{0, "/v1/drivers?type=dynamic&detail=1", "", "1.30"}, {0, "/v1/conductors?sort_key=hostname&marker=host-1&fields=alive", "", "1.49"},
		{0, "/v1/nodes/one/bios?fields=name,links,value&detail=0", "", "1.74"}, {0, "/v1/nodes/one/bios/A~b", "", "1.40"},
		{0, "/v1/nodes/one/firmware?fields=vendor,created_at", "", "1.115"}, {1, "/v1/nodes/one/states/raid", `{"logical_disks":[{"size_gb":"MAX","raid_level":"1"}]}`, "1.12"},
		{1, "/v1/nodes/one/states/console", `{"enabled":"on"}`, "1.5"}, {1, "/v1/nodes/one/states/boot_mode", `{"target":"uefi"}`, "1.76"},
		{1, "/v1/nodes/one/states/secure_boot", `{"target":0}`, "1.76"}, {0, "/v1/nodes/one/management/indicators", "", "1.63"},
		{1, "/v1/nodes/one/management/indicators/led@system", `{"state":"ON"}`, "1.63"}, {4, "/v1/nodes/one/vmedia?device_types=cdrom,disk", "", "1.89"},
		{2, "/v1/nodes/one/vmedia", `{"device_type":"cdrom","image_url":"http://[::1]/x","image_download_source":"http"}`, "1.93"},
		{2, "/v1/nodes/one/vendor_passthru?method=x", `{"a":[1]}`, "1.5"}, {3, "/v1/nodes/one/vendor_passthru/send_raw", `[]`, "1.5"},
		{0, "/v1/drivers/ipmi/vendor_passthru/methods", "", "1.5"}, {1, "/v1/drivers/ipmi/vendor_passthru?method=", `{}`, "1.5"},
		{0, "/v1/drivers/ipmi/raid/logical_disk_properties", "", "1.12"}, {0, "/ferric/v1/operations/" + opID, "", ""}, {0, "/ferric/v1/nodes/one/operations?limit=1", "", ""}, {0, "/v1/nodes/%00", "", "1.115"},
		{0, "/v1/nodes?limit=99999999999999999999&a=%zz", "", "latest"}, {0, "//v1//nodes//", "", "1.115"}, {0, "/v1/nodes?conductor=x&limit=1", "", "1.115"},
		{2, "/v1/allocations", `{"name":"x","resource_class":"y","traits":["CUSTOM_A"],"candidate_nodes":["one"],"node":"one","owner":"p"}`, "1.115"},
		{3, "/v1/allocations/a", `[{"op":"add","path":"/extra/x","value":1}]`, "1.57"}, {0, "/v1/allocations?node=one&state=x&owner=p&sort_key=name", "", "1.60"},
		{4, "/v1/nodes/one/allocation", "", "1.52"},
		{2, "/v1/deploy_templates", `{"name":"CUSTOM_A","steps":[{"interface":"bios","step":"x","args":{"a":1},"priority":"10"}]}`, "1.55"},
		{3, "/v1/deploy_templates/CUSTOM_T", `[{"op":"add","path":"/steps/-","value":{"interface":"raid","step":"y","args":{},"priority":1}}]`, "1.55"},
		{2, "/v1/runbooks", `{"name":"r1","steps":[{"interface":"bios","step":"x","order":1e3}],"public":true,"description":"d"}`, "1.112"},
		{3, "/v1/runbooks/r", `[{"op":"replace","path":"/public","value":true},{"op":"add","path":"/owner","value":"p"}]`, "1.92"},
		{1, "/v1/runbooks/r/traits", `{"traits":["CUSTOM_A"]}`, "1.112"}, {4, "/v1/runbooks/r/traits/CUSTOM_A", "", "1.112"},
		{2, "/v1/events", `{"events":[{"event":"network.bind_port","port_id":"` + portID + `","mac_address":"52:54:00:00:00:01","status":"ACTIVE","device_id":null}]}`, "1.54"},
		{1, "/v1/nodes/one/states/provision", `{"target":"clean","runbook":"r"}`, "1.92"},
		{2, "/v1/chassis", `{"uuid":"` + opID + `","description":"x","extra":{"a":null}}`, "1.1"}, {0, "/v1/chassis/" + chassisID + "/nodes?fields=uuid", "", "1.115"},
		{3, "/v1/chassis/" + chassisID, `[{"op":"add","path":"/extra/a","value":[]}]`, "1.115"}, {0, "/v1/chassis?fields=nodes&limit=1", "", "1.8"},
		{2, "/v1/portgroups", `{"node_uuid":"` + nodeID + `","address":"00:11:22:33:44:66","mode":"4","properties":{"a":1},"standalone_ports_supported":"no"}`, "1.115"},
		{3, "/v1/portgroups/bond0", `[{"op":"replace","path":"/physical_network","value":"p"},{"op":"remove","path":"/name"}]`, "1.115"},
		{0, "/v1/portgroups/bond0/ports/detail?sort_key=address", "", "1.24"}, {0, "/v1/portgroups?shard=a,b&conductor_groups=x", "", "1.115"},
		{2, "/v1/volume/connectors", `{"node_uuid":"` + nodeID + `","type":"ip","connector_id":""}`, "1.32"}, {0, "/v1/volume/connectors?detail=1&node=one", "", "1.32"},
		{2, "/v1/volume/targets", `{"node_uuid":"` + nodeID + `","volume_type":"i","volume_id":"1","boot_index":-2147483647,"properties":{"password":"x"}}`, "1.115"},
		{3, "/v1/volume/targets/" + targetID, `[{"op":"replace","path":"/boot_index","value":1e300}]`, "1.115"}, {0, "/v1/nodes/one/volume", "", "1.32"},
		{0, "/v1/shards", "", "1.82"}, {4, "/v1/portgroups/bond0", "", "1.115"}, {4, "/v1/volume/targets/" + targetID, "", "1.115"},
		{0, "/v1/ports?portgroup=bond0&description_contains=%25", "", "1.115"}, {3, "/v1/nodes/one/portgroups/bond0", "[]", "1.115"},
	} {
		f.Add(seed.method, seed.path, seed.body, seed.version)
	}
	fx := newFixture(f)
	for _, seed := range routeSeeds(fx.api.Surface()) {
		f.Add(seed.method, seed.path, seed.body, seed.version)
	}
	fx.must(201, "POST", "/v1/nodes", m{"uuid": nodeID, "name": "one", "driver": "ipmi"})
	fx.must(201, "POST", "/v1/ports", m{"uuid": portID, "node_uuid": nodeID, "address": "52:54:00:00:00:01"})
	fx.must(201, "POST", "/v1/allocations", m{"name": "a", "resource_class": "x"})
	fx.must(201, "POST", "/v1/deploy_templates", m{"name": "CUSTOM_T", "steps": []m{aStep("priority", nil)}})
	fx.must(201, "POST", "/v1/runbooks", m{"name": "r", "steps": []m{aStep("order", nil)}})
	fx.must(201, "POST", "/v1/chassis", m{"uuid": chassisID})
	fx.must(201, "POST", "/v1/portgroups", m{"uuid": portgroupID, "node_uuid": nodeID, "name": "bond0"})
	fx.must(201, "POST", "/v1/volume/targets", m{"uuid": targetID, "node_uuid": nodeID, "volume_type": "i", "volume_id": "1", "boot_index": 0})
	f.Fuzz(func(t *testing.T, method uint8, path, body, version string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		ctx := t.Context()
		if strings.Contains(path, "events") { // the change feed's answer ends when its client goes
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
		}
		req, err := http.NewRequestWithContext(ctx, methods[int(method)%len(methods)], "http://host"+path, strings.NewReader(body))
		if err != nil {
			return // not a request that a client could send
		}
		if version != "" {
			req.Header["X-Openstack-Ironic-Api-Version"] = []string{version}
		}
		w := httptest.NewRecorder()
		fx.api.ServeHTTP(w, req)
		if ctx.Err() != nil {
			return
		}
		checkAnswer(t, fmt.Sprintf("%s %q %q at %q", req.Method, path, body, version), w)
		if _, err := fx.store.Node(t.Context(), nodeID); ferric.IsCode(err, ferric.CodeNotFound) { // it was deleted
			fx.with(t).must(201, "POST", "/v1/nodes", m{"uuid": nodeID, "name": "one", "driver": "ipmi"})
		}
	})
}
