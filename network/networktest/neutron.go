// Package networktest has a small Neutron in memory, for tests that the real one is too slow for. It keeps to what the real one was seen to do: a MAC address
// is there once in a network, a bound port keeps its address, ports are made all or none, and a port is active once it is bound.
//
// # Concurrency
//
// A Neutron may be used by many goroutines.
package networktest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"ferric"
	"ferric/network"
)

// Neutron is a Neutron with the networks, subnets and so on that tests put in. The zero value has none. It implements network.Client.
type Neutron struct {
	Networks []*network.Network
	Subnets  map[string]*network.Subnet
	Segments map[string]string // physical network by id
	Groups   []string          // security groups
	Agents   map[string]bool   // alive, by host
	// Address gives a port an address in a network, nil gives none.
	Address func(networkID string) []network.FixedIP

	mu     sync.Mutex
	ports  map[string]map[string]any
	broken map[string]bool // hosts that no port can be bound to
	slow   map[string]bool // hosts whose ports stay down
	calls  []string
	hook   func(call string) (lost, err error)
	made   int
}

var _ network.Client = (*Neutron)(nil)

// Hook is asked about every call before it is carried out: with err it is not, with lost it is and its answer gets lost. nil asks nobody.
func (n *Neutron) Hook(hook func(call string) (lost, err error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
}

// Away makes Neutron give no answer, or answer again.
func (n *Neutron) Away(is bool) {
	if !is {
		n.Hook(nil)
		return
	}
	n.Hook(func(string) (error, error) {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "Neutron is unavailable: connection refused")
	})
}

// CannotBind makes bindings to a host fail; Slow leaves its ports down until it is called with false.
func (n *Neutron) CannotBind(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broken = map[string]bool{host: true}
}

// Slow leaves the ports of a host down, or makes them active.
func (n *Neutron) Slow(host string, is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slow = map[string]bool{host: is}
	for _, p := range n.ports {
		n.rebind(p, true)
	}
}

// Calls returns what was asked since it was called last, such as "create 2".
func (n *Neutron) Calls() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.calls
	n.calls = nil
	return out
}

// Writes are the calls that change something.
func (n *Neutron) Writes() []string {
	var out []string
	for _, c := range n.Calls() {
		if strings.HasPrefix(c, "create") || strings.HasPrefix(c, "update") || strings.HasPrefix(c, "delete") {
			out = append(out, c)
		}
	}
	return out
}

// All returns the ports, sorted by network and address.
func (n *Neutron) All() []*network.Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []*network.Port
	for _, p := range n.ports {
		out = append(out, typed(p))
	}
	slices.SortFunc(out, func(a, b *network.Port) int { return strings.Compare(a.NetworkID+a.MAC, b.NetworkID+b.MAC) })
	return out
}

// Add makes a port as a user would and returns its id.
func (n *Neutron) Add(a network.Attrs) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.add(a)["id"].(string)
}

func (n *Neutron) add(a network.Attrs) map[string]any {
	n.made++
	p := map[string]any{"id": fmt.Sprintf("00000000-0000-4000-8000-%012d", n.made), "status": "DOWN", "binding:vif_type": "unbound", "binding:host_id": "",
		"binding:vnic_type": "normal", "binding:profile": map[string]any{}, "device_owner": "", "device_id": "", "name": "",
		"mac_address": fmt.Sprintf("fa:16:3e:00:00:%02x", n.made)}
	if n.Address != nil {
		p["fixed_ips"] = n.Address(a["network_id"].(string))
	}
	maps.Copy(p, a)
	n.rebind(p, true)
	if n.ports == nil {
		n.ports = map[string]map[string]any{}
	}
	n.ports[p["id"].(string)] = p
	return p
}

// rebind does what a mechanism driver does.
func (n *Neutron) rebind(p map[string]any, changed bool) {
	host, _ := p["binding:host_id"].(string)
	switch {
	case host == "":
		p["binding:vif_type"], p["status"] = "unbound", "DOWN"
	case n.broken[host]:
		p["binding:vif_type"], p["status"] = "binding_failed", "DOWN"
	case n.slow[host]:
		p["binding:vif_type"], p["status"] = "other", "DOWN"
	case changed:
		p["binding:vif_type"], p["status"] = "other", "ACTIVE"
	}
}

func typed(p map[string]any) *network.Port {
	raw, err := json.Marshal(p)
	out := &network.Port{}
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		panic(err) // a test's own port
	}
	return out
}

// call does a call unless the hook says otherwise.
func call[T any](ctx context.Context, n *Neutron, name string, do func() (T, error)) (T, error) {
	n.mu.Lock()
	hook := n.hook
	n.calls = append(n.calls, name)
	n.mu.Unlock()
	var none T
	var lost, err error
	if hook != nil {
		lost, err = hook(name)
	}
	if err == nil && ctx.Err() != nil {
		err = ferric.Errorf(ferric.CodeUnavailable, "%w", ctx.Err())
	}
	if err != nil {
		return none, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v, err := do()
	if lost != nil {
		return none, lost
	}
	return v, err
}

func missing(what, id string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Neutron answered 404: %s %s could not be found.", what, id)
}

// FindNetworks implements network.Client.
func (n *Neutron) FindNetworks(ctx context.Context, name string) ([]*network.Network, error) {
	return call(ctx, n, "find network", func() (out []*network.Network, _ error) {
		for _, each := range n.Networks {
			if each.ID == name {
				return []*network.Network{each}, nil
			}
			if each.Name == name {
				out = append(out, each)
			}
		}
		return out, nil
	})
}

// Network implements network.Client.
func (n *Neutron) Network(ctx context.Context, id string) (*network.Network, error) {
	return call(ctx, n, "network", func() (*network.Network, error) {
		for _, each := range n.Networks {
			if each.ID == id {
				return each, nil
			}
		}
		return nil, missing("Network", id)
	})
}

// Subnet implements network.Client.
func (n *Neutron) Subnet(ctx context.Context, id string) (*network.Subnet, error) {
	return call(ctx, n, "subnet", func() (*network.Subnet, error) {
		if s := n.Subnets[id]; s != nil {
			return s, nil
		}
		return nil, missing("Subnet", id)
	})
}

// SegmentNetwork implements network.Client.
func (n *Neutron) SegmentNetwork(ctx context.Context, id string) (string, error) {
	return call(ctx, n, "segment", func() (string, error) { return n.Segments[id], nil })
}

// SecurityGroups implements network.Client.
func (n *Neutron) SecurityGroups(ctx context.Context, ids []string) ([]string, error) {
	return call(ctx, n, "security groups", func() ([]string, error) {
		return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !slices.Contains(n.Groups, id) }), nil
	})
}

// AgentAlive implements network.Client.
func (n *Neutron) AgentAlive(ctx context.Context, host string) (bool, error) {
	return call(ctx, n, "agent", func() (bool, error) { return n.Agents[host], nil })
}

// Port implements network.Client.
func (n *Neutron) Port(ctx context.Context, id string) (*network.Port, error) {
	return call(ctx, n, "port", func() (*network.Port, error) {
		if p := n.ports[id]; p != nil {
			return typed(p), nil
		}
		return nil, missing("Port", id)
	})
}

// Ports implements network.Client.
func (n *Neutron) Ports(ctx context.Context, query url.Values) ([]*network.Port, error) {
	return call(ctx, n, "ports", func() (out []*network.Port, _ error) {
		for _, id := range slices.Sorted(maps.Keys(n.ports)) {
			p, fits := n.ports[id], true
			for k, values := range query {
				fits = fits && slices.Contains(values, fmt.Sprint(p[k]))
			}
			if fits {
				out = append(out, typed(p))
			}
		}
		return out, nil
	})
}

// used reports whether a port other than id has an address in a network.
func (n *Neutron) used(networkID, mac any, id string) bool {
	for _, p := range n.ports {
		if p["id"] != id && p["network_id"] == networkID && strings.EqualFold(fmt.Sprint(p["mac_address"]), fmt.Sprint(mac)) {
			return true
		}
	}
	return false
}

// CreatePorts implements network.Client.
func (n *Neutron) CreatePorts(ctx context.Context, all []network.Attrs) ([]*network.Port, error) {
	return call(ctx, n, fmt.Sprintf("create %d", len(all)), func() (out []*network.Port, _ error) {
		for _, a := range all {
			if n.used(a["network_id"], a["mac_address"], "") {
				return nil, ferric.Errorf(ferric.CodeConflict, "Neutron answered 409: The mac address %s is in use.", a["mac_address"])
			}
		}
		for _, a := range all {
			out = append(out, typed(n.add(a)))
		}
		return out, nil
	})
}

// UpdatePort implements network.Client.
func (n *Neutron) UpdatePort(ctx context.Context, id string, change network.Attrs) (*network.Port, error) {
	name := "update " + strings.Join(slices.Sorted(maps.Keys(change)), ",")
	return call(ctx, n, name, func() (*network.Port, error) {
		p := n.ports[id]
		if p == nil {
			return nil, missing("Port", id)
		}
		if mac, given := change["mac_address"]; given && mac != p["mac_address"] {
			if p["binding:host_id"] != "" && p["binding:vif_type"] != "unbound" {
				return nil, ferric.Errorf(ferric.CodeConflict, "Neutron answered 409: Unable to complete operation on port %s, port is already bound.", id)
			}
			if mac == nil {
				n.made++
				change = maps.Clone(change)
				change["mac_address"] = fmt.Sprintf("fa:16:3e:00:00:%02x", n.made)
			} else if n.used(p["network_id"], mac, id) {
				return nil, ferric.Errorf(ferric.CodeConflict, "Neutron answered 409: The mac address %s is in use.", mac)
			}
		}
		if opts, given := change["extra_dhcp_opts"]; given {
			change = maps.Clone(change)
			change["extra_dhcp_opts"] = merged(p["extra_dhcp_opts"], opts)
		}
		_, host := change["binding:host_id"]
		_, profile := change["binding:profile"]
		maps.Copy(p, change)
		n.rebind(p, host || profile)
		return typed(p), nil
	})
}

// merged does what Neutron does with DHCP options: each is set, or taken away, by its name.
func merged(have, change any) []network.DHCPOption {
	read := func(v any) (out []network.DHCPOption) {
		raw, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(raw, &out)
		}
		if err != nil {
			panic(err)
		}
		return out
	}
	out := read(have)
	for _, o := range read(change) {
		out = slices.DeleteFunc(out, func(h network.DHCPOption) bool { return h.Name == o.Name })
		if o.Value != nil {
			out = append(out, o)
		}
	}
	return out
}

// DeletePort implements network.Client.
func (n *Neutron) DeletePort(ctx context.Context, id string) error {
	_, err := call(ctx, n, "delete", func() (any, error) {
		if n.ports[id] == nil {
			return nil, missing("Port", id)
		}
		delete(n.ports, id)
		return nil, nil
	})
	return err
}
