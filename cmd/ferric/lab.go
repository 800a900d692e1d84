package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/lab"
)

// labVerb is one subcommand of "ferric lab".
type labVerb struct {
	name, args, help string
	run              func(context.Context, *labCall) error
	hidden           bool // called by the lab itself
}

func labVerbs() []labVerb {
	return []labVerb{
		{name: "up", help: "set up virtual servers with BMCs, powered off", run: labUp},
		{name: "down", help: "end and remove everything that up made", run: labDown},
		{name: "status", help: "show the servers (--json: all of it)", run: labStatus},
		{name: "start", args: "NODE…", help: "power on (--boot pxe|disk|cdrom|bios: from there, this time)", run: labStart},
		{name: "stop", args: "NODE…", help: "power off at once (--soft: press the button)", run: labStop},
		{name: "reset", args: "NODE…", help: "restart", run: labReset},
		{name: "nmi", args: "NODE…", help: "raise a non-maskable interrupt", run: labNMI},
		{name: "boot", args: "NODE none|pxe|disk|cdrom|bios", help: "set the boot device (--once: for the next boot)", run: labBoot},
		{name: "cd", args: "NODE [IMAGE]", help: "put an image into the CD drive; without one, eject", run: labCD},
		{name: "console", args: "NODE", help: "connect to the serial console; ~. ends", run: labConsole},
		{name: "log", args: "NODE", help: "show what the serial console said (-f: go on)", run: labLog},
		{name: "screenshot", args: "NODE FILE", help: "save the screen as PNG", run: labScreenshot},
		{name: "exec", args: "COMMAND…", help: "run a command in the lab's network namespace", run: labExec},
		{name: "bmcs", help: "run many IPMI BMCs in one process, and enrol them: for load and for trying a fleet", run: labBMCs},
		{name: "image", help: "build a Debian image to deploy", run: labImage},
		{name: "packages", help: "list the Debian packages that labs and images need", run: labPackages},
		{name: "chassis-control", hidden: true, run: labChassisControl},
		{name: "bmc", hidden: true, run: labBMC},
		{name: "consoles", hidden: true, run: labConsoles},
	}
}

// labCall is one call of a subcommand: flags every one has, arguments, output.
type labCall struct {
	flags          *flag.FlagSet
	name, dir      string
	args           []string
	stdout, stderr io.Writer
}

// labExit carries the exit status of a command run by "lab exec".
type labExit int

func (e labExit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// labCommand runs "ferric lab ARGS" and returns the exit status: 0, 1 for a failure, 2 for wrong usage.
func labCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		labUsage(stderr)
		return 2
	}
	for _, verb := range labVerbs() {
		if verb.name != args[0] {
			continue
		}
		call := &labCall{stdout: stdout, stderr: stderr, args: args[1:], flags: flag.NewFlagSet("ferric lab "+verb.name, flag.ContinueOnError)}
		call.flags.SetOutput(stderr)
		call.flags.Usage = func() {
			fmt.Fprintf(stderr, "usage: ferric lab %s [flags] %s\n  %s\n", verb.name, verb.args, verb.help)
			call.flags.PrintDefaults()
		}
		call.flags.StringVar(&call.name, "name", lab.DefaultName, "name of the lab and of its network namespace")
		call.flags.StringVar(&call.dir, "dir", "", "state directory (default "+lab.DefaultDir("NAME")+")")
		err := verb.run(ctx, call)
		var exit labExit
		switch {
		case err == nil:
			return 0
		case errors.Is(err, flag.ErrHelp):
			return 2
		case errors.As(err, &exit):
			return int(exit)
		}
		fmt.Fprintf(stderr, "ferric lab %s: %v\n", verb.name, err)
		if errors.Is(err, errUsage) {
			return 2
		}
		return 1
	}
	fmt.Fprintf(stderr, "ferric lab: unknown command %q\n", args[0])
	labUsage(stderr)
	return 2
}

func labUsage(w io.Writer) {
	fmt.Fprintln(w, "usage: ferric lab COMMAND [flags] [arguments]\n\nVirtual servers with BMCs in a network namespace, to try Ferric without hardware.")
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, verb := range labVerbs() {
		if !verb.hidden {
			fmt.Fprintf(table, "  %s %s\t%s\n", verb.name, verb.args, verb.help)
		}
	}
	table.Flush()
	fmt.Fprintln(w, "\nEvery command takes --name LAB and --dir DIRECTORY; -h shows its flags.")
}

var errUsage = errors.New("wrong usage")

// parse reads the flags; what is left must be at least least arguments and, unless most is negative, at most most.
// Flags may also follow arguments, except for "exec".
func (c *labCall) parse(least, most int) error {
	var rest []string
	for args := c.args; ; {
		if err := c.flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return err
			}
			return errors.Join(errUsage, err)
		}
		args = c.flags.Args()
		if len(args) == 0 {
			break
		}
		if c.flags.Name() == "ferric lab exec" || c.flags.Name() == "ferric lab chassis-control" {
			rest = args
			break
		}
		rest, args = append(rest, args[0]), args[1:]
		c.args = args
	}
	if c.args = rest; len(rest) < least || most >= 0 && len(rest) > most {
		c.flags.Usage()
		return fmt.Errorf("%w: %d arguments given", errUsage, len(rest))
	}
	return nil
}

// open parses and opens the lab.
func (c *labCall) open(least, most int) (*lab.Lab, error) {
	if err := c.parse(least, most); err != nil {
		return nil, err
	}
	return lab.Open(c.name, c.dir)
}

// node parses and opens the machine named by the first argument.
func (c *labCall) node(least, most int) (*lab.Machine, error) {
	l, err := c.open(least, most)
	if err != nil {
		return nil, err
	}
	return l.Machine(c.args[0])
}

// eachNode runs f for each machine named.
func (c *labCall) eachNode(f func(*lab.Machine) error) error {
	l, err := c.open(1, -1)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range c.args {
		m, err := l.Machine(name)
		if err == nil {
			err = f(m)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func labUp(ctx context.Context, c *labCall) error {
	var spec lab.Spec
	c.flags.IntVar(&spec.Nodes, "nodes", 1, "number of servers")
	c.flags.StringVar(&spec.Firmware, "firmware", lab.BIOS, "bios, uefi or mixed (odd ones BIOS, even ones UEFI)")
	c.flags.StringVar(&spec.BMC, "bmc", lab.IPMISim, "ipmi_sim (OpenIPMI) or go (Ferric's own)")
	c.flags.IntVar(&spec.Memory, "memory", 1024, "`MiB` of memory per server")
	c.flags.IntVar(&spec.CPUs, "cpus", 1, "processors per server")
	c.flags.BoolVar(&spec.CDROM, "cdrom", false, "give each server a CD drive")
	c.flags.StringVar(&spec.Accel, "accel", "auto", "auto, kvm or tcg")
	c.flags.Func("disk", "`SIZE[,BUS]` of a disk of each server, e.g. 4G,sata; may be repeated (default 4G,virtio; buses virtio, sata, nvme, scsi)", func(text string) error {
		disk, err := lab.ParseDisk(text)
		spec.Disks = append(spec.Disks, disk)
		return err
	})
	c.flags.Func("nic", "`MODEL[,none]` of a network card of each server, virtio or e1000e; with \",none\" without iPXE ROM; may be repeated (default virtio)", func(text string) error {
		model, rom, _ := strings.Cut(text, ",")
		spec.NICs = append(spec.NICs, lab.NIC{Model: model, ROM: rom})
		return nil
	})
	if err := c.parse(0, 0); err != nil {
		return err
	}
	spec.Name, spec.Dir = c.name, c.dir
	l, err := lab.Up(ctx, spec)
	if err != nil {
		return err
	}
	if err := l.Status().WriteTable(c.stdout); err != nil {
		return err
	}
	flags := ""
	if c.name != lab.DefaultName {
		flags += " --name " + c.name
	}
	if c.dir != "" {
		flags += " --dir " + c.dir
	}
	_, err = fmt.Fprintf(c.stdout, "\nTry: ferric lab exec%s -- ipmitool -I lanplus -C 3 -H %s -U %s -P %s power status\nEnd: ferric lab down%s\n", flags,
		l.Machines()[0].BMC.Address, l.Machines()[0].BMC.User, l.Machines()[0].BMC.Password, flags)
	return err
}

func labDown(ctx context.Context, c *labCall) error {
	l, err := c.open(0, 0)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		_, err = fmt.Fprintln(c.stdout, err)
		return err
	}
	if err != nil {
		return err
	}
	strangers, err := l.Down(ctx)
	for _, s := range strangers {
		fmt.Fprintf(c.stderr, "still running in the lab's network namespace, not started by the lab: %d %s\n", s.PID, s.Command)
	}
	return err
}

func labStatus(_ context.Context, c *labCall) error {
	asJSON := c.flags.Bool("json", false, "as JSON")
	l, err := c.open(0, 0)
	if err != nil {
		return err
	}
	if *asJSON {
		return l.Status().WriteJSON(c.stdout)
	}
	return l.Status().WriteTable(c.stdout)
}

func labStart(ctx context.Context, c *labCall) error {
	boot := c.flags.String("boot", "", "boot from pxe, disk, cdrom or bios this time")
	return c.eachNode(func(m *lab.Machine) error {
		if *boot != "" && !m.On() {
			if err := m.SetBoot(ctx, lab.BootSetting{Device: *boot}); err != nil {
				return err
			}
		}
		return m.Start(ctx)
	})
}

func labStop(ctx context.Context, c *labCall) error {
	soft := c.flags.Bool("soft", false, "press the power button and wait until the system has shut down")
	return c.eachNode(func(m *lab.Machine) error {
		if !*soft {
			return m.Stop(ctx)
		}
		if err := m.SoftOff(ctx); err != nil {
			return err
		}
		return m.WaitOff(ctx)
	})
}

func labReset(ctx context.Context, c *labCall) error {
	return c.eachNode(func(m *lab.Machine) error { return m.Reset(ctx) })
}

func labNMI(ctx context.Context, c *labCall) error {
	return c.eachNode(func(m *lab.Machine) error { return m.NMI(ctx) })
}

func labBoot(ctx context.Context, c *labCall) error {
	once := c.flags.Bool("once", false, "for the next boot only")
	m, err := c.node(2, 2)
	if err != nil {
		return err
	}
	return m.SetBoot(ctx, lab.BootSetting{Device: c.args[1], Persistent: !*once})
}

func labCD(ctx context.Context, c *labCall) error {
	m, err := c.node(1, 2)
	if err != nil {
		return err
	}
	image := ""
	if len(c.args) == 2 {
		image = c.args[1]
	}
	return m.SetMedium(ctx, image)
}

func labScreenshot(ctx context.Context, c *labCall) error {
	m, err := c.node(2, 2)
	if err != nil {
		return err
	}
	return m.Screenshot(ctx, c.args[1])
}

func labConsole(ctx context.Context, c *labCall) error {
	m, err := c.node(1, 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "connected to the console of %s; ~. at the beginning of a line ends\r\n", m.Name)
	restore := rawTerminal(int(os.Stdin.Fd()))
	defer restore()
	return m.Console(ctx, os.Stdin, c.stdout)
}

// rawTerminal makes a terminal pass every key on, and returns how to undo that. Nothing happens to what is not a
// terminal.
func rawTerminal(fd int) (restore func()) {
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	raw := *old
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(fd, unix.TCSETS, &raw) != nil {
		return func() {}
	}
	return func() { unix.IoctlSetTermios(fd, unix.TCSETS, old) } //nolint:errcheck // nothing can be done about it at the end
}

func labLog(ctx context.Context, c *labCall) error {
	follow := c.flags.Bool("f", false, "go on until interrupted")
	m, err := c.node(1, 1)
	if err != nil {
		return err
	}
	file, err := os.Open(m.Log())
	if errors.Is(err, os.ErrNotExist) {
		return ferric.Errorf(ferric.CodeNotFound, "%s has not written to its console yet", m.Name)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		if _, err := io.Copy(c.stdout, file); err != nil || !*follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func labExec(ctx context.Context, c *labCall) error {
	l, err := c.open(1, -1)
	if err != nil {
		return err
	}
	cmd := l.Command(ctx, c.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, c.stdout, c.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return labExit(exit.ExitCode())
	}
	return err
}

func labPackages(_ context.Context, c *labCall) error {
	if err := c.parse(0, 0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.stdout, strings.Join(lab.DebianPackages(), "\n"))
	return err
}

// labChassisControl is the program behind ipmi_sim's chassis_control.
func labChassisControl(ctx context.Context, c *labCall) error {
	m, err := c.node(2, -1)
	if err != nil {
		return err
	}
	return m.ChassisControl(ctx, c.args[1:], c.stdout)
}

// labBMC is the process of a BMC of kind "go".
func labBMC(ctx context.Context, c *labCall) error {
	c.flags.String("mark", "", "what the lab knows this process by")
	m, err := c.node(1, 1)
	if err != nil {
		return err
	}
	return m.ServeBMC(ctx, slog.New(slog.NewTextHandler(c.stderr, nil)).With("pid", strconv.Itoa(os.Getpid())))
}

// labConsoles is the process of the lab's console server.
func labConsoles(ctx context.Context, c *labCall) error {
	c.flags.String("mark", "", "what the lab knows this process by")
	l, err := c.open(0, 0)
	if err != nil {
		return err
	}
	return l.ServeConsoles(ctx)
}
