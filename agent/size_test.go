package agent_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoHeavyPackages keeps packages out of the ramdisk that make the linker keep every method of every type, or that are
// simply large: size is boot time.
func TestNoHeavyPackages(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "ferric/cmd/ferric-agent").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	unwanted := []string{"text/template", "html/template", "go/", "testing", "net/rpc", "expvar", "net/http/pprof", "database/sql", "modernc.org/", "github.com/nats-io/",
		"github.com/prometheus/", "google.golang.org/", "github.com/diskfs/", "github.com/sirupsen/", "github.com/jackc/", "ferric/store", "ferric/bus", "ferric/conductor", "ferric/api"}
	for _, dep := range strings.Fields(string(out)) {
		for _, u := range unwanted {
			if dep == u || dep == strings.TrimSuffix(u, "/") || strings.HasPrefix(dep, strings.TrimSuffix(u, "/")+"/") {
				if dep != "ferric/agentapi" {
					t.Errorf("the agent contains %s", dep)
				}
			}
		}
	}
}

// TestSize builds the agent as a release does. The budget is what its parts cost together with some room.
func TestSize(t *testing.T) {
	const budget = 11 << 20
	bin := filepath.Join(t.TempDir(), "agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "ferric/cmd/ferric-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the agent has %.1f MB", float64(info.Size())/1e6)
	if info.Size() > budget {
		t.Errorf("the agent has %d bytes, more than the %d that it may have; find out what came in with go list -deps", info.Size(), budget)
	}
}
