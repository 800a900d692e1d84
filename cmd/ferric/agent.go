package main

import (
	"context"
	"fmt"
	"io"
)

func agentCommand(_ context.Context, _ []string, _, stderr io.Writer) int {
	fmt.Fprintln(stderr, "ferric agent: it runs in the deploy ramdisk only")
	return 1
}
