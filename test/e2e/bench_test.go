package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ferric/lab"
)

// BenchmarkQEMUBoot measures the time from power-on to the first heartbeat of the deploy ramdisk, per firmware and boot interface, and reports the
// ramdisk's size. Run it with -benchtime 3x or so.
func BenchmarkQEMUBoot(b *testing.B) {
	s := newSite(b, lab.Spec{Nodes: 2, Firmware: "mixed", Memory: 1024})
	var nodes []*node
	for _, m := range s.lab.Machines() {
		n := s.enrol(m, "ipxe", nil)
		n.verb("manage", nil)
		n.until(time.Minute, "manageable")
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		for _, boot := range []string{"ipxe", "pxe"} {
			b.Run(n.m.Firmware+"/"+boot, func(b *testing.B) {
				n.set(map[string]any{"/boot_interface": boot})
				var seconds []float64
				for b.Loop() {
					n.verb("inspect", nil)
					n.until(bootTime, "inspect wait")
					n.until(bootTime, "manageable")
					seconds = append(seconds, n.stepSeconds("conductor.boot_ramdisk"))
				}
				b.ReportMetric(median(seconds), "s/boot")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
	for _, name := range []string{"kernel", "initramfs"} {
		if info, err := os.Stat(filepath.Join(s.dir, "ramdisk", name)); err == nil {
			b.ReportMetric(float64(info.Size())/(1<<20), name+"-MiB")
		}
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// stepSeconds returns how long a step of the node's newest operation took.
func (n *node) stepSeconds(step string) float64 {
	n.t.Helper()
	list := n.must("GET", "/ferric/v1/nodes/"+n.name+"/operations", nil)["operations"].([]any)
	op := n.must("GET", "/ferric/v1/operations/"+list[0].(map[string]any)["id"].(string), nil)
	for _, s := range op["steps"].([]any) {
		s := s.(map[string]any)
		if fmt.Sprint(s["interface"], ".", s["step"]) == step {
			seconds, _ := s["duration_seconds"].(float64)
			return seconds
		}
	}
	n.t.Fatalf("the operation has no step %s", step)
	return 0
}
