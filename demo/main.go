package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code: 0 well, 1 failed, 2 wrong usage.
func run(args []string) int {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	dir := fs.String("dir", "build/demo", "`directory` of everything that the demo keeps")
	name := fs.String("name", "ferric-demo", "name of the lab and of its network namespace")
	stop := fs.Bool("stop", false, "stop Ferric and the servers at the end")
	down := fs.Bool("down", false, "only stop and remove what earlier runs left")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", fs.Arg(0))
		return 2
	}
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	context.AfterFunc(ctx, release) // a second Ctrl-C ends the demo at once
	d, err := newDemo(*dir, *name, newScreen(os.Stdout))
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	unlock, err := d.lock()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	defer unlock()
	if *down {
		err = d.removeAll(ctx)
	} else {
		err = d.run(ctx)
	}
	switch {
	case wasInterrupted(ctx, err):
		d.interrupted(*stop)
	case err != nil:
		d.report(err)
	}
	if *stop && !*down {
		err = errors.Join(err, d.stopAll(err != nil))
	}
	if err != nil {
		if !*stop && !*down {
			d.goOn()
		}
		return 1
	}
	if !*stop && !*down {
		d.next()
	}
	return 0
}

// newDemo checks where and by whom the demo is run.
func newDemo(dir, name string, s *screen) (*demo, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("root is needed, for network namespaces and DHCP: sudo make demo")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	d := &demo{dir: abs, cwd: cwd, name: name, ferric: "bin/ferric", screen: s, api: newAPI(name)}
	return d, nil
}
