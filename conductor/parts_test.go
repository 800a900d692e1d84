package conductor_test

import (
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/rpc"

	"github.com/google/uuid"
)

// onlyPort returns the only port of a machine's node.
func (b *bench) onlyPort(m *machine) *ferric.Port {
	b.Helper()
	ports, err := b.store.Ports(b.Context(), ferric.PortFilter{NodeUUIDs: []string{m.id}})
	if err != nil || len(ports) != 1 {
		b.Fatal(len(ports), err)
	}
	return ports[0]
}

func (b *bench) portgroup(m *machine, change func(*ferric.Portgroup)) *ferric.Portgroup {
	b.Helper()
	g := &ferric.Portgroup{NodeUUID: m.id, StandalonePorts: true}
	if change != nil {
		change(g)
	}
	if err := b.store.CreatePortgroup(b.Context(), g); err != nil {
		b.Fatal(err)
	}
	return g
}

func TestUpdatePort(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	group := func(*ferric.Port) {}
	for name, c := range map[string]struct {
		state  ferric.ProvisionState
		node   func(*ferric.Node)
		before func(*ferric.Port)
		change func(*ferric.Port)
		code   ferric.Code // "": it works
		text   string
	}{
		"description, active":        {state: ferric.Active, change: func(p *ferric.Port) { p.Description = "d" }},
		"address, available":         {state: ferric.Available, change: func(p *ferric.Port) { p.Address = "52:54:ff:00:00:01" }},
		"address, active":            {state: ferric.Active, change: func(p *ferric.Port) { p.Address = "52:54:ff:00:00:02" }, code: ferric.CodeConflict, text: "Cannot update hardware address for port"},
		"address, instance":          {state: ferric.Available, node: func(n *ferric.Node) { n.InstanceID = uuid.NewString() }, change: func(p *ferric.Port) { p.Address = "52:54:ff:00:00:03" }, code: ferric.CodeConflict, text: "is active or has instance UUID assigned"},
		"address, maintenance":       {state: ferric.Active, node: func(n *ferric.Node) { n.Maintenance = true }, change: func(p *ferric.Port) { p.Address = "52:54:ff:00:00:04" }},
		"cabling, enroll":            {state: ferric.Enroll, change: func(p *ferric.Port) { p.PhysicalNetwork = "p" }},
		"cabling, manageable":        {state: ferric.Manageable, change: func(p *ferric.Port) { p.PXEEnabled = false }},
		"cabling, inspect wait":      {state: ferric.InspectWait, change: func(p *ferric.Port) { p.LocalLinkConnection = map[string]any{"port_id": "1"} }},
		"cabling, available":         {state: ferric.Available, change: func(p *ferric.Port) { p.PhysicalNetwork = "p" }, code: ferric.CodeConflict, text: "can not have any connectivity attributes (local_link_connection, physical_network, portgroup_id, pxe_enabled) updated unless node"},
		"pxe, active":                {state: ferric.Active, change: func(p *ferric.Port) { p.PXEEnabled = false }, code: ferric.CodeConflict, text: "The current state is active."},
		"link, active":               {state: ferric.Active, change: func(p *ferric.Port) { p.LocalLinkConnection = map[string]any{"port_id": "1"} }, code: ferric.CodeConflict, text: "connectivity attributes"},
		"cabling, maintenance":       {state: ferric.Active, node: func(n *ferric.Node) { n.Maintenance = true }, change: func(p *ferric.Port) { p.PXEEnabled = false }},
		"to a node that is not":      {state: ferric.Enroll, change: func(p *ferric.Port) { p.NodeUUID = uuid.NewString() }, code: ferric.CodeNotFound, text: "could not be found"},
		"an old version":             {state: ferric.Enroll, change: func(p *ferric.Port) { p.Version = 7 }, code: ferric.CodeConflict, text: "was changed by somebody else meanwhile"},
		"not there":                  {state: ferric.Enroll, change: func(p *ferric.Port) { p.UUID = uuid.NewString() }, code: ferric.CodeNotFound, text: "Port"},
		"into a group, active":       {state: ferric.Active, change: group, code: ferric.CodeConflict, text: "connectivity attributes"},
		"into a group":               {state: ferric.Manageable, before: func(p *ferric.Port) { p.PXEEnabled = false }, change: group},
		"into a group with pxe":      {state: ferric.Manageable, change: group, code: ferric.CodeConflict, text: "doesn't support standalone ports. This port"},
		"into a group with VIF":      {state: ferric.Manageable, before: func(p *ferric.Port) { p.PXEEnabled, p.InternalInfo = false, map[string]any{"tenant_vif_port_id": "v1"} }, change: group, code: ferric.CodeConflict, text: "VIF v1 is attached to the port"},
		"into a group of another":    {state: ferric.Manageable, change: func(p *ferric.Port) { p.PortgroupUUID = "other" }, code: ferric.CodeInvalid, text: "belonging to a different node"},
		"into a group that is none":  {state: ferric.Manageable, change: func(p *ferric.Port) { p.PortgroupUUID = uuid.NewString() }, code: ferric.CodeInvalid, text: "could not be found"},
		"onto an address that is":    {state: ferric.Enroll, change: func(p *ferric.Port) { p.Address = "taken" }, code: ferric.CodeConflict, text: "already exists"},
		"facts of Ferric's are kept": {state: ferric.Active, before: func(p *ferric.Port) { p.InternalInfo = map[string]any{"x": "y"} }, change: func(p *ferric.Port) { p.Name = "n-" + p.UUID }},
	} {
		t.Run(name, func(t *testing.T) {
			m, other := b.site.node("lab", in(c.state)), b.site.node("lab")
			g := b.portgroup(m, func(g *ferric.Portgroup) { g.StandalonePorts = false })
			stranger := b.portgroup(other, nil)
			p := b.onlyPort(m)
			if c.before != nil {
				var err error
				if p, err = b.store.UpdatePort(b.Context(), p.UUID, 0, func(p *ferric.Port) error { c.before(p); return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if c.node != nil {
				b.change(m.id, c.node)
			}
			now := p.Clone()
			c.change(now)
			switch {
			case now.PortgroupUUID == "other":
				now.PortgroupUUID = stranger.UUID
			case now.Address == "taken":
				now.Address = other.mac
			case len(name) > 5 && name[:5] == "into " && now.PortgroupUUID == "":
				now.PortgroupUUID = g.UUID
			}
			var made ferric.Port
			err := b.call(rpc.UpdatePort, rpc.PortArgs{Port: now}, &made)
			if c.code != "" {
				wantCode(t, err, c.code, c.text)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			now.Version, now.UpdatedAt = made.Version, made.UpdatedAt
			same(t, "port", *now, made)
			if made.Version != p.Version+1 {
				t.Errorf("version %d", made.Version)
			}
		})
	}
	wantCode(t, b.call(rpc.UpdatePort, rpc.PortArgs{}, nil), ferric.CodeInvalid, "port is missing")
}

// TestMovePort: a port that moves needs the leases of both nodes.
func TestMovePort(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.LockWait = 50 * time.Millisecond })
	from, to := b.site.node("lab", in(ferric.Enroll)), b.site.node("lab", in(ferric.Enroll))
	move := func() error {
		p := b.onlyPort(from).Clone()
		p.NodeUUID = to.id
		return b.call(rpc.UpdatePort, rpc.PortArgs{Port: p}, nil)
	}
	for _, held := range []*machine{from, to} {
		lease, err := b.store.Acquire(b.Context(), held.id, "other-host", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, move(), ferric.CodeLocked, "Node "+held.id+" is locked by host other-host")
		if err := b.store.Release(b.Context(), lease); err != nil {
			t.Fatal(err)
		}
	}
	if err := move(); err != nil {
		t.Fatal(err)
	}
	if ports, err := b.store.Ports(b.Context(), ferric.PortFilter{NodeUUIDs: []string{to.id}}); err != nil || len(ports) != 2 {
		t.Errorf("%d ports, %v", len(ports), err)
	}
}

// TestPartsOfLockedNodes: what belongs to a node that somebody works on is not changed.
func TestPartsOfLockedNodes(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.LockWait = 50 * time.Millisecond })
	m := b.site.node("lab", in(ferric.Enroll), func(n *ferric.Node) { n.PowerState = ferric.PowerOff })
	p, g := b.onlyPort(m), b.portgroup(m, nil)
	v, w := &ferric.VolumeConnector{NodeUUID: m.id, Type: "ip", ConnectorID: "1"}, &ferric.VolumeTarget{NodeUUID: m.id}
	if err := b.store.CreateVolumeConnector(b.Context(), v); err != nil {
		t.Fatal(err)
	}
	if err := b.store.CreateVolumeTarget(b.Context(), w); err != nil {
		t.Fatal(err)
	}
	calls := []struct {
		method rpc.Method
		args   any
	}{
		{rpc.UpdatePort, rpc.PortArgs{Port: p}}, {rpc.UpdatePortgroup, rpc.PortgroupArgs{Portgroup: g}},
		{rpc.UpdateVolumeConnector, rpc.VolumeConnectorArgs{Connector: v}}, {rpc.UpdateVolumeTarget, rpc.VolumeTargetArgs{Target: w}},
		{rpc.DestroyPort, rpc.PartRef{UUID: p.UUID}}, {rpc.DestroyPortgroup, rpc.PartRef{UUID: g.UUID}},
		{rpc.DestroyVolumeConnector, rpc.PartRef{UUID: v.UUID}}, {rpc.DestroyVolumeTarget, rpc.PartRef{UUID: w.UUID}},
	}
	lease, err := b.store.Acquire(b.Context(), m.id, "other-host", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		t.Run(string(c.method)+", locked", func(t *testing.T) {
			wantCode(t, b.call(c.method, c.args, nil), ferric.CodeLocked, "Node "+m.id+" is locked by host other-host")
		})
	}
	if err := b.store.Release(b.Context(), lease); err != nil {
		t.Fatal(err)
	}
	for _, c := range calls { // in this order: what is deleted comes last
		t.Run(string(c.method), func(t *testing.T) {
			if err := b.call(c.method, c.args, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, c := range calls {
		t.Run(string(c.method)+", gone", func(t *testing.T) {
			wantCode(t, b.call(c.method, c.args, nil), ferric.CodeNotFound, "could not be found")
		})
	}
	for _, method := range []rpc.Method{rpc.UpdatePortgroup, rpc.UpdateVolumeConnector, rpc.UpdateVolumeTarget} {
		wantCode(t, b.call(method, rpc.PartRef{}, nil), ferric.CodeInvalid, "is missing")
	}
	if n := b.node(m.id); n.Reservation != "" {
		t.Errorf("the node is still reserved by %q", n.Reservation)
	}
}

func TestDestroyPort(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := b.site.node("lab", in(ferric.Active))
	p := b.onlyPort(m)
	if err := b.call(rpc.AttachVIF, rpc.VIFArgs{NodeRef: ref(m.id), VIF: rpc.VIF{ID: "v1"}}, nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, b.call(rpc.DestroyPort, rpc.PartRef{UUID: p.UUID}, nil), ferric.CodeConflict, "Cannot delete the port "+p.UUID+" as it is bound to VIF v1 for use.")
	b.change(m.id, func(n *ferric.Node) { n.Maintenance = true })
	if err := b.call(rpc.DestroyPort, rpc.PartRef{UUID: p.UUID}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestUpdatePortgroup(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	for name, c := range map[string]struct {
		to     ferric.ProvisionState // of the node that it moves to; "": it does not move
		port   func(*ferric.Port)    // a member; nil: none
		change func(*ferric.Portgroup)
		code   ferric.Code
		text   string
	}{
		"name":                     {change: func(g *ferric.Portgroup) { g.Name = "bond0" }},
		"move, manageable":         {to: ferric.Manageable},
		"move, available":          {to: ferric.Available, code: ferric.CodeConflict, text: "can not be associated to node"},
		"move with ports":          {to: ferric.Enroll, port: func(*ferric.Port) {}, code: ferric.CodeInvalid, text: "because there are ports associated with this portgroup"},
		"no standalone, no pxe":    {port: func(p *ferric.Port) { p.PXEEnabled = false }, change: func(g *ferric.Portgroup) { g.StandalonePorts = false }},
		"no standalone, pxe":       {port: func(*ferric.Port) {}, change: func(g *ferric.Portgroup) { g.StandalonePorts = false }, code: ferric.CodeConflict, text: "contains port with 'pxe_enabled' is set to True"},
		"no standalone, VIF":       {port: func(p *ferric.Port) { p.PXEEnabled, p.InternalInfo = false, map[string]any{"tenant_vif_port_id": "v1"} }, change: func(g *ferric.Portgroup) { g.StandalonePorts = false }, code: ferric.CodeConflict, text: "contains port with VIF v1 is attached to this port"},
		"network, with its member": {port: func(*ferric.Port) {}, change: func(g *ferric.Portgroup) { g.PhysicalNetwork = "p1" }},
		"old version":              {change: func(g *ferric.Portgroup) { g.Version = 9 }, code: ferric.CodeConflict, text: "changed by somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			m, other := b.site.node("lab", in(ferric.Active)), b.site.node("lab", in(c.to))
			g := b.portgroup(m, nil)
			if c.port != nil {
				_, err := b.store.UpdatePort(b.Context(), b.onlyPort(m).UUID, 0, func(p *ferric.Port) error { c.port(p); p.PortgroupUUID = g.UUID; return nil })
				if err != nil {
					t.Fatal(err)
				}
			}
			now := g.Clone()
			if c.to != "" {
				now.NodeUUID = other.id
			}
			if c.change != nil {
				c.change(now)
			}
			var made ferric.Portgroup
			err := b.call(rpc.UpdatePortgroup, rpc.PortgroupArgs{Portgroup: now}, &made)
			if c.code != "" {
				wantCode(t, err, c.code, c.text)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			now.Version, now.UpdatedAt = 2, made.UpdatedAt
			same(t, "portgroup", *now, made)
			if p := b.onlyPort(m); c.port != nil && p.PhysicalNetwork != made.PhysicalNetwork {
				t.Errorf("the member is on network %q", p.PhysicalNetwork)
			}
		})
	}
}

func TestVolumesNeedPowerOff(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	for name, c := range map[string]struct {
		power          ferric.PowerState
		state          ferric.ProvisionState
		update, remove bool
		shown          string
	}{
		"on, active":      {ferric.PowerOn, ferric.Active, false, false, "power on"},
		"off, active":     {ferric.PowerOff, ferric.Active, true, true, ""},
		"on, manageable":  {ferric.PowerOn, ferric.Manageable, false, true, "power on"},
		"on, available":   {ferric.PowerOn, ferric.Available, false, false, "power on"},
		"unknown, enroll": {"", ferric.Enroll, false, true, "None"},
	} {
		t.Run(name, func(t *testing.T) {
			m := b.site.node("lab", in(c.state), func(n *ferric.Node) { n.PowerState = c.power })
			v, w := &ferric.VolumeConnector{NodeUUID: m.id, Type: "ip", ConnectorID: m.id}, &ferric.VolumeTarget{NodeUUID: m.id}
			if err := b.store.CreateVolumeConnector(b.Context(), v); err != nil {
				t.Fatal(err)
			}
			if err := b.store.CreateVolumeTarget(b.Context(), w); err != nil {
				t.Fatal(err)
			}
			now, next := v.Clone(), w.Clone()
			now.ConnectorID, next.VolumeID = "new-"+m.id, "new"
			for _, call := range []struct {
				method rpc.Method
				args   any
				works  bool
				action string
			}{
				{rpc.UpdateVolumeConnector, rpc.VolumeConnectorArgs{Connector: now}, c.update, "volume connector update"},
				{rpc.UpdateVolumeTarget, rpc.VolumeTargetArgs{Target: next}, c.update, "volume target update"},
				{rpc.DestroyVolumeConnector, rpc.PartRef{UUID: v.UUID}, c.remove, "volume connector deletion"},
				{rpc.DestroyVolumeTarget, rpc.PartRef{UUID: w.UUID}, c.remove, "volume target deletion"},
			} {
				err := b.call(call.method, call.args, nil)
				if call.works != (err == nil) {
					t.Errorf("%s: %v", call.method, err)
				}
				if !call.works {
					wantCode(t, err, ferric.CodeInvalid, `The requested action "`+call.action+`" can not be performed on node "`+m.id+`" while it is in state "`+c.shown+`".`)
				}
			}
		})
	}
}
