package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The kinds of processes.
const (
	Conductor  = "conductor"
	APIServer  = "api"
	NATS       = "nats"
	PostgreSQL = "postgresql"
)

// Process is a program on a host. When it ends by itself it is started again, as a service manager does; after Kill and Stop it stays down until
// Start.
type Process struct {
	Name string // of the host, too
	Kind string

	host    *Host
	command func() *exec.Cmd // makes it anew for every start
	log     *os.File

	mu      sync.Mutex
	program string // in place of the command's, if another version runs here
	wanted  bool
	cmd     *exec.Cmd     // the one that runs
	ended   chan struct{} // closed when cmd has ended
	deaths  []string      // when and how it ended by itself
	restart sync.WaitGroup
}

// again is how long a process that ended by itself stays down.
const again = 300 * time.Millisecond

// Start starts the process unless it runs.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if p.cmd != nil {
		return nil
	}
	return p.start()
}

// start needs the lock.
func (p *Process) start() error {
	cmd := p.command()
	if p.program != "" {
		cmd.Path = p.program
	}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // the thread is the host's, which lives until the end
	fmt.Fprintf(p.log, "--- %s starts at %s\n", p.Name, time.Now().UTC().Format(time.RFC3339Nano))
	if err := p.host.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	p.restart.Go(func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.cmd = nil
		wanted := p.wanted
		text := fmt.Sprintf("%s: ended by itself: %v", time.Now().UTC().Format(time.RFC3339Nano), err)
		if wanted {
			p.deaths = append(p.deaths, text)
			fmt.Fprintln(p.log, "---", p.Name, text)
		}
		p.mu.Unlock()
		close(ended)
		if !wanted {
			return
		}
		time.Sleep(again)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.wanted && p.cmd == nil {
			if err := p.start(); err != nil {
				p.deaths = append(p.deaths, err.Error())
			}
		}
	})
	return nil
}

// Kill ends the process with SIGKILL, its children too, and waits until they are gone.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop ends the process with SIGTERM and waits until it is gone.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

func (p *Process) end(sig syscall.Signal) {
	p.mu.Lock()
	p.wanted = false
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	var below []int
	if sig == syscall.SIGKILL {
		// All at once, as a power cut does: stopped first, so that none is born meanwhile.
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		below = children(cmd.Process.Pid)
		for _, pid := range below {
			_ = syscall.Kill(pid, sig)
		}
	}
	_ = cmd.Process.Signal(sig) // fails when it has ended, which is what is wanted
	<-ended
	for _, pid := range below {
		for alive(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// Replace ends the process with SIGTERM and starts another program in its place; "" is the one that it had first.
func (p *Process) Replace(program string) error {
	p.Stop()
	p.mu.Lock()
	p.program = program
	p.mu.Unlock()
	return p.Start()
}

// Pause stops the process with SIGSTOP: it stays, and does nothing.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Continue lets a paused process go on.
func (p *Process) Continue() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.Name)
	}
	return p.cmd.Process.Signal(sig)
}

// Up reports whether the process runs.
func (p *Process) Up() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

// Deaths returns when and how the process ended by itself.
func (p *Process) Deaths() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.deaths...)
}

// Log returns the end of what the process said, at most size bytes.
func (p *Process) Log(size int64) string {
	f, err := os.Open(p.log.Name())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	buf := make([]byte, min(size, info.Size()))
	n, err := f.ReadAt(buf, info.Size()-int64(len(buf)))
	if err != nil && n == 0 && len(buf) > 0 {
		return err.Error()
	}
	return string(buf[:n])
}

// close ends the process for good.
func (p *Process) close() error {
	p.Kill()
	p.restart.Wait()
	return p.log.Close()
}

// children lists the processes whose parent is pid.
func children(pid int) []int {
	var list []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid; the name may hold anything.
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

// alive reports whether a process is there and not a zombie.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || err != nil {
		return false
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	return len(fields) > 0 && fields[0] != "Z" && fields[0] != "X"
}
