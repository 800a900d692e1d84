package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// bringUp starts the servers whose URL is empty, and sets the URL. The function it returns stops them; it is never nil.
func bringUp(ctx context.Context, binary string, log io.Writer, ironic, ferric *string) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "ferric-diff-")
	if err != nil {
		return func() {}, err
	}
	stops := []func(){func() { _ = os.RemoveAll(dir) }} // what is left in the temporary folder does no harm
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	if *ironic == "" {
		down, err := startIronic(ctx, filepath.Join(dir, "ironic"), log, ironic)
		stops = append(stops, down)
		if err != nil {
			return stop, err
		}
	}
	if *ferric == "" {
		down, err := startFerric(ctx, binary, filepath.Join(dir, "ferric"), log, ferric)
		stops = append(stops, down)
		if err != nil {
			return stop, err
		}
	}
	return stop, nil
}

// startIronic runs peer.sh.
func startIronic(ctx context.Context, dir string, log io.Writer, url *string) (stop func(), err error) {
	ports, err := freePorts(3)
	if err != nil {
		return func() {}, err
	}
	script := func(ctx context.Context, verb string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "test/diff/peer.sh", verb)
		cmd.Env = append(os.Environ(), "PEER_DIR="+dir, "PEER_PORT="+ports[0], "PEER_RPC_PORT="+ports[1], "PEER_DB_PORT="+ports[2])
		cmd.Stderr = log
		return cmd
	}
	stop = func() {
		// The context may be over by now, and the servers have to end all the same.
		if err := script(context.WithoutCancel(ctx), "down").Run(); err != nil {
			fmt.Fprintln(log, "stop Ironic:", err)
		}
	}
	*url = "http://127.0.0.1:" + ports[0]
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // MariaDB runs as another user
		return stop, err
	}
	if err := script(ctx, "up").Run(); err != nil {
		return stop, fmt.Errorf("start Ironic: %w", err)
	}
	return stop, nil
}

// startFerric runs ferric serve with fake hardware like peer.sh's.
func startFerric(ctx context.Context, binary, dir string, log io.Writer, url *string) (stop func(), err error) {
	ports, err := freePorts(1)
	if err != nil {
		return func() {}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return func() {}, err
	}
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return func() {}, err
	}
	args := []string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:" + ports[0], "--host", "127.0.0.1", "--roles", "api,conductor"}
	for _, set := range ferricSettings() {
		args = append(args, "--set", set)
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return func() { _ = out.Close() }, fmt.Errorf("start Ferric: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = out.Close()
	}
	*url = "http://127.0.0.1:" + ports[0]
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(out.Name()) // the error above says enough without it
			return stop, fmt.Errorf("Ferric ended: %w\n%s", err, text)
		default:
		}
		a := newSide("Ferric", *url).ask(ctx, "GET", "/v1/drivers", nil)
		if a.status == http.StatusOK && strings.Contains(string(a.body), "fake-hardware") {
			return stop, nil
		}
		if ctx.Err() != nil {
			return stop, ctx.Err()
		}
	}
	return stop, errors.New("Ferric does not answer")
}

// ferricSettings are those that peer.sh has too.
func ferricSettings() []string {
	set := []string{"drivers.enabled_hardware_types=fake-hardware", "log.level=warn"}
	for _, kind := range []string{"bios", "console", "inspect", "raid", "rescue", "vendor"} {
		set = append(set, fmt.Sprintf("drivers.enabled_%s_interfaces=fake,no-%s", kind, kind))
	}
	for _, kind := range []string{"boot", "deploy", "power"} {
		set = append(set, fmt.Sprintf("drivers.enabled_%s_interfaces=fake", kind))
	}
	for _, kind := range []string{"management", "storage"} {
		set = append(set, fmt.Sprintf("drivers.enabled_%s_interfaces=fake,noop", kind))
	}
	return append(set, "drivers.enabled_network_interfaces=noop")
}

// freePorts finds ports of the loopback address that nobody listens on.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
