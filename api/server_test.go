package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/api"
	"ferric/rpc"
)

func TestBodyLimits(t *testing.T) {
	f := newFixture(t, func(c *api.Config, _ *api.Deps) {
		c.MaxBody, c.MaxBodyProvision, c.MaxBodyInspection = 1000, 4000, 2000
	})
	f.node(m{"name": "one"})
	big := func(n int) string { return `{"x": "` + strings.Repeat("a", n) + `"}` }
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"small enough":          {"POST", "/v1/nodes", big(900), 400},
		"too large":             {"POST", "/v1/nodes", big(1000), 413},
		"provision, small":      {"PUT", "/v1/nodes/one/states/provision", big(3000), 400},
		"provision, too large":  {"PUT", "/v1/nodes/one/states/provision", big(4000), 413},
		"inspection, small":     {"POST", "/v1/continue_inspection", big(1500), 400},
		"inspection, too large": {"POST", "/v1/continue_inspection", big(2000), 413},
		"25 deep":               {"POST", "/v1/nodes", strings.Repeat("[", 25) + strings.Repeat("]", 25), 400},
		"brackets in a string":  {"POST", "/v1/nodes", `{"driver": "` + strings.Repeat("[", 100) + `\""}`, 400},
	} {
		t.Run(name, func(t *testing.T) { f.with(t).must(c.status, c.method, c.path, c.body) })
	}
	r := f.must(400, "POST", "/v1/nodes", strings.Repeat("[", 26)+strings.Repeat("]", 26))
	if got := r.object(t)["faultstring"]; got != "Request body JSON is nested too deeply. Please contact the service administrator." {
		t.Errorf("%s", r.body)
	}
	r = f.must(413, "POST", "/v1/nodes", big(1000))
	if got := r.object(t)["faultstring"]; got != "Request body is too large. Please contact the service administrator." {
		t.Errorf("%s", r.body)
	}
}

// TestCodes: what the conductor's errors become.
func TestCodes(t *testing.T) {
	f := newFixture(t)
	f.node(m{"name": "one"})
	for code, want := range map[ferric.Code]int{
		ferric.CodeInvalid: 400, ferric.CodeUnsupported: 400, ferric.CodeCorrupt: 400, ferric.CodeForbidden: 403, ferric.CodeNotFound: 404,
		ferric.CodeConflict: 409, ferric.CodeLocked: 409, ferric.CodeStale: 409, ferric.CodeBusy: 503, ferric.CodeUnavailable: 503,
		ferric.CodeTimeout: 504, ferric.CodeNoSpace: 503, ferric.CodeInternal: 500, "of a newer version": 500,
	} {
		t.Run(string(code), func(t *testing.T) {
			f := f.with(t)
			f.conductor.on(rpc.SetBootDevice, func(any) (any, error) { return nil, ferric.Errorf(code, "it went wrong") })
			r := f.must(want, "PUT", "/v1/nodes/one/management/boot_device", m{"boot_device": "pxe"})
			fault := "Client"
			if want >= 500 {
				fault = "Server"
			}
			if e := r.fault(t); e["faultstring"] != "it went wrong" || e["faultcode"] != fault {
				t.Errorf("error %v", e)
			}
			again := code == ferric.CodeLocked || code == ferric.CodeBusy || code == ferric.CodeUnavailable || code == ferric.CodeNoSpace
			if (r.header.Get("Retry-After") != "") != again {
				t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
			}
		})
	}
	// An error that is not Ferric's own may hold anything, so its text is not shown.
	f.conductor.on(rpc.SetBootDevice, func(any) (any, error) { return nil, errors.New("password=pw") })
	r := f.must(500, "PUT", "/v1/nodes/one/management/boot_device", m{"boot_device": "pxe"})
	if text := r.text(t); strings.Contains(text, "pw") || !strings.Contains(text, r.header.Get("Openstack-Request-Id")) {
		t.Errorf("text %q", text)
	}
}

// TestBusyIsNoError: that there is more to do than can be done at once is a warning in the log, and what fails is an error.
func TestBusyIsNoError(t *testing.T) {
	for code, want := range map[ferric.Code]string{ferric.CodeBusy: "level=WARN", ferric.CodeUnavailable: "level=ERROR", ferric.CodeInternal: "level=ERROR"} {
		t.Run(string(code), func(t *testing.T) {
			var log bytes.Buffer
			f := newFixture(t, func(_ *api.Config, d *api.Deps) { d.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			f.node(m{"name": "one"})
			f.conductor.on(rpc.SetBootDevice, func(any) (any, error) { return nil, ferric.Errorf(code, "it went wrong") })
			f.do("PUT", "/v1/nodes/one/management/boot_device", m{"boot_device": "pxe"})
			f.server.Close() // the last line of the request is in the log then
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, "it went wrong") {
					if !strings.Contains(line, want) {
						t.Errorf("%s, want %s", line, want)
					}
					return
				}
			}
			t.Errorf("no word of it: %s", log.String())
		})
	}
}

func TestPanic(t *testing.T) {
	f := newFixture(t)
	f.node(m{"name": "one"})
	f.conductor.on(rpc.ValidateNode, func(any) (any, error) { panic("password=pw") })
	r := f.must(500, "GET", "/v1/nodes/one/validate", nil)
	if text := r.text(t); strings.Contains(text, "pw") || !strings.Contains(text, r.header.Get("Openstack-Request-Id")) {
		t.Errorf("text %q", text)
	}
	f.must(200, "GET", "/v1/nodes/one", nil)
}

func TestTimeout(t *testing.T) {
	f := newFixture(t)
	n := &ferric.Node{UUID: nodeID, Driver: "ipmi"}
	if err := f.store.CreateNode(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	deps := api.Deps{Store: f.store, Conductors: blockingConductor{}, Log: slog.New(slog.DiscardHandler)}
	config := api.Defaults()
	config.RequestTimeout = 300 * time.Millisecond
	a, err := api.New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewServer(a)
	t.Cleanup(f.server.Close)
	f.must(504, "GET", "/v1/nodes/"+nodeID+"/validate", nil)
}

// blockingConductor answers when its caller gives up.
type blockingConductor struct{}

func (blockingConductor) Call(ctx context.Context, _ *ferric.Node, _ rpc.Method, _, _ any) error {
	<-ctx.Done()
	return ferric.Errorf(ferric.CodeTimeout, "call: %w", ctx.Err())
}

func (b blockingConductor) CallAny(ctx context.Context, m rpc.Method, req, resp any) error {
	return b.Call(ctx, nil, m, req, resp)
}

func TestMountsAndObserver(t *testing.T) {
	type seen struct {
		method, route string
		status        int
	}
	var got []seen
	f := newFixture(t, func(_ *api.Config, d *api.Deps) {
		d.Observe = func(method, route string, status int, _ time.Duration) {
			got = append(got, seen{method, route, status})
		}
		d.Health = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
	})
	f.must(200, "GET", "- /healthcheck", nil)
	f.must(404, "GET", "- /metrics", nil)
	for _, c := range [][2]string{{"1.115", "/v1/nodes/nobody"}, {"1.115", "/v1/nope"}, {"1.999", "/v1/nodes"}} {
		// Called directly: the observer is told after the answer was sent.
		req := httptest.NewRequest("GET", c[1], nil)
		req.Header.Set("X-OpenStack-Ironic-API-Version", c[0])
		f.api.ServeHTTP(httptest.NewRecorder(), req)
	}
	want := []seen{{"GET", "/v1/nodes/{node}", 404}, {"GET", "none", 404}, {"GET", "none", 406}}
	if len(got) != len(want) {
		t.Fatalf("seen %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("seen %v, want %v", got[i], want[i])
		}
	}
}

func TestPublicEndpoint(t *testing.T) {
	f := newFixture(t, func(c *api.Config, _ *api.Deps) { c.PublicEndpoint = "https://metal.example.org/baremetal/" })
	r := f.must(201, "POST", "/v1/nodes", m{"driver": "ipmi"})
	const base = "https://metal.example.org/baremetal/v1/nodes/"
	if where := r.header.Get("Location"); !strings.HasPrefix(where, base) {
		t.Errorf("Location %q", where)
	}
	link := r.object(t)["links"].([]any)[0].(m)["href"].(string)
	if !strings.HasPrefix(link, base) {
		t.Errorf("link %q", link)
	}
}

// TestNoConductor: without one, reads work, drivers are none, and a create says what is missing.
func TestNoConductor(t *testing.T) {
	f := newFixture(t)
	id := f.node(nil)
	down := func(any) (any, error) { return nil, ferric.Errorf(ferric.CodeUnavailable, "no conductor serves it") }
	for _, call := range []rpc.Method{rpc.CreateNode, rpc.UpdateNode, rpc.Drivers, rpc.Provision} {
		f.conductor.on(call, down)
	}
	f.must(200, "GET", "/v1/nodes/"+id, nil)
	f.must(503, "PUT", "/v1/nodes/"+id+"/states/provision", m{"target": "manage"})
	f.must(202, "PUT", "/v1/nodes/"+id+"/maintenance", m{"reason": "it burns"})
	r := f.must(400, "POST", "/v1/nodes", m{"driver": "redfish"})
	if !strings.Contains(r.text(t), "No conductor service registered which supports driver redfish") {
		t.Errorf("%s", r.body)
	}
	f.must(503, "POST", "/v1/nodes", m{"driver": "ipmi"}) // there is a conductor for it, which cannot be reached
	if err := f.store.Retire(t.Context(), "host-1"); err != nil {
		t.Fatal(err)
	}
	f.must(503, "POST", "/v1/nodes", m{"driver": "redfish"})
	if got := string(f.must(200, "GET", "/v1/drivers", nil).body); got != `{"drivers":[]}` {
		t.Errorf("drivers %s", got)
	}
}

func TestConductorsAndDrivers(t *testing.T) {
	f := newFixture(t)
	for _, c := range []ferric.Conductor{{Host: "a-1", Group: "z", HardwareTypes: []string{"ipmi"}}, {Host: "b-2", Group: "y"}} {
		if err := f.store.Announce(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.store.Retire(t.Context(), "b-2"); err != nil {
		t.Fatal(err)
	}
	hosts := func(query string) string {
		var out []string
		for _, c := range f.must(200, "GET", "/v1/conductors?"+query, nil).object(t)["conductors"].([]any) {
			out = append(out, c.(m)["hostname"].(string))
		}
		return strings.Join(out, " ")
	}
	for query, want := range map[string]string{
		"sort_key=hostname": "a-1 b-2 host-1", "sort_key=hostname&sort_dir=desc": "host-1 b-2 a-1", "sort_key=conductor_group": "host-1 b-2 a-1",
		"sort_key=hostname&limit=2": "a-1 b-2", "sort_key=hostname&marker=b-2": "host-1", "fields=hostname,alive&sort_key=hostname&marker=a-1": "b-2 host-1",
	} {
		if got := hosts(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	next, _ := f.must(200, "GET", "/v1/conductors?limit=1&sort_key=hostname", nil).object(t)["next"].(string)
	if !strings.HasSuffix(next, "limit=1&marker=a-1") {
		t.Errorf("next %q", next)
	}
	f.must(400, "GET", "/v1/conductors?sort_key=alive", nil)
	f.must(400, "GET", "/v1/conductors?fields=nope", nil)
	f.must(400, "GET", "/v1/conductors?fields=alive&detail=true", nil)
	f.must(404, "GET", "/v1/conductors?marker=nobody", nil)
	one := f.must(200, "GET", "/v1/conductors/b-2?fields=alive", nil).object(t)
	if len(one) != 2 || one["alive"] != false {
		t.Errorf("conductor %v", one)
	}

	driver := f.must(200, "GET", "/v1/drivers/ipmi?fields=hosts,name", nil).object(t)
	if len(driver) != 3 || len(driver["hosts"].([]any)) != 2 {
		t.Errorf("driver %v", driver)
	}
	f.must(400, "GET", "/v1/drivers/ipmi?fields=nope", nil)
	f.must(406, "GET", "1.76 /v1/drivers/ipmi?fields=name", nil)
	f.must(400, "GET", "/v1/drivers?fields=name&detail=true", nil)
	if props := f.must(200, "GET", "/v1/drivers/ipmi/properties", nil); string(props.body) != "{}" {
		t.Errorf("properties %s", props.body)
	}
}
