package store_test

import (
	"testing"

	"ferric"
)

// list returns the last digits of the addresses of the ports that a filter selects.
func list(t *testing.T, e *env, f ferric.PortFilter) string {
	t.Helper()
	ports, err := e.Ports(t.Context(), f)
	must(t, err)
	s := ""
	for _, p := range ports {
		s += p.Address[len(p.Address)-1:]
	}
	return s
}

func TestPorts(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		a, b := e.node(t), e.node(t)
		must(t, e.CreatePortgroup(ctx, &ferric.Portgroup{UUID: "pg", NodeUUID: a.UUID, PhysicalNetwork: "phys"}))
		p := &ferric.Port{NodeUUID: a.UUID, Address: "52:54:00:AA:BB:01", Name: "nic0", Description: "d", PXEEnabled: true,
			Extra: map[string]any{"x": "y"}, InternalInfo: map[string]any{"i": 1.0}, LocalLinkConnection: map[string]any{"switch_id": "s"},
			PortgroupUUID: "pg", PhysicalNetwork: "phys", IsSmartNIC: true, Vendor: "v", Category: "c",
			NotForDynamicPortgroup: true}
		must(t, e.CreatePort(ctx, p))
		if p.Address != "52:54:00:aa:bb:01" || p.UUID == "" || p.Version != 1 || p.CreatedAt.IsZero() {
			t.Fatalf("created: %+v", p)
		}
		for name, read := range map[string]func() (*ferric.Port, error){
			"by UUID": func() (*ferric.Port, error) { return e.Port(ctx, p.UUID) },
			"by MAC":  func() (*ferric.Port, error) { return e.PortByMAC(ctx, "52:54:00:AA:bb:01") },
		} {
			got, err := read()
			must(t, err)
			equal(t, name, got, p)
		}
		wantCode(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: b.UUID, Address: p.Address}), ferric.CodeConflict,
			"A port with MAC address 52:54:00:aa:bb:01 already exists.")
		wantCode(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: b.UUID, Address: "1", Name: "nic0"}), ferric.CodeConflict,
			"A port with name nic0 already exists.")
		wantCode(t, e.CreatePort(ctx, &ferric.Port{UUID: p.UUID, NodeUUID: b.UUID, Address: "1"}), ferric.CodeConflict,
			"A port with UUID "+p.UUID+" already exists.")
		wantCode(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: "nobody", Address: "1"}), ferric.CodeNotFound, "Node nobody could not be found.")
		q := &ferric.Port{NodeUUID: b.UUID, Address: "52:54:00:aa:bb:02"}
		must(t, e.CreatePort(ctx, q))

		equal(t, "by group", list(t, e, ferric.PortFilter{PortgroupUUID: "PG"}), "1")
		got, err := e.UpdatePort(ctx, p.UUID, 1, func(p *ferric.Port) error {
			p.Extra, p.NodeUUID, p.PortgroupUUID = nil, b.UUID, ""
			p.UUID = "other"
			return nil
		})
		must(t, err)
		want := p.Clone()
		want.Extra, want.NodeUUID, want.PortgroupUUID, want.Version, want.UpdatedAt = nil, b.UUID, "", 2, got.UpdatedAt
		equal(t, "updated", got, want)
		_, err = e.UpdatePort(ctx, p.UUID, 1, func(p *ferric.Port) error { return nil })
		wantCode(t, err, ferric.CodeConflict, "its version is 2, not 1")
		_, err = e.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error { p.Address = q.Address; return nil })
		wantCode(t, err, ferric.CodeConflict, "A port with MAC address 52:54:00:aa:bb:02 already exists.")
		_, err = e.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error { p.NodeUUID = "nobody"; return nil })
		wantCode(t, err, ferric.CodeNotFound, "Node nobody")
		own := ferric.Errorf(ferric.CodeForbidden, "no")
		if _, err = e.UpdatePort(ctx, p.UUID, 0, func(p *ferric.Port) error { p.Name = "lost"; return own }); err != own {
			t.Fatalf("got %v", err)
		}
		now, err := e.Port(ctx, p.UUID)
		must(t, err)
		equal(t, "after failures", now, got)

		equal(t, "all", list(t, e, ferric.PortFilter{}), "12")
		equal(t, "of nodes", list(t, e, ferric.PortFilter{NodeUUIDs: []string{a.UUID}}), "")
		equal(t, "by address", list(t, e, ferric.PortFilter{Addresses: []string{"52:54:00:AA:BB:02", "?"}}), "2")
		equal(t, "by name", list(t, e, ferric.PortFilter{Name: "nic0"}), "1")
		equal(t, "by description", list(t, e, ferric.PortFilter{DescriptionLike: "D"}), "1")
		equal(t, "no wildcard", list(t, e, ferric.PortFilter{DescriptionLike: "%"}), "")
		equal(t, "backwards", list(t, e, ferric.PortFilter{Page: ferric.Page{SortKey: "address", Desc: true}}), "21")
		equal(t, "page", list(t, e, ferric.PortFilter{Page: ferric.Page{SortKey: "address", Limit: 1, Marker: p.UUID}}), "2")
		_, err = e.Ports(ctx, ferric.PortFilter{Page: ferric.Page{SortKey: "extra"}})
		wantCode(t, err, ferric.CodeInvalid, "address, ")
		_, err = e.Ports(ctx, ferric.PortFilter{Page: ferric.Page{Marker: "gone"}})
		wantCode(t, err, ferric.CodeNotFound, "Port gone could not be found.")

		n, err := e.NodeByMACs(ctx, []string{"00:00:00:00:00:00", "52:54:00:AA:BB:02", p.Address})
		must(t, err)
		equal(t, "node by MACs", n.UUID, b.UUID)
		must(t, e.CreatePort(ctx, &ferric.Port{NodeUUID: a.UUID, Address: "52:54:00:aa:bb:03"}))
		_, err = e.NodeByMACs(ctx, []string{"52:54:00:aa:bb:03", p.Address})
		wantCode(t, err, ferric.CodeNotFound, "Multiple nodes with port addresses 52:54:00:aa:bb:03, 52:54:00:aa:bb:01 were found")
		_, err = e.NodeByMACs(ctx, []string{"00:00:00:00:00:00"})
		wantCode(t, err, ferric.CodeNotFound, "was not found")
		_, err = e.NodeByMACs(ctx, nil)
		wantCode(t, err, ferric.CodeNotFound, "")

		must(t, e.DeletePort(ctx, p.UUID))
		wantCode(t, e.DeletePort(ctx, p.UUID), ferric.CodeNotFound, "Port "+p.UUID+" could not be found.")
		_, err = e.UpdatePort(ctx, p.UUID, 0, nil)
		wantCode(t, err, ferric.CodeNotFound, "Port "+p.UUID)
	})
}
