package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
)

// nova is the real Nova with a Ferric that its compute service finds by the catalogue.
type nova struct {
	*ferric
	cloud              *cloud
	compute, placement *gophercloud.ServiceClient
	class              string // resource class of the test's nodes
}

// startNova starts Ferric where the catalogue's bare metal endpoint points to.
func (c *cloud) startNova(t *testing.T, settings ...string) *nova {
	t.Helper()
	at, err := url.Parse(c.Catalogue)
	check(t, err)
	f := c.start(t, append([]string{"api.listen=" + at.Host, "api.auth_strategy=keystone"}, settings...)...)
	f.token = c.provider.Token()
	return &nova{ferric: f, cloud: c, compute: c.service(t, openstack.NewComputeV2), placement: c.service(t, openstack.NewPlacementV1),
		class: "FERRIC_" + strings.ToUpper(strings.NewReplacer("-", "_").Replace(unique(t)[len(unique(t))-8:]))}
}

// available makes a node that Nova may use, and waits until Placement offers it.
func (n *nova) available(t *testing.T, name string, fields map[string]any) string {
	t.Helper()
	body := map[string]any{"name": name, "resource_class": n.class, "network_interface": "noop",
		"properties": map[string]any{"cpus": 2, "memory_mb": 4096, "local_gb": 10, "cpu_arch": "x86_64", "capabilities": "boot_option:local"}}
	for k, v := range fields {
		body[k] = v
	}
	node := n.node(t, body)
	later(t, func(ctx context.Context) { // Nova forgets the node within its next rounds
		_, _, _ = n.call(ctx, http.MethodPut, "/v1/nodes/"+node+"/maintenance", map[string]any{"reason": "the test is over"})
		_, _, _ = n.call(ctx, http.MethodDelete, "/v1/nodes/"+node, nil)
	})
	n.must(t, http.MethodPost, "/v1/ports", map[string]any{"node_uuid": node, "address": fmt.Sprintf("52:54:01:%02x:%02x:%02x", rand.IntN(256), rand.IntN(256), rand.IntN(256))})
	n.provision(t, node, "manage", "manageable")
	n.must(t, http.MethodPut, "/v1/nodes/"+node+"/states/power", map[string]any{"target": "power off"})
	n.until(t, node, "manageable")
	n.provision(t, node, "provide", "available")
	n.eventually(t, "Placement offers the node", func() (bool, string) {
		inv, err := resourceproviders.GetInventories(t.Context(), n.placement, node).Extract()
		if err != nil {
			return false, err.Error()
		}
		i, ok := inv.Inventories["CUSTOM_"+n.class]
		said, _ := json.Marshal(inv)
		return ok && i.Total == 1 && i.Reserved == 0, string(said)
	})
	return node
}

// flavor makes a flavor that means one of the test's nodes.
func (n *nova) flavor(t *testing.T, specs map[string]string) string {
	t.Helper()
	disk := 10
	f, err := flavors.Create(t.Context(), n.compute, flavors.CreateOpts{Name: unique(t), RAM: 4096, VCPUs: 2, Disk: &disk}).Extract()
	check(t, err)
	later(t, func(ctx context.Context) { flavors.Delete(ctx, n.compute, f.ID) })
	all := flavors.ExtraSpecsOpts{"resources:CUSTOM_" + n.class: "1", "resources:VCPU": "0", "resources:MEMORY_MB": "0", "resources:DISK_GB": "0"}
	for k, v := range specs {
		all[k] = v
	}
	check(t, flavors.CreateExtraSpecs(t.Context(), n.compute, f.ID, all).Err)
	return f.ID
}

// create asks for a server with the stock client, as a user does.
func (n *nova) create(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openstack", slices.Concat([]string{"server", "create", "-f", "json"}, args, []string{unique(t)})...)
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir(), "OS_COMPUTE_API_VERSION=2.74"}, n.cloud.env(n.cloud.Admin)...)
	var said locked
	cmd.Stderr = &said
	out, err := cmd.Output()
	var server struct{ ID string }
	if err == nil {
		err = json.Unmarshal(out, &server)
	}
	if err != nil {
		t.Fatalf("openstack server create: %v\n%s%s", err, out, said.String())
	}
	later(t, func(ctx context.Context) { servers.ForceDelete(ctx, n.compute, server.ID) })
	return server.ID
}

// server waits until Nova has a server in a status, and nothing more to do with it.
func (n *nova) server(t *testing.T, id, status string) *servers.Server {
	t.Helper()
	var s *servers.Server
	n.eventually(t, "server "+status, func() (bool, string) {
		var err error
		if s, err = servers.Get(t.Context(), n.compute, id).Extract(); err != nil {
			return false, err.Error()
		}
		if s.Status == "ERROR" && status != "ERROR" {
			t.Fatalf("Nova gave the server up: %+v", s.Fault)
		}
		return s.Status == status && s.TaskState == "", s.Status + " " + s.TaskState
	})
	return s
}

func (n *nova) eventually(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(300 * time.Millisecond) {
		yes, is := ok()
		if yes {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time; it is: %s", what, is)
		}
	}
}

// TestNova is a server's life, as its user sees it: the scheduler finds the node by the flavor, the ironic driver of an unmodified nova-compute deploys it by
// Ferric, switches it, rebuilds it, and gives it back. Ferric is killed in the middle of the deploy and of the rebuild.
func TestNova(t *testing.T) {
	c := newCloud(t)
	n := c.startNova(t, "fake.deploy_delay=3s")
	node := n.available(t, "nova-1", nil)
	image := c.uploadData(t, c.service(t, openstack.NewImageV2), images.CreateOpts{Name: unique(t), DiskFormat: "raw", ContainerFormat: "bare"}, make([]byte, 1<<20))
	flavor, network := n.flavor(t, nil), (&neutron{T: t, admin: c.service(t, openstack.NewNetworkV2)}).network("vlan", "10.95.0.0/24")

	id := n.create(t, "--flavor", flavor, "--image", image, "--network", network)
	n.eventually(t, "the node is deployed", func() (bool, string) {
		state, _ := n.must(t, http.MethodGet, "/v1/nodes/"+node, nil)["provision_state"].(string)
		return state == "deploying" || state == "wait call-back", state
	})
	n.kill()
	n.run(t)
	if s := n.server(t, id, "ACTIVE"); s.HypervisorHostname != node {
		t.Errorf("the server is on %q, want %s", s.HypervisorHostname, node)
	}
	deployed := n.until(t, node, "active")
	info, _ := deployed["instance_info"].(map[string]any)
	if deployed["instance_uuid"] != id || info["image_source"] != image {
		t.Errorf("the node has instance %v and instance_info %v", deployed["instance_uuid"], info)
	}

	power := func(want string) {
		t.Helper()
		n.eventually(t, "the machine is "+want, func() (bool, string) {
			is, _ := n.must(t, http.MethodGet, "/v1/nodes/"+node, nil)["power_state"].(string)
			return is == want, is
		})
	}
	power("power on")
	check(t, servers.Stop(t.Context(), n.compute, id).ExtractErr())
	n.server(t, id, "SHUTOFF")
	power("power off")
	check(t, servers.Start(t.Context(), n.compute, id).ExtractErr())
	n.server(t, id, "ACTIVE")
	power("power on")
	for _, how := range []servers.RebootMethod{servers.SoftReboot, servers.HardReboot} {
		check(t, servers.Reboot(t.Context(), n.compute, id, servers.RebootOpts{Type: how}).ExtractErr())
		n.server(t, id, "ACTIVE")
		power("power on")
	}

	// What somebody else does to the machine, Nova learns from Ferric.
	n.must(t, http.MethodPut, "/v1/nodes/"+node+"/states/power", map[string]any{"target": "power off"})
	n.server(t, id, "SHUTOFF")
	check(t, servers.Start(t.Context(), n.compute, id).ExtractErr())
	n.server(t, id, "ACTIVE")

	check(t, servers.Rebuild(t.Context(), n.compute, id, servers.RebuildOpts{ImageRef: image}).Err)
	n.eventually(t, "the node is rebuilt", func() (bool, string) {
		state, _ := n.must(t, http.MethodGet, "/v1/nodes/"+node, nil)["provision_state"].(string)
		return state == "deploying" || state == "wait call-back", state
	})
	n.kill()
	n.run(t)
	n.server(t, id, "ACTIVE")
	n.until(t, node, "active")

	check(t, servers.Delete(t.Context(), n.compute, id).ExtractErr())
	n.eventually(t, "the server is gone", func() (bool, string) {
		_, err := servers.Get(t.Context(), n.compute, id).Extract()
		return gophercloud.ResponseCodeIs(err, http.StatusNotFound), "still there"
	})
	given := n.until(t, node, "available")
	if given["instance_uuid"] != nil {
		t.Errorf("the node still has instance %v", given["instance_uuid"])
	}
}
