package callback_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferric"
	"ferric/agent/callback"
	"ferric/agent/command"
	"ferric/agentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const node = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"

// api is a bare metal API of a chosen age over real HTTPS.
type api struct {
	*httptest.Server
	t       *testing.T
	version string
	handle  http.HandlerFunc

	mu   sync.Mutex
	seen []string // "METHOD path version"
}

func start(t *testing.T, version string, h http.HandlerFunc) *api {
	a := &api{t: t, version: version, handle: h}
	a.Server = httptest.NewTLSServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.seen = append(a.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get(agentapi.VersionHeader))
	a.mu.Unlock()
	if r.URL.Path == "/" {
		fmt.Fprintf(w, `{"default_version": {"id": "v1", "version": %q}}`, a.version)
		return
	}
	a.handle(w, r)
}

func (a *api) requests() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.seen, "\n")
}

func (a *api) client(t *testing.T, more ...string) *callback.Client {
	t.Helper()
	c, err := callback.NewClient(callback.Options{
		URLs: append(more, a.URL), Log: slog.New(slog.DiscardHandler),
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return c
}

func TestLookupRetriesUntilKnown(t *testing.T) {
	var tries atomic.Int32
	a := start(t, "1.82", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("addresses"); got != "52:54:00:00:00:01,52:54:00:00:00:02" {
			t.Errorf("addresses %q", got)
		}
		switch tries.Add(1) {
		case 1:
			w.WriteHeader(404)
			io.WriteString(w, `{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"no such node\"}"}`)
		case 2:
			w.WriteHeader(409)
		case 3:
			w.WriteHeader(503)
		case 4:
			io.WriteString(w, `{"node": {}}`)
		case 5:
			io.WriteString(w, `hello`)
		default:
			fmt.Fprintf(w, `{"node": {"uuid": %q, "properties": {"root_device": {"size": 5}}}, "config": {"heartbeat_timeout": 300, "agent_token": "secret", "ferric": {}}}`, node)
		}
	})
	res, err := a.client(t).LookupLoop(ctx(t), func() []string { return []string{"52:54:00:00:00:01", "52:54:00:00:00:02"} }, "", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if res.Node.UUID != node || res.Config.AgentToken != "secret" || res.Config.HeartbeatTimeout != 300 || res.Config.Ferric == nil {
		t.Errorf("%+v", res)
	}
	if got := tries.Load(); got != 6 {
		t.Errorf("%d tries", got)
	}
	if !strings.HasPrefix(a.requests(), "GET / \nGET /v1/lookup 1.62\nGET /v1/lookup 1.62") {
		t.Errorf("requests:\n%s", a.requests())
	}
}

func TestLookupEndsWithContext(t *testing.T) {
	a := start(t, "1.82", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) })
	c, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.client(t).LookupLoop(c, func() []string { return nil }, "", time.Millisecond); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestNextURL(t *testing.T) {
	a := start(t, "1.82", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"node": {"uuid": %q}}`, node) })
	dead := httptest.NewServer(nil)
	dead.Close()
	c := a.client(t, dead.URL, "")
	if _, err := c.Lookup(ctx(t), nil, node); err != nil {
		t.Fatal(err)
	}
	if c.URL() != a.URL {
		t.Errorf("first URL is %s, want the one that answered", c.URL())
	}
}

func TestHeartbeatByServerVersion(t *testing.T) {
	full := agentapi.Heartbeat{CallbackURL: "https://192.0.2.7:9999", AgentToken: "tok", AgentVersion: "1", AgentVerifyCA: "PEM"}
	tests := map[string]struct{ version, header, body string }{
		"new":        {"1.115", "1.68", `{"callback_url":"https://192.0.2.7:9999","agent_token":"tok","agent_version":"1","agent_verify_ca":"PEM"}`},
		"no TLS":     {"1.67", "1.67", `{"callback_url":"https://192.0.2.7:9999","agent_token":"tok","agent_version":"1"}`},
		"no token":   {"1.40", "1.40", `{"callback_url":"https://192.0.2.7:9999","agent_version":"1"}`},
		"oldest":     {"1.31", "1.31", `{"callback_url":"https://192.0.2.7:9999"}`},
		"next major": {"2.0", "1.68", `{"callback_url":"https://192.0.2.7:9999","agent_token":"tok","agent_version":"1","agent_verify_ca":"PEM"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a := start(t, tt.version, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if string(b) != tt.body || r.Header.Get(agentapi.VersionHeader) != tt.header {
					t.Errorf("%s %s, want %s %s", r.Header.Get(agentapi.VersionHeader), b, tt.header, tt.body)
				}
				w.WriteHeader(202)
			})
			if err := a.client(t).Heartbeat(ctx(t), node, full); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHeartbeatSurvivesTheConductor kills the API and starts it again on the same port, as a conductor's kill -9 does.
func TestHeartbeatSurvivesTheConductor(t *testing.T) {
	var beats atomic.Int32
	beat := make(chan struct{}, 100)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			io.WriteString(w, `{"default_version": {"version": "1.82"}}`)
			return
		}
		if n := beats.Add(1); n%3 == 2 {
			w.WriteHeader(409)
		} else {
			w.WriteHeader(202)
		}
		beat <- struct{}{}
	})
	srv := httptest.NewServer(handler)
	c, err := callback.NewClient(callback.Options{URLs: []string{srv.URL}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := callback.NewHeartbeat(callback.Heartbeat{Client: c, Node: node, Timeout: 20 * time.Millisecond, Retry: time.Millisecond, MinGap: time.Millisecond,
		Body: func() agentapi.Heartbeat { return agentapi.Heartbeat{CallbackURL: "http://x"} }})
	run, cancel := context.WithCancel(ctx(t))
	ended := make(chan struct{})
	go func() { h.Run(run); close(ended) }()
	wait := func(n int) {
		t.Helper()
		for range n {
			select {
			case <-beat:
			case <-time.After(time.Minute):
				t.Fatal("no heartbeat")
			}
		}
	}
	wait(5)
	addr := srv.Listener.Addr().String()
	srv.Close()
	time.Sleep(50 * time.Millisecond) // a few heartbeats fail meanwhile
	again := httptest.NewUnstartedServer(handler)
	again.Listener.Close()
	for again.Listener, err = net.Listen("tcp", addr); err != nil; again.Listener, err = net.Listen("tcp", addr) {
		time.Sleep(10 * time.Millisecond)
	}
	again.Start()
	wait(5)
	cancel()
	<-ended
	again.Close()
}

func TestForcedHeartbeat(t *testing.T) {
	beat := make(chan struct{}, 10)
	a := start(t, "1.82", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202); beat <- struct{}{} })
	h := callback.NewHeartbeat(callback.Heartbeat{Client: a.client(t), Node: node, Timeout: time.Hour, MinGap: time.Millisecond,
		Body: func() agentapi.Heartbeat { return agentapi.Heartbeat{} }})
	run, cancel := context.WithCancel(ctx(t))
	ended := make(chan struct{})
	go func() { h.Run(run); close(ended) }()
	<-beat
	h.Force()
	h.Force()
	select {
	case <-beat:
	case <-time.After(time.Minute):
		t.Error("no heartbeat although one was forced")
	}
	cancel()
	<-ended
}

func TestInspection(t *testing.T) {
	data := agentapi.InspectionData{
		Inventory:  agentapi.Inventory{Interfaces: []agentapi.Interface{{Name: "eth0", MACAddress: "52:54:00:00:00:01"}}},
		PluginData: map[string]json.RawMessage{"error": json.RawMessage("null")},
	}
	tests := map[string]struct {
		answers []string // status, or status and body
		uuid    string
		code    ferric.Code
		tries   int
	}{
		"old answer":  {[]string{`202 {"uuid": "u1"}`}, "u1", "", 1},
		"new answer":  {[]string{`202 {"node": {"uuid": "u2"}, "config": {"heartbeat_timeout": 60}}`}, "u2", "", 1},
		"locked once": {[]string{`409`, `202 {"uuid": "u1"}`}, "u1", "", 2},
		"in trouble":  {[]string{`500`, `503`, `202 {"uuid": "u1"}`}, "u1", "", 3},
		"always":      {[]string{`500`, `500`, `500`}, "", ferric.CodeUnavailable, 3},
		"unknown":     {[]string{`404`}, "", ferric.CodeNotFound, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			a := start(t, "1.115", func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if !bytes.Contains(b, []byte(`"error":null`)) || !bytes.Contains(b, []byte(`"inventory":{`)) {
					t.Errorf("body %s", b)
				}
				status, body, _ := strings.Cut(tt.answers[n.Add(1)-1], " ")
				var code int
				fmt.Sscan(status, &code)
				w.WriteHeader(code)
				io.WriteString(w, body)
			})
			res, err := a.client(t).InspectionLoop(ctx(t), []string{a.URL + "/v1/continue_inspection"}, data, 3, time.Millisecond)
			uuid := res.NodeUUID()
			if uuid != tt.uuid || ferric.ErrorCode(err) != tt.code || int(n.Load()) != tt.tries {
				t.Errorf("%q %v after %d tries; want %q %q after %d", uuid, err, n.Load(), tt.uuid, tt.code, tt.tries)
			}
		})
	}
}

func TestClock(t *testing.T) {
	a := start(t, "1.82", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(202) })
	var got time.Time
	c, err := callback.NewClient(callback.Options{URLs: []string{a.URL}, Log: slog.New(slog.DiscardHandler), Insecure: true, OnDate: func(d time.Time) { got = d }})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Heartbeat(ctx(t), node, agentapi.Heartbeat{}); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(got); d < -time.Minute || d > time.Minute {
		t.Errorf("date %v", got)
	}
}

// TestClockOfExpiredServer has a server whose certificate looks expired because our clock is wrong: its time is taken, and
// nothing else.
func TestClockOfExpiredServer(t *testing.T) {
	cert, pem, err := command.NewCertificate(net.IPv4(127, 0, 0, 1), time.Now().Add(-200*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]bool{"clock is wrong": true, "clock is right": false} {
		t.Run(name, func(t *testing.T) {
			var posts atomic.Int32
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					posts.Add(1)
				}
				w.WriteHeader(202)
			}))
			srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			srv.StartTLS()
			defer srv.Close()
			var dates atomic.Int32
			c, err := callback.NewClient(callback.Options{URLs: []string{srv.URL}, CA: pem, Log: slog.New(slog.DiscardHandler),
				OnDate: func(time.Time) { dates.Add(1) }, ClockIsWrong: func() bool { return wrong }})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Heartbeat(ctx(t), node, agentapi.Heartbeat{}); !ferric.IsCode(err, ferric.CodeUnavailable) {
				t.Errorf("got %v", err)
			}
			if posts.Load() != 0 || (dates.Load() > 0) != wrong {
				t.Errorf("%d posts, %d dates", posts.Load(), dates.Load())
			}
		})
	}
}

func TestBadURL(t *testing.T) {
	for _, u := range []string{"mdns", "ftp://x", "http://"} {
		if _, err := callback.NewClient(callback.Options{URLs: []string{u}}); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%s: %v", u, err)
		}
	}
	c, err := callback.NewClient(callback.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lookup(ctx(t), nil, ""); !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "ipa-api-url") {
		t.Errorf("without a URL: %v", err)
	}
}

func FuzzLookupAnswer(f *testing.F) {
	f.Add(200, []byte(`{"node": {"uuid": "u"}, "config": {"heartbeat_timeout": 5}}`))
	f.Add(400, []byte(`{"error_message": "{\"faultstring\": \"x\"}"}`))
	f.Add(400, []byte(`{"error_message": {"title": "x"}}`))
	f.Add(500, []byte(`<html>`))
	var status int
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status); w.Write(body) }))
	f.Cleanup(srv.Close)
	c, err := callback.NewClient(callback.Options{URLs: []string{srv.URL}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s int, b []byte) {
		status, body = 200+(s%400+400)%400, b
		if status == 204 || status == 304 {
			return
		}
		res, err := c.Lookup(context.Background(), []string{"x"}, "")
		if err == nil && res.Node.UUID == "" {
			t.Fatal("a node without UUID")
		}
	})
}
