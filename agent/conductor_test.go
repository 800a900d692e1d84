package agent_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric/agentapi"
)

const (
	nodeUUID = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"
	token    = "0123456789012345678901234567890123456789abc"
)

// conductor is a bare metal API over real HTTP(S) that knows one node.
type conductor struct {
	*httptest.Server
	t *testing.T

	mu         sync.Mutex
	node       map[string]any
	ferric     bool // says that it is Ferric's
	masked     bool // hands out no token
	lookups    []string
	beats      []agentapi.Heartbeat
	inspection []agentapi.InspectionData
	seen       map[string]time.Time // first request of each kind
	changed    chan struct{}
	gone       chan struct{} // closed when the machine has ended, nil without one
}

func newConductor(t *testing.T, start func(http.Handler) *httptest.Server) *conductor {
	c := &conductor{t: t, ferric: true, seen: map[string]time.Time{}, changed: make(chan struct{}),
		node: map[string]any{"uuid": nodeUUID, "properties": map[string]any{}, "instance_info": map[string]any{}, "driver_internal_info": map[string]any{}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"default_version": {"id": "v1", "version": "1.115"}}`)
	})
	mux.HandleFunc("GET /v1/lookup", c.lookup)
	mux.HandleFunc("POST /v1/heartbeat/{node}", c.heartbeat)
	mux.HandleFunc("POST /v1/continue_inspection", c.inspect)
	c.Server = start(mux)
	t.Cleanup(c.Close)
	return c
}

func (c *conductor) note(kind string) {
	if _, ok := c.seen[kind]; !ok {
		c.seen[kind] = time.Now()
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *conductor) lookup(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookups = append(c.lookups, r.URL.Query().Get("addresses"))
	c.note("lookup")
	config := map[string]any{"heartbeat_timeout": 3, "agent_token": token, "agent_token_required": true, "agent_md5_checksum_enable": false}
	if c.ferric {
		config["ferric"] = map[string]any{"version": "1"}
	}
	if c.masked {
		config["agent_token"] = "******"
	}
	json.NewEncoder(w).Encode(map[string]any{"node": c.node, "config": config})
}

func (c *conductor) heartbeat(w http.ResponseWriter, r *http.Request) {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	var hb agentapi.Heartbeat
	if err := dec.Decode(&hb); err != nil || r.PathValue("node") != nodeUUID || hb.AgentToken != token {
		c.t.Errorf("heartbeat of %s with %+v: %v", r.PathValue("node"), hb, err)
		w.WriteHeader(400)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beats = append(c.beats, hb)
	c.note("heartbeat")
	w.WriteHeader(202)
}

func (c *conductor) inspect(w http.ResponseWriter, r *http.Request) {
	var d agentapi.InspectionData
	if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
		c.t.Errorf("inspection data: %v", err)
		w.WriteHeader(400)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inspection = append(c.inspection, d)
	c.note("inspection")
	w.WriteHeader(202)
	fmt.Fprintf(w, `{"uuid": %q}`, nodeUUID)
}

// wait returns when the condition holds.
func (c *conductor) wait(limit time.Duration, what string, condition func() bool) {
	c.t.Helper()
	over := time.After(limit)
	for {
		c.mu.Lock()
		ok, changed, gone := condition(), c.changed, c.gone
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-gone:
			c.t.Fatalf("no %s: the machine has ended", what)
		case <-over:
			c.t.Fatalf("no %s within %v", what, limit)
		}
	}
}

// agent returns a client for the agent of the last heartbeat. address replaces host and port of its URL if it is not "".
func (c *conductor) agent(address string) *agentapi.Client {
	c.t.Helper()
	c.wait(5*time.Minute, "heartbeat", func() bool { return len(c.beats) > 0 })
	c.mu.Lock()
	hb := c.beats[len(c.beats)-1]
	c.mu.Unlock()
	url := hb.CallbackURL
	if address != "" {
		url = "https://" + address
	}
	if !strings.HasPrefix(hb.CallbackURL, "https://") {
		c.t.Errorf("callback URL %s", hb.CallbackURL)
	}
	cl, err := agentapi.NewClient(agentapi.ClientOptions{URL: url, Token: token, VerifyCA: hb.AgentVerifyCA, PollInterval: 20 * time.Millisecond})
	if err != nil {
		c.t.Fatal(err)
	}
	return cl
}
