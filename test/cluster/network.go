package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// The networks.
const (
	DB  = "db"
	Bus = "bus"
	BMC = "bmc"
	API = "api"
)

// networks lists them; network i is 10.79.i.0/24.
var networks = []string{DB, Bus, BMC, API}

// switches are bridges, one per network, in a namespace of their own.
type switches struct{ *Host }

func newSwitches(ctx context.Context) (switches, error) {
	h, err := newHost(ctx, "switches")
	if err != nil {
		return switches{}, err
	}
	s := switches{h}
	var batch []string
	for _, n := range networks {
		batch = append(batch, "link add name "+bridge(n)+" type bridge", "link set "+bridge(n)+" up")
	}
	return s, batchIP(ctx, h, batch)
}

func bridge(network string) string { return "br-" + network }

// port is the name of a host's port on a network's bridge.
func port(host, network string) string { return host + "-" + network }

// address is a host's address on a network.
func address(network string, number int) string {
	for i, n := range networks {
		if n == network {
			return fmt.Sprintf("10.79.%d.%d", i, number)
		}
	}
	return ""
}

// connect puts a host on networks. number is the last part of its addresses.
func (s switches) connect(ctx context.Context, h *Host, number int, nets ...string) error {
	var outside, inside []string
	for _, n := range nets {
		outside = append(outside, fmt.Sprintf("link add name %s type veth peer name %s netns %s", port(h.Name, n), n, h.ns),
			fmt.Sprintf("link set %s master %s up", port(h.Name, n), bridge(n)))
		inside = append(inside, fmt.Sprintf("addr add %s/24 dev %s", address(n, number), n), fmt.Sprintf("link set %s up", n))
	}
	if err := batchIP(ctx, s.Host, outside); err != nil {
		return err
	}
	return batchIP(ctx, h, inside)
}

// cut takes a host's port off a network's bridge: the host sees its link as before, and nothing gets through.
func (s switches) cut(ctx context.Context, host, network string) error {
	return s.run(ctx, "ip", "link", "set", port(host, network), "nomaster")
}

func (s switches) heal(ctx context.Context, host, network string) error {
	return s.run(ctx, "ip", "link", "set", port(host, network), "master", bridge(network))
}

// batchIP runs several ip commands at once.
func batchIP(ctx context.Context, h *Host, lines []string) error {
	cmd := exec.CommandContext(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := h.start(cmd); err != nil {
		return fmt.Errorf("host %s: ip: %w", h.Name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("host %s: ip: %w: %s", h.Name, err, strings.TrimSpace(out.String()))
	}
	return nil
}
