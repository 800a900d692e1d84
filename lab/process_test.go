package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeProc is a folder like /proc with one process.
func fakeProc(t *testing.T, pid int, state byte, start uint64, args ...string) procfs {
	t.Helper()
	fs := procfs{t.TempDir()}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(fs.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := strconv.Itoa(pid)
	write(dir+"/stat", fmt.Sprintf("%d (a (b) c) %c 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 %d 20 21", pid, state, start))
	write(dir+"/cmdline", strings.Join(args, "\x00")+"\x00")
	write("sys/kernel/random/boot_id", "boot-1\n")
	return fs
}

func TestAlive(t *testing.T) {
	recorded := process{PID: 77, Start: 1234, Boot: "boot-1", Mark: "/lab/node-1/qemu.pid"}
	tests := map[string]struct {
		state byte
		start uint64
		args  []string
		p     process
		want  bool
	}{
		"the same":          {'S', 1234, []string{"qemu", "-pidfile", "/lab/node-1/qemu.pid"}, recorded, true},
		"zombie":            {'Z', 1234, []string{"qemu", "-pidfile", "/lab/node-1/qemu.pid"}, recorded, false},
		"recycled pid":      {'S', 9999, []string{"qemu", "-pidfile", "/lab/node-1/qemu.pid"}, recorded, false},
		"other program":     {'S', 1234, []string{"sh"}, recorded, false},
		"mark as a part":    {'S', 1234, []string{"vi", "x/lab/node-1/qemu.pid"}, recorded, false},
		"before the reboot": {'S', 1234, []string{"qemu", "/lab/node-1/qemu.pid"}, process{77, 1234, "boot-0", "/lab/node-1/qemu.pid"}, false},
		"no mark":           {'S', 1234, []string{"qemu", ""}, process{77, 1234, "boot-1", ""}, false},
		"init":              {'S', 1234, []string{"init", "m"}, process{1, 1234, "boot-1", "m"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fs := fakeProc(t, test.p.PID, test.state, test.start, test.args...)
			if got := fs.alive(test.p); got != test.want {
				t.Errorf("alive = %v, want %v", got, test.want)
			}
		})
	}
}

func TestRecordedProcess(t *testing.T) {
	const mark = "/lab/qemu.pid"
	fs := fakeProc(t, 77, 'S', 1234, "qemu", mark)
	dir := t.TempDir()
	record, pidfile := filepath.Join(dir, "record"), filepath.Join(dir, "pid")
	if _, err := fs.recordedProcess(record, pidfile, mark); !errors.Is(err, errNoProcess) {
		t.Errorf("without files: error %v, want errNoProcess", err)
	}
	// The starter died before it wrote the record: the pid file leads to the process.
	if err := os.WriteFile(pidfile, []byte("77\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := fs.recordedProcess(record, pidfile, mark)
	if err != nil || p.Start != 1234 {
		t.Errorf("by pid file: %+v, %v", p, err)
	}
	if _, err := fs.recordedProcess(record, pidfile, "/lab/other.pid"); !errors.Is(err, errNoProcess) {
		t.Errorf("with another mark: error %v, want errNoProcess", err)
	}
	// A record of a process that is gone does not hide the present one.
	if err := writeJSON(record, process{PID: 77, Start: 5, Boot: "boot-1", Mark: mark}); err != nil {
		t.Fatal(err)
	}
	if p, err := fs.recordedProcess(record, pidfile, mark); err != nil || p.Start != 1234 {
		t.Errorf("with an old record: %+v, %v", p, err)
	}
	for _, text := range []string{"", "x", "-1", "1", "0"} {
		if err := os.WriteFile(pidfile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fs.recordedProcess(record, pidfile, mark); !errors.Is(err, errNoProcess) {
			t.Errorf("pid file %q: error %v, want errNoProcess", text, err)
		}
	}
}

// TestEnd ends real processes, one that obeys and one that does not, and leaves one with a wrong record alone.
func TestEnd(t *testing.T) {
	tests := map[string]struct {
		script string
		change func(*process)
		gone   bool
	}{
		"obeys":         {"sleep 100 & wait", nil, true},
		"ignores TERM":  {"trap '' TERM; while :; do sleep 0.1; done", nil, true},
		"other process": {"sleep 100 & wait", func(p *process) { p.Start++ }, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			mark := "mark-" + filepath.Base(t.TempDir()) + strconv.Itoa(os.Getpid())
			cmd := exec.Command("sh", "-c", test.script, mark)
			cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			t.Cleanup(func() {
				unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
				<-done
			})
			fs := procfs{"/proc"}
			var p process
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				var err error
				if p, err = fs.find(cmd.Process.Pid, mark); err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
			if test.change != nil {
				test.change(&p)
			}
			if err := fs.end(t.Context(), p, unix.SIGTERM, 200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			_, err := fs.find(cmd.Process.Pid, mark)
			if gone := err != nil; gone != test.gone {
				t.Errorf("gone = %v, want %v", gone, test.gone)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 31 0"))
	f.Add([]byte("1 (a) b) Z"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, stat []byte) {
		state, _, err := parseStat(stat)
		if err == nil && state == 0 {
			t.Error("no state and no error")
		}
	})
}

func TestUDPEntry(t *testing.T) {
	got, err := udpEntry("10.78.0.1", 623)
	if want := " 01004E0A:026F "; err != nil || got != want { // little endian, as all machines that run QEMU labs are
		t.Errorf("udpEntry = %q, %v, want %q", got, err, want)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: %v, want a deadline", err)
	}
	unlock()
	if unlock, err = lock(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	unlock()
}
