package driver_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/driver"
)

// plugged makes internal_info with a VIF.
func plugged(vif string) map[string]any { return map[string]any{"tenant_vif_port_id": vif} }

func TestFreeSockets(t *testing.T) {
	port := func(id string, change ...func(*ferric.Port)) *ferric.Port {
		p := &ferric.Port{UUID: id}
		for _, c := range change {
			c(p)
		}
		return p
	}
	pxe := func(p *ferric.Port) { p.PXEEnabled = true }
	in := func(g string) func(*ferric.Port) { return func(p *ferric.Port) { p.PortgroupUUID = g } }
	vif := func(v string) func(*ferric.Port) { return func(p *ferric.Port) { p.InternalInfo = plugged(v) } }
	link := func(p *ferric.Port) { p.LocalLinkConnection = map[string]any{"port_id": "1", "hostname": "h"} }
	group := func(id string) *ferric.Portgroup { return &ferric.Portgroup{UUID: id} }
	for name, c := range map[string]struct {
		ports  []*ferric.Port
		groups []*ferric.Portgroup
		extra  map[string]any
		want   string // UUIDs, the best first; "!…" an error
	}{
		"nothing":                       {},
		"ports that boot first":         {ports: []*ferric.Port{port("a"), port("b", pxe), port("c", pxe)}, want: "b c a"},
		"groups before ports":           {ports: []*ferric.Port{port("a", pxe), port("b", in("g"))}, groups: []*ferric.Portgroup{group("g")}, want: "g a"},
		"empty groups are none":         {ports: []*ferric.Port{port("a")}, groups: []*ferric.Portgroup{group("g")}, want: "a"},
		"taken ports are none":          {ports: []*ferric.Port{port("a", vif("x")), port("b")}, want: "b"},
		"a taken group keeps its ports": {ports: []*ferric.Port{port("a", in("g"))}, groups: []*ferric.Portgroup{{UUID: "g", InternalInfo: plugged("x")}}},
		"a group with a taken port":     {ports: []*ferric.Port{port("a", in("g"), vif("x")), port("b", in("g"))}, groups: []*ferric.Portgroup{group("g")}, want: "b"},
		"attached to a port":            {ports: []*ferric.Port{port("a", vif("v"))}, want: "!Unable to attach VIF because VIF v is already attached to Ironic Port a"},
		"attached to a group":           {ports: []*ferric.Port{port("a")}, groups: []*ferric.Portgroup{{UUID: "g", InternalInfo: plugged("v")}}, want: "!already attached to Ironic Portgroup g"},
		"this port":                     {ports: []*ferric.Port{port("a", pxe), port("b")}, extra: map[string]any{"port_uuid": "B"}, want: "b"},
		"this port, which is taken":     {ports: []*ferric.Port{port("a"), port("b", vif("x"))}, extra: map[string]any{"port_uuid": "b"}},
		"this port, of a group":         {ports: []*ferric.Port{port("a", in("g"))}, groups: []*ferric.Portgroup{group("g")}, extra: map[string]any{"port_uuid": "a"}},
		"this group":                    {ports: []*ferric.Port{port("a", in("g")), port("b", in("h")), port("c")}, groups: []*ferric.Portgroup{group("g"), group("h")}, extra: map[string]any{"portgroup_uuid": "h"}, want: "h"},
		"this group, taken by a port":   {ports: []*ferric.Port{port("a", in("g"), vif("x")), port("b", in("g"))}, groups: []*ferric.Portgroup{group("g")}, extra: map[string]any{"portgroup_uuid": "g"}},
		"this group, which is not here": {ports: []*ferric.Port{port("a")}, extra: map[string]any{"portgroup_uuid": "g"}},
		"smart NIC":                     {ports: []*ferric.Port{port("a", link, func(p *ferric.Port) { p.IsSmartNIC = true })}, want: "a"},
		"smart NIC without link":        {ports: []*ferric.Port{port("a", func(p *ferric.Port) { p.IsSmartNIC = true })}},
		"link of a smart NIC":           {ports: []*ferric.Port{port("a", link)}},
		"InfiniBand":                    {ports: []*ferric.Port{port("a", link, func(p *ferric.Port) { p.Extra = map[string]any{"client-id": "ff"} })}, want: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &driver.Machine{Node: &ferric.Node{}, Ports: c.ports, Portgroups: c.groups}
			free, err := driver.FreeSockets(m, driver.VIF{ID: "v", Extra: c.extra}, nil)
			if text, bad := strings.CutPrefix(c.want, "!"); bad {
				if !ferric.IsCode(err, ferric.CodeConflict) || !strings.Contains(err.Error(), text) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range free {
				if s.Group != nil {
					got = append(got, s.Group.UUID)
				} else {
					got = append(got, s.Port.UUID)
				}
			}
			if d := cmp.Diff(c.want, strings.Join(got, " ")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// memory is a port store of one machine.
type memory struct{ m *driver.Machine }

func (s memory) UpdatePort(_ context.Context, uuid string, change func(*ferric.Port) error) (*ferric.Port, error) {
	for _, p := range s.m.Ports {
		if p.UUID == uuid {
			return p, change(p)
		}
	}
	return nil, ferric.Errorf(ferric.CodeNotFound, "no port %s", uuid)
}

func (s memory) UpdatePortgroup(_ context.Context, uuid string, change func(*ferric.Portgroup) error) (*ferric.Portgroup, error) {
	for _, g := range s.m.Portgroups {
		if g.UUID == uuid {
			return g, change(g)
		}
	}
	return nil, ferric.Errorf(ferric.CodeNotFound, "no portgroup %s", uuid)
}

func TestPlug(t *testing.T) {
	m := &driver.Machine{Node: &ferric.Node{}, Ports: []*ferric.Port{{UUID: "a", Extra: map[string]any{"vif_port_id": "old"}}},
		Portgroups: []*ferric.Portgroup{{UUID: "g"}}}
	task := &driver.Task{Machine: m, PortStore: memory{m}}
	for i, s := range driver.Sockets(m) {
		if err := task.Plug(t.Context(), s, string(rune('x'+i))); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]driver.VIF{{ID: "y"}, {ID: "x"}}, driver.AttachedVIFs(m)); d != "" {
		t.Errorf("VIFs (-want +got):\n%s", d)
	}
	for _, s := range driver.Sockets(m) {
		if err := task.Plug(t.Context(), s, ""); err != nil {
			t.Fatal(err)
		}
	}
	if vifs := driver.AttachedVIFs(m); len(vifs) != 0 || len(m.Ports[0].InternalInfo)+len(m.Ports[0].Extra) != 0 {
		t.Errorf("left: %v, %v, %v", vifs, m.Ports[0].InternalInfo, m.Ports[0].Extra)
	}
}
