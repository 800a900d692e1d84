package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric/lab"
)

// sshUser is the user of the Debian image.
const sshUser = "debian"

// login waits for the prompt on the serial console, and then logs in over the network with the key of the config drive.
func (d *demo) login(ctx context.Context, n *server) error {
	began := time.Now()
	prompt, err := d.waitForPrompt(ctx, n, began)
	if err != nil {
		return err
	}
	d.screen.say("  %s's serial console after %s: %s", n.m.Name, clock(time.Since(began)), prompt)
	if want := n.hostname + " login:"; prompt != want {
		return fmt.Errorf("the prompt is %q, want %q: the config drive's host name was not set", prompt, want)
	}
	if err := d.waitForSSH(ctx, n, began); err != nil {
		return err
	}
	name, err := d.ssh(ctx, n, "hostname")
	if err != nil {
		return err
	}
	system, err := d.ssh(ctx, n, "cat /etc/os-release")
	if err != nil {
		return err
	}
	d.screen.show(progress{Node: n.m.Name, State: "logged in", Percent: -1, Elapsed: time.Since(began)})
	d.screen.done(name, system)
	switch {
	case strings.TrimSpace(name.output) != n.hostname:
		return fmt.Errorf("the host name is %q, want %q", strings.TrimSpace(name.output), n.hostname)
	case !strings.Contains(system.output, "VERSION_ID=\"12\""):
		return errors.New("the system is not Debian 12")
	}
	return nil
}

// waitForPrompt waits until the system asks for a login on the console.
func (d *demo) waitForPrompt(ctx context.Context, n *server, began time.Time) (string, error) {
	for {
		log := readConsole(n.m.Log())
		if prompt := log.loginPrompt(); prompt != "" {
			return prompt, nil
		}
		if !n.m.On() && time.Since(began) > 10*time.Second {
			return "", errors.New("the machine went off while its system was starting")
		}
		d.screen.show(progress{Node: n.m.Name, State: "booting", Percent: -1, Elapsed: time.Since(began), Console: log.last()})
		if err := pause(ctx, poll); err != nil {
			return "", err
		}
	}
}

// waitForSSH waits until SSH lets the key in, and leaves the settings for it in a file.
func (d *demo) waitForSSH(ctx context.Context, n *server, began time.Time) error {
	var last error
	for try := 0; ; try++ {
		address, err := d.address(ctx, n, try > 0)
		if err == nil {
			if err = d.writeSSHConfig(n, address); err != nil {
				return err
			}
			// Host keys and logins take an emulated processor several seconds.
			attempt, cancel := context.WithTimeout(ctx, 2*time.Minute)
			err = d.sshCommand(attempt, n, "true").Run()
			cancel()
			if err == nil {
				d.screen.say("  %s has the address %s", n.m.Name, address)
				return nil
			}
			err = fmt.Errorf("ssh to %s: %w", address, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (the last try: %w)", context.Cause(ctx), errors.Join(last, err))
		}
		last = err
		d.screen.show(progress{Node: n.m.Name, State: "waits for SSH", Percent: -1, Elapsed: time.Since(began), Console: last.Error()})
		if err := pause(ctx, 2*time.Second); err != nil {
			return fmt.Errorf("%w (the last try: %w)", err, last)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// sshConfig is the file with the settings for one server.
func (d *demo) sshConfig(n *server) string { return d.path("ssh-" + n.m.Name) }

func (d *demo) writeSSHConfig(n *server, address netip.Addr) error {
	return os.WriteFile(d.sshConfig(n), sshSettings(n.m.Name, n.hostname, address, d.path("key")), 0o600)
}

// sshSettings are ssh_config(5) lines. The host key is new with each deploy, so it is not remembered.
func sshSettings(node, hostname string, address netip.Addr, key string) []byte {
	return fmt.Appendf(nil, `Host %s %s
    HostName %s
    User %s
    IdentityFile "%s"
    IdentitiesOnly yes
    BatchMode yes
    ConnectTimeout 60
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
`, node, hostname, address, sshUser, key)
}

func (d *demo) sshArgs(n *server, command string) []string {
	return []string{"ssh", "-F", d.relative(d.sshConfig(n)), n.m.Name, command}
}

func (d *demo) sshCommand(ctx context.Context, n *server, command string) *exec.Cmd {
	return d.lab.Command(ctx, d.sshArgs(n, command)...)
}

// ssh runs a command on the server.
func (d *demo) ssh(ctx context.Context, n *server, command string) (ran, error) {
	var problems bytes.Buffer
	cmd := d.sshCommand(ctx, n, command)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return ran{}, fmt.Errorf("ssh %s %s: %w: %s", n.m.Name, command, err, strings.TrimSpace(problems.String()))
	}
	return ran{commandLine(d.cwd, d.sshArgs(n, command)), string(out)}, nil
}

// address finds the address that the server has, by its MAC address in the namespace's neighbour table. search: ask all
// addresses first that it may have.
func (d *demo) address(ctx context.Context, n *server, search bool) (netip.Addr, error) {
	if search {
		if err := wake(ctx, "/run/netns/"+d.name); err != nil {
			return netip.Addr{}, err
		}
		if err := pause(ctx, 2*time.Second); err != nil {
			return netip.Addr{}, err
		}
	}
	out, err := d.lab.Command(ctx, "ip", "-json", "-4", "neighbour", "show", "dev", lab.Bridge).Output()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ip neighbour: %w", err)
	}
	return neighbour(out, n.m.NICs[0].MAC)
}

// neighbour finds the IPv4 address that belongs to a MAC address in what `ip -json neighbour` says.
func neighbour(table []byte, mac string) (netip.Addr, error) {
	var all []struct {
		Destination string   `json:"dst"`
		MAC         string   `json:"lladdr"`
		State       []string `json:"state"`
	}
	if err := json.Unmarshal(table, &all); err != nil {
		return netip.Addr{}, fmt.Errorf("ip neighbour: %w", err)
	}
	for _, n := range all {
		if a, err := netip.ParseAddr(n.Destination); err == nil && a.Is4() && strings.EqualFold(n.MAC, mac) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("nobody with the MAC address %s answers yet", mac)
}

// wake sends a datagram to each address that a machine may have, so that the kernel asks who has it.
func wake(ctx context.Context, namespace string) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, as in dialInside
		done <- func() error {
			ns, err := os.Open(namespace)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			for a, last := netip.MustParseAddr(firstAddress), netip.MustParseAddr(lastAddress); a.Compare(last) <= 0 && ctx.Err() == nil; a = a.Next() {
				conn, err := (&net.Dialer{}).DialContext(ctx, "udp4", netip.AddrPortFrom(a, 9).String()) // discard (RFC 863)
				if err != nil {
					return err
				}
				_, _ = conn.Write([]byte{0}) // the answer that counts is in the neighbour table
				conn.Close()
			}
			return nil
		}()
	}()
	return <-done
}
