package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// side is one of the two servers.
type side struct {
	name   string // "Ironic" or "Ferric"
	url    string // without a slash at the end
	client *http.Client
}

func newSide(name, url string) *side {
	return &side{name: name, url: strings.TrimSuffix(url, "/"), client: &http.Client{
		Timeout:       60 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// request is one request of a conversation.
type request struct {
	method  string
	path    string // with the query, as it goes on the wire
	version int    // minor number of the microversion; 0: no header
	body    []byte // nil: none
	header  map[string]string
}

func (r request) String() string {
	s := r.method
	if r.version > 0 {
		s += " 1." + strconv.Itoa(r.version)
	}
	s += " " + r.path
	if r.body != nil {
		s += " " + short(string(r.body), 160)
	}
	for k, v := range r.header {
		s += fmt.Sprintf(" [%s: %s]", k, v)
	}
	return s
}

// short cuts a long text in the middle.
func short(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return s[:max/2] + "…" + s[len(s)-max/2:]
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // the request did not get an answer
}

// object is the body as a JSON object, nil if it is none.
func (a answer) object() map[string]any {
	var m map[string]any
	_ = json.Unmarshal(a.body, &m) // a body that is no object has no members
	return m
}

// do sends a request and reads the answer.
func (s *side) do(ctx context.Context, r request) answer {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, s.url+r.path, body)
	if err != nil {
		return answer{err: err}
	}
	if r.version > 0 {
		req.Header.Set("X-OpenStack-Ironic-API-Version", "1."+strconv.Itoa(r.version))
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: data, err: err}
}

// insist sends a request again while something of the server's own, such as a look at all nodes' power, holds the node.
func (s *side) insist(ctx context.Context, r request) answer {
	for try := 1; ; try++ {
		a := s.do(ctx, r)
		if a.status != http.StatusConflict || !bytes.Contains(a.body, []byte("is locked by host")) || try == 5 {
			return a
		}
	}
}

// newest is the microversion that conversations use unless they say another: the newest of Debian's Ironic.
const newest = 82

// ask sends a request that is not compared.
func (s *side) ask(ctx context.Context, method, path string, body any) answer {
	r := request{method: method, path: path, version: newest}
	if body != nil {
		r.body = mustJSON(body)
	}
	return s.do(ctx, r)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values written in this package come here
	}
	return b
}

// rest waits until nothing goes on with a node. It gives up after a while: what the node looks like then is compared.
func (s *side) rest(ctx context.Context, node string) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		a := s.ask(ctx, "GET", "/v1/nodes/"+node+"?fields=reservation,provision_state,target_power_state", nil)
		if a.status != http.StatusOK {
			return
		}
		m := a.object()
		if m["reservation"] == nil && m["target_power_state"] == nil && !moving(m["provision_state"]) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(40 * time.Millisecond):
		}
	}
}

// moving reports whether a provision state is one that a node leaves by itself. Those in which it waits for an agent are not.
func moving(state any) bool {
	switch state {
	case "verifying", "deploying", "deleting", "cleaning", "inspecting", "adopting", "rescuing", "unrescuing", "servicing":
		return true
	}
	return false
}

// clear deletes everything that conversations may have left.
func (s *side) clear(ctx context.Context) error {
	for _, c := range []string{"allocations", "nodes", "chassis", "deploy_templates"} { // ports, port groups and volumes go with their nodes
		a := s.ask(ctx, "GET", "/v1/"+c, nil)
		if a.err != nil {
			return fmt.Errorf("%s: list %s: %w", s.name, c, a.err)
		}
		for _, list := range a.object() {
			items, _ := list.([]any)
			for _, item := range items {
				m, _ := item.(map[string]any)
				id, _ := m["uuid"].(string)
				if id == "" {
					continue
				}
				if err := s.remove(ctx, c, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// remove deletes one object, whatever state it is in.
func (s *side) remove(ctx context.Context, collection, id string) error {
	path := "/v1/" + collection + "/" + id
	var a answer
	for range 5 {
		if collection == "nodes" {
			s.rest(ctx, id)
		}
		if a = s.ask(ctx, "DELETE", path, nil); a.status < 300 || a.status == http.StatusNotFound {
			return nil
		}
		if collection == "nodes" {
			s.ask(ctx, "PATCH", path, []any{map[string]any{"op": "replace", "path": "/protected", "value": false}})
			s.ask(ctx, "PUT", path+"/maintenance", map[string]any{})
		}
	}
	return fmt.Errorf("%s: DELETE %s: %d %s %v", s.name, path, a.status, a.body, a.err)
}
