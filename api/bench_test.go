package api_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"ferric"
	"ferric/api"
)

// BenchmarkLists measures pages of a thousand nodes out of SQLite, without the network.
func BenchmarkLists(b *testing.B) {
	f := newFixture(b)
	for i := range 1000 {
		n := &ferric.Node{Name: fmt.Sprintf("node-%d", i), Driver: "ipmi", ResourceClass: "baremetal", ProvisionState: ferric.Available,
			DriverInfo: map[string]any{"ipmi_address": "192.0.2.1", "ipmi_username": "admin", "ipmi_password": "pw", "deploy_kernel": "file:///k"},
			Properties: map[string]any{"cpus": 4, "memory_mb": 4096, "local_gb": 100, "cpu_arch": "x86_64", "capabilities": "boot_mode:uefi"},
			Interfaces: ferric.Interfaces{ferric.KindPower: "ipmitool", ferric.KindDeploy: "direct", ferric.KindBoot: "pxe"}, Traits: []string{"CUSTOM_A"}}
		if err := f.store.CreateNode(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
	for name, path := range map[string]string{"default": "/v1/nodes", "detail": "/v1/nodes/detail", "fields": "/v1/nodes?fields=uuid,name,driver_info",
		"one": "/v1/nodes/node-500"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequest("GET", path, nil)
				req.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
				w := httptest.NewRecorder()
				f.api.ServeHTTP(w, req)
				if w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
				b.SetBytes(int64(w.Body.Len()))
			}
		})
	}
}

// BenchmarkListsByRole measures what the rules cost on a page of a thousand detailed nodes: a system's reader sees all fields by one rule,
// an owner by four rules for each node, and a lessee sees four fields redacted.
func BenchmarkListsByRole(b *testing.B) {
	f := newFixture(b, func(_ *api.Config, d *api.Deps) { d.Authenticator = headerAuth{} })
	for i := range 1000 {
		n := &ferric.Node{Name: fmt.Sprintf("node-%d", i), Driver: "ipmi", Owner: "owner", Lessee: "lessee", LastError: "it broke",
			DriverInfo: map[string]any{"ipmi_address": "192.0.2.1", "ipmi_username": "admin", "ipmi_password": "pw"}, InternalInfo: map[string]any{"a": "b"}}
		if err := f.store.CreateNode(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
	for name, as := range map[string][]string{"system": asSystem(readers), "owner": asProject("owner", readers), "lessee": asProject("lessee", readers)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := httptest.NewRequest("GET", "/v1/nodes/detail", nil)
				req.Header.Set("X-OpenStack-Ironic-API-Version", "1.115")
				for i := 0; i < len(as); i += 2 {
					req.Header.Set(as[i], as[i+1])
				}
				w := httptest.NewRecorder()
				f.api.ServeHTTP(w, req)
				if w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
				b.SetBytes(int64(w.Body.Len()))
			}
		})
	}
}
