package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Spec says what a cluster is made of.
type Spec struct {
	Conductors, APIs, NATS int // 3, 2 and 3
	// Settings are further keys of ferric's configuration, as --set takes them.
	Settings []string
	// Bin is a folder with the programs ferric and natsserver. Empty: they are built.
	Bin string
	// Dir is where everything is kept; it must be empty. Empty: a temporary folder, which Down removes.
	Dir string
	// Log is told what is going on.
	Log func(format string, args ...any)
}

// Cluster is a running Ferric.
type Cluster struct {
	Spec
	Dir        string
	Conductors []*Process
	APIs       []*Process
	NATS       []*Process
	PostgreSQL *Process

	net       switches
	hosts     map[string]*Host
	tester    *Host
	temporary bool
}

// First addresses of the kinds of hosts.
const (
	firstNATS, firstConductor, firstAPI = 11, 21, 31
	postgres, tester, bmcs              = 41, 51, 61
)

// Up brings a cluster up and waits until it serves. On failure nothing stays behind; the error holds what the processes said.
func Up(ctx context.Context, spec Spec) (*Cluster, error) {
	for _, n := range []struct {
		v   *int
		def int
	}{{&spec.Conductors, 3}, {&spec.APIs, 2}, {&spec.NATS, 3}} {
		if *n.v == 0 {
			*n.v = n.def
		}
	}
	if spec.Log == nil {
		spec.Log = func(string, ...any) {}
	}
	c := &Cluster{Spec: spec, Dir: spec.Dir, hosts: map[string]*Host{}}
	if err := c.up(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, c.Logs(2000)), c.Down())
	}
	return c, nil
}

func (c *Cluster) up(ctx context.Context) (err error) {
	began := time.Now()
	if c.Dir == "" {
		c.temporary = true
		if c.Dir, err = os.MkdirTemp("", "ferric-cluster-"); err != nil {
			return err
		}
	} else if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	} else if err := os.MkdirAll(c.Dir, 0o711); err != nil {
		return err
	}
	if err := os.Chmod(c.Dir, 0o711); err != nil { // PostgreSQL is not root
		return err
	}
	if c.Bin != "" {
		if c.Bin, err = filepath.Abs(c.Bin); err != nil {
			return err
		}
	} else {
		c.Bin = filepath.Join(c.Dir, "bin")
		if err := Build(ctx, c.Bin); err != nil {
			return err
		}
		c.Log("built the programs after %s", time.Since(began).Round(time.Millisecond))
	}
	if c.net, err = newSwitches(ctx); err != nil {
		return err
	}
	if c.tester, err = c.host(ctx, "tester", tester, DB, API, Bus, BMC); err != nil {
		return err
	}
	if err := c.startPostgreSQL(ctx); err != nil {
		return err
	}
	if err := c.startNATS(ctx); err != nil {
		return err
	}
	c.Log("PostgreSQL and NATS are up after %s", time.Since(began).Round(time.Millisecond))
	if err := c.startFerric(ctx); err != nil {
		return err
	}
	c.Log("Ferric is up after %s", time.Since(began).Round(time.Millisecond))
	return nil
}

// host makes a host with addresses ending in number.
func (c *Cluster) host(ctx context.Context, name string, number int, nets ...string) (*Host, error) {
	h, err := newHost(ctx, name)
	if err != nil {
		return nil, err
	}
	c.hosts[name] = h
	return h, c.net.connect(ctx, h, number, nets...)
}

// process makes a process on a host of the same name.
func (c *Cluster) process(h *Host, kind string, command func() *exec.Cmd) (*Process, error) {
	if err := os.MkdirAll(filepath.Join(c.Dir, "logs"), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(c.Dir, "logs", h.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &Process{Name: h.Name, Kind: kind, host: h, command: command, log: log}, nil
}

// Processes lists all of them.
func (c *Cluster) Processes() []*Process {
	all := slices.Concat(c.Conductors, c.APIs, c.NATS)
	if c.PostgreSQL != nil {
		all = append(all, c.PostgreSQL)
	}
	return all
}

// Cut cuts a process's host off networks: packets are lost, links stay up.
func (c *Cluster) Cut(ctx context.Context, p *Process, nets ...string) error {
	for _, n := range nets {
		if err := c.net.cut(ctx, p.Name, n); err != nil {
			return err
		}
	}
	return nil
}

// Heal takes Cut back.
func (c *Cluster) Heal(ctx context.Context, p *Process, nets ...string) error {
	for _, n := range nets {
		if err := c.net.heal(ctx, p.Name, n); err != nil {
			return err
		}
	}
	return nil
}

// Logs returns the end of every process's log, at most size bytes of each.
func (c *Cluster) Logs(size int64) string {
	var text string
	for _, p := range c.Processes() {
		text += fmt.Sprintf("=== %s\n%s\n", p.Name, p.Log(size))
	}
	return text
}

// Keep leaves the folder with the logs where it is when the cluster goes down, and says where.
func (c *Cluster) Keep() string {
	c.temporary = false
	return c.Dir
}

// Down ends everything and removes what was made.
func (c *Cluster) Down() error {
	var errs []error
	for _, p := range c.Processes() {
		errs = append(errs, p.close())
	}
	for _, h := range c.hosts {
		h.close()
	}
	if c.net.Host != nil {
		c.net.close()
	}
	if c.temporary {
		errs = append(errs, os.RemoveAll(c.Dir))
	}
	return errors.Join(errs...)
}

// Build builds the programs that a cluster runs.
func Build(ctx context.Context, dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("find the source tree: %w", err)
	}
	for program, pkg := range map[string]string{"ferric": "./cmd/ferric", "natsserver": "./test/cluster/natsserver"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(abs, program), pkg)
		cmd.Dir = string(root[:len(root)-1])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", program, err, out)
		}
	}
	return nil
}
