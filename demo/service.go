package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ferric/lab"
)

// How long Ferric may take to start and to stop.
const (
	startTime = 2 * time.Minute
	stopTime  = 30 * time.Second
)

// serveArgs is the command that is the service: no configuration file, everything about this place in flags.
func serveArgs(ferric, data string) []string {
	return []string{ferric, "serve", "--data-dir", data, "--boot-interface", lab.Bridge, "--set", "boot.dhcp=server",
		"--set", "boot.dhcp_range=" + firstAddress + "-" + lastAddress, "--set", "boot.router_advertisements=true",
		"--set", "boot.kernel_append_params=" + kernelParams}
}

// kernelParams are those of the deploy ramdisk. A machine that is emulated can be too slow for the kernel's check of its timer.
const kernelParams = "console=tty0 console=ttyS0,115200n8 no_timer_check"

// The addresses that machines get, on the lab's provisioning network.
const (
	firstAddress = "10.77.0.100"
	lastAddress  = "10.77.0.199"
)

// isService reports whether a command line, NUL-separated as in /proc, is of a service with this data directory.
func isService(cmdline []byte, data string) bool {
	args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	if len(args) < 4 || filepath.Base(args[0]) != "ferric" || args[1] != "serve" {
		return false
	}
	i := slices.Index(args, "--data-dir")
	return i > 0 && i+1 < len(args) && args[i+1] == data
}

// findService returns the pid of the service that uses the data directory, 0 if there is none. The data directory is
// nobody else's, so no record of the pid is needed that could be lost or out of date.
func findService(data string) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && isService(cmdline, data) {
			return pid
		}
	}
	return 0
}

// sameProgram reports whether a process runs the program that is in a file now, and not one that was replaced.
func sameProgram(pid int, path string) bool {
	running, err1 := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	file, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(running, file)
}

// stopService ends the service that uses the data directory, if there is one, and waits until it is gone.
func stopService(ctx context.Context, data string) (stopped bool, err error) {
	sig := unix.SIGTERM
	for kill := time.Now().Add(stopTime); ; {
		pid := findService(data)
		if pid == 0 {
			return stopped, nil
		}
		stopped = true
		if err := signalService(pid, data, sig); err != nil {
			return stopped, fmt.Errorf("stop Ferric (pid %d): %w", pid, err)
		}
		if time.Now().After(kill) {
			sig = unix.SIGKILL
		}
		select {
		case <-ctx.Done():
			return stopped, fmt.Errorf("stop Ferric (pid %d): %w", pid, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// signalService signals the process only if it is the service still: a pidfd stays with the process it was opened for.
func signalService(pid int, data string, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !isService(cmdline, data) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// startService starts the service and waits until it is healthy. One that runs already is left alone, unless the
// program was built anew since. The service outlives the demo.
func (d *demo) startService(ctx context.Context) error {
	args := serveArgs(d.ferric, d.path("data"))
	d.screen.heading("Ferric: one process, no configuration file")
	d.command(append([]string{"ip", "netns", "exec", d.name}, args...)...)
	if pid := findService(d.path("data")); pid > 0 {
		err := d.api.healthy(ctx)
		if err == nil && sameProgram(pid, d.ferric) {
			d.screen.say("  it still runs (pid %d)", pid)
			return nil
		}
		d.screen.say("  an older one runs (pid %d); it makes room, and what it was doing is carried on", pid)
		if _, err := stopService(ctx, d.path("data")); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(d.path("ferric.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := d.lab.Command(context.WithoutCancel(ctx), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start ferric serve: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the service or with the demo, whichever is first
	for {
		err := d.api.healthy(ctx)
		if err == nil {
			d.screen.say("  up after %.1f s (pid %d), log in %s", time.Since(began).Seconds(), cmd.Process.Pid, d.shown("ferric.log"))
			return nil
		}
		if time.Since(began) > startTime {
			return fmt.Errorf("ferric serve is not healthy after %s: %w", clock(startTime), err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			return fmt.Errorf("ferric serve ended right away: %w", orEnded(err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// orEnded makes sure that there is an error: a service that ends without one has failed, too.
func orEnded(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// installed finds a program, or says which package has it.
func installed(program, pkg string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not installed: apt-get install %s (make deps installs all that is needed)", program, pkg)
	}
	return nil
}
