package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"ferric"
	"ferric/flow"
)

func TestChassis(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		c := &ferric.Chassis{Description: "rack 1", Extra: map[string]any{"a": "b"}}
		must(t, e.CreateChassis(ctx, c))
		if c.UUID == "" || c.Version != 1 || c.CreatedAt.IsZero() {
			t.Fatalf("created: %+v", c)
		}
		got, err := e.Chassis(ctx, strings.ToUpper(c.UUID))
		must(t, err)
		equal(t, "read", got, c)
		wantCode(t, e.CreateChassis(ctx, &ferric.Chassis{UUID: c.UUID}), ferric.CodeConflict, "A chassis with UUID "+c.UUID+" already exists.")
		d := &ferric.Chassis{Description: "a"}
		must(t, e.CreateChassis(ctx, d))
		all, err := e.ChassisList(ctx, ferric.Page{SortKey: "description", Limit: 1})
		must(t, err)
		equal(t, "first page", all, []*ferric.Chassis{d})
		all, err = e.ChassisList(ctx, ferric.Page{SortKey: "description", Marker: d.UUID})
		must(t, err)
		equal(t, "second page", all, []*ferric.Chassis{c})
		_, err = e.ChassisList(ctx, ferric.Page{Marker: "gone"})
		wantCode(t, err, ferric.CodeNotFound, "Chassis gone could not be found.")

		got, err = e.UpdateChassis(ctx, c.UUID, 1, func(c *ferric.Chassis) error { c.Extra = nil; return nil })
		must(t, err)
		if got.Version != 2 || got.Extra != nil || !got.UpdatedAt.After(got.CreatedAt) {
			t.Errorf("updated: %+v", got)
		}
		_, err = e.UpdateChassis(ctx, c.UUID, 1, func(*ferric.Chassis) error { return nil })
		wantCode(t, err, ferric.CodeConflict, "its version is 2, not 1")

		// Nodes name only what is there, and keep it there.
		wantCode(t, e.CreateNode(ctx, &ferric.Node{Driver: "x", ChassisUUID: "gone"}), ferric.CodeInvalid, "Chassis gone could not be found.")
		n := e.node(t, func(n *ferric.Node) { n.ChassisUUID = c.UUID })
		_, err = e.ForceNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.ChassisUUID = "gone"; return nil })
		wantCode(t, err, ferric.CodeInvalid, "Chassis gone could not be found.")
		wantCode(t, e.DeleteChassis(ctx, c.UUID), ferric.CodeInvalid, "chassis "+c.UUID+" contains nodes")
		_, err = e.ForceNode(ctx, n.UUID, 0, func(n *ferric.Node) error { n.ChassisUUID = ""; return nil })
		must(t, err)
		must(t, e.DeleteChassis(ctx, c.UUID))
		wantCode(t, e.DeleteChassis(ctx, c.UUID), ferric.CodeNotFound, "Chassis "+c.UUID+" could not be found.")
	})
}

func TestPortgroups(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		a := e.node(t, func(n *ferric.Node) { n.Shard = "s1" })
		b := e.node(t, func(n *ferric.Node) { n.ConductorGroup = "rack" })
		g := &ferric.Portgroup{NodeUUID: a.UUID, Address: "52:54:00:AA:BB:01", Name: "bond0", Mode: "802.3ad", StandalonePorts: true,
			PhysicalNetwork: "p1", Category: "c", Dynamic: true, Properties: map[string]any{"miimon": 100.0}, Extra: map[string]any{"x": "y"},
			InternalInfo: map[string]any{"i": 1.0}}
		must(t, e.CreatePortgroup(ctx, g))
		if g.Address != "52:54:00:aa:bb:01" || g.UUID == "" || g.Version != 1 {
			t.Fatalf("created: %+v", g)
		}
		for name, read := range map[string]func() (*ferric.Portgroup, error){
			"by UUID": func() (*ferric.Portgroup, error) { return e.Portgroup(ctx, strings.ToUpper(g.UUID)) },
			"by name": func() (*ferric.Portgroup, error) { return e.PortgroupByName(ctx, "bond0") },
		} {
			got, err := read()
			must(t, err)
			equal(t, name, got, g)
		}
		_, err := e.PortgroupByName(ctx, "")
		wantCode(t, err, ferric.CodeNotFound, "Portgroup  could not be found.")
		for name, c := range map[string]struct {
			g    ferric.Portgroup
			code ferric.Code
			text string
		}{
			"address": {ferric.Portgroup{NodeUUID: b.UUID, Address: g.Address}, ferric.CodeConflict, "A portgroup with MAC address 52:54:00:aa:bb:01 already exists."},
			"name":    {ferric.Portgroup{NodeUUID: b.UUID, Name: "bond0"}, ferric.CodeConflict, "A portgroup with name bond0 already exists."},
			"uuid":    {ferric.Portgroup{UUID: g.UUID, NodeUUID: b.UUID}, ferric.CodeConflict, "A portgroup with UUID " + g.UUID + " already exists."},
			"node":    {ferric.Portgroup{NodeUUID: "gone"}, ferric.CodeNotFound, "Node gone could not be found."},
		} {
			t.Run(name, func(t *testing.T) { wantCode(t, e.CreatePortgroup(ctx, &c.g), c.code, c.text) })
		}
		h, i := &ferric.Portgroup{NodeUUID: b.UUID}, &ferric.Portgroup{NodeUUID: b.UUID} // neither address nor name
		must(t, e.CreatePortgroup(ctx, h))
		must(t, e.CreatePortgroup(ctx, i))
		for name, c := range map[string]struct {
			f    ferric.PortgroupFilter
			want []*ferric.Portgroup
		}{
			"all":     {ferric.PortgroupFilter{}, []*ferric.Portgroup{g, h, i}},
			"nodes":   {ferric.PortgroupFilter{NodeUUIDs: []string{b.UUID}}, []*ferric.Portgroup{h, i}},
			"address": {ferric.PortgroupFilter{Address: "52:54:00:AA:bb:01"}, []*ferric.Portgroup{g}},
			"shards":  {ferric.PortgroupFilter{Shards: []string{"s1", "s2"}}, []*ferric.Portgroup{g}},
			"groups":  {ferric.PortgroupFilter{ConductorGroups: []string{"rack"}}, []*ferric.Portgroup{h, i}},
			"page":    {ferric.PortgroupFilter{Page: ferric.Page{SortKey: "name", Desc: true, Limit: 1}}, []*ferric.Portgroup{g}},
		} {
			t.Run(name, func(t *testing.T) {
				got, err := e.Portgroups(ctx, c.f)
				must(t, err)
				equal(t, name, got, c.want)
			})
		}
		_, err = e.Portgroups(ctx, ferric.PortgroupFilter{Shards: make([]string, 30000)})
		wantCode(t, err, ferric.CodeInvalid, "at most")
		got, err := e.UpdatePortgroup(ctx, h.UUID, 1, func(g *ferric.Portgroup) error { g.NodeUUID, g.Mode = a.UUID, "4"; return nil })
		must(t, err)
		if got.NodeUUID != a.UUID || got.Version != 2 || got.Mode != "4" {
			t.Errorf("updated: %+v", got)
		}
		_, err = e.UpdatePortgroup(ctx, h.UUID, 1, func(*ferric.Portgroup) error { return nil })
		wantCode(t, err, ferric.CodeConflict, "its version is 2, not 1")
		_, err = e.UpdatePortgroup(ctx, h.UUID, 0, func(g *ferric.Portgroup) error { g.NodeUUID = "gone"; return nil })
		wantCode(t, err, ferric.CodeNotFound, "Node gone")
		must(t, e.DeletePortgroup(ctx, h.UUID))
		_, err = e.Portgroup(ctx, h.UUID)
		wantCode(t, err, ferric.CodeNotFound, "Portgroup "+h.UUID+" could not be found.")
	})
}

func TestPortsInPortgroups(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		a, b := e.node(t, func(n *ferric.Node) { n.Shard = "s1" }), e.node(t, func(n *ferric.Node) { n.ConductorGroup, n.Shard = "rack", "s2" })
		g := &ferric.Portgroup{NodeUUID: a.UUID, StandalonePorts: true}
		must(t, e.CreatePortgroup(ctx, g))
		create := func(address string, change func(*ferric.Port)) (*ferric.Port, error) {
			p := &ferric.Port{NodeUUID: a.UUID, Address: address, PortgroupUUID: g.UUID}
			change(p)
			return p, e.CreatePort(ctx, p)
		}
		_, err := create("1", func(p *ferric.Port) { p.PortgroupUUID = "gone" })
		wantCode(t, err, ferric.CodeInvalid, "Portgroup gone could not be found.")
		_, err = create("1", func(p *ferric.Port) { p.NodeUUID = b.UUID })
		wantCode(t, err, ferric.CodeInvalid, "Port can not be added to a portgroup belonging to a different node.")
		one, err := create("1", func(p *ferric.Port) { p.PhysicalNetwork = "p1" })
		must(t, err)
		_, err = create("2", func(*ferric.Port) {})
		wantCode(t, err, ferric.CodeConflict, "Port with physical network None cannot become a member of port group "+g.UUID+" which has ports in physical network p1.")
		two, err := create("2", func(p *ferric.Port) { p.PhysicalNetwork = "p1" })
		must(t, err)
		_, err = e.UpdatePort(ctx, two.UUID, 0, func(p *ferric.Port) error { p.PhysicalNetwork = "p2"; return nil })
		wantCode(t, err, ferric.CodeConflict, "physical network p2 cannot become a member")
		three := &ferric.Port{NodeUUID: b.UUID, Address: "3"}
		must(t, e.CreatePort(ctx, three))
		_, err = e.UpdatePort(ctx, three.UUID, 0, func(p *ferric.Port) error { p.PortgroupUUID = g.UUID; return nil })
		wantCode(t, err, ferric.CodeInvalid, "belonging to a different node")
		equal(t, "members", list(t, e, ferric.PortFilter{PortgroupUUID: g.UUID}), "12")
		equal(t, "of a shard", list(t, e, ferric.PortFilter{Shards: []string{"s1"}}), "12")
		equal(t, "of a conductor group", list(t, e, ferric.PortFilter{ConductorGroups: []string{"rack", "x"}}), "3")
		equal(t, "of both", list(t, e, ferric.PortFilter{ConductorGroups: []string{"rack"}, Shards: []string{"s1"}}), "")

		// The members follow the group to another network.
		_, err = e.UpdatePortgroup(ctx, g.UUID, 0, func(g *ferric.Portgroup) error { g.PhysicalNetwork = "p9"; return nil })
		must(t, err)
		for _, p := range []*ferric.Port{one, two} {
			got, err := e.Port(ctx, p.UUID)
			must(t, err)
			if got.PhysicalNetwork != "p9" || got.Version != 2 {
				t.Errorf("port %s: network %q, version %d", p.Address, got.PhysicalNetwork, got.Version)
			}
		}
		_, err = e.UpdatePortgroup(ctx, g.UUID, 0, func(g *ferric.Portgroup) error { g.NodeUUID = b.UUID; return nil })
		wantCode(t, err, ferric.CodeInvalid, "because there are ports associated with this portgroup")
		wantCode(t, e.DeletePortgroup(ctx, g.UUID), ferric.CodeInvalid, "because portgroup "+g.UUID+" contains ports.")
		for _, p := range []*ferric.Port{one, two} {
			must(t, e.DeletePort(ctx, p.UUID))
		}
		// Without members the group's own network counts.
		_, err = create("4", func(*ferric.Port) {})
		wantCode(t, err, ferric.CodeConflict, "which has ports in physical network p9")
		must(t, e.DeletePortgroup(ctx, g.UUID))
	})
}

// TestPortgroupRaces: however many do it at once, no port is left in a group that is gone, and the members are on one network.
func TestPortgroupRaces(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.node(t)
		for round := range 5 {
			g := &ferric.Portgroup{NodeUUID: n.UUID}
			must(t, e.CreatePortgroup(ctx, g))
			var all sync.WaitGroup
			for i := range 6 {
				all.Go(func() {
					err := e.CreatePort(ctx, &ferric.Port{NodeUUID: n.UUID, Address: fmt.Sprint(round, "-", i), PortgroupUUID: g.UUID,
						PhysicalNetwork: fmt.Sprint("p", i%2)})
					if err != nil && !ferric.IsCode(err, ferric.CodeConflict) && !ferric.IsCode(err, ferric.CodeInvalid) {
						t.Error(err)
					}
				})
			}
			all.Go(func() {
				if err := e.DeletePortgroup(ctx, g.UUID); err != nil && !ferric.IsCode(err, ferric.CodeInvalid) {
					t.Error(err)
				}
			})
			all.Wait()
			members, err := e.Ports(ctx, ferric.PortFilter{PortgroupUUID: g.UUID})
			must(t, err)
			_, err = e.Portgroup(ctx, g.UUID)
			if gone := ferric.IsCode(err, ferric.CodeNotFound); gone == (len(members) > 0) {
				t.Errorf("the group is gone: %v; it has %d members", gone, len(members))
			}
			for _, m := range members {
				if m.PhysicalNetwork != members[0].PhysicalNetwork {
					t.Errorf("members on %s and %s", m.PhysicalNetwork, members[0].PhysicalNetwork)
				}
			}
		}
	})
}

func TestVolumes(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		a, b := e.node(t), e.node(t)
		c := &ferric.VolumeConnector{NodeUUID: a.UUID, Type: "iqn", ConnectorID: "iqn.2017:01", Extra: map[string]any{"x": "y"}}
		must(t, e.CreateVolumeConnector(ctx, c))
		got, err := e.VolumeConnector(ctx, c.UUID)
		must(t, err)
		equal(t, "connector", got, c)
		wantCode(t, e.CreateVolumeConnector(ctx, &ferric.VolumeConnector{NodeUUID: b.UUID, Type: "iqn", ConnectorID: c.ConnectorID}), ferric.CodeConflict,
			"A volume connector with type iqn and connector ID iqn.2017:01 already exists.")
		wantCode(t, e.CreateVolumeConnector(ctx, &ferric.VolumeConnector{UUID: c.UUID, NodeUUID: b.UUID}), ferric.CodeConflict,
			"A volume connector with UUID "+c.UUID+" already exists.")
		wantCode(t, e.CreateVolumeConnector(ctx, &ferric.VolumeConnector{NodeUUID: "gone"}), ferric.CodeNotFound, "Node gone could not be found.")
		d := &ferric.VolumeConnector{NodeUUID: b.UUID, Type: "ip", ConnectorID: c.ConnectorID}
		must(t, e.CreateVolumeConnector(ctx, d))
		connectors, err := e.VolumeConnectors(ctx, ferric.VolumeFilter{NodeUUID: b.UUID})
		must(t, err)
		equal(t, "of a node", connectors, []*ferric.VolumeConnector{d})
		_, err = e.UpdateVolumeConnector(ctx, d.UUID, 0, func(v *ferric.VolumeConnector) error { v.Type = "iqn"; return nil })
		wantCode(t, err, ferric.CodeConflict, "already exists")
		must(t, e.DeleteVolumeConnector(ctx, c.UUID))
		wantCode(t, e.DeleteVolumeConnector(ctx, c.UUID), ferric.CodeNotFound, "Volume connector "+c.UUID+" could not be found.")
		_, err = e.UpdateVolumeConnector(ctx, d.UUID, 1, func(v *ferric.VolumeConnector) error { v.Type = "iqn"; return nil })
		must(t, err)

		v := &ferric.VolumeTarget{NodeUUID: a.UUID, Type: "iscsi", VolumeID: "vol-1", BootIndex: 0, Extra: map[string]any{"x": "y"},
			Properties: map[string]any{"auth_password": "volume-cleartext"}}
		must(t, e.CreateVolumeTarget(ctx, v))
		read, err := e.VolumeTarget(ctx, v.UUID)
		must(t, err)
		equal(t, "target", read, v)
		wantCode(t, e.CreateVolumeTarget(ctx, &ferric.VolumeTarget{NodeUUID: a.UUID, BootIndex: 0}), ferric.CodeConflict,
			"A volume target with boot index '0' for the same node already exists.")
		wantCode(t, e.CreateVolumeTarget(ctx, &ferric.VolumeTarget{UUID: v.UUID, NodeUUID: b.UUID}), ferric.CodeConflict,
			"A volume target with UUID "+v.UUID+" already exists.")
		wantCode(t, e.CreateVolumeTarget(ctx, &ferric.VolumeTarget{NodeUUID: "gone"}), ferric.CodeNotFound, "Node gone could not be found.")
		w := &ferric.VolumeTarget{NodeUUID: a.UUID, BootIndex: -1}
		must(t, e.CreateVolumeTarget(ctx, w))
		_, err = e.UpdateVolumeTarget(ctx, w.UUID, 0, func(v *ferric.VolumeTarget) error { v.BootIndex = 0; return nil })
		wantCode(t, err, ferric.CodeConflict, "boot index '0'")
		targets, err := e.VolumeTargets(ctx, ferric.VolumeFilter{NodeUUID: a.UUID, Page: ferric.Page{SortKey: "boot_index"}})
		must(t, err)
		equal(t, "of a node", targets, []*ferric.VolumeTarget{w, v})
		_, err = e.VolumeTargets(ctx, ferric.VolumeFilter{Page: ferric.Page{SortKey: "properties"}})
		wantCode(t, err, ferric.CodeInvalid, "boot_index")

		must(t, e.DeleteVolumeTarget(ctx, w.UUID))
		wantCode(t, e.DeleteVolumeTarget(ctx, w.UUID), ferric.CodeNotFound, "Volume target "+w.UUID+" could not be found.")
	})
}

// TestDeleteNodeTakesItsParts: what belongs to a node goes with it, and the feed says so.
func TestDeleteNodeTakesItsParts(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n, other := e.node(t), e.node(t)
		for i, n := range []*ferric.Node{n, other} {
			g := &ferric.Portgroup{NodeUUID: n.UUID}
			must(t, e.CreatePortgroup(ctx, g))
			must(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: n.UUID, Address: fmt.Sprint(i), PortgroupUUID: g.UUID}))
			must(t, e.CreateVolumeConnector(ctx, &ferric.VolumeConnector{NodeUUID: n.UUID, Type: "ip", ConnectorID: fmt.Sprint(i)}))
			must(t, e.CreateVolumeTarget(ctx, &ferric.VolumeTarget{NodeUUID: n.UUID}))
		}
		last, err := e.LastChange(ctx)
		must(t, err)
		must(t, e.DeleteNode(ctx, n.UUID, flow.Lease{}))
		changes, err := e.Changes(ctx, last, 0)
		must(t, err)
		var kinds []string
		for _, c := range changes {
			kinds = append(kinds, c.Kind)
		}
		equal(t, "changes", kinds, []string{"port.deleted", "portgroup.deleted", "volume_connector.deleted", "volume_target.deleted", "node.deleted"})
		for name, count := range map[string]func(context.Context) (int, error){
			"ports": func(ctx context.Context) (int, error) {
				l, err := e.Ports(ctx, ferric.PortFilter{})
				return len(l), err
			},
			"portgroups": func(ctx context.Context) (int, error) {
				l, err := e.Portgroups(ctx, ferric.PortgroupFilter{})
				return len(l), err
			},
			"connectors": func(ctx context.Context) (int, error) {
				l, err := e.VolumeConnectors(ctx, ferric.VolumeFilter{})
				return len(l), err
			},
			"targets": func(ctx context.Context) (int, error) {
				l, err := e.VolumeTargets(ctx, ferric.VolumeFilter{})
				return len(l), err
			},
		} {
			if got, err := count(ctx); err != nil || got != 1 {
				t.Errorf("%s: %d left, %v", name, got, err)
			}
		}
	})
}

func TestShards(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		got, err := e.Shards(t.Context())
		must(t, err)
		equal(t, "none", got, nil)
		for _, shard := range []string{"", "b", "a", "b", "a", "b"} {
			e.node(t, func(n *ferric.Node) { n.Shard = shard })
		}
		got, err = e.Shards(t.Context())
		must(t, err)
		equal(t, "shards", got, []ferric.Shard{{Name: "b", Nodes: 3}, {Name: "a", Nodes: 2}, {Name: "", Nodes: 1}})
	})
}
