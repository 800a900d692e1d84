// Command chaos runs a whole Ferric on one machine, lets it deploy and clean fake hardware, kills its processes meanwhile, and proves that nothing
// was lost and nothing ran twice. It needs root. It fails unless all work ended well.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := defaults()
	var faults string
	flag.IntVar(&o.Deploys, "deploys", o.Deploys, "deploys, each with a clean after it")
	flag.IntVar(&o.Nodes, "nodes", 0, "nodes that are worked on at the same time (default: a twentieth of the deploys, at least 20)")
	flag.DurationVar(&o.Every, "every", o.Every, "time between two faults")
	flag.StringVar(&faults, "faults", strings.Join(o.Faults, ","), "what happens: "+strings.Join(faultNames(), ", "))
	flag.Uint64Var(&o.Seed, "seed", o.Seed, "of the order of the faults")
	flag.StringVar(&o.Bin, "bin", "", "folder with the programs ferric and natsserver (default: they are built)")
	flag.StringVar(&o.Dir, "dir", "", "where to keep everything (default: a temporary folder that is removed if all went well)")
	flag.Parse()
	o.Faults = strings.Split(faults, ",")
	o.Log = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05.000 ")+format+"\n", args...)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, o)
	if r != nil {
		fmt.Print(r.String())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || !r.Good() {
		stop()
		os.Exit(1)
	}
}
