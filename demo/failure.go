package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// failure says which step failed, on which node if it was about one, and why.
type failure struct {
	step string
	node string // "" if it was about none
	err  error
}

func (f *failure) Error() string {
	if f.node == "" {
		return fmt.Sprintf("%s: %v", f.step, f.err)
	}
	return fmt.Sprintf("%s of %s: %v", f.step, f.node, f.err)
}

func (f *failure) Unwrap() error { return f.err }

// fail wraps an error with where it happened, unless that is known already. nil stays nil.
func fail(step, node string, err error) error {
	var known *failure
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &failure{step, node, err}
}

// reportLines is how much of each log a report shows.
const reportLines = 15

// report shows what a person needs to find the cause of a failure.
func (d *demo) report(err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{step: "the demo", err: err}
	}
	what := f.step
	if f.node != "" {
		what += " of " + f.node
	}
	d.screen.settle()
	d.screen.say("\n%s", d.screen.style("1;31", "FAILED: "+what))
	d.screen.output(d.short(f.err.Error()))
	logs := []string{}
	if tail := logTail(d.path("ferric.log"), reportLines); tail != "" {
		d.screen.say("\nThe end of Ferric's log:")
		d.screen.output(d.short(tail))
		logs = append(logs, d.shown("ferric.log"))
	}
	if d.lab != nil {
		for _, m := range d.lab.Machines() {
			lines := readConsole(m.Log()).lines(reportLines)
			if f.node == m.Name && len(lines) > 0 {
				d.screen.say("\nThe end of %s's serial console:", m.Name)
				d.screen.output(d.short(strings.Join(lines, "\n")))
			}
			if len(lines) > 0 {
				logs = append(logs, d.relative(m.Log()))
			}
		}
	}
	// The ramdisk's logs of failed operations.
	if kept, _ := filepath.Glob(d.path("data", "deploy-logs", "*")); len(kept) > 0 {
		logs = append(logs, d.shown("data", "deploy-logs"))
	}
	if len(logs) > 0 {
		d.screen.say("\nLogs: %s", strings.Join(logs, ", "))
	}
}

// short makes paths below the current directory relative.
func (d *demo) short(text string) string { return strings.ReplaceAll(text, d.cwd+"/", "") }

// interrupted tells what Ctrl-C leaves behind.
func (d *demo) interrupted(stopping bool) {
	d.screen.settle()
	text := "Interrupted."
	if !stopping && d.lab != nil && findService(d.path("data")) > 0 {
		text += " What is under way goes on by itself: Ferric and the servers stay up."
	}
	d.screen.say("\n%s", text)
}

// wasInterrupted reports whether the run ended because it was told to.
func wasInterrupted(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil
}

// dull are the lines of Ferric's log that the demo's own looking brings about.
var dull = regexp.MustCompile(` msg=request .* method=GET .* status=(2|3|404)`)

// logTail returns the last lines of a file that are not dull, "" if there are none.
func logTail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const enough = 4 << 20
	if info, err := f.Stat(); err == nil && info.Size() > enough {
		if _, err := f.Seek(-enough, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	var all []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\n"); line != "" && !dull.MatchString(line) {
			all = append(all, line)
		}
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
