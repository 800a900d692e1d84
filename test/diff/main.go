package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"

	"ferric/api"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program. It returns the exit code: 1 for differences that are not listed, 2 for what went wrong.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("diff", flag.ContinueOnError)
	fs.SetOutput(stderr)
	ironicURL := fs.String("ironic", "", "base URL of an Ironic that runs already; its objects are deleted. Empty: one is started")
	ferricURL := fs.String("ferric", "", "base URL of a Ferric that runs already; its objects are deleted. Empty: one is started")
	binary := fs.String("binary", "bin/ferric", "Ferric's program")
	only := fs.String("run", "", "play only the conversations whose names match this regular expression")
	texts := fs.Bool("texts", false, "compare error texts whole, not only what clients look for in them")
	unlisted := fs.Bool("unlisted", false, "tell listed differences too")
	trace := fs.Bool("trace", false, "tell each request and both statuses as it is played")
	rows := fs.Bool("rows", false, "tell what each row of the list matched")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	pick, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	r := &report{rows: *rows}
	if !*unlisted {
		if r.listed, err = readList(listFile); err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
	}
	if *ironicURL == "" || *ferricURL == "" {
		stop, err := bringUp(ctx, *binary, stderr, ironicURL, ferricURL)
		defer stop()
		if err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
	}
	t := &talk{ctx: ctx, ironic: newSide("Ironic", *ironicURL), ferric: newSide("Ferric", *ferricURL), report: r, texts: *texts, version: newest}
	if *trace {
		t.trace = stderr
	}
	if err := t.clear(); err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	tables, err := api.New(api.Defaults(), api.Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	start := time.Now()
	for _, s := range slices.Concat(generated(tables.Surface()), written(), clients()) {
		if !pick.MatchString(s.name) || ctx.Err() != nil {
			continue
		}
		one, before, began := *t, r.requests, time.Now()
		one.name = s.name
		s.play(&one)
		if err := t.clear(); err != nil {
			fmt.Fprintln(stderr, s.name+":", err)
			return 2
		}
		fmt.Fprintf(stderr, "%-40s %5d requests %6.1f s\n", s.name, r.requests-before, time.Since(began).Seconds())
	}
	if ctx.Err() != nil {
		return 2
	}
	fine := r.print(stdout, *only == "" && !*texts)
	fmt.Fprintf(stdout, "played in %s\n", time.Since(start).Round(time.Second))
	if !fine {
		return 1
	}
	return 0
}
