package openstack

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack"
)

// TestHarness: the cloud is there with the services that the other tests need, and a Ferric starts beside it.
func TestHarness(t *testing.T) {
	c := newCloud(t)
	c.service(t, openstack.NewIdentityV3)
	c.service(t, openstack.NewImageV2)
	c.service(t, openstack.NewNetworkV2)
	c.login(t, c.Service)
	f := c.start(t)
	node := f.node(t, map[string]any{"name": "harness"})
	f.provision(t, node, "manage", "manageable")
	f.kill()
	f.run(t)
	if n := f.must(t, http.MethodGet, "/v1/nodes/harness", nil); n["uuid"] != node {
		t.Errorf("after a restart the node is %v, want %s", n["uuid"], node)
	}
}
