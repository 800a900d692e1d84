package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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

// segment is an Ethernet segment: a bridge, and hosts in network namespaces of their own.
type segment struct {
	t  testing.TB
	sw string // namespace of the bridge
}

// netHost is a host on a segment, with the interface eth0.
type netHost struct {
	*segment
	ns string
}

var segmentNumber atomic.Int64

func newSegment(t testing.TB) *segment {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: network namespaces need root; run the test as root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIPPED: the program ip is missing; install the package iproute2")
	}
	s := &segment{t: t}
	s.sw = s.namespace()
	s.ip("-n", s.sw, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "stp_state", "0")
	s.ip("-n", s.sw, "link", "set", "br0", "up")
	return s
}

func (s *segment) namespace() string {
	s.t.Helper()
	name := fmt.Sprintf("ferric-%d-%d", os.Getpid(), segmentNumber.Add(1))
	s.ip("netns", "add", name)
	s.t.Cleanup(func() { s.ip("netns", "del", name) })
	s.ip("-n", name, "link", "set", "lo", "up")
	return name
}

func (s *segment) ip(args ...string) {
	s.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// host adds a host; address and mac may be empty.
func (s *segment) host(address, mac string) *netHost {
	s.t.Helper()
	h := &netHost{s, s.namespace()}
	s.ip("-n", s.sw, "link", "add", h.ns, "type", "veth", "peer", "name", "eth0", "netns", h.ns)
	s.ip("-n", s.sw, "link", "set", h.ns, "master", "br0", "up")
	if mac != "" {
		s.ip("-n", h.ns, "link", "set", "eth0", "address", mac)
	}
	s.ip("-n", h.ns, "link", "set", "eth0", "up")
	if address != "" {
		s.ip("-n", h.ns, "addr", "add", address, "dev", "eth0")
	}
	return h
}

// plug puts the host's cable in or pulls it, at the other end.
func (h *netHost) plug(in bool) {
	h.t.Helper()
	if in {
		h.ip("-n", h.sw, "link", "set", h.ns, "master", "br0")
	} else {
		h.ip("-n", h.sw, "link", "set", h.ns, "nomaster")
	}
}

// command prepares a program that runs on the host.
func (h *netHost) command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.ns}, args...)...)
}

// visit runs do, which opens a socket, on a thread in the host's namespace; nil is where the test is.
func (h *netHost) visit(do func() error) error {
	if h == nil {
		return do()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread goes with the goroutine
		ns, err := os.Open(filepath.Join("/run/netns", h.ns))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

func (h *netHost) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.visit(func() error { conn, err = (&net.Dialer{}).DialContext(ctx, network, address); return err })
	return conn, err
}

// client makes HTTP requests from the host.
func (h *netHost) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.dial, DisableKeepAlives: true}, Timeout: time.Minute}
}

// forward makes a TCP address that is served on one host one of another; nil is where the test is.
func (h *netHost) forward(at, served *netHost, address string) {
	h.t.Helper()
	var ln net.Listener
	err := at.visit(func() (err error) { ln, err = net.Listen("tcp", address); return err })
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := served.dial(context.Background(), "tcp", address)
				if err != nil {
					return
				}
				defer out.Close()
				go func() {
					defer out.Close()
					io.Copy(out, in)
				}()
				io.Copy(in, out)
			}()
		}
	}()
}

// udhcpc is BusyBox's DHCP client on a host. It configures nothing; what it was told stands in a file.
type udhcpc struct {
	*netHost
	file string
	cmd  *exec.Cmd
}

// newDHCPClient prepares a client that calls itself as the firmware of a BIOS machine does.
func (h *netHost) newDHCPClient() *udhcpc {
	h.t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		h.t.Skip("SKIPPED: the program busybox is missing; install the package busybox-static")
	}
	dir := h.t.TempDir()
	u := &udhcpc{netHost: h, file: filepath.Join(dir, "told")}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!"+busybox+" sh\n{ echo event=$1; set; echo; } >> "+u.file+"\n"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	u.cmd = h.command(busybox, "udhcpc", "-f", "-i", "eth0", "-s", script, "-T", "1", "-t", "20", "-V", "PXEClient:Arch:00000:UNDI:003016",
		"-O", "bootfile", "-O", "tftp", "-O", "serverid")
	return u
}

// start starts the client, which runs until the test ends.
func (u *udhcpc) start() {
	u.t.Helper()
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { u.cmd.Process.Kill(); u.cmd.Wait() })
}

// once gets a lease and ends.
func (u *udhcpc) once() map[string]string {
	u.t.Helper()
	u.cmd.Args = append(u.cmd.Args, "-q", "-n")
	if out, err := u.cmd.CombinedOutput(); err != nil {
		u.t.Fatalf("udhcpc: %v\n%s", err, out)
	}
	return u.event("bound")
}

// event waits for the last event to be of a kind, and returns what the client was told.
func (u *udhcpc) event(kind string) map[string]string {
	u.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(u.file)
		events := strings.Split(string(text), "event=")
		last := events[len(events)-1]
		if strings.HasPrefix(last, kind+"\n") && strings.HasSuffix(last, "\n\n") {
			told := map[string]string{}
			for line := range strings.Lines(last) {
				if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
					told[k] = strings.Trim(v, "'")
				}
			}
			return told
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("the DHCP client was not told %q in 2 minutes; what it was told:\n%s", kind, text)
		}
	}
}
