package inventory

import (
	"os"
	"sort"
	"strconv"
	"strings"

	"ferric"
)

// NUMA is what the collector numa-topology sends.
type NUMA struct {
	RAM  []NUMAMemory `json:"ram"`
	CPUs []NUMACore   `json:"cpus"`
	NICs []NUMANIC    `json:"nics"`
}

// NUMAMemory is the memory of a NUMA node.
type NUMAMemory struct {
	Node    int   `json:"numa_node"`
	SizeKiB int64 `json:"size_kb"`
}

// NUMACore is a processor core: its id within the node, and the logical processors that share it.
type NUMACore struct {
	CPU      int   `json:"cpu"`
	Node     int   `json:"numa_node"`
	Siblings []int `json:"thread_siblings"`
}

// NUMANIC says which node a network interface is near to; -1 is none.
type NUMANIC struct {
	Name string `json:"name"`
	Node int    `json:"numa_node"`
}

// NUMA reads the machine's topology. CodeUnsupported if the kernel shows none, CodeCorrupt for what cannot be understood.
func (r *Reader) NUMA() (NUMA, error) {
	out := NUMA{RAM: []NUMAMemory{}, CPUs: []NUMACore{}, NICs: []NUMANIC{}}
	const nodes = "sys/devices/system/node"
	entries, err := os.ReadDir(r.path(nodes))
	if err != nil {
		return out, ferric.Errorf(ferric.CodeUnsupported, "read the NUMA nodes: %w", err)
	}
	for _, e := range entries {
		id, ok := numbered(e.Name(), "node")
		if !ok {
			continue
		}
		dir := nodes + "/" + e.Name() + "/"
		memory, err := r.nodeMemory(dir + "meminfo")
		if err != nil {
			return out, err
		}
		out.RAM = append(out.RAM, NUMAMemory{Node: id, SizeKiB: memory})
		cores, err := r.nodeCores(dir, id)
		if err != nil {
			return out, err
		}
		out.CPUs = append(out.CPUs, cores...)
	}
	if len(out.RAM) == 0 {
		return out, ferric.Errorf(ferric.CodeUnsupported, "the kernel shows no NUMA node below /%s", nodes)
	}
	sort.Slice(out.RAM, func(i, j int) bool { return out.RAM[i].Node < out.RAM[j].Node })
	sort.SliceStable(out.CPUs, func(i, j int) bool {
		a, b := out.CPUs[i], out.CPUs[j]
		return a.Node < b.Node || a.Node == b.Node && a.CPU < b.CPU
	})
	links, err := os.ReadDir(r.path("sys/class/net"))
	if err != nil {
		return out, ferric.Errorf(ferric.CodeUnsupported, "read the network interfaces: %w", err)
	}
	for _, l := range links {
		if node, err := strconv.Atoi(r.text("sys/class/net/" + l.Name() + "/device/numa_node")); err == nil { // virtual ones have none
			out.NICs = append(out.NICs, NUMANIC{Name: l.Name(), Node: node})
		}
	}
	return out, nil
}

// numbered reads "cpu12".
func numbered(name, prefix string) (int, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	n, err := strconv.Atoi(rest)
	return n, ok && err == nil && n >= 0
}

// nodeMemory reads "Node 0 MemTotal:  1560000 kB".
func (r *Reader) nodeMemory(path string) (int64, error) {
	text, err := os.ReadFile(r.path(path))
	if err != nil {
		return 0, ferric.Errorf(ferric.CodeUnsupported, "read the memory of a NUMA node: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasSuffix(name, "MemTotal") {
			f := strings.Fields(value)
			if len(f) == 2 && f[1] == "kB" {
				if n, err := strconv.ParseInt(f[0], 10, 64); err == nil {
					return n, nil
				}
			}
			return 0, ferric.Errorf(ferric.CodeCorrupt, "/%s: %q is no amount of memory", path, strings.TrimSpace(value))
		}
	}
	return 0, ferric.Errorf(ferric.CodeCorrupt, "/%s says nothing of the node's memory", path)
}

func (r *Reader) nodeCores(dir string, node int) ([]NUMACore, error) {
	entries, err := os.ReadDir(r.path(dir))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "read the processors of NUMA node %d: %w", node, err)
	}
	threads := map[int][]int{} // by core
	for _, e := range entries {
		thread, ok := numbered(e.Name(), "cpu")
		if !ok {
			continue
		}
		text := r.text(dir + e.Name() + "/topology/core_id")
		if text == "" { // switched off
			continue
		}
		core, err := strconv.Atoi(text)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeCorrupt, "/%s%s/topology/core_id: %q is no number", dir, e.Name(), text)
		}
		threads[core] = append(threads[core], thread)
	}
	var out []NUMACore
	for core, list := range threads {
		sort.Ints(list)
		out = append(out, NUMACore{CPU: core, Node: node, Siblings: list})
	}
	return out, nil
}
