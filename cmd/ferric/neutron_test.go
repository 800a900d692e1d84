package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"ferric"
	"ferric/config"
	"ferric/openstack"
)

// TestNeutronNeedsACloud: the network interfaces flat and neutron are there in a cloud; who asks for them outside of one is told why they are not.
func TestNeutronNeedsACloud(t *testing.T) {
	cloud, err := openstack.New(openstack.Credentials{AuthURL: "http://192.0.2.1:5000", Token: "t", Source: "the test"}, openstack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cloud   *openstack.Session
		enabled []string
		def     string
		want    string
		refused bool
	}{
		"no cloud":                   {want: "noop"},
		"no cloud, enabled":          {enabled: []string{"noop", "flat"}, refused: true},
		"no cloud, default":          {def: "neutron", refused: true},
		"cloud":                      {cloud: cloud, want: "noop,flat,neutron"},
		"cloud, enabled and default": {cloud: cloud, enabled: []string{"neutron", "noop"}, def: "neutron", want: "noop,neutron"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Defaults()
			cfg.Drivers.EnabledNetworkInterfaces, cfg.Drivers.DefaultNetworkInterface = c.enabled, c.def
			r, err := registry(cfg, parts{cloud: c.cloud, log: slog.New(slog.DiscardHandler)})
			if c.refused {
				if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "[openstack]") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			kind, _ := r.Type("ipmi")
			if have := strings.Join(r.EnabledFor(kind, ferric.KindNetwork), ","); have != c.want {
				t.Errorf("enabled: %s, want %s", have, c.want)
			}
			if c.def != "" && r.DefaultFor(kind, ferric.KindNetwork) != c.def {
				t.Errorf("default: %s", r.DefaultFor(kind, ferric.KindNetwork))
			}
			if err := r.Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSiteOfOthers: without hosts that have boot services there is none to tell of.
func TestSiteOfOthers(t *testing.T) {
	peers := &bootPeers{}
	peers.all.Store(&[]ferric.BootHost{{Host: "odd", Address: "?"}})
	if _, err := (publishOnly{peers: peers}).site(context.Background()); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("error %v", err)
	}
	peers.all.Store(&[]ferric.BootHost{{Host: "b", Address: "192.0.2.7", HTTP: "http://192.0.2.7:8080"}})
	if site, err := (publishOnly{peers: peers}).site(context.Background()); err != nil || site.TFTP.String() != "192.0.2.7" || site.HTTP != "http://192.0.2.7:8080" {
		t.Errorf("site %v, %v", site, err)
	}
}
