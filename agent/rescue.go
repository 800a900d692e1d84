package agent

import (
	"context"
	"log/slog"
	"net"
	"os/exec"

	"ferric"
	"ferric/agent/pid1"
	"ferric/agent/rescue"
)

// busybox is the shell of a rescue ramdisk, with all its tools.
const busybox = "/bin/busybox"

// rescueEnvironment makes the rescue environment of the real machine.
func rescueEnvironment(log *slog.Logger, hash string) (func(context.Context) error, error) {
	e := &rescue.Environment{Hash: hash, Shell: []string{busybox, "sh", "-l"}, Dir: "/root", Consoles: pid1.ConsoleNames("/sys", "/dev"), Log: log,
		Env: []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "USER=root", "PS1=rescue:\\w# "}}
	if err := e.Check(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := pid1.MountTerminals(); err != nil {
			log.Warn("no pseudo terminals: shells over SSH have none", "err", err)
		}
		// The tools get names in /bin and /sbin; without them they are called as "busybox mount".
		if out, err := exec.CommandContext(ctx, busybox, "--install", "-s").CombinedOutput(); err != nil {
			log.Warn("the tools of busybox have no names of their own", "err", err, "output", string(out))
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":22")
		if err != nil {
			return ferric.Errorf(ferric.CodeConflict, "listen for SSH: %w", err)
		}
		return e.Run(ctx, l)
	}, nil
}
