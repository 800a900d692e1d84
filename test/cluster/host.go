package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Host is a network namespace. It lives as long as a process in it, or until close.
type Host struct {
	Name string

	work chan func() // run in the namespace
	ns   string      // path of the namespace
	once sync.Once
}

// newHost makes a namespace with nothing but a loopback interface.
func newHost(ctx context.Context, name string) (*Host, error) {
	h := &Host{Name: name, work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		h.ns = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		ready <- err
		for do := range h.work {
			do()
		}
	}()
	if err := <-ready; err != nil {
		h.close()
		return nil, fmt.Errorf("make a network namespace (as root?): %w", err)
	}
	return h, h.run(ctx, "ip", "link", "set", "lo", "up")
}

func (h *Host) close() { h.once.Do(func() { close(h.work) }) }

// inside runs do in the namespace. do must not block: it is the host's only thread.
func (h *Host) inside(do func()) {
	done := make(chan struct{})
	h.work <- func() { defer close(done); do() }
	<-done
}

// start starts a program in the namespace. The kernel kills it when this program ends.
func (h *Host) start(cmd *exec.Cmd) (err error) {
	h.inside(func() { err = cmd.Start() })
	return err
}

// run runs a program in the namespace to its end.
func (h *Host) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := h.start(cmd); err != nil {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("host %s: %s %s: %w: %s", h.Name, name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
}

// Dial connects from the host. A socket belongs to the namespace that it was made in.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.visit(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) }, &err)
	return conn, err
}

// ListenPacket opens a UDP socket on the host.
func (h *Host) ListenPacket(address string) (conn net.PacketConn, err error) {
	err = h.visit(func() { conn, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address) }, &err)
	return conn, err
}

// visit runs do in a thread of its own in the namespace, which ends with it, and returns *result.
func (h *Host) visit(do func(), result *error) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread goes
		ns, err := os.Open(h.ns)
		if err != nil {
			*result = err
			return
		}
		defer ns.Close()
		if *result = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); *result == nil {
			do()
		}
	}()
	<-done
	return *result
}
