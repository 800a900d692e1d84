package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"ferric"
	"ferric/lab"
	"ferric/state"
)

// agentProgram is the agent that make builds.
const agentProgram = "bin/ferric-agent"

// demo is one run.
type demo struct {
	dir    string // of all state; absolute
	cwd    string
	name   string // of the lab and its namespace
	ferric string // the program, as one types it
	screen *screen
	api    *api

	lab   *lab.Lab // set once the lab is up
	image string   // the Debian image, a path in Ferric's data directory
	key   string   // public SSH key
	nodes []*server
}

// server is a virtual server on its way through the stages.
type server struct {
	m        *lab.Machine
	hostname string // that the config drive gives it
	start    start
}

// path is a path below the demo's directory.
func (d *demo) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// relative is a path as one types it here.
func (d *demo) relative(path string) string {
	if rel, err := filepath.Rel(d.cwd, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// shown is path, as one types it here.
func (d *demo) shown(elem ...string) string { return d.relative(d.path(elem...)) }

// command shows a command.
func (d *demo) command(args ...string) { d.screen.command(commandLine(d.cwd, args)) }

// lock keeps other runs away from the directory.
func (d *demo) lock() (unlock func(), err error) {
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another run of the demo is at work in %s; wait for it, or choose another --dir and --name", d.relative(d.dir))
	}
	return func() { f.Close() }, nil
}

// run tells the whole story.
func (d *demo) run(ctx context.Context) error {
	began := time.Now()
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"looking for programs", d.checkPrograms},
		{"building the deploy ramdisk", d.buildRamdisk},
		{"building the Debian image", d.buildImage},
		{"setting up the lab", d.setUpLab},
		{"starting Ferric", d.startService},
		{"looking at what earlier runs left", d.findBeginning},
	} {
		if err := s.do(ctx); err != nil {
			return fail(s.name, "", err)
		}
	}
	d.screen.heading("The client: in a shell on the servers' network")
	d.command("ip", "netns", "exec", d.name, "bash")
	d.command("export", "OS_AUTH_TYPE=none", "OS_ENDPOINT="+endpoint)
	for s := enrol; s < finished; s++ {
		if err := d.stage(ctx, s); err != nil {
			return err
		}
		if s == enrol { // from here on a run that is interrupted is carried on
			if err := os.RemoveAll(d.path(doneFile)); err != nil {
				return err
			}
		}
	}
	if err := d.openstack(ctx, "baremetal", "node", "list", "--fields", "name", "power_state", "provision_state"); err != nil {
		return fail("listing the nodes", "", err)
	}
	if err := os.WriteFile(d.path(doneFile), nil, 0o644); err != nil {
		return err
	}
	text := "two servers went from nothing to a login and back"
	if d.nodes[0].start.stage > enrol || d.nodes[1].start.stage > enrol {
		text = "what an earlier run had begun is complete"
	}
	d.screen.say("\n%s", d.screen.style("1;32", fmt.Sprintf("Done in %s: %s.", clock(time.Since(began)), text)))
	return nil
}

// doneFile says that the last run came to its end: the next one begins anew.
const doneFile = "done"

// stage takes all servers that are not beyond it through a stage.
func (d *demo) stage(ctx context.Context, s stage) error {
	var here []*server
	for _, n := range d.nodes {
		if n.start.stage <= s {
			here = append(here, n)
		}
	}
	if len(here) == 0 {
		return nil
	}
	do := map[stage]func(context.Context, *server) error{enrol: d.enrol, login: d.login, undeploy: d.undeploy}[s]
	if do == nil {
		do = func(ctx context.Context, n *server) error { return d.verb(ctx, n, s) }
	}
	d.screen.heading(s.info().title)
	for _, n := range here {
		if err := d.announce(ctx, n, s); err != nil {
			return fail(s.info().name, n.m.Name, err)
		}
	}
	limited, cancel := context.WithTimeout(ctx, s.info().timeout)
	defer cancel()
	group, inGroup := errgroup.WithContext(limited)
	if s == enrol {
		group.SetLimit(1) // quick, and each answer stands below its command
	}
	for _, n := range here {
		group.Go(func() error {
			err := do(inGroup, n)
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("not finished after %s: %w", clock(s.info().timeout), err)
			}
			return fail(s.info().name, n.m.Name, err)
		})
	}
	err := group.Wait()
	d.screen.settle()
	if err != nil {
		return err
	}
	return d.afterwards(ctx, s, here)
}

// findBeginning looks how far the nodes are that an earlier run left.
func (d *demo) findBeginning(ctx context.Context) error {
	_, err := os.Stat(d.path(doneFile))
	done := err == nil
	for i, m := range d.lab.Machines() {
		n := &server{m: m, hostname: fmt.Sprintf("web-%d", i+1)}
		d.nodes = append(d.nodes, n)
		have, err := d.atRest(ctx, m, done)
		if err != nil && !ferric.IsCode(err, ferric.CodeNotFound) {
			return err
		}
		if n.start, err = begin(ferric.ProvisionState(have.ProvisionState), have.Maintenance, done); err != nil {
			return fmt.Errorf("node %s: %w", m.Name, err)
		}
		switch {
		case n.start.remove:
			d.screen.say("  node %s is there from an earlier run and is enrolled anew", m.Name)
		case have.ProvisionState != "":
			d.screen.say("  node %s is there from an earlier run, in the state %q: it goes on from here", m.Name, have.ProvisionState)
		}
	}
	return nil
}

// restTime is how long an operation that somebody tried after the demo may take.
const restTime = 30 * time.Minute

// atRest looks at a node. wait: it must not be under way to somewhere.
func (d *demo) atRest(ctx context.Context, m *lab.Machine, wait bool) (node, error) {
	ctx, cancel := context.WithTimeout(ctx, restTime)
	defer cancel()
	defer d.screen.settle()
	for began := time.Now(); ; {
		n, err := d.api.node(ctx, m.Name)
		if err != nil || !wait || !state.Transient(ferric.ProvisionState(n.ProvisionState)) {
			return n, err
		}
		d.screen.show(progress{Node: m.Name, State: n.shown(), Percent: -1, Elapsed: time.Since(began)})
		if err := pause(ctx, poll); err != nil {
			return node{}, fmt.Errorf("wait for what %s is doing: %w", m.Name, err)
		}
	}
}

// client is the environment of the stock client: where Ferric is, and nothing else that would lead it elsewhere.
func client(environ []string) []string {
	var out []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if upper := strings.ToUpper(name); strings.HasPrefix(name, "OS_") || strings.HasSuffix(upper, "_PROXY") {
			continue
		}
		out = append(out, e)
	}
	return append(out, "OS_AUTH_TYPE=none", "OS_ENDPOINT="+endpoint)
}

// openstack shows a command of the stock client, runs it inside the lab's namespace and shows what it says.
func (d *demo) openstack(ctx context.Context, args ...string) error {
	args = append([]string{"openstack"}, args...)
	d.command(args...)
	return d.inside(ctx, args...)
}

// inside runs a command in the lab's namespace and shows what it says. What it says when it fails is in the error.
func (d *demo) inside(ctx context.Context, args ...string) error {
	cmd := d.lab.Command(ctx, args...)
	cmd.Env = client(os.Environ())
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	d.screen.output(out.String())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args[:min(4, len(args))], " "), err, strings.TrimSpace(problems.String()))
	}
	return nil
}

// checkPrograms looks for what is called by name.
func (d *demo) checkPrograms(context.Context) error {
	for _, program := range []string{d.ferric, agentProgram} {
		if !exist(program) {
			return fmt.Errorf("there is no %s here: run `make demo` at the top of the source tree, or `make build` before this", program)
		}
	}
	var problems []error
	for program, pkg := range map[string]string{"openstack": "python3-openstackclient python3-ironicclient", "ssh": "openssh-client",
		"ssh-keygen": "openssh-client", "partx": "util-linux", "ip": "iproute2"} {
		problems = append(problems, installed(program, pkg))
	}
	return errors.Join(problems...)
}

// quietly runs a command that has nothing to say unless it fails.
func quietly(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
