package rescue

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"ferric"
	"ferric/agentapi/shacrypt"
)

// Environment is one rescue.
type Environment struct {
	Hash string // crypt(3) hash of the password
	// Shell is the program that a login starts, with its arguments.
	Shell []string
	// Env is the environment of shells, "NAME=value".
	Env []string
	// Dir is where shells begin.
	Dir string
	// Consoles are the terminals that get a login.
	Consoles []string
	Log      *slog.Logger
	// Pause is what a wrong password costs; 0 means two seconds.
	Pause time.Duration
}

// Check reports why the environment could not be used: CodeUnsupported without a shell, CodeInvalid for an unreadable hash.
func (e *Environment) Check() error {
	if len(e.Shell) == 0 {
		return ferric.Errorf(ferric.CodeUnsupported, "no shell is named")
	}
	if _, err := exec.LookPath(e.Shell[0]); err != nil {
		return ferric.Errorf(ferric.CodeUnsupported, "this ramdisk has no shell (%s): build a rescue ramdisk with ferric ramdisk build --rescue-shell", e.Shell[0])
	}
	return shacrypt.Check(e.Hash)
}

// Run lets people log in, by SSH at the listener and on the consoles, until ctx ends. Nobody can before it is called.
func (e *Environment) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	for _, name := range e.Consoles {
		work.Go(func() { e.console(ctx, name) })
	}
	err := e.serveSSH(ctx, l)
	cancel()
	work.Wait()
	return err
}

// admits reports whether a user may log in with a password. A wrong one takes its time.
func (e *Environment) admits(ctx context.Context, user, password string) bool {
	if (user == "rescue" || user == "root") && shacrypt.Verify(e.Hash, password) {
		return true
	}
	pause := e.Pause
	if pause == 0 {
		pause = 2 * time.Second
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	return false
}

// command makes the process of a shell, or of one line for it.
func (e *Environment) command(ctx context.Context, line string, env ...string) *exec.Cmd {
	args := e.Shell[1:]
	if line != "" {
		args = append(append([]string{}, args...), "-c", line)
	}
	cmd := exec.CommandContext(ctx, e.Shell[0], args...)
	cmd.Env, cmd.Dir = append(append([]string{}, e.Env...), env...), e.Dir
	if _, err := os.Stat(cmd.Dir); err != nil {
		cmd.Dir = "/"
	}
	cmd.WaitDelay = time.Second
	return cmd
}
