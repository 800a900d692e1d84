package conductor_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/driver"
	"ferric/driver/noop"
	"ferric/driver/storage"
	"ferric/flow"
)

// labCinder is a Cinder of volumes that can be reserved and attached once.
type labCinder struct {
	mu      sync.Mutex
	volumes map[string]*storage.Volume
	times   map[string]int // calls that were carried out
	away    bool
	refuses string // a call
}

func (c *labCinder) call(name, id, from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.volumes[id]
	switch {
	case c.away:
		return ferric.Errorf(ferric.CodeUnavailable, "Cinder is unavailable: connection refused")
	case v == nil:
		return ferric.Errorf(ferric.CodeNotFound, "Volume %s could not be found.", id)
	case c.refuses == name:
		return ferric.Errorf(ferric.CodeInvalid, "no %s today", name)
	case from != "" && v.Status != from:
		return ferric.Errorf(ferric.CodeInvalid, "Invalid volume: %s of a volume that is %s", name, v.Status)
	}
	if to != "" {
		v.Status = to
	}
	c.times[name]++
	return nil
}

func (c *labCinder) Volume(_ context.Context, id string) (*storage.Volume, error) {
	if err := c.call("get", id, "", ""); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := *c.volumes[id]
	v.Attachments = slices.Clone(v.Attachments)
	return &v, nil
}

func (c *labCinder) Reserve(_ context.Context, id string) error {
	return c.call("reserve", id, "available", "attaching")
}

func (c *labCinder) Unreserve(_ context.Context, id string) error {
	return c.call("unreserve", id, "attaching", "available")
}

func (c *labCinder) Connect(_ context.Context, id string, to storage.Connector) (map[string]any, error) {
	return map[string]any{"target_portal": "192.0.2.7:3260", "target_iqn": "iqn." + id, "target_lun": 1, "auth_password": "secret"}, c.call("connect", id, "attaching", "")
}

func (c *labCinder) Disconnect(_ context.Context, id string, _ storage.Connector) error {
	return c.call("disconnect", id, "", "")
}

func (c *labCinder) Attach(_ context.Context, id, server, _ string) error {
	err := c.call("attach", id, "attaching", "in-use")
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.volumes[id].Attachments = []storage.Attachment{{ID: "a", Server: server}}
	}
	return err
}

func (c *labCinder) BeginDetaching(_ context.Context, id string) error {
	return c.call("begin", id, "in-use", "detaching")
}

func (c *labCinder) Detach(_ context.Context, id, _ string) error {
	err := c.call("detach", id, "detaching", "available")
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.volumes[id].Attachments = nil
	}
	return err
}

func (c *labCinder) Annotate(_ context.Context, id string, _ map[string]string) error {
	return c.call("annotate", id, "", "")
}

// with changes what Cinder does.
func (c *labCinder) with(f func(*labCinder)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(c)
}

// String describes the volumes and how often they were attached and detached.
func (c *labCinder) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%s, attached %d, detached %d", c.volumes["v1"].Status, c.times["attach"], c.times["detach"])
}

// labIPXE boots deployed systems from volumes, too.
type labIPXE struct{ labBoot }

func (labIPXE) BootsVolume(typ string) bool { return typ == "iscsi" }

func (l labIPXE) PrepareInstance(ctx context.Context, t *driver.Task) error {
	v := t.BootVolume()
	if v == nil || t.Node.InternalInfo["boot_from_volume"] != v.UUID {
		return l.labBoot.PrepareInstance(ctx, t)
	}
	if m := l.s.machine(t.Node.UUID); m.power() == ferric.PowerOff { // it does not matter to one that runs
		m.note(fmt.Sprint("led to ", v.Properties["target_iqn"]))
	}
	return l.CleanUpRamdisk(ctx, t)
}

func (s *site) storage() map[string]driver.Interface {
	return map[string]driver.Interface{"noop": noop.Storage{}, "external": storage.External{}, "cinder": &storage.Cinder{Client: s.cinder, Retries: 1, RetryInterval: time.Millisecond, Outage: patience}}
}

// withVolume is a node that boots from a volume of Cinder.
func withVolume(change ...func(*ferric.Node)) func(*bench) *machine {
	return func(b *bench) *machine {
		b.site.cinder.with(func(c *labCinder) {
			c.volumes, c.times = map[string]*storage.Volume{"v1": {ID: "v1", Status: "available"}}, map[string]int{}
		})
		m := b.site.node("lab", append([]func(*ferric.Node){func(n *ferric.Node) {
			n.Interfaces[ferric.KindStorage], n.Interfaces[ferric.KindBoot] = "cinder", "ipxe"
			n.Properties["capabilities"], n.InstanceInfo = "iscsi_boot:true", map[string]any{}
		}}, change...)...)
		if err := b.store.CreateVolumeConnector(b.Context(), &ferric.VolumeConnector{NodeUUID: m.id, Type: "iqn", ConnectorID: "iqn.one"}); err != nil {
			b.Fatal(err)
		}
		if err := b.store.CreateVolumeTarget(b.Context(), &ferric.VolumeTarget{UUID: "0000ffff-0000-4000-8000-00000000000a", NodeUUID: m.id, Type: "iscsi", VolumeID: "v1"}); err != nil {
			b.Fatal(err)
		}
		return m
	}
}

// withInstance is such a node with its instance.
func withInstance(on ferric.PowerState) func(*bench) *machine {
	return func(b *bench) *machine {
		m := withVolume(func(n *ferric.Node) {
			n.ProvisionState, n.PowerState = ferric.Active, on
			n.InternalInfo = map[string]any{"boot_from_volume": "0000ffff-0000-4000-8000-00000000000a"}
		})(b)
		if on == ferric.PowerOn {
			b.site.cinder.with(func(c *labCinder) {
				*c.volumes["v1"] = storage.Volume{ID: "v1", Status: "in-use", Attachments: []storage.Attachment{{ID: "a", Server: m.id}}}
			})
		}
		m.set(on)
		m.history()
		return m
	}
}

// volumes describes what has become of the node and its volume.
func volumes(b *bench, n *ferric.Node) string {
	targets, err := b.store.VolumeTargets(context.Background(), ferric.VolumeFilter{NodeUUID: n.UUID})
	text := fmt.Sprint(b.site.cinder, "; targets ", len(targets))
	if len(targets) > 0 && targets[0].Properties["auth_password"] == "secret" {
		text += ", known"
	}
	if n.InternalInfo["boot_from_volume"] != nil {
		text += ", boots from it"
	}
	if err != nil {
		text += err.Error()
	}
	return text
}

// TestKilledWithVolumes kills the conductor at its writes while volumes come and go: they are attached and detached once, and no ramdisk is booted to deploy.
func TestKilledWithVolumes(t *testing.T) {
	turn := func(target ferric.PowerState) func(*bench, string) error {
		return func(b *bench, id string) error { return b.turn(id, target) }
	}
	ledTo := "led to iqn.v1"
	for name, k := range map[string]killing{
		"deploy": {verb: "active", from: ferric.Available, end: ferric.Active, make: withVolume(), least: 12, begun: map[string]int{"write_image": 0},
			want: []string{ledTo, "boots nothing"}, is: volumes, become: "in-use, attached 1, detached 0; targets 1, known, boots from it"},
		"undeploy": {verb: "deleted", from: ferric.Active, end: ferric.Available, make: withInstance(ferric.PowerOn), is: volumes, become: "available, attached 0, detached 1; targets 0",
			want: []string{"off", "boots the ramdisk", "erased", "off"}},
		"power off": {ask: turn(ferric.PowerOff), lane: flow.Power, from: ferric.Active, end: ferric.Active, make: withInstance(ferric.PowerOn), is: volumes, least: 6,
			want: []string{"off"}, become: "available, attached 0, detached 1; targets 1, boots from it"},
		"power on": {ask: turn(ferric.PowerOn), lane: flow.Power, from: ferric.Active, end: ferric.Active, make: withInstance(ferric.PowerOff), is: volumes, least: 6,
			want: []string{ledTo, "boots nothing"}, become: "in-use, attached 1, detached 0; targets 1, known, boots from it"},
		"rescue": {verb: "rescue", from: ferric.Active, end: ferric.Rescue, args: password("pw"), make: withInstance(ferric.PowerOn), is: volumes, least: 11,
			want: []string{"off", "boots the ramdisk", "rescued"}, become: "in-use, attached 0, detached 0; targets 1, boots from it"},
		"unrescue": {verb: "unrescue", from: ferric.Rescue, end: ferric.Active, make: withInstance(ferric.PowerOn), is: volumes, least: 7,
			want: []string{"off", "led to <nil>", "boots nothing"}, become: "in-use, attached 0, detached 0; targets 1, boots from it"},
	} {
		for _, d := range []death{{false, "two"}, {true, "one"}} {
			t.Run(fmt.Sprintf("%s, after=%v", name, d.after), func(t *testing.T) {
				t.Parallel()
				if d.after && testing.Short() {
					t.Skip("one of two ways to die is enough here")
				}
				k.twice = true
				for n := 2; killedAt(t, k, d, n); n += max(killEvery, 2) {
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// TestCinderAway: a deploy that cannot reach Cinder waits, says so, and goes on.
func TestCinderAway(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := withVolume()(b)
	b.site.cinder.with(func(c *labCinder) { c.away = true })
	b.verb(m.id, "active")
	if op := b.waits(m.id, "Cinder to answer again"); op.Status != flow.Waiting {
		t.Errorf("it is %s", op.Status)
	}
	b.site.cinder.with(func(c *labCinder) { c.away = false })
	n := b.reaches(m.id, ferric.Active)
	same(t, "volume", "in-use, attached 1, detached 0; targets 1, known, boots from it", volumes(b, n))
}

// TestVolumeRefused: a deploy whose volume cannot be attached fails with Cinder's words, and nothing stays reserved.
func TestVolumeRefused(t *testing.T) {
	b := newBench(t)
	b.boot("one", func(c *conductor.Config) { c.AutomatedClean = false })
	m := withVolume()(b)
	b.site.cinder.with(func(c *labCinder) { c.refuses = "connect" })
	b.verb(m.id, "active")
	n := b.reaches(m.id, ferric.DeployFailed)
	if want := "attach the volumes: Failed to initialize connection for volume v1 to node " + m.id + ": no connect today"; !strings.Contains(n.LastError, want) {
		t.Errorf("error %q, want %q", n.LastError, want)
	}
	same(t, "volume", "available, attached 0, detached 0; targets 1, boots from it", volumes(b, n))
	b.site.cinder.with(func(c *labCinder) { c.refuses = "" })
	b.verb(m.id, "rebuild")
	b.reaches(m.id, ferric.Active)
	b.verb(m.id, "deleted")
	same(t, "volume", "available, attached 1, detached 1; targets 0", volumes(b, b.reaches(m.id, ferric.Available)))
}

// TestVolumeUnfit: what cannot boot from its volume is refused before it begins.
func TestVolumeUnfit(t *testing.T) {
	b := newBench(t)
	b.boot("one")
	m := withVolume(func(n *ferric.Node) { n.Properties["capabilities"] = "" })(b)
	wantCode(t, b.try(m.id, "active"), ferric.CodeInvalid,
		"Failed to validate storage interface for node "+m.id+". Error: Failed to validate cinder storage interface", "the capability 'iscsi_boot' is not set for the node.")
}
