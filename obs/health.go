package obs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ferric"
)

// Health is a set of named checks. The zero value has none and is healthy.
type Health struct {
	mu     sync.Mutex
	closed bool
	checks []*check
	wg     sync.WaitGroup
}

type check struct {
	name    string
	timeout time.Duration
	fn      func(context.Context) error
	running *checkRun // nil when it is not
}

// checkRun is one execution, shared by all who ask while it lasts.
type checkRun struct {
	done   chan struct{}
	cancel context.CancelFunc
	begin  time.Time
	result CheckResult // valid after done
}

// CheckResult is the outcome of one check.
type CheckResult struct {
	Name     string        `json:"name"`
	Healthy  bool          `json:"healthy"`
	Reason   string        `json:"reason,omitempty"` // why not
	Duration time.Duration `json:"duration_ns"`
}

// Report is the outcome of all checks, sorted by name.
type Report struct {
	Healthy bool          `json:"healthy"`
	Checks  []CheckResult `json:"checks"`
}

// Add enters a check that may take up to timeout. fn returns nil when all is well, must honour its context and
// must not be slow: it runs at every request of the health page. Calling the function returned takes it out again.
// CodeConflict when the name is taken, CodeInvalid without name or timeout.
func (h *Health) Add(name string, timeout time.Duration, fn func(context.Context) error) (remove func(), err error) {
	if name == "" || timeout <= 0 || fn == nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "health check %q: name, a positive timeout and a function must be given", name)
	}
	c := &check{name: name, timeout: timeout, fn: fn}
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(h.checks, func(o *check) bool { return o.name == name }) {
		return nil, ferric.Errorf(ferric.CodeConflict, "health check %q: there is one already", name)
	}
	h.checks = append(h.checks, c)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.checks = slices.DeleteFunc(h.checks, func(o *check) bool { return o == c })
	}, nil
}

// Run makes all checks at the same time and waits for each until its timeout or ctx ends. A check that is still
// running, for somebody else or because it ignored its context, is not started again: its outcome is shared, or it
// is reported as unhealthy when it does not come.
func (h *Health) Run(ctx context.Context) Report {
	h.mu.Lock()
	checks := slices.Clone(h.checks)
	runs := make([]*checkRun, len(checks))
	for i, c := range checks {
		if c.running == nil && !h.closed {
			h.startCheck(c)
		}
		runs[i] = c.running
	}
	h.mu.Unlock()

	report := Report{Healthy: true, Checks: make([]CheckResult, len(checks))}
	for i, c := range checks {
		report.Checks[i] = await(ctx, c, runs[i])
		report.Healthy = report.Healthy && report.Checks[i].Healthy
	}
	slices.SortFunc(report.Checks, func(a, b CheckResult) int { return strings.Compare(a.Name, b.Name) })
	return report
}

// startCheck is called with h.mu held.
func (h *Health) startCheck(c *check) {
	// The run belongs to all who ask, so it does not end with the context of the first.
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	run := &checkRun{done: make(chan struct{}), cancel: cancel, begin: time.Now()}
	c.running = run
	h.wg.Go(func() {
		defer cancel()
		err := c.call(ctx)
		run.result = CheckResult{Name: c.name, Healthy: err == nil, Duration: time.Since(run.begin)}
		if err != nil {
			run.result.Reason = MaskText(err.Error())
		}
		h.mu.Lock()
		c.running = nil
		h.mu.Unlock()
		close(run.done)
	})
}

// call turns a panic of the check into its error.
func (c *check) call(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = ferric.Errorf(ferric.CodeInternal, "the check crashed: %v", v)
		}
	}()
	return c.fn(ctx)
}

func await(ctx context.Context, c *check, run *checkRun) CheckResult {
	if run == nil {
		return CheckResult{Name: c.name, Reason: "shutting down"}
	}
	// A little longer than the check's own deadline, so that its own words are heard.
	timer := time.NewTimer(max(0, time.Until(run.begin.Add(c.timeout+c.timeout/4))))
	defer timer.Stop()
	select {
	case <-run.done:
		return run.result
	default:
	}
	reason := ""
	select {
	case <-run.done:
		return run.result
	case <-ctx.Done():
		reason = "not awaited: " + ctx.Err().Error()
	case <-timer.C:
		reason = fmt.Sprintf("no answer within %s", c.timeout)
	}
	return CheckResult{Name: c.name, Reason: reason, Duration: time.Since(run.begin)}
}

// Close cancels the checks under way and waits for them. Later runs report every check as unhealthy.
func (h *Health) Close() {
	h.mu.Lock()
	h.closed = true
	for _, c := range h.checks {
		if c.running != nil {
			c.running.cancel()
		}
	}
	h.mu.Unlock()
	h.wg.Wait()
}

// Handler serves /healthcheck as OpenStack's services do: 200 and "OK", or 503 and a line for each failed check; 204 or
// 503 without a body for HEAD. A client that accepts application/json gets the Report.
func (h *Health) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		report := h.Run(r.Context())
		status := http.StatusOK
		if !report.Healthy {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case r.Method == http.MethodHead:
			if report.Healthy {
				status = http.StatusNoContent
			}
			w.WriteHeader(status)
		case strings.Contains(r.Header.Get("Accept"), "application/json"):
			body, err := json.Marshal(report)
			if err != nil {
				http.Error(w, "500 internal error", http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
		default:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(report.text()))
		}
	})
}

// Alive serves /healthz: the process runs and answers. It says nothing of what the process depends on: to start it again would not help.
func Alive() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("OK")) // the client is gone if this fails
	})
}

func (r Report) text() string {
	if r.Healthy {
		return "OK"
	}
	var b strings.Builder
	for _, c := range r.Checks {
		if !c.Healthy {
			fmt.Fprintf(&b, "%s: %s\n", c.Name, c.Reason)
		}
	}
	return b.String()
}
