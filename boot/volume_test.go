package boot_test

import (
	"strings"
	"testing"

	"ferric"
	"ferric/boot"
)

func volumeConfig() boot.Config {
	return boot.Config{NodeUUID: "node-1", MACs: []string{"52:54:00:aa:00:01"}, Flavor: boot.FlavorIPXE, Mode: boot.ModeVolume, Initiator: "iqn.2026-11.org.example:one",
		Volumes: []boot.Volume{{URLs: []string{"iscsi:192.0.2.7::3260:1:iqn.a"}, Username: "user", Password: "secret"}}}
}

// TestVolumeConfig: what comes from outside, by a volume target's properties, cannot become a command of the script. Messages do not tell passwords.
func TestVolumeConfig(t *testing.T) {
	first := func(change func(*boot.Volume)) func(*boot.Config) {
		return func(c *boot.Config) { change(&c.Volumes[0]) }
	}
	for name, tt := range map[string]struct {
		change func(*boot.Config)
		want   string // part of the error; empty = no error
	}{
		"good":             {func(*boot.Config) {}, ""},
		"no CHAP":          {first(func(v *boot.Volume) { v.Username, v.Password = "", "" }), ""},
		"no initiator":     {func(c *boot.Config) { c.Initiator = "" }, ""},
		"pxe":              {func(c *boot.Config) { c.Flavor = boot.FlavorPXE }, "set the boot interface to ipxe"},
		"kernel":           {func(c *boot.Config) { c.Kernel = "k" }, "must be empty in mode volume"},
		"no volumes":       {func(c *boot.Config) { c.Volumes = nil }, "volumes: there are 0"},
		"too many":         {func(c *boot.Config) { c.Volumes = make([]boot.Volume, 65) }, "volumes: there are 65"},
		"of local mode":    {func(c *boot.Config) { c.Mode = boot.ModeLocal }, "must be empty in mode local"},
		"no URL":           {first(func(v *boot.Volume) { v.URLs = nil }), "has no URL"},
		"another URL":      {first(func(v *boot.Volume) { v.URLs[0] = "http://x" }), "none that iPXE reads"},
		"URL with space":   {first(func(v *boot.Volume) { v.URLs[0] += " || shell" }), "only printable ASCII"},
		"URL with newline": {first(func(v *boot.Volume) { v.URLs[0] += "\nshell" }), "only printable ASCII"},
		"initiator":        {func(c *boot.Config) { c.Initiator = "${x}" }, "initiator"},
		"username":         {first(func(v *boot.Volume) { v.Username = "a b" }), "CHAP username of a volume: byte 0x20 at position 1"},
		"password":         {first(func(v *boot.Volume) { v.Password = "secret\nshell" }), "CHAP password of a volume: byte 0x0a at position 6"},
		"password expands": {first(func(v *boot.Volume) { v.Password = "secret${net0/mac}" }), "iPXE would expand it"},
		"half of CHAP":     {first(func(v *boot.Volume) { v.Password = "" }), "one of them is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			c := volumeConfig()
			tt.change(&c)
			_, err := c.Normalize()
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
