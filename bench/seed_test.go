package bench

import (
	"log/slog"
	"runtime"
	"testing"

	"golang.org/x/sync/errgroup"

	"ferric"
	"ferric/store"
)

// seed writes nodes as newNode has them, in a provision state, straight into the database of a service that does not run: url, or SQLite in dir if it is empty.
func seed(b *testing.B, dir, url string, nodes int, state ferric.ProvisionState) {
	c := store.Defaults()
	c.URL, c.DataDir, c.Connections = url, dir, 32
	if url != "" {
		c.URL += "&options=-csynchronous_commit%3Doff" // nothing is lost if nothing crashes
	}
	s, err := store.Open(b.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	work, ctx := errgroup.WithContext(b.Context())
	work.SetLimit(16 * runtime.GOMAXPROCS(0)) // they share their commits
	for i := range nodes {
		work.Go(func() error {
			n := storedNode(i)
			n.ProvisionState = state
			return s.CreateNode(ctx, n)
		})
	}
	if err := work.Wait(); err != nil {
		b.Fatal(err)
	}
}

// storedNode is what becomes of newNode.
func storedNode(i int) *ferric.Node {
	of := newNode(i)
	object := func(key string) map[string]any { m, _ := of[key].(map[string]any); return m }
	clean := false
	return &ferric.Node{Name: nodeName(i), AutomatedClean: &clean, Driver: "fake-hardware", ResourceClass: "gold", DriverInfo: object("driver_info"),
		Properties: object("properties"), Extra: object("extra"), Interfaces: ferric.Interfaces{
			ferric.KindBIOS: "no-bios", ferric.KindBoot: "fake", ferric.KindConsole: "no-console", ferric.KindDeploy: "fake",
			ferric.KindFirmware: "no-firmware", ferric.KindInspect: "no-inspect", ferric.KindManagement: "fake", ferric.KindNetwork: "noop",
			ferric.KindPower: "fake", ferric.KindRAID: "no-raid", ferric.KindRescue: "no-rescue", ferric.KindStorage: "noop", ferric.KindVendor: "no-vendor"}}
}
