package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"ferric/config"
	"ferric/ramdisk"
)

// ramdiskCommand builds the deploy ramdisk.
func ramdiskCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] != "build" {
		fmt.Fprintln(stderr, "usage: ferric ramdisk build [--out DIR] [--agent FILE] [flags]")
		return 2
	}
	fs := flag.NewFlagSet("ferric ramdisk build", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var o ramdisk.Options
	var modules string
	fs.StringVar(&o.OutputDir, "out", "", "`directory` for kernel and initramfs (default: ramdisk in data_dir, where ferric serve finds them)")
	fs.StringVar(&o.Agent, "agent", "", "the agent's static binary (default: ferric-agent beside this program)")
	fs.StringVar(&o.Arch, "arch", "amd64", "architecture, by Debian's name")
	fs.StringVar(&o.Kernel, "kernel", "", "kernel image (default: Debian's, downloaded once)")
	fs.StringVar(&o.ModulesDir, "modules", "", "`directory` of the kernel's modules, with --kernel")
	fs.StringVar(&o.FirmwareDir, "firmware", "", "`directory` of firmware files; those that the packed modules ask for are packed")
	fs.StringVar(&o.CACertificates, "ca", "", "PEM `file` of authorities that the agent trusts")
	fs.StringVar(&o.RescueShell, "rescue-shell", "", "static busybox `file` (Debian: busybox-static, /bin/busybox); with it the ramdisk can rescue machines, too")
	fs.StringVar(&modules, "extra-modules", "", "further kernel modules, separated by commas")
	if err := fs.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if modules != "" {
		o.ExtraModules = strings.Split(modules, ",")
	}
	if o.OutputDir == "" {
		source, err := config.System(nil)
		if err != nil {
			return fail(stderr, err)
		}
		cfg, err := config.Load(source)
		if err != nil {
			return fail(stderr, err)
		}
		o.OutputDir = ramdiskDir(cfg)
	}
	if o.Agent == "" {
		self, err := os.Executable()
		if err != nil {
			return fail(stderr, err)
		}
		o.Agent = filepath.Join(filepath.Dir(self), "ferric-agent")
	}
	o.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r, err := ramdisk.Build(ctx, o)
	if err != nil {
		return fail(stderr, err)
	}
	const mb = 1 << 20
	fmt.Fprintf(stdout, "kernel    %s  %.1f MiB  (Linux %s)\n", r.Kernel, float64(r.KernelSize)/mb, r.Release)
	fmt.Fprintf(stdout, "initramfs %s  %.1f MiB  (%.1f MiB unpacked: agent %.1f MiB, %d modules %.1f MiB, %d firmware files)\n", r.Initramfs,
		float64(r.InitramfsSize)/mb, float64(r.UnpackedSize)/mb, float64(r.AgentSize)/mb, r.Modules, float64(r.ModulesSize)/mb, r.Firmware)
	return 0
}

// ramdiskDir is where `ferric ramdisk build` puts the deploy ramdisk and `ferric serve` looks for it.
func ramdiskDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "ramdisk") }
