package gophercloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

// The microversions that clients in the field ask for: Metal3's and Terraform's older ones, and the newest.
var versions = []string{"1.50", "1.72", "1.81", "1.96", "1.115"}

// shared is the Ferric of all tests that need no special configuration.
var shared struct {
	endpoint string
	binary   func() (string, error) // builds ferric, once
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ferric-gophercloud-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.binary = sync.OnceValues(func() (string, error) {
		binary := filepath.Join(dir, "ferric")
		out, err := exec.Command("go", "build", "-o", binary, "ferric/cmd/ferric").CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
		return binary, nil
	})
	if shared.endpoint = os.Getenv("CONFORMANCE_ENDPOINT"); shared.endpoint == "" {
		s, err := startServer(filepath.Join(dir, "data"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer s.stop()
		shared.endpoint = s.endpoint
	}
	return m.Run()
}

// server is a running "ferric serve".
type server struct {
	endpoint string
	process  *exec.Cmd
	log      bytes.Buffer
}

// startServer starts Ferric on a free port and waits until it is up.
func startServer(data string, settings ...string) (*server, error) {
	binary, err := shared.binary()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	args := []string{"serve", "--data-dir", data, "--listen", address, "--roles", "api,conductor", "--set", "drivers.enabled_hardware_types=fake-hardware,ipmi"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	s := &server{endpoint: "http://" + address, process: exec.Command(binary, args...)}
	s.process.Stderr = &s.log
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint+"/healthcheck", nil)
		if err != nil {
			return nil, err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		if ctx.Err() != nil {
			s.stop()
			return nil, fmt.Errorf("ferric serve did not come up:\n%s", s.log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *server) stop() {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(30*time.Second, func() { _ = s.process.Process.Kill() })
	_ = s.process.Wait()
	kill.Stop()
}

// client returns a client of the shared Ferric that asks for a microversion.
func client(t *testing.T, version string) *gophercloud.ServiceClient {
	t.Helper()
	c, err := noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: shared.endpoint + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	c.Microversion = version
	return c
}

// check ends the test if a call failed.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused ends the test unless a call was refused with the status.
func refused(t *testing.T, err error, status int) {
	t.Helper()
	var got gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &got) {
		t.Fatalf("got %v, want status %d", err, status)
	}
	if got.Actual != status {
		t.Fatalf("status %d, want %d: %s", got.Actual, status, got.Body)
	}
}

// newNode makes a node that goes when the test ends.
func newNode(t *testing.T, c *gophercloud.ServiceClient, opts nodes.CreateOpts) *nodes.Node {
	t.Helper()
	if opts.Driver == "" {
		opts.Driver = "fake-hardware"
	}
	n, err := nodes.Create(t.Context(), c, opts).Extract()
	check(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		nodes.SetMaintenance(ctx, c, n.UUID, nodes.MaintenanceOpts{}) // a node in maintenance can be deleted in any state
		nodes.Delete(ctx, c, n.UUID)
	})
	return n
}

// ready makes a node that is available and has a resource class.
func ready(t *testing.T, c *gophercloud.ServiceClient, opts nodes.CreateOpts) *nodes.Node {
	t.Helper()
	n := newNode(t, c, opts)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetManage}, nodes.Manageable)
	verb(t, c, n.UUID, nodes.ProvisionStateOpts{Target: nodes.TargetProvide}, nodes.Available)
	check(t, nodes.ChangePowerState(t.Context(), c, n.UUID, nodes.PowerStateOpts{Target: nodes.PowerOff}).ExtractErr())
	return until(t, c, n.UUID, func(n *nodes.Node) bool { return n.PowerState == "power off" && n.TargetPowerState == "" })
}

// verb asks for a provision verb and waits for the state that it ends in.
func verb(t *testing.T, c *gophercloud.ServiceClient, id string, opts nodes.ProvisionStateOpts, want nodes.ProvisionState) *nodes.Node {
	t.Helper()
	check(t, nodes.ChangeProvisionState(t.Context(), c, id, opts).ExtractErr())
	return until(t, c, id, func(n *nodes.Node) bool { return n.ProvisionState == string(want) && n.Reservation == "" })
}

// until waits until a node is as wanted.
func until(t *testing.T, c *gophercloud.ServiceClient, id string, ok func(*nodes.Node) bool) *nodes.Node {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, err := nodes.Get(t.Context(), c, id).Extract()
		check(t, err)
		if ok(n) {
			return n
		}
		if time.Now().After(deadline) {
			t.Fatalf("node is %q (target %q), power %q, reservation %q: %s", n.ProvisionState, n.TargetProvisionState, n.PowerState, n.Reservation, n.LastError)
		}
	}
}
