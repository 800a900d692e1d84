// Package netlab makes network namespaces for tests: real interfaces and real packets, on a wire of their own.
//
// # Concurrency
//
// A Net may be used from many goroutines. Do runs its function on an operating system thread of its own, which ends
// with it, so no other goroutine ever runs in the namespace by accident.
package netlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Net is one network namespace.
type Net struct {
	Name string
	tb   testing.TB
}

// New makes a namespace that is removed at the end of the test. It skips the test, saying why, where namespaces cannot
// be made. The number makes names unique within the process; it is the caller's to keep.
func New(tb testing.TB, number *atomic.Int64) *Net {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("SKIPPED: network namespaces need root; run the test as root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		tb.Skip("SKIPPED: the program ip is missing; install the package iproute2")
	}
	removeLeftovers(tb)
	n := &Net{Name: fmt.Sprintf("fb-%d-%d", os.Getpid(), number.Add(1)), tb: tb}
	run(tb, "ip", "netns", "add", n.Name)
	tb.Cleanup(func() { run(tb, "ip", "netns", "del", n.Name) })
	n.IP("link", "set", "lo", "up")
	return n
}

// removeLeftovers removes the namespaces of test processes that were killed.
func removeLeftovers(tb testing.TB) {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return // there are none yet
	}
	for _, e := range entries {
		var pid, number int
		if n, err := fmt.Sscanf(e.Name(), "fb-%d-%d", &pid, &number); n != 2 || err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); os.IsNotExist(err) {
			tb.Logf("removing network namespace %s, left by a test process that was killed", e.Name())
			// Another test process may be at the same; whoever comes second fails, and need not care.
			exec.Command("ip", "netns", "del", e.Name()).Run()
		}
	}
}

// IP runs the program ip in the namespace.
func (n *Net) IP(args ...string) {
	n.tb.Helper()
	run(n.tb, "ip", append([]string{"-n", n.Name}, args...)...)
}

// Bridge makes a bridge that forwards at once.
func (n *Net) Bridge(name string, addrs ...string) {
	n.tb.Helper()
	n.IP("link", "add", name, "type", "bridge", "forward_delay", "0", "stp_state", "0")
	for _, a := range addrs {
		n.IP("addr", "add", a, "dev", name)
	}
	n.IP("link", "set", name, "up")
}

// Tap makes a tap device in a bridge, for a virtual machine.
func (n *Net) Tap(name, bridge string) {
	n.tb.Helper()
	n.IP("tuntap", "add", name, "mode", "tap")
	n.IP("link", "set", name, "master", bridge, "up")
}

// Connect joins the interface name in n to the interface peerName in peer by a cable (veth).
func (n *Net) Connect(name string, peer *Net, peerName string) {
	n.tb.Helper()
	n.IP("link", "add", name, "type", "veth", "peer", "name", peerName, "netns", peer.Name)
	n.IP("link", "set", name, "up")
	peer.IP("link", "set", peerName, "up")
}

// Do runs f in the namespace and waits for it. Sockets that f itself opens belong to the namespace, also afterwards;
// those opened by goroutines that f starts do not.
func (n *Net) Do(f func()) {
	n.tb.Helper()
	errc := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is thrown away with the goroutine. (In a thread's own goroutine t.FailNow would
		// go unnoticed, so f must not call it.)
		runtime.LockOSThread()
		ns, err := os.Open(filepath.Join("/run/netns", n.Name))
		if err != nil {
			errc <- err
			return
		}
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		ns.Close()
		if err == nil {
			f()
		}
		errc <- err
	}()
	if err := <-errc; err != nil {
		n.tb.Errorf("enter network namespace %s: %v", n.Name, err)
	}
}

// Command prepares a program that runs in the namespace and is killed when ctx ends.
func (n *Net) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name}, args...)...)
}

func run(tb testing.TB, name string, args ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
