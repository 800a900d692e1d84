// The command ferric-agent is the init of the deploy ramdisk; see package agent.
package main

import (
	"os"

	"ferric/agent"
)

func main() { os.Exit(agent.Main(os.Args[1:], os.Stdout, os.Stderr)) }
