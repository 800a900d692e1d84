package obs_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ferric"
	"ferric/obs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func add(t *testing.T, h *obs.Health, name string, timeout time.Duration, fn func(context.Context) error) func() {
	t.Helper()
	remove, err := h.Add(name, timeout, fn)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

func good(context.Context) error { return nil }

// outcome is a report without durations.
func outcome(r obs.Report) map[string]string {
	m := map[string]string{}
	for _, c := range r.Checks {
		m[c.Name] = c.Reason
		if c.Healthy {
			m[c.Name] = "ok" + c.Reason
		}
	}
	return m
}

func TestHealth(t *testing.T) {
	var h obs.Health
	defer h.Close()
	if r := h.Run(t.Context()); !r.Healthy || len(r.Checks) != 0 {
		t.Errorf("without checks: %+v", r)
	}
	add(t, &h, "store", time.Minute, good)
	removeBus := add(t, &h, "bus", time.Minute, func(context.Context) error { return errors.New("dial nats://u:SECRET@h: refused") })
	removePanic := add(t, &h, "crash", time.Minute, func(context.Context) error { panic("why") })
	r := h.Run(t.Context())
	if diff := cmp.Diff(map[string]string{"store": "ok", "bus": "dial nats://u:******@h: refused", "crash": "the check crashed: why"}, outcome(r)); diff != "" {
		t.Error(diff)
	}
	if r.Healthy {
		t.Error("healthy")
	}
	removeBus()
	removePanic()
	if r := h.Run(t.Context()); !r.Healthy || len(r.Checks) != 1 {
		t.Errorf("after the removal: %+v", r)
	}
	for name, err := range map[string]error{
		"twice":      second(h.Add("store", time.Second, good)),
		"no name":    second(h.Add("", time.Second, good)),
		"no timeout": second(h.Add("x", 0, good)),
	} {
		if !ferric.IsCode(err, ferric.CodeInvalid) && !ferric.IsCode(err, ferric.CodeConflict) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestHealthDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h obs.Health
		var deaf, polite atomic.Int32
		release := make(chan struct{})
		add(t, &h, "deaf", 2*time.Second, func(context.Context) error { deaf.Add(1); <-release; return nil })
		add(t, &h, "polite", 4*time.Second, func(ctx context.Context) error { polite.Add(1); <-ctx.Done(); return ctx.Err() })
		begin := time.Now()
		got := outcome(h.Run(t.Context()))
		if d := time.Since(begin); d != 4*time.Second {
			t.Errorf("took %s: the checks must run at the same time", d)
		}
		want := map[string]string{"deaf": "no answer within 2s", "polite": "context deadline exceeded"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}

		// The deaf one is not started a second time while it runs, and does not hold up anybody.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want = map[string]string{"deaf": "no answer within 2s", "polite": "not awaited: context deadline exceeded"}
		if diff := cmp.Diff(want, outcome(h.Run(ctx))); diff != "" {
			t.Error(diff)
		}
		if deaf.Load() != 1 || polite.Load() != 2 {
			t.Errorf("started %d and %d times", deaf.Load(), polite.Load())
		}

		// Two who ask at the same time share one run.
		results := make(chan obs.Report, 2)
		for range 2 {
			go func() { results <- h.Run(context.Background()) }()
		}
		<-results
		<-results
		if polite.Load() != 2 {
			t.Errorf("started %d times", polite.Load())
		}
		close(release)
		h.Close()
		want = map[string]string{"deaf": "shutting down", "polite": "shutting down"}
		if diff := cmp.Diff(want, outcome(h.Run(context.Background()))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHealthHandler(t *testing.T) {
	var h obs.Health
	defer h.Close()
	add(t, &h, "store", time.Minute, good)
	get := func(method, accept string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, "/healthcheck", nil)
		r.Header.Set("Accept", accept)
		h.Handler().ServeHTTP(w, r)
		return w
	}
	if w := get("GET", ""); w.Code != http.StatusOK || w.Body.String() != "OK" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get("HEAD", ""); w.Code != http.StatusNoContent || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get("POST", ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("%d %q", w.Code, w.Header())
	}
	add(t, &h, "bus", time.Minute, func(context.Context) error { return errors.New("not connected") })
	if w := get("GET", "text/plain"); w.Code != http.StatusServiceUnavailable || w.Body.String() != "bus: not connected\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	if w := get("HEAD", ""); w.Code != http.StatusServiceUnavailable || w.Body.Len() != 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	w := get("GET", "application/json")
	var r obs.Report
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || r.Healthy || len(r.Checks) != 2 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if diff := cmp.Diff(map[string]string{"store": "ok", "bus": "not connected"}, outcome(r)); diff != "" {
		t.Error(diff)
	}
}
