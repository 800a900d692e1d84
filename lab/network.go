package lab

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"ferric"
)

// The names and addresses inside the namespace.
const (
	Bridge  = "br0"          // provisioning network
	Gateway = "10.77.0.1/24" // address of the host on Bridge: what boot services bind
	bmcLink = "bmc0"
	ipv6    = "fd00:77::1/64"
)

const netnsDir = "/run/netns"

// namespaceFile is where ip(8) keeps the namespace.
func namespaceFile(name string) string { return filepath.Join(netnsDir, name) }

func namespaceExists(name string) bool {
	_, err := os.Stat(namespaceFile(name))
	return err == nil
}

// inNamespace is the command line that runs args in the lab's namespace.
func (l *Lab) inNamespace(args []string) []string {
	return append([]string{"ip", "netns", "exec", l.config.Name}, args...)
}

// Command is a command to be run in the lab's namespace, as exec.CommandContext makes it.
func (l *Lab) Command(ctx context.Context, args ...string) *exec.Cmd {
	args = l.inNamespace(args)
	return exec.CommandContext(ctx, args[0], args[1:]...)
}

// networkCommands are the ip(8) commands that make the network of a new, empty namespace.
func (c Config) networkCommands() []string {
	commands := []string{
		"link set lo up",
		"link add " + Bridge + " type bridge forward_delay 0 stp_state 0",
		"addr add " + Gateway + " dev " + Bridge,
		"addr add " + ipv6 + " dev " + Bridge + " nodad",
		"link set " + Bridge + " up",
		// Not of type dummy: a bridge without ports does the same and needs no module beyond the one above.
		"link add " + bmcLink + " type bridge",
		"link set " + bmcLink + " up",
	}
	for _, m := range c.Machines {
		commands = append(commands, "addr add "+m.BMC.Address+"/32 dev "+bmcLink)
		for _, nic := range m.NICs {
			commands = append(commands, "tuntap add dev "+nic.Tap+" mode tap", "link set "+nic.Tap+" master "+Bridge+" up")
		}
	}
	return commands
}

// createNetwork makes the namespace and everything in it; after an error nothing is left.
func (l *Lab) createNetwork(ctx context.Context) (err error) {
	name := l.config.Name
	if err := l.run(ctx, "ip", "netns", "add", name); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "make the network namespace %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.deleteNetwork(context.WithoutCancel(ctx)))
		}
	}()
	cmd := exec.CommandContext(ctx, "ip", "-n", name, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(l.config.networkCommands(), "\n") + "\n")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "make the network in namespace %s: %w: %s", name, err, strings.TrimSpace(out.String()))
	}
	return nil
}

func (l *Lab) deleteNetwork(ctx context.Context) error {
	if !namespaceExists(l.config.Name) {
		return nil
	}
	return l.run(ctx, "ip", "netns", "delete", l.config.Name)
}

// Stranger is a process in the lab's namespace that the lab did not start.
type Stranger struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
}

// strangers are the processes in the namespace.
func (l *Lab) strangers(ctx context.Context) []Stranger {
	out, err := output(ctx, "ip", "netns", "pids", l.config.Name)
	if err != nil {
		return nil
	}
	var all []Stranger
	for field := range strings.FieldsSeq(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		name, err := os.ReadFile(filepath.Join("/proc", field, "comm"))
		if err != nil {
			continue
		}
		all = append(all, Stranger{PID: pid, Command: strings.TrimSpace(string(name))})
	}
	return all
}
