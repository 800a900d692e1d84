package agent

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/agent/bmc"
	"ferric/agent/disk"
	"ferric/agent/efi"
	"ferric/agent/inventory"
	"ferric/agent/links"
	"ferric/agent/lldp"
	"ferric/agent/modules"
	"ferric/agent/pid1"
)

// logSize is how much of its own log the agent keeps, in bytes.
const logSize = 1 << 20

// Main is the program "ferric-agent" and the subcommand "ferric agent". As process 1 it takes over the machine and does
// not return. Otherwise it only shows the inventory, since all else would be the end of a machine that is in use.
func Main(args []string, stdout, stderr io.Writer) int {
	if os.Getpid() == 1 {
		takeOver()
		return 1
	}
	fs := flag.NewFlagSet("ferric agent", flag.ContinueOnError)
	fs.SetOutput(stderr)
	show := fs.Bool("inventory", false, "print this machine's inventory as JSON")
	fs.Usage = func() {
		fmt.Fprintln(stderr, "The agent is the init of the deploy ramdisk and runs as process 1 there only.\nElsewhere it can show the inventory:")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if !*show {
		fs.Usage()
		return 2
	}
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(inventory.NewReader("/", "").Inventory()); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// takeOver is the life of process 1. Whatever happens ends in pid1.End: the kernel panics if its first process exits.
func takeOver() {
	console := pid1.NewConsole(logSize)
	level := new(slog.LevelVar)
	log := slog.New(pid1.NewHandler(console, level))
	mounted := pid1.Mount()
	for _, f := range pid1.OpenConsoles("/sys", "/dev") {
		console.Add(f)
	}
	how := func() (how End) {
		defer func() {
			if p := recover(); p != nil {
				log.Error("defect in the agent", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
			if how == "" {
				log.Error("the agent cannot go on; the machine is rebooted in a minute")
				time.Sleep(time.Minute)
				how = pid1.Reboot
			}
		}()
		if mounted != nil {
			log.Error("the kernel's file systems are not mounted", "err", mounted)
			return ""
		}
		return live(log, level, console)
	}()
	pid1.End(log, how, func() { console.Flush(5 * time.Second) })
	select {} // the kernel would not let go of the machine; at least it does not panic
}

// live is everything between mounting and the end.
func live(log *slog.Logger, level *slog.LevelVar, console *pid1.Console) End {
	cmdline, _ := os.ReadFile("/proc/cmdline") // without it there are no parameters
	p := ParseParams(string(cmdline))
	if p.Debug {
		level.Set(slog.LevelDebug)
	}
	var uts unix.Utsname
	_ = unix.Uname(&uts) // cannot fail with a good pointer
	release := unix.ByteSliceToString(uts.Release[:])
	log.Info("Ferric agent", "version", Version, "kernel", release, "cmdline", strings.TrimSpace(string(maskCommandLine(cmdline))))
	for _, problem := range p.Problems {
		log.Error("kernel parameter not used", "problem", problem)
	}
	_ = unix.Sethostname([]byte("localhost")) // only a name
	// A file system's worth of dirty pages must not push a machine with little memory over the edge.
	_ = os.WriteFile("/proc/sys/vm/dirty_bytes", []byte("67108864"), 0)
	_ = os.WriteFile("/proc/sys/vm/dirty_background_bytes", []byte("16777216"), 0)

	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	// Links are configured as their drivers find them, while other modules are still being loaded.
	network := links.New(links.Options{Log: log, Static: p.Static, BootMAC: p.MAC(), Sys: "/sys", Etc: "/etc"})
	network.Start(ctx)
	loadModules(log, release)
	pid1.MountFirmware(log)
	waitForNetwork(ctx, log, network)

	clock := &pid1.Clock{Log: log}
	a, err := New(Options{Params: p, Machine: realMachine(log, p, network, clock, console), Log: log})
	if err != nil {
		log.Error("the agent cannot work with its kernel parameters", "err", err)
		<-ctx.Done()
		return ""
	}
	how, err := a.Run(ctx)
	if err != nil {
		log.Error("the agent stops", "err", err)
		if ctx.Err() != nil { // Ctrl-Alt-Del or a signal from outside
			return pid1.Reboot
		}
	}
	return how
}

// loadModules loads drivers for what is there, and those that no device asks for.
func loadModules(log *slog.Logger, release string) {
	began := time.Now()
	l, err := modules.Open(log, "/lib/modules", release, "/sys")
	if err != nil {
		log.Error("no kernel modules", "err", err)
		return
	}
	n := l.Load("af_packet") // for DHCP, where it is not built in
	n += l.Autoload()
	n += l.Load("sd_mod", "sr_mod", "sg", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "efivarfs", "ipmi_msghandler", "ipmi_devintf", "ipmi_si", "ipmi_ssif")
	n += l.Autoload() // for what has shown up meanwhile
	log.Info("kernel modules loaded", "modules", n, "took", time.Since(began).Round(time.Millisecond))
}

func waitForNetwork(ctx context.Context, log *slog.Logger, network *links.Manager) {
	for {
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := network.WaitReady(wait)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		log.Warn("still no network", "links", strings.Join(links.Physical("/sys"), " "), "err", err)
	}
}

func realMachine(log *slog.Logger, p Params, network *links.Manager, clock *pid1.Clock, console *pid1.Console) Machine {
	reader := inventory.NewReader("/", p.BootIF)
	vars := efi.Vars{Dir: "/sys/firmware/efi/efivars"}
	return Machine{
		Inventory: reader.Inventory, Disks: reader.Disks, PCI: reader.PCI, USB: reader.USB, NUMA: reader.NUMA, DMI: reader.DMI,
		BMC: func(ctx context.Context) BMC { return askBMC(ctx, log) },
		LLDP: func(ctx context.Context, names []string, wait time.Duration) map[string][][2]any {
			return lldp.Listen(ctx, log, names, wait)
		},
		Open: disk.Open, Rescan: disk.Rescan, StopArray: disk.StopArray, ATA: disk.OpenATA, NVMe: disk.OpenNVMe,
		Sync: pid1.Sync, Rescue: func(hash string) (func(context.Context) error, error) { return rescueEnvironment(log, hash) },
		Loader: func(ctx context.Context, name string) error { return bootEntry(ctx, log, vars, name) },
		CleanNVRAM: func(patterns []string) error {
			if _, err := os.Stat(vars.Dir); err != nil {
				return nil // a BIOS machine has none
			}
			removed, err := vars.Remove(patterns)
			log.Info("boot entries removed", "entries", strings.Join(removed, ", "))
			return err
		},
		PStore: "/sys/fs/pstore", Lockdown: network.Down, Log: console.Bytes, KernelLog: kernelLog, Observe: clock.Observe, ClockIsWrong: clock.Wrong,
	}
}

func askBMC(ctx context.Context, log *slog.Logger) BMC {
	d, err := bmc.Open("/dev")
	if err != nil {
		return BMC{} // none, which the inventory shows as null
	}
	defer d.Close() // nothing is written
	a := bmc.Ask(ctx, d)
	log.Info("management controller", "address", a.IPv4, "IPv6", a.IPv6, "mac", a.MAC)
	return BMC{IPv4: a.IPv4, IPv6: a.IPv6, MAC: a.MAC}
}

func kernelLog() []byte {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil {
		return []byte(err.Error())
	}
	b := make([]byte, size)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, b)
	if err != nil {
		return []byte(err.Error())
	}
	return b[:n]
}

// bootEntry makes the firmware boot from the disk: the boot loader on its EFI system partition gets an entry, first in the
// boot order.
func bootEntry(ctx context.Context, log *slog.Logger, vars efi.Vars, name string) error {
	where, err := findESP(name)
	if err != nil {
		return err
	}
	if err := disk.Rescan(ctx, name); err != nil {
		return err
	}
	dir := "/run/esp"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "mount the EFI system partition: %w", err)
	}
	node := partitionNode(name, int(where.Number))
	if err := mountESP(ctx, node, dir); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "mount the EFI system partition %s: %w", node, err)
	}
	loader, err := efi.FindLoader(dir)
	if uerr := unix.Unmount(dir, 0); err == nil && uerr != nil {
		log.Warn("the EFI system partition stays mounted", "err", uerr)
	}
	if err != nil {
		return err
	}
	number, err := efi.Register(vars, where, loader)
	if err != nil {
		return err
	}
	log.Info("boot entry made", "entry", fmt.Sprintf("Boot%04X", number), "label", loader.Label, "loader", loader.File, "disk", name, "partition", where.Number)
	return nil
}

// findESP looks the EFI system partition up in the disk's table.
func findESP(name string) (efi.Partition, error) {
	d, err := disk.Open(name)
	if err != nil {
		return efi.Partition{}, err
	}
	defer d.Close() // nothing is written
	g, err := disk.ReadGPT(d)
	if err == nil {
		for _, p := range g.Partitions() {
			if p.Type.String() == disk.TypeESP {
				return efi.Partition{Number: uint32(p.Number), First: p.First, Size: p.Last - p.First + 1, GUID: p.ID}, nil
			}
		}
	}
	if m, err := disk.ReadMBR(d); err == nil {
		for _, p := range m.Partitions() {
			if p.Type == 0xef {
				out := efi.Partition{Number: uint32(p.Number), First: p.First, Size: p.Count, MBR: true}
				id := m.Identifier()
				out.GUID = [16]byte{byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)}
				return out, nil
			}
		}
	}
	return efi.Partition{}, ferric.Errorf(ferric.CodeNotFound, "%s has no EFI system partition: the image cannot boot on a UEFI machine", name)
}

// partitionNode is the device file of a partition: sda1, nvme0n1p1.
func partitionNode(name string, number int) string {
	base := filepath.Base(name)
	if c := base[len(base)-1]; c >= '0' && c <= '9' {
		return fmt.Sprintf("%sp%d", name, number)
	}
	return fmt.Sprintf("%s%d", name, number)
}

// mountESP mounts read-only, and waits a little for the device file to appear.
func mountESP(ctx context.Context, node, dir string) error {
	for i := 0; ; i++ {
		err := unix.Mount(node, dir, "vfat", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		if err == nil || i == 20 || err != unix.ENOENT && err != unix.EBUSY {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
}
