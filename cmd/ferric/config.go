package main

import (
	"context"
	"fmt"
	"io"

	"ferric/config"
)

// configCommand shows the effective configuration, or the reference of all keys.
func configCommand(_ context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: ferric config show [flags] | ferric config reference")
		return 2
	}
	switch args[0] {
	case "show":
		cfg, code := loadConfig("config show", args[1:], stderr, nil)
		if cfg == nil {
			return code
		}
		if err := config.Show(stdout, cfg); err != nil {
			return fail(stderr, err)
		}
		return 0
	case "reference":
		if err := config.Reference(stdout); err != nil {
			return fail(stderr, err)
		}
		return 0
	}
	fmt.Fprintf(stderr, "ferric config: there is no %q; use show or reference\n", args[0])
	return 2
}
