package gophercloud

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/httpbasic"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/conductors"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/drivers"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/ports"
	"golang.org/x/crypto/bcrypt"
)

// newPort makes a port and returns its UUID.
func newPort(t *testing.T, c *gophercloud.ServiceClient, node, mac string) string {
	t.Helper()
	p, err := ports.Create(t.Context(), c, ports.CreateOpts{NodeUUID: node, Address: mac}).Extract()
	check(t, err)
	return p.UUID
}

func TestPorts(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		n := newNode(t, c, nodes.CreateOpts{Name: "with-ports"})
		yes := true
		made, err := ports.Create(t.Context(), c, ports.CreateOpts{NodeUUID: n.UUID, Address: "52:54:00:BB:00:01", PXEEnabled: &yes,
			PhysicalNetwork: "net-a", Extra: map[string]any{"slot": "1"},
			LocalLinkConnection: map[string]any{"switch_id": "0a:1b:2c:3d:4e:5f", "port_id": "Ethernet3/1", "switch_info": "s1"}}).Extract()
		check(t, err)
		if made.Address != "52:54:00:bb:00:01" || !made.PXEEnabled || made.PhysicalNetwork != "net-a" || made.NodeUUID != n.UUID {
			t.Errorf("made: %+v", made)
		}
		_, err = ports.Create(t.Context(), c, ports.CreateOpts{NodeUUID: n.UUID, Address: "52:54:00:bb:00:01"}).Extract()
		refused(t, err, 409)
		_, err = ports.Create(t.Context(), c, ports.CreateOpts{NodeUUID: n.UUID, Address: "not a MAC"}).Extract()
		refused(t, err, 400)
		_, err = ports.Create(t.Context(), c, ports.CreateOpts{NodeUUID: "00000000-0000-4000-8000-000000000000", Address: "52:54:00:bb:00:02"}).Extract()
		refused(t, err, 400)

		got, err := ports.Get(t.Context(), c, made.UUID).Extract()
		check(t, err)
		if diff := cmp.Diff(made, got); diff != "" {
			t.Errorf("show is not what create said:\n%s", diff)
		}
		newPort(t, c, n.UUID, "52:54:00:bb:00:03")
		for name, test := range map[string]struct {
			opts ports.ListOpts
			want int
		}{
			"all": {ports.ListOpts{}, 2}, "by address": {ports.ListOpts{Address: "52:54:00:bb:00:01"}, 1}, "by node": {ports.ListOpts{NodeUUID: n.UUID}, 2},
			"by node's name": {ports.ListOpts{Node: "with-ports"}, 2}, "sorted": {ports.ListOpts{SortKey: "address", SortDir: "desc"}, 2},
			"some fields": {ports.ListOpts{Fields: []string{"uuid", "address"}}, 2},
		} {
			page, err := ports.List(c, test.opts).AllPages(t.Context())
			check(t, err)
			list, err := ports.ExtractPorts(page)
			check(t, err)
			if len(list) != test.want {
				t.Errorf("%s: %d ports, want %d", name, len(list), test.want)
			}
			if test.opts.Fields == nil {
				page, err = ports.ListDetail(c, test.opts).AllPages(t.Context())
				check(t, err)
				if list, err = ports.ExtractPorts(page); err != nil || len(list) != test.want {
					t.Errorf("%s in detail: %d ports, want %d: %v", name, len(list), test.want, err)
				}
			}
		}
		changed, err := ports.Update(t.Context(), c, made.UUID, ports.UpdateOpts{
			ports.UpdateOperation{Op: ports.ReplaceOp, Path: "/address", Value: "52:54:00:bb:00:04"},
			ports.UpdateOperation{Op: ports.AddOp, Path: "/extra/colour", Value: "red"}}).Extract()
		check(t, err)
		if changed.Address != "52:54:00:bb:00:04" || changed.Extra["colour"] != "red" {
			t.Errorf("changed: %+v", changed)
		}
		check(t, ports.Delete(t.Context(), c, made.UUID).ExtractErr())
		refused(t, ports.Get(t.Context(), c, made.UUID).Err, 404)
	})
}

func TestAllocations(t *testing.T) {
	for _, v := range []string{"1.52", "1.72", "1.115"} {
		t.Run(v, func(t *testing.T) {
			c := client(t, v)
			n := ready(t, c, nodes.CreateOpts{ResourceClass: "alloc"})
			made, err := allocations.Create(t.Context(), c, allocations.CreateOpts{Name: "for-me", ResourceClass: "alloc", CandidateNodes: []string{n.UUID},
				Extra: map[string]string{"who": "me"}}).Extract()
			check(t, err)
			if made.Name != "for-me" || made.State != "allocating" {
				t.Errorf("made: %+v", made)
			}
			a := settled(t, c, "for-me")
			if a.State != "active" || a.NodeUUID != n.UUID || a.LastError != "" {
				t.Errorf("settled: %+v", a)
			}
			if n, err = nodes.Get(t.Context(), c, n.UUID).Extract(); err != nil || n.AllocationUUID != a.UUID || n.InstanceUUID != a.UUID {
				t.Errorf("the node's allocation is %q, its instance %q: %v", n.AllocationUUID, n.InstanceUUID, err)
			}
			page, err := allocations.List(c, allocations.ListOpts{State: "active", ResourceClass: "alloc", Node: n.UUID}).AllPages(t.Context())
			check(t, err)
			if list, err := allocations.ExtractAllocations(page); err != nil || len(list) != 1 {
				t.Errorf("list: %+v, %v", list, err)
			}
			none, err := allocations.Create(t.Context(), c, allocations.CreateOpts{ResourceClass: "nothing-has-this"}).Extract()
			check(t, err)
			if got := settled(t, c, none.UUID); got.State != "error" || got.LastError == "" {
				t.Errorf("without a node: %+v", got)
			}
			for _, id := range []string{none.UUID, a.UUID} {
				check(t, allocations.Delete(t.Context(), c, id).ExtractErr())
				refused(t, allocations.Get(t.Context(), c, id).Err, 404)
			}
		})
	}
}

// settled waits until an allocation has come to an end.
func settled(t *testing.T, c *gophercloud.ServiceClient, id string) *allocations.Allocation {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		a, err := allocations.Get(t.Context(), c, id).Extract()
		check(t, err)
		if a.State != "allocating" {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatal("the allocation stays allocating")
		}
	}
}

func TestConductors(t *testing.T) {
	c := client(t, "1.115")
	page, err := conductors.List(c, conductors.ListOpts{Detail: true}).AllPages(t.Context())
	check(t, err)
	list, err := conductors.ExtractConductors(page)
	check(t, err)
	if len(list) != 1 || !list[0].Alive || !slices.Contains(list[0].Drivers, "fake-hardware") {
		t.Fatalf("conductors: %+v", list)
	}
	one, err := conductors.Get(t.Context(), c, list[0].Hostname).Extract()
	check(t, err)
	if diff := cmp.Diff(&list[0], one); diff != "" {
		t.Errorf("show is not what the list said:\n%s", diff)
	}
	page, err = conductors.List(c, conductors.ListOpts{Fields: []string{"hostname", "alive"}, Limit: 1, SortKey: "hostname"}).AllPages(t.Context())
	check(t, err)
	if list, err = conductors.ExtractConductors(page); err != nil || len(list) != 1 || len(list[0].Drivers) != 0 {
		t.Errorf("two fields: %+v, %v", list, err)
	}
	refused(t, conductors.Get(t.Context(), c, "nobody").Err, 404)
	refused(t, conductors.Get(t.Context(), client(t, "1.48"), one.Hostname).Err, 404)
}

func TestDrivers(t *testing.T) {
	each(t, func(t *testing.T, c *gophercloud.ServiceClient) {
		page, err := drivers.ListDrivers(c, drivers.ListDriversOpts{Detail: true, Type: "dynamic"}).AllPages(t.Context())
		check(t, err)
		list, err := drivers.ExtractDrivers(page)
		check(t, err)
		i := slices.IndexFunc(list, func(d drivers.Driver) bool { return d.Name == "fake-hardware" })
		if i < 0 || list[i].DefaultPowerInterface != "fake" || !slices.Contains(list[i].EnabledDeployInterfaces, "fake") || len(list[i].Hosts) != 1 {
			t.Fatalf("drivers: %+v", list)
		}
		one, err := drivers.GetDriverDetails(t.Context(), c, "fake-hardware").Extract()
		check(t, err)
		if one.Name != "fake-hardware" || one.Type != "dynamic" {
			t.Errorf("driver: %+v", one)
		}
		properties, err := drivers.GetDriverProperties(t.Context(), c, "ipmi").Extract()
		check(t, err)
		if (*properties)["ipmi_address"] == nil {
			t.Errorf("properties of ipmi: %v", *properties)
		}
		disks, err := drivers.GetDriverDiskProperties(t.Context(), c, "fake-hardware").Extract()
		check(t, err)
		if (*disks)["raid_level"] == nil {
			t.Errorf("logical disk properties: %v", *disks)
		}
		_, err = drivers.ListVendorPassthruMethods(t.Context(), c, "fake-hardware").Extract()
		check(t, err)
		refused(t, drivers.GetDriverDetails(t.Context(), c, "nothing").Err, 404)
	})
}

func TestAPIVersions(t *testing.T) {
	c, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: shared.endpoint})
	check(t, err)
	all, err := apiversions.List(t.Context(), c).Extract()
	check(t, err)
	if all.DefaultVersion.ID != "v1" || all.DefaultVersion.MinVersion != "1.1" || !strings.HasPrefix(all.DefaultVersion.Version, "1.") {
		t.Errorf("versions: %+v", all)
	}
	v1, err := apiversions.Get(t.Context(), c, "v1").Extract()
	check(t, err)
	if v1.ID != "v1" {
		t.Errorf("v1: %+v", v1)
	}
}

func TestHTTPBasic(t *testing.T) {
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("open sesame"), bcrypt.MinCost)
	check(t, err)
	users := filepath.Join(dir, "htpasswd")
	check(t, os.WriteFile(users, []byte("operator:"+string(hash)+"\n"), 0o600))
	s, err := startServer(filepath.Join(dir, "data"), "api.auth_strategy=http_basic", "api.http_basic_auth_user_file="+users)
	check(t, err)
	t.Cleanup(s.stop)
	for name, test := range map[string]struct {
		user, password string
		status         int
	}{
		"right": {"operator", "open sesame", 0}, "wrong password": {"operator", "open", 401}, "unknown user": {"nobody", "open sesame", 401},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := httpbasic.NewBareMetalHTTPBasic(httpbasic.EndpointOpts{IronicEndpoint: s.endpoint + "/v1", IronicUser: test.user, IronicUserPassword: test.password})
			check(t, err)
			c.Microversion = "1.115"
			n, err := nodes.Create(t.Context(), c, nodes.CreateOpts{Driver: "fake-hardware"}).Extract()
			if test.status != 0 {
				refused(t, err, test.status)
				return
			}
			check(t, err)
			check(t, nodes.Delete(t.Context(), c, n.UUID).ExtractErr())
		})
	}
}
