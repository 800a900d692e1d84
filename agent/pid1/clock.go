package pid1

import (
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clock sets the system's clock from the Date of HTTP answers when it is far off.
type Clock struct {
	Log *slog.Logger
	// Set replaces the system call, for tests.
	Set func(time.Time) error
	// Now replaces time.Now, for tests.
	Now func() time.Time

	mu  sync.Mutex
	set bool
}

const (
	// clockTolerance is what an RTC may be off without harm to certificates.
	clockTolerance = 2 * time.Minute
	// clockFloor: an earlier clock is certainly wrong, since this program did not exist then.
	clockFloor = 1767225600 // 2026-01-01
)

// Wrong reports whether the clock cannot be right.
func (c *Clock) Wrong() bool { return c.now().Unix() < clockFloor }

// Observe takes a server's time. It is acted on once, so that a server with a wrong clock cannot move ours about.
func (c *Clock) Observe(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	off := t.Sub(c.now())
	if c.set || off < clockTolerance && off > -clockTolerance || t.Unix() < clockFloor {
		return
	}
	set := c.Set
	if set == nil {
		set = setClock
	}
	if err := set(t); err != nil {
		c.Log.Warn("the clock is off and could not be set", "off", off.Round(time.Second), "err", err)
		return
	}
	c.set = true
	c.Log.Info("clock set from the server's Date", "was off", off.Round(time.Second), "now", t.UTC().Format(time.RFC3339))
}

func (c *Clock) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

func setClock(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Settimeofday(&tv)
}
