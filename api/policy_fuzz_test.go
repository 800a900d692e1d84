package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ferric"
	"ferric/api"
)

// FuzzStranger sends any request as the administrator of a project to an API whose nodes belong to another one: nothing of them is seen or
// changed, and nothing ends in a 5xx.
func FuzzStranger(f *testing.F) {
	const marker = "only-the-owner-knows-this"
	methods := []string{"GET", "PUT", "POST", "PATCH", "DELETE"}
	patch := `[{"op":"add","path":"/extra/x","value":1}]`
	for _, path := range []string{"/v1/nodes", "/v1/nodes/detail", "/v1/nodes/one", "/v1/nodes/" + nodeID, "/v1/nodes?project=owner", "/v1/nodes?owner=owner&detail=true",
		"/v1/nodes?instance_uuid=" + opID, "/v1/nodes/validate?node=one", "/v1/nodes/one/states", "/v1/nodes/one/states/power", "/v1/nodes/one/states/provision",
		"/v1/nodes/one/maintenance", "/v1/nodes/one/traits", "/v1/nodes/one/traits/CUSTOM_X", "/v1/nodes/one/vifs", "/v1/nodes/one/history", "/v1/nodes/one/inventory",
		"/v1/nodes/one/children", "/v1/nodes/one/ports/detail", "/v1/nodes/one/portgroups", "/v1/nodes/one/volume/targets?detail=1", "/v1/nodes/one/bios",
		"/v1/nodes/one/management/boot_device", "/v1/nodes/one/states/raid", "/v1/nodes/one/vendor_passthru/x", "/v1/nodes/one/allocation", "/v1/ports", "/v1/ports/detail",
		"/v1/ports/" + portID, "/v1/ports?node=one", "/v1/ports?address=52:54:00:00:00:01", "/v1/ports?portgroup=bond0", "/v1/portgroups", "/v1/portgroups/bond0",
		"/v1/portgroups/bond0/ports", "/v1/volume/targets", "/v1/volume/targets/" + targetID, "/v1/volume/connectors", "/v1/chassis", "/v1/shards", "/v1/conductors",
		"/v1/allocations", "/v1/runbooks", "/v1/deploy_templates", "/v1/inspection_rules", "/v1/events", "/ferric/v1/nodes/one/operations", "/ferric/v1/events"} {
		for method := range methods {
			f.Add(uint8(method), path, patch)
		}
	}
	for _, body := range []string{`{"target":"power on"}`, `{"target":"active"}`, `{"uuid":"` + nodeID + `","driver":"ipmi"}`, `{"node_uuid":"` + nodeID + `","address":"52:54:00:00:00:09"}`,
		`{"driver":"ipmi","parent_node":"one"}`, `{"name":"x","candidate_nodes":["one"],"resource_class":"a"}`, `{"node":"one","name":"y"}`} {
		for _, path := range []string{"/v1/nodes", "/v1/ports", "/v1/portgroups", "/v1/nodes/one/states/power", "/v1/nodes/one/states/provision", "/v1/allocations"} {
			f.Add(uint8(1), path, body)
			f.Add(uint8(2), path, body)
		}
	}
	fx := newFixture(f, func(_ *api.Config, d *api.Deps) { d.Authenticator = headerAuth{} })
	n := &ferric.Node{UUID: nodeID, Name: "one", Driver: "ipmi", Owner: "owner", ProvisionState: ferric.Available, Description: marker, LastError: marker,
		ResourceClass: "a", PowerState: ferric.PowerOff, Extra: map[string]any{"x": marker}, Traits: []string{"CUSTOM_X"}, InstanceID: opID}
	for _, err := range []error{
		fx.store.CreateNode(f.Context(), n),
		fx.store.CreatePort(f.Context(), &ferric.Port{UUID: portID, NodeUUID: nodeID, Address: "52:54:00:00:00:01", Description: marker}),
		fx.store.CreatePortgroup(f.Context(), &ferric.Portgroup{UUID: portgroupID, NodeUUID: nodeID, Name: "bond0", Mode: "802.3ad", Extra: map[string]any{"x": marker}}),
		fx.store.CreateVolumeTarget(f.Context(), &ferric.VolumeTarget{UUID: targetID, NodeUUID: nodeID, Type: "iscsi", VolumeID: marker}),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, method uint8, path, body string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		req, err := http.NewRequestWithContext(t.Context(), methods[int(method)%len(methods)], "http://host"+path, strings.NewReader(body))
		if err != nil {
			return // not a request that a client could send
		}
		for i, as := 0, asProject("stranger", admins); i < len(as); i += 2 {
			req.Header.Set(as[i], as[i+1])
		}
		req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
		w := httptest.NewRecorder()
		fx.api.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Fatalf("%s %q %q: %d %s", req.Method, path, body, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), marker) && !strings.Contains(path+body, marker) {
			t.Fatalf("%s %q %q: %d shows what is another's: %s", req.Method, path, body, w.Code, w.Body)
		}
		if now, err := fx.store.Node(t.Context(), nodeID); err != nil || now.Version != n.Version {
			t.Fatalf("%s %q %q: %d has changed another's node: %v", req.Method, path, body, w.Code, err)
		}
		if _, err := fx.store.Port(t.Context(), portID); err != nil {
			t.Fatalf("%s %q %q: %d has changed another's port: %v", req.Method, path, body, w.Code, err)
		}
	})
}
