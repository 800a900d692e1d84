// Command ferric provisions bare metal: `ferric serve` runs the service, the other subcommands set it up and try it out.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// command is one subcommand.
type command struct {
	name string
	help string
	run  func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

// commands returns all subcommands in the order of the help text.
func commands() []command {
	return []command{
		{"serve", "run the service: API, conductor, bus, database, DHCP, TFTP and HTTP", serveCommand},
		{"config", "show the effective configuration, or the reference of all keys", configCommand},
		{"policy", "show the rules of who may do what, or check a policy file", policyCommand},
		{"db", "back the database up, restore, check and migrate it, change its key", dbCommand},
		{"doctor", "find what is stuck, locked or different from the machines, and what to do", doctorCommand},
		{"openstack", "enter Ferric in the catalogue of an OpenStack cloud, put the deploy ramdisk into Glance", openstackCommand},
		{"ramdisk", "build the deploy ramdisk", ramdiskCommand},
		{"lab", "virtual bare metal, for trying Ferric without hardware", labCommand},
		{"agent", "the program in the deploy ramdisk", agentCommand},
		{"version", "print the version", versionCommand},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs a subcommand and returns the exit code: 0 well, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return 2
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return 0
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	fmt.Fprintf(stderr, "ferric: there is no subcommand %q\n\n", args[0])
	usage(stderr)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "Ferric provisions bare metal. Usage: ferric SUBCOMMAND [flags]")
	fmt.Fprintln(w)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.help)
	}
	fmt.Fprintln(w, "\nferric SUBCOMMAND -h shows its flags.")
}

// fail prints an error and returns the exit code for it.
func fail(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "ferric:", err)
	return 1
}
