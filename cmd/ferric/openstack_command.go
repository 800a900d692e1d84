package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"ferric"
	"ferric/config"
	"ferric/openstack"
)

// openstackCommands returns the subcommands of "ferric openstack".
func openstackCommands() []command {
	return []command{
		{"upload-ramdisk", "put the deploy ramdisk's kernel and initramfs into Glance", uploadRamdiskCommand},
	}
}

// openstackCommand runs one of them.
func openstackCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		for _, c := range openstackCommands() {
			if c.name == args[0] {
				return c.run(ctx, args[1:], stdout, stderr)
			}
		}
	}
	fmt.Fprintln(stderr, "usage: ferric openstack SUBCOMMAND [flags]")
	for _, c := range openstackCommands() {
		fmt.Fprintf(stderr, "  %-15s %s\n", c.name, c.help)
	}
	fmt.Fprintln(stderr, "\nThe cloud is that of the section [openstack] of the configuration, or else of OS_CLOUD or the OS_* variables.")
	return 2
}

// commandCloud makes the session with the cloud that a command is for.
func commandCloud(cfg *config.Config) (*openstack.Session, error) {
	cloud, err := openCloud(&cfg.OpenStack, os.Environ(), nil)
	if err == nil && cloud == nil {
		err = ferric.Errorf(ferric.CodeInvalid, "nothing says which cloud: set the section [openstack] of the configuration, OS_CLOUD, or OS_AUTH_URL and the other OS_* variables")
	}
	return cloud, err
}
