package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/api"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"
	"ferric/store"
)

// fakeConductor answers the API's calls over a real store. Its zero value serves every node; handle takes a call over.
type fakeConductor struct {
	store *store.Store

	mu     sync.Mutex
	calls  []rpc.Method
	handle map[rpc.Method]func(req any) (any, error)
}

// on makes the conductor answer a call with do.
func (f *fakeConductor) on(m rpc.Method, do func(req any) (any, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handle == nil {
		f.handle = map[rpc.Method]func(any) (any, error){}
	}
	f.handle[m] = do
}

func (f *fakeConductor) CallAny(ctx context.Context, m rpc.Method, req, resp any) error {
	return f.Call(ctx, nil, m, req, resp)
}

func (f *fakeConductor) Call(ctx context.Context, _ *ferric.Node, m rpc.Method, req, resp any) error {
	f.mu.Lock()
	f.calls = append(f.calls, m)
	do := f.handle[m]
	f.mu.Unlock()
	var out any
	var err error
	if do != nil {
		out, err = do(req)
	} else {
		out, err = f.answer(ctx, m, req)
	}
	if err != nil || resp == nil {
		return err
	}
	b, err := json.Marshal(out) // as over the bus
	if err != nil {
		return err
	}
	return json.Unmarshal(b, resp)
}

func (f *fakeConductor) answer(ctx context.Context, m rpc.Method, req any) (any, error) {
	switch m {
	case rpc.CreateNode:
		n := req.(rpc.NodeArgs).Node.Clone()
		if n.Driver != "fake-hardware" && n.Driver != "ipmi" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "driver: no hardware type %q is enabled here; enabled: fake-hardware, ipmi", n.Driver)
		}
		if n.Interfaces == nil {
			n.Interfaces = ferric.Interfaces{}
		}
		for _, kind := range ferric.InterfaceKinds() {
			if n.Interfaces[kind] == "" {
				n.Interfaces[kind] = "fake"
			}
		}
		return n, f.store.CreateNode(ctx, n)
	case rpc.UpdateNode:
		next := req.(rpc.NodeArgs).Node
		return f.store.ChangeNode(ctx, next.UUID, next.Version, func(n *ferric.Node) error {
			*n = *next.Clone()
			return nil
		})
	case rpc.DestroyNode:
		return nil, f.store.DeleteNode(ctx, req.(rpc.NodeRef).UUID, flow.Lease{})
	case rpc.UpdatePort:
		next := req.(rpc.PortArgs).Port
		return f.store.UpdatePort(ctx, next.UUID, next.Version, func(p *ferric.Port) error { *p = *next; return nil })
	case rpc.DestroyPort:
		return nil, f.store.DeletePort(ctx, req.(rpc.PartRef).UUID)
	case rpc.UpdatePortgroup:
		next := req.(rpc.PortgroupArgs).Portgroup
		return f.store.UpdatePortgroup(ctx, next.UUID, next.Version, func(g *ferric.Portgroup) error { *g = *next; return nil })
	case rpc.DestroyPortgroup:
		return nil, f.store.DeletePortgroup(ctx, req.(rpc.PartRef).UUID)
	case rpc.UpdateVolumeConnector:
		next := req.(rpc.VolumeConnectorArgs).Connector
		return f.store.UpdateVolumeConnector(ctx, next.UUID, next.Version, func(v *ferric.VolumeConnector) error { *v = *next; return nil })
	case rpc.DestroyVolumeConnector:
		return nil, f.store.DeleteVolumeConnector(ctx, req.(rpc.PartRef).UUID)
	case rpc.UpdateVolumeTarget:
		next := req.(rpc.VolumeTargetArgs).Target
		return f.store.UpdateVolumeTarget(ctx, next.UUID, next.Version, func(v *ferric.VolumeTarget) error { *v = *next; return nil })
	case rpc.DestroyVolumeTarget:
		return nil, f.store.DeleteVolumeTarget(ctx, req.(rpc.PartRef).UUID)
	case rpc.ValidateNode:
		return rpc.Validations{ferric.KindPower: {Result: true}, ferric.KindDeploy: {Reason: "no image_source"}}, nil
	case rpc.ChangePower:
		a := req.(rpc.PowerArgs)
		_, err := f.store.ForceNode(ctx, a.UUID, 0, func(n *ferric.Node) error {
			n.PowerState = a.Target
			if a.Target == ferric.Reboot || a.Target == ferric.SoftReboot {
				n.PowerState = ferric.PowerOn
			}
			return nil
		})
		return nil, err
	case rpc.Provision:
		return nil, f.provision(ctx, req.(rpc.ProvisionArgs))
	case rpc.BootDevice:
		persistent := true
		return rpc.BootDeviceReply{BootDevice: ferric.BootPXE, Persistent: &persistent}, nil
	case rpc.BootDevices:
		return []ferric.BootDevice{ferric.BootPXE, ferric.BootDisk}, nil
	case rpc.ListVIFs:
		return []rpc.VIF{{ID: "1974dcfa-836f-41b2-b541-686c100900e5"}}, nil
	case rpc.GetConsole:
		return map[string]string{"type": "socat", "url": "tcp://192.0.2.1:10000"}, nil
	case rpc.ListIndicators:
		return []rpc.Indicator{{Component: "system", Name: "led", States: []string{"blinking", "off", "on"}}}, nil
	case rpc.GetIndicator:
		return "on", nil
	case rpc.ListVirtualMedia:
		return []map[string]any{{"media_types": []string{"CD", "DVD"}, "inserted": true, "image": "http://192.0.2.2/boot.iso"}}, nil
	case rpc.VendorMethods, rpc.DriverVendorMethods:
		return map[string]rpc.VendorMethod{"send_raw": {Async: true, HTTPMethods: []string{"POST"}, Exclusive: true}}, nil
	case rpc.RAIDProperties:
		return map[string]string{"size_gb": "The size."}, nil
	case rpc.Lookup:
		return rpc.LookupReply{Token: strings.Repeat("t", 43), HeartbeatTimeout: 5 * time.Minute}, nil
	case rpc.CreateAllocation:
		a := req.(rpc.AllocationArgs).Allocation.Clone()
		a.Conductor = "host-1"
		if a.NodeUUID == "" {
			return a, f.store.CreateAllocation(ctx, a)
		}
		lease, err := f.store.Acquire(ctx, a.NodeUUID, "host-1", time.Minute)
		if err != nil {
			return nil, err
		}
		err = f.store.AllocateNode(ctx, lease, a, func(*ferric.Node) error { return nil })
		return a, errors.Join(err, f.store.Release(ctx, lease))
	case rpc.DestroyAllocation:
		a, err := f.store.Allocation(ctx, req.(rpc.AllocationRef).UUID)
		if err != nil || a.NodeUUID == "" {
			return nil, errors.Join(err, f.store.DeleteAllocation(ctx, req.(rpc.AllocationRef).UUID))
		}
		_, err = f.store.ForceNode(ctx, a.NodeUUID, 0, func(n *ferric.Node) error { n.InstanceID = ""; return nil })
		return nil, err
	case rpc.Drivers:
		return []rpc.Driver{{Name: "fake-hardware", Enabled: map[ferric.InterfaceKind][]string{ferric.KindPower: {"fake"}},
			Default: map[ferric.InterfaceKind]string{ferric.KindPower: "fake"}, Properties: map[string]string{"x": "An x."}}}, nil
	}
	return nil, nil
}

// provision ends a verb at once, where it ends when all goes well.
func (f *fakeConductor) provision(ctx context.Context, a rpc.ProvisionArgs) error {
	event, _ := state.EventFor(a.Target)
	machine := state.New()
	_, err := f.store.ForceNode(ctx, a.UUID, 0, func(n *ferric.Node) error {
		if err := machine.Apply(n, event, ""); err != nil {
			return err
		}
		for !state.Stable(n.ProvisionState) {
			next := state.Done
			if n.ProvisionState == ferric.Deleting {
				next = state.Clean
			}
			if err := machine.Apply(n, next, ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.store.AddHistory(ctx, &ferric.HistoryEntry{NodeUUID: a.UUID, Conductor: "host-1", Event: "did " + a.Target,
		EventType: ferric.EventProvisioning, Severity: ferric.SeverityInfo, Duration: 1500 * time.Millisecond, State: ferric.Active})
}

// clock is the store's time in all tests.
var clock = time.Date(2026, 11, 22, 10, 11, 12, 345678000, time.UTC)

// fixture is a served API over SQLite.
type fixture struct {
	t         testing.TB
	store     *store.Store
	conductor *fakeConductor
	api       *api.API
	server    *httptest.Server
	version   string // microversion of requests that name none
}

// diagnose is a doctor that says what it was asked.
func diagnose(_ context.Context, nodes []string, hardware bool) (*ferric.Diagnosis, error) {
	d := &ferric.Diagnosis{Nodes: 1, Unseen: []string{"host-2: 3 machines"}, Findings: []ferric.Finding{{Code: "conductor-dead", Severity: ferric.FindingError,
		Conductor: "host-2", Since: clock, What: "the conductor host-2 is not alive", Why: "it did not stop in order", Do: "start it"}}}
	if len(nodes) > 0 && hardware {
		d.Findings = append(d.Findings, ferric.Finding{Code: "power-differs", Severity: ferric.FindingWarning, Node: nodes[0], NodeName: "metal-1",
			What: "the machine is on", Why: "somebody switched it", Do: "nothing"})
	}
	return d, nil
}

// administrator is who the conductor hears of when a fixture asks: everybody is an administrator there.
func administrator() rpc.Caller { return rpc.Caller{AllImages: true} }

func newFixture(t testing.TB, change ...func(*api.Config, *api.Deps)) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	cfg := store.Defaults()
	cfg.DataDir = t.TempDir()
	cfg.Now = func() time.Time { return clock }
	s, err := store.Open(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixture{t: t, store: s, conductor: &fakeConductor{store: s}, version: "1.115"}
	err = s.Announce(t.Context(), ferric.Conductor{Host: "host-1", HardwareTypes: []string{"fake-hardware", "ipmi"}, BootID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	config, deps := api.Defaults(), api.Deps{Store: s, Conductors: f.conductor, Log: log,
		Now: func() time.Time { return clock.Add(90 * time.Second) }, Owner: func(context.Context, *ferric.Node) string { return "host-1" }, Doctor: diagnose}
	for _, c := range change {
		c(&config, &deps)
	}
	if f.api, err = api.New(config, deps); err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewServer(f.api)
	t.Cleanup(f.server.Close)
	return f
}

// with is the fixture for a subtest.
func (f *fixture) with(t testing.TB) *fixture {
	c := *f
	c.t = t
	return &c
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// object is the body as a JSON object.
func (r reply) object(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("body %q: %v", r.body, err)
	}
	return m
}

// fault is the inner object of an error.
func (r reply) fault(t testing.TB) map[string]any {
	t.Helper()
	s, ok := r.object(t)["error_message"].(string)
	if !ok {
		t.Fatalf("no error_message in %q", r.body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("error_message %q: %v", s, err)
	}
	return m
}

// text is an error's text.
func (r reply) text(t testing.TB) string {
	t.Helper()
	m := r.fault(t)
	if s, ok := m["faultstring"].(string); ok {
		return s
	}
	s, _ := m["description"].(string)
	return s
}

// do sends a request. path is "/v1/…", "1.33 /v1/…" for another version, or "- /v1/…" for none. A string body goes as it is.
func (f *fixture) do(method, path string, body any, header ...string) reply {
	f.t.Helper()
	version := f.version
	if v, p, ok := strings.Cut(path, " "); ok {
		version, path = v, p
	}
	var data []byte
	switch b := body.(type) {
	case nil:
	case string:
		data = []byte(b)
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			f.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+path, bytes.NewReader(data))
	if err != nil {
		f.t.Fatal(err)
	}
	if version != "-" {
		req.Header.Set("X-OpenStack-Ironic-API-Version", version)
	}
	if data != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := f.server.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, read}
}

// must is do for a request that has to succeed with the status.
func (f *fixture) must(status int, method, path string, body any, header ...string) reply {
	f.t.Helper()
	r := f.do(method, path, body, header...)
	if r.status != status {
		f.t.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.body)
	}
	return r
}

type m = map[string]any

// node makes a node and returns its UUID.
func (f *fixture) node(fields m) string {
	f.t.Helper()
	body := m{"driver": "fake-hardware"}
	for k, v := range fields {
		body[k] = v
	}
	return f.must(201, "POST", "/v1/nodes", body).object(f.t)["uuid"].(string)
}

// forget removes a node.
func (f *fixture) forget(uuid string) {
	f.t.Helper()
	if err := f.store.DeleteNode(f.t.Context(), uuid, flow.Lease{}); err != nil {
		f.t.Error(err)
	}
}

// change changes a stored node behind the API's back.
func (f *fixture) change(uuid string, do func(*ferric.Node)) {
	f.t.Helper()
	_, err := f.store.ForceNode(f.t.Context(), uuid, 0, func(n *ferric.Node) error { do(n); return nil })
	if err != nil {
		f.t.Fatal(err)
	}
}
