package netboot_test

import (
	"strings"
	"testing"

	"ferric"
	"ferric/boot"
	"ferric/boot/netboot"

	"github.com/google/go-cmp/cmp"
)

// TestBootFromVolume: a machine whose boot volume is remote is led to it, by the network, for good.
func TestBootFromVolume(t *testing.T) {
	one := map[string]any{"target_portal": "192.0.2.7:3260", "target_iqn": "iqn.a", "target_lun": float64(1), "auth_username": "u", "auth_password": "p"}
	with := func(key string, v any) map[string]any {
		out := map[string]any{}
		for k, old := range one {
			out[k] = old
		}
		out[key] = v
		return out
	}
	for name, c := range map[string]struct {
		properties map[string]any
		want       []string
		fails      string
	}{
		"one portal":    {one, []string{"iscsi:192.0.2.7::3260:1:iqn.a"}, ""},
		"large LUN":     {with("target_lun", float64(171)), []string{"iscsi:192.0.2.7::3260:ab:iqn.a"}, ""},
		"no port":       {with("target_portal", "storage"), []string{"iscsi:storage:::1:iqn.a"}, ""},
		"IPv6":          {with("target_portal", "[2001:db8::7]:3260"), []string{"iscsi:[2001:db8::7]::3260:1:iqn.a"}, ""},
		"IPv6, no port": {with("target_portal", "2001:db8::7"), []string{"iscsi:[2001:db8::7]:::1:iqn.a"}, ""},
		"several paths": {map[string]any{"target_portals": []any{"192.0.2.7:3260", "192.0.2.8:3261"}, "target_iqns": []any{"iqn.a", "iqn.b"},
			"target_luns": []any{float64(1), float64(2)}, "auth_username": "u", "auth_password": "p"}, []string{"iscsi:192.0.2.7::3260:1:iqn.a", "iscsi:192.0.2.8::3261:2:iqn.b"}, ""},
		"paths of one name": {with("target_portals", []any{"192.0.2.7:3260", "192.0.2.8:3260"}),
			[]string{"iscsi:192.0.2.7::3260:1:iqn.a", "iscsi:192.0.2.8::3260:1:iqn.a"}, ""},
		"not attached": {nil, nil, "is it attached?"},
		"bad LUN":      {with("target_lun", "first"), nil, `target_lun "first" is no number`},
		"bad portal":   {with("target_portal", "192.0.2.7:iscsi"), nil, `target_portal "192.0.2.7:iscsi"`},
		"no host":      {with("target_portal", ":3260"), nil, `target_portal ":3260"`},
		"injection":    {with("target_iqn", "iqn.a || shell"), nil, "none that iPXE reads"},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newServer(), &firmware{}
			b := &netboot.Boot{Flavor: boot.FlavorIPXE, Publisher: s, Files: s}
			tk := task(t, b, f, nil)
			tk.Node.InternalInfo = map[string]any{"boot_from_volume": "t1"}
			tk.Connectors = []*ferric.VolumeConnector{{Type: "ip", ConnectorID: "192.0.2.1"}, {Type: "iqn", ConnectorID: "iqn.one"}}
			tk.Targets = []*ferric.VolumeTarget{{UUID: "t2", Type: "iscsi", BootIndex: 1, Properties: with("target_iqn", "iqn.second")},
				{UUID: "t1", Type: "iscsi", BootIndex: 0, Properties: c.properties}}
			err := b.PrepareInstance(t.Context(), tk)
			if c.fails != "" {
				if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := boot.Config{NodeUUID: id, MACs: []string{"52:54:00:00:00:01"}, Flavor: boot.FlavorIPXE, Mode: boot.ModeVolume, Initiator: "iqn.one",
				Volumes: []boot.Volume{{URLs: c.want, Username: "u", Password: "p"},
					{URLs: []string{"iscsi:192.0.2.7::3260:1:iqn.second"}, Username: "u", Password: "p"}}}
			if diff := cmp.Diff(want, s.configs[id]); diff != "" {
				t.Errorf("published (-want +have):\n%s", diff)
			}
			if f.device != ferric.BootPXE || !f.persistent {
				t.Errorf("boot device %s, persistent=%t", f.device, f.persistent)
			}
			if err := b.CleanUpInstance(t.Context(), tk); err != nil || len(s.configs) > 0 {
				t.Errorf("%v, still published: %v", err, s.configs)
			}
		})
	}
	for name, change := range map[string]func(b *netboot.Boot, v *ferric.VolumeTarget, info map[string]any){
		"by pxe":        func(b *netboot.Boot, _ *ferric.VolumeTarget, _ map[string]any) { b.Flavor = boot.FlavorPXE },
		"Fibre Channel": func(_ *netboot.Boot, v *ferric.VolumeTarget, _ map[string]any) { v.Type = "fibre_channel" },
		"a data volume": func(_ *netboot.Boot, v *ferric.VolumeTarget, _ map[string]any) { v.BootIndex = 1 },
		"not noted":     func(_ *netboot.Boot, _ *ferric.VolumeTarget, info map[string]any) { delete(info, "boot_from_volume") },
	} {
		t.Run(name, func(t *testing.T) {
			s, f := newServer(), &firmware{}
			b := &netboot.Boot{Flavor: boot.FlavorIPXE, Publisher: s, Files: s}
			tk := task(t, b, f, nil)
			tk.Node.InternalInfo = map[string]any{"boot_from_volume": "t1"}
			tk.Targets = []*ferric.VolumeTarget{{UUID: "t1", Type: "iscsi", Properties: one}}
			change(b, tk.Targets[0], tk.Node.InternalInfo)
			if err := b.PrepareInstance(t.Context(), tk); err != nil || len(s.configs) > 0 || f.device != ferric.BootDisk {
				t.Errorf("%v, published %v, boot device %s", err, s.configs, f.device)
			}
		})
	}
}
