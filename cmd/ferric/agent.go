package main

import (
	"context"
	"io"

	"ferric/agent"
)

// agentCommand is the agent, for a look at it outside of the ramdisk, which carries the smaller ferric-agent.
func agentCommand(_ context.Context, args []string, stdout, stderr io.Writer) int {
	return agent.Main(args, stdout, stderr)
}
