package store_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/store"
)

func netboot(node, text string, macs ...string) *ferric.NetworkBoot {
	return &ferric.NetworkBoot{NodeUUID: node, MACs: macs, Config: json.RawMessage(`"` + text + `"`)}
}

// TestNetworkBoot publishes, replaces and removes what nodes boot; one host writes what the others read.
func TestNetworkBoot(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx, one, two := t.Context(), e.node(t).UUID, e.node(t).UUID
		const a, b = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
		wantCode(t, e.PutNetworkBoot(ctx, netboot("1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "x", a)), ferric.CodeNotFound, "could not be found")
		_, err := e.NetworkBootByMAC(ctx, a)
		wantCode(t, err, ferric.CodeNotFound, a)

		first := netboot(one, "first", "52:54:00:00:00:0A", b)
		must(t, e.PutNetworkBoot(ctx, first))
		for _, s := range e.processes(t) {
			for _, mac := range []string{a, "52:54:00:00:00:0B"} {
				got, err := s.NetworkBootByMAC(ctx, mac)
				must(t, err)
				equal(t, mac, string(got.Config)+got.NodeUUID, `"first"`+one)
				if got.UpdatedAt.IsZero() || !got.UpdatedAt.Equal(first.UpdatedAt) {
					t.Errorf("published at %s, read %s", first.UpdatedAt, got.UpdatedAt)
				}
			}
		}
		wantCode(t, e.PutNetworkBoot(ctx, netboot(two, "thief", "52:54:00:00:00:0c", b)), ferric.CodeConflict, b+" boots for node "+one)
		_, err = e.NetworkBoot(ctx, two)
		wantCode(t, err, ferric.CodeNotFound, two)
		for range 2 { // it may be repeated
			must(t, e.PutNetworkBoot(ctx, netboot(one, "second", a)))
		}
		must(t, e.PutNetworkBoot(ctx, netboot(two, "other", b)))
		all, err := e.NetworkBoots(ctx)
		must(t, err)
		equal(t, "all", len(all), 2)
		must(t, e.DeleteNetworkBoot(ctx, one))
		must(t, e.DeleteNetworkBoot(ctx, one))
		_, err = e.NetworkBootByMAC(ctx, a)
		wantCode(t, err, ferric.CodeNotFound, a)

		// Files and boots of a node that is gone are gone, too.
		file := ferric.BootFile{NodeUUID: two, Name: "kernel", Tag: "t1", Source: json.RawMessage(`{"url":"http://x"}`)}
		must(t, e.PutBootFile(ctx, file))
		file.Tag = "t2"
		must(t, e.PutBootFile(ctx, file))
		got, err := e.BootFile(ctx, two, "kernel")
		must(t, err)
		equal(t, "boot file", got, file)
		file.Name = "ramdisk"
		must(t, e.PutBootFile(ctx, file))
		files, err := e.BootFiles(ctx)
		must(t, err)
		equal(t, "boot files", len(files), 2)
		must(t, e.DeleteBootFile(ctx, two, "ramdisk"))
		_, err = e.BootFile(ctx, two, "ramdisk")
		wantCode(t, err, ferric.CodeNotFound, "ramdisk")
		wantCode(t, e.PutBootFile(ctx, ferric.BootFile{NodeUUID: "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", Name: "x"}), ferric.CodeNotFound, "could not be found")
		l := e.lease(t, two)
		must(t, e.DeleteNode(ctx, two, l))
		_, err = e.NetworkBootByMAC(ctx, b)
		wantCode(t, err, ferric.CodeNotFound, b)
		_, err = e.BootFile(ctx, two, "kernel")
		wantCode(t, err, ferric.CodeNotFound, "kernel")
	})
}

// TestNetworkBootRace lets several hosts publish the same MAC for different nodes: one wins, the others are told, and no MAC boots for two.
func TestNetworkBootRace(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		nodes := make([]string, 6)
		for i := range nodes {
			nodes[i] = e.node(t).UUID
		}
		var won atomic.Int64
		crowd(e.processes(t), len(nodes), func(s *store.Store, i int) {
			switch err := s.PutNetworkBoot(t.Context(), netboot(nodes[i], fmt.Sprint(i), "52:54:00:00:00:01")); {
			case err == nil:
				won.Add(1)
			case !ferric.IsCode(err, ferric.CodeConflict):
				t.Error(err)
			}
		})
		equal(t, "winners", won.Load(), int64(1))
		all, err := e.NetworkBoots(t.Context())
		must(t, err)
		equal(t, "boots", len(all), 1)
	})
}

func TestBootHosts(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		one, two := ferric.BootHost{Host: "one", HTTP: "http://192.0.2.1", Address: "192.0.2.1", Network: "192.0.2.0/24"}, ferric.BootHost{Host: "two"}
		must(t, e.AnnounceBootHost(ctx, ferric.BootHost{Host: "one"}))
		e.after(time.Minute)
		must(t, e.AnnounceBootHost(ctx, one))
		must(t, e.AnnounceBootHost(ctx, two))
		list, err := e.BootHosts(ctx, time.Minute)
		must(t, err)
		equal(t, "hosts", fmt.Sprint(list), fmt.Sprint([]ferric.BootHost{one, two}))
		must(t, e.RetireBootHost(ctx, "two"))
		must(t, e.RetireBootHost(ctx, "two"))
		list, err = e.BootHosts(ctx, time.Minute)
		must(t, err)
		equal(t, "after one retired", len(list), 1)
		e.after(2 * time.Minute)
		list, err = e.BootHosts(ctx, time.Minute)
		must(t, err)
		equal(t, "after silence", len(list), 0)
	})
}

// TestLeaseClock sets the clock, forth and back, by hours and by a day, and starts processes meanwhile: the time of leases goes on as if nothing had happened.
func TestLeaseClock(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		tick := func(s *store.Store) time.Time {
			t.Helper()
			now, err := s.TickLeaseClock(t.Context())
			must(t, err)
			return now
		}
		last := tick(e.Store)
		for _, leap := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour, -48 * time.Hour, time.Second} {
			e.after(leap)
			for i, s := range e.processes(t) {
				e.after(10 * time.Second)
				now := tick(s)
				most := 11 * time.Second
				if i == 0 && leap > 0 {
					most = time.Minute
				}
				if moved := now.Sub(last); moved < 0 || moved > most || leap == 0 && moved < 10*time.Second {
					t.Errorf("after a leap of %s the time of leases moved by %s", leap, moved)
				}
				last = now
			}
		}
	})
}

// BenchmarkNetworkBootByMAC is what a boot host asks for every file that a machine loads.
func BenchmarkNetworkBootByMAC(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			e := open(b, engine)
			const nodes = 1000
			for i := range nodes {
				n := e.node(b)
				if err := e.PutNetworkBoot(b.Context(), netboot(n.UUID, "a boot configuration", fmt.Sprintf("52:54:00:00:%02x:%02x", i/256, i%256))); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if _, err := e.NetworkBootByMAC(b.Context(), "52:54:00:00:01:02"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
