package callback

import (
	"context"
	"time"

	"ferric/agentapi"
)

// Heartbeat sends heartbeats until its context ends. It never gives up: a conductor may be away for hours and come
// back.
type Heartbeat struct {
	Client *Client
	Node   string // UUID
	// Timeout is config.heartbeat_timeout of the lookup answer. Heartbeats are sent after 0.3 to 0.6 of it.
	Timeout time.Duration
	// Body makes the heartbeat to send.
	Body func() agentapi.Heartbeat
	// Retry is the pause after a failure, times 1 to 2; MinGap the least pause before a forced heartbeat. 0 means 5 s
	// and 1 s.
	Retry, MinGap time.Duration

	force chan struct{}
}

// NewHeartbeat fills in the defaults.
func NewHeartbeat(h Heartbeat) *Heartbeat {
	if h.Timeout <= 0 {
		h.Timeout = 300 * time.Second
	}
	if h.Retry == 0 {
		h.Retry = 5 * time.Second
	}
	if h.MinGap == 0 {
		h.MinGap = time.Second
	}
	h.force = make(chan struct{}, 1)
	return &h
}

// Force asks for a heartbeat soon, as after a command has finished.
func (h *Heartbeat) Force() {
	select {
	case h.force <- struct{}{}:
	default: // one is asked for already
	}
}

// Run sends the first heartbeat at once and returns when ctx ends.
func (h *Heartbeat) Run(ctx context.Context) {
	failures := 0
	for {
		err := h.Client.Heartbeat(ctx, h.Node, h.Body())
		if ctx.Err() != nil {
			return
		}
		wait := jitter(h.Timeout, 0.3, 0.6)
		switch {
		case err != nil:
			// A lock is gone within seconds; a conductor that is away for long gets fewer calls, but never so few that
			// it would time the node out once it is back.
			failures++
			wait = min(jitter(h.Retry, 1, 2)*time.Duration(min(failures, 4)), wait)
			h.Client.o.Log.Warn("heartbeat failed, trying again", "err", err, "failures", failures, "in", wait.Round(time.Second/10))
		case failures > 0:
			h.Client.o.Log.Info("heartbeat taken again", "failures", failures)
			failures = 0
		default:
			h.Client.o.Log.Debug("heartbeat taken", "next", wait.Round(time.Second/10))
		}
		if !h.pause(ctx, wait) {
			return
		}
	}
}

// pause waits, at least MinGap even if forced.
func (h *Heartbeat) pause(ctx context.Context, wait time.Duration) bool {
	if sleep(ctx, min(wait, h.MinGap)) != nil {
		return false
	}
	t := time.NewTimer(max(0, wait-h.MinGap))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-h.force:
	}
	return true
}
