package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
)

// process names a process so that it cannot be mistaken for a later one with the same pid.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot (proc(5), field 22 of stat)
	Boot  string `json:"boot"`  // the kernel's boot id: start times of another boot mean nothing
	Mark  string `json:"mark"`  // an argument of its command line that no other process has
}

// procfs reads process records; root is "/proc" except in tests.
type procfs struct{ root string }

var errNoProcess = errors.New("no such process")

// find returns the live process with that pid if its command line has the mark.
func (fs procfs) find(pid int, mark string) (process, error) {
	stat, err := os.ReadFile(filepath.Join(fs.root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, errNoProcess
	}
	state, start, err := parseStat(stat)
	if err != nil {
		return process{}, err
	}
	if state == 'Z' || state == 'X' {
		return process{}, errNoProcess
	}
	args, err := os.ReadFile(filepath.Join(fs.root, strconv.Itoa(pid), "cmdline"))
	if err != nil || !hasArgument(args, mark) {
		return process{}, errNoProcess
	}
	boot, err := os.ReadFile(filepath.Join(fs.root, "sys/kernel/random/boot_id"))
	if err != nil {
		return process{}, fmt.Errorf("read boot id: %w", err)
	}
	return process{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot)), Mark: mark}, nil
}

// alive reports whether exactly this process still runs.
func (fs procfs) alive(p process) bool {
	if p.PID <= 1 || p.Mark == "" {
		return false
	}
	now, err := fs.find(p.PID, p.Mark)
	return err == nil && now == p
}

// parseStat reads state and start time from /proc/PID/stat. The name in field 2 may hold spaces and parentheses.
func parseStat(stat []byte) (state byte, start uint64, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, errors.New("/proc stat: no process name")
	}
	fields := strings.Fields(string(stat[end+1:])) // fields[0] is field 3
	if len(fields) < 20 || len(fields[0]) != 1 {
		return 0, 0, fmt.Errorf("/proc stat: %d fields after the name, want at least 20", len(fields))
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("/proc stat: start time: %w", err)
	}
	return fields[0][0], start, nil
}

// hasArgument reports whether a NUL-separated command line holds mark as a whole argument.
func hasArgument(cmdline []byte, mark string) bool {
	for arg := range bytes.SplitSeq(cmdline, []byte{0}) {
		if mark != "" && string(arg) == mark {
			return true
		}
	}
	return false
}

// signal sends a signal to exactly this process; errNoProcess if it is gone.
func (fs procfs) signal(p process, sig unix.Signal) error {
	if p.PID <= 1 {
		return errNoProcess
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return errNoProcess
	}
	defer unix.Close(fd)
	// The pidfd stays with the process it was opened for, so what is checked now is what gets the signal.
	if !fs.alive(p) {
		return errNoProcess
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return errNoProcess
		}
		return fmt.Errorf("signal %v to process %d: %w", sig, p.PID, err)
	}
	return nil
}

// end sends sig, and SIGKILL if the process still runs after grace. It returns when the process is gone.
func (fs procfs) end(ctx context.Context, p process, sig unix.Signal, grace time.Duration) error {
	killAt := time.Now().Add(grace)
	for {
		err := fs.signal(p, sig)
		if errors.Is(err, errNoProcess) {
			return nil
		}
		if err != nil {
			return err
		}
		for fs.alive(p) {
			if sig != unix.SIGKILL && time.Now().After(killAt) {
				sig = unix.SIGKILL
				break
			}
			select {
			case <-ctx.Done():
				return ferric.Errorf(ferric.CodeTimeout, "end process %d: %w", p.PID, ctx.Err())
			case <-time.After(5 * time.Millisecond):
			}
		}
		if !fs.alive(p) {
			return nil
		}
	}
}

// recordedProcess reads the process of a machine or BMC: the record, or, if the starter died before it could write
// one, the pid file that the process itself wrote.
func (fs procfs) recordedProcess(record, pidfile, mark string) (process, error) {
	var p process
	if err := readJSON(record, &p); err == nil && p.Mark == mark && fs.alive(p) {
		return p, nil
	}
	text, err := os.ReadFile(pidfile)
	if err != nil {
		return process{}, errNoProcess
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return process{}, errNoProcess
	}
	return fs.find(pid, mark)
}

// readJSON decodes a file.
func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file at once, readable by its owner only.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(append(data, '\n'))
	if err := errors.Join(err, temporary.Close()); err != nil {
		os.Remove(temporary.Name())
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// lock takes an exclusive lock on a file, which it makes if needed, and waits for it until ctx ends.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ferric.Errorf(ferric.CodeTimeout, "wait for the lock %s: %w", path, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
