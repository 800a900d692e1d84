package pid1

import (
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Action is how the machine ends.
type Action string

// The actions.
const (
	Reboot   Action = "reboot"
	PowerOff Action = "power off"
)

// syncLimit is how long dirty pages may take to reach the disks before the machine is ended all the same.
const syncLimit = 2 * time.Minute

// End flushes the disks, lets flush show the last of the log, and ends the machine. It returns only if the kernel refuses
// every way.
func End(log *slog.Logger, a Action, flush func()) {
	log.Info("ending the machine", "action", string(a))
	if !Sync(syncLimit) {
		log.Error("the disks did not take all data in time", "limit", syncLimit)
	}
	cmd, key := unix.LINUX_REBOOT_CMD_RESTART, "b"
	if a == PowerOff {
		cmd, key = unix.LINUX_REBOOT_CMD_POWER_OFF, "o"
	}
	flush()
	err := unix.Reboot(cmd)
	log.Error("the kernel refuses, trying sysrq", "action", string(a), "err", err)
	flush()
	if err := os.WriteFile("/proc/sysrq-trigger", []byte(key), 0); err != nil {
		log.Error("sysrq refused", "err", err)
	}
	time.Sleep(10 * time.Second) // sysrq acts on its own time
}

// Sync flushes dirty pages and reports whether that was done within the limit.
func Sync(limit time.Duration) bool {
	done := make(chan struct{})
	go func() { // ends with the system call; nothing can cut that short
		unix.Sync()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}
