package bench

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"ferric"
)

// BenchmarkPeer plays the same requests and deploys to a Ferric and to Debian's Ironic, one after the other in one run, and prints the tables of
// README.md. It needs the packages of test/diff/packages.txt, and to be root; `make bench-peer` sees to both.
func BenchmarkPeer(b *testing.B) {
	const fleet = 1000
	var ours, peers []figures
	var ourDeploys, peerDeploys []figures
	b.Run("Ferric", func(b *testing.B) {
		s := ownService(b, fleet, ferric.Enroll, false)
		ours = s.all(b, fleet, 1)
		ourDeploys = ownService(b, deploys(ourRounds), ferric.Available, false).allDeploys(b, ourRounds)
	})
	b.Run("Ironic", func(b *testing.B) {
		s := startPeer(b)
		s.fill(b, fleet)
		peers = s.all(b, fleet, 50)
		s.makeAvailable(b, s.uuids(b)[:deploys(peerRounds)])
		peerDeploys = s.allDeploys(b, peerRounds)
	})
	if len(peers) == 0 || len(peerDeploys) == 0 {
		b.Skip("both have to run")
	}
	compare(os.Stdout, fmt.Sprintf("API over %d nodes, %d clients", fleet, *clients), "requests/s", "CPU ms", ours, peers, 1)
	compare(os.Stdout, "Deploys of fake-hardware nodes", "deploys/min", "CPU ms", ourDeploys, peerDeploys, 60)
}

// ourRounds and peerRounds are the deploys by their concurrency.
var (
	ourRounds  = []round{{300, 1}, {600, 10}, {600, 50}, {1000, 500}}
	peerRounds = []round{{8, 1}, {40, 10}, {50, 50}, {90, 500}}
)

// all measures every case with a share of its requests, and walks through all nodes, the first time and again.
func (s *service) all(b *testing.B, nodes, share int) []figures {
	var list []figures
	walk := func(name string) {
		cpu := s.cpu(b)
		allocs := s.allocs(b)
		took := s.walk(b, nodes)
		list = append(list, figures{name: name, rate: 1 / took.Seconds(), p50: took.Seconds() * 1e3, cpu: (s.cpu(b) - cpu) * 1e3, allocs: s.allocs(b) - allocs})
	}
	walk("walk, detail, first time")
	walk("walk, detail, again")
	for _, c := range s.cases(b, nodes) {
		list = append(list, s.load(b, c.name, max(c.n/share, 4), *clients, c.make))
	}
	one := s.load(b, "list detail, one client", max(60/share, 3), 1, func(int) *http.Request { return s.request("GET", "/v1/nodes/detail?limit=1000", nil) })
	return append(list, one)
}

// allDeploys deploys one node after the other, as many at a time as the rounds say.
func (s *service) allDeploys(b *testing.B, rounds []round) []figures {
	next := s.uuids(b)
	var list []figures
	for _, r := range rounds {
		list = append(list, s.deploy(b, next[:r.deploys], r.atOnce))
		next = next[r.deploys:]
	}
	return list
}

// compare prints figures side by side. scale is what rates are multiplied by.
func compare(to io.Writer, title, rate, cpu string, ours, peers []figures, scale float64) {
	fmt.Fprintf(to, "\n%s\n\n", title)
	w := tabwriter.NewWriter(to, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "|\t| Ferric, %s\t| p50, p99 ms\t| %s\t| Ironic, %s\t| p50, p99 ms\t| %s\t| ratio\t| of CPU\t|\n", rate, cpu, rate, cpu)
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for i, f := range ours {
		p := peers[i]
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", f.name, short(f.rate*scale), f.latency(), short(f.cpu),
			short(p.rate*scale), p.latency(), short(p.cpu), short(f.rate/p.rate), short(p.cpu/f.cpu))
	}
	w.Flush()
}

// short writes a number with two or three digits that count.
func short(v float64) string {
	switch {
	case v == 0 || v != v || v > 1e12:
		return ""
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// startPeer brings up Debian's Ironic until the benchmark ends.
func startPeer(b *testing.B) *service {
	dir, err := os.MkdirTemp("", "ferric-peer-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // MariaDB runs as another user
		b.Fatal(err)
	}
	home := filepath.Join(dir, "ironic")
	ports := [3]string{freePort(b), freePort(b), freePort(b)}
	script := func(verb string) *exec.Cmd {
		cmd := exec.Command("../test/diff/peer.sh", verb)
		cmd.Env = append(os.Environ(), "PEER_DIR="+home, "PEER_PORT="+ports[0], "PEER_RPC_PORT="+ports[1], "PEER_DB_PORT="+ports[2])
		cmd.Stderr = os.Stderr
		return cmd
	}
	b.Cleanup(func() {
		if err := script("down").Run(); err != nil {
			b.Errorf("stop Ironic: %v", err)
		}
	})
	if err := script("up").Run(); err != nil {
		b.Fatalf("start Ironic: %v (it needs root, and the packages of test/diff/packages.txt)", err)
	}
	// With the database's, which Ferric has within its process.
	s := newService("http://127.0.0.1:" + ports[0])
	s.pids = func() (all []int) {
		for _, name := range []string{"api", "conductor", "mariadb"} {
			text, err := os.ReadFile(filepath.Join(home, "run", name+".pid"))
			if pid, notNumber := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && notNumber == nil {
				all = append(all, session(pid)...)
			}
		}
		return all
	}
	return s
}
