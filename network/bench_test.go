package network_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/network"
	"ferric/network/networktest"

	"github.com/google/go-cmp/cmp"
)

const (
	node     = "11111111-1111-4111-8111-111111111111"
	instance = "22222222-2222-4222-8222-222222222222"
	port1    = "aaaaaaaa-0000-4000-8000-000000000001"
	port2    = "aaaaaaaa-0000-4000-8000-000000000002"
	group1   = "bbbbbbbb-0000-4000-8000-000000000001"
	mac1     = "52:54:00:00:00:01"
	mac2     = "52:54:00:00:00:02"
	groupMAC = "52:54:00:00:00:99"
	netA     = "net-a" // of every purpose
	netB     = "net-b" // the tenants'
)

// bench is a node, its ports as they are stored, and a Neutron.
type bench struct {
	*testing.T
	neutron *networktest.Neutron
	face    *network.Interface
	node    *ferric.Node
	ports   []*ferric.Port
	groups  []*ferric.Portgroup
	broken  func() error // asked before every write of a port
}

func newBench(t *testing.T, kind network.Kind) *bench {
	b := &bench{T: t, neutron: &networktest.Neutron{Networks: []*network.Network{{ID: netA, Name: "provision", MTU: 1500, PhysicalNetwork: "physnet1"},
		{ID: netB, Name: "tenant", MTU: 9000, PhysicalNetwork: "physnet2"}}}}
	all := map[driver.NetworkPurpose]string{}
	for _, p := range []driver.NetworkPurpose{driver.ForProvisioning, driver.ForCleaning, driver.ForRescue, driver.ForInspection, driver.ForServicing} {
		all[p] = "provision"
	}
	b.face = &network.Interface{Kind: kind, Client: b.neutron, Settings: network.Settings{Networks: all, FailOnBinding: true, StatefulAddresses: 1}}
	b.node = &ferric.Node{UUID: node, Driver: "ipmi", ProvisionState: ferric.Available, DriverInfo: map[string]any{}}
	for i, mac := range []string{mac1, mac2} {
		b.ports = append(b.ports, &ferric.Port{UUID: fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", i+1), NodeUUID: node, Address: mac, PXEEnabled: true,
			LocalLinkConnection: map[string]any{"switch_id": "00:11:22:33:44:55", "port_id": fmt.Sprintf("Eth1/%d", i+1)}})
	}
	return b
}

// task is what a conductor that has just read the database works with.
func (b *bench) task() *driver.Task {
	m := &driver.Machine{Node: b.node.Clone()}
	for _, p := range b.ports {
		m.Ports = append(m.Ports, p.Clone())
	}
	for _, g := range b.groups {
		m.Portgroups = append(m.Portgroups, g.Clone())
	}
	return &driver.Task{Machine: m, PortStore: b, Log: slog.New(slog.DiscardHandler)}
}

func (b *bench) UpdatePort(_ context.Context, uuid string, change func(*ferric.Port) error) (*ferric.Port, error) {
	if b.broken != nil {
		if err := b.broken(); err != nil {
			return nil, err
		}
	}
	p := b.ports[slices.IndexFunc(b.ports, func(p *ferric.Port) bool { return p.UUID == uuid })]
	return p.Clone(), change(p)
}

func (b *bench) UpdatePortgroup(_ context.Context, uuid string, change func(*ferric.Portgroup) error) (*ferric.Portgroup, error) {
	g := b.groups[slices.IndexFunc(b.groups, func(g *ferric.Portgroup) bool { return g.UUID == uuid })]
	return g.Clone(), change(g)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// noted is what internal_info of the ports and groups says, by MAC address.
func (b *bench) noted() map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, p := range b.ports {
		if len(p.InternalInfo) > 0 {
			out[p.Address] = maps.Clone(p.InternalInfo)
		}
	}
	for _, g := range b.groups {
		if len(g.InternalInfo) > 0 {
			out[g.UUID] = maps.Clone(g.InternalInfo)
		}
	}
	return out
}

func same[T any](t testing.TB, what string, want, have T) {
	t.Helper()
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s (-want +have):\n%s", what, diff)
	}
}

// wantError compares the code and the whole text.
func wantError(t testing.TB, err error, code ferric.Code, text string) {
	t.Helper()
	if err == nil || ferric.ErrorCode(err) != code || err.Error() != text {
		t.Errorf("error %v (%s)\nwant  %s (%s)", err, ferric.ErrorCode(err), text, code)
	}
}
