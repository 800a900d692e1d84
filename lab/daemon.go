package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// daemonStart is how long a daemon may take until it is ready, on a busy host.
const daemonStart = 60 * time.Second

// daemon is a process in the lab's namespace that outlives the command that starts it: a BMC, the console server.
type daemon struct {
	lab     *Lab
	what    string // for messages
	dir     string // where its pid, record and log are
	command []string
	mark    string // argument of command that no other process has
	ready   func(process) bool
}

func (d daemon) pidfile() string { return filepath.Join(d.dir, "pid") }
func (d daemon) record() string  { return filepath.Join(d.dir, "process.json") }
func (d daemon) log() string     { return filepath.Join(d.dir, "log") }

// process returns the running daemon, errNoProcess if there is none.
func (d daemon) process() (process, error) {
	return d.lab.proc.recordedProcess(d.record(), d.pidfile(), d.mark)
}

// detachScript writes its pid, which stays the same through the exec's that follow, and becomes the command.
const detachScript = `echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"`

// start makes the daemon run and waits until it is ready; nothing happens if it runs.
func (d daemon) start(ctx context.Context) error {
	if _, err := d.process(); err == nil {
		return nil
	}
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	os.Remove(d.pidfile())
	if err := d.detach(ctx); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "start %s: %w: %s", d.what, err, tail(d.log()))
	}
	ctx, cancel := context.WithTimeout(ctx, daemonStart)
	defer cancel()
	for seen := false; ; {
		p, err := d.process()
		switch {
		case err == nil && d.ready(p):
			return writeJSON(d.record(), p)
		case err != nil && seen:
			return ferric.Errorf(ferric.CodeUnavailable, "%s ended at once: %s", d.what, tail(d.log()))
		}
		seen = seen || err == nil
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "wait for %s: %w: %s", d.what, ctx.Err(), tail(d.log()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// detach starts the command in the namespace, away from this process and its terminal.
func (d daemon) detach(ctx context.Context) error {
	out, err := os.OpenFile(d.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	args := append([]string{"--fork", "sh", "-c", detachScript, d.pidfile()}, d.lab.inNamespace(d.command)...)
	cmd := exec.CommandContext(ctx, "setsid", args...)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// stop ends the daemon; nothing happens if it does not run.
func (d daemon) stop(ctx context.Context) error {
	p, err := d.process()
	if err == nil {
		err = d.lab.proc.end(ctx, p, unix.SIGTERM, 5*time.Second)
	}
	if err != nil && !errors.Is(err, errNoProcess) {
		return fmt.Errorf("stop %s: %w", d.what, err)
	}
	os.Remove(d.record())
	os.Remove(d.pidfile())
	return nil
}

// tail is the end of a log file, in one line.
func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 500
	if len(data) > most {
		data = data[len(data)-most:]
	}
	return strings.Join(strings.Fields(string(data)), " ")
}
