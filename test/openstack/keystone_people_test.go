package openstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// people are users, projects and roles that a test makes in Keystone.
type people struct {
	c    *cloud
	role map[string]string // ids by name
}

func (c *cloud) people(t *testing.T) *people {
	t.Helper()
	p := &people{c, map[string]string{}}
	list, _ := p.must(t, "GET", "/roles", nil)["roles"].([]any)
	for _, r := range list {
		m := r.(map[string]any)
		p.role[m["name"].(string)] = m["id"].(string)
	}
	for _, name := range []string{"manager", "service"} {
		if p.role[name] == "" {
			// It stays: newer Keystones have it by themselves, and another run may be using it.
			p.role[name] = p.must(t, "POST", "/roles", map[string]any{"role": map[string]any{"name": name}})["role"].(map[string]any)["id"].(string)
		}
	}
	return p
}

// ask asks Keystone with a token; "" is the administrator's. The subject is the token that it is about.
func (p *people) ask(ctx context.Context, method, path, token, subject string, body any) (int, map[string]any, http.Header, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return 0, nil, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(p.c.AuthURL, "/")+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token == "" {
		token = p.c.provider.Token()
	}
	if token != "none" {
		req.Header.Set("X-Auth-Token", token)
	}
	if subject != "" {
		req.Header.Set("X-Subject-Token", subject)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	var answer map[string]any
	if len(raw) > 0 && err == nil {
		err = json.Unmarshal(raw, &answer)
	}
	return resp.StatusCode, answer, resp.Header, err
}

func (p *people) must(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	status, answer, _, err := p.ask(t.Context(), method, path, "", "", body)
	if err != nil || status >= 300 {
		t.Fatalf("Keystone: %s %s: %d %v %v", method, path, status, answer, err)
	}
	return answer
}

// add makes a user, project, role or region and deletes it when the test ends. It returns the id.
func (p *people) add(t *testing.T, kind string, fields map[string]any) string {
	t.Helper()
	made, _ := p.must(t, "POST", "/"+kind+"s", map[string]any{kind: fields})[kind].(map[string]any)
	id, _ := made["id"].(string)
	later(t, func(ctx context.Context) {
		if status, answer, _, err := p.ask(ctx, "DELETE", "/"+kind+"s/"+id, "", "", nil); err != nil || status >= 300 && status != 404 {
			t.Errorf("delete the %s %v: %d %v %v", kind, fields["name"], status, answer, err)
		}
	})
	return id
}

const password = "a long password of the test"

// user makes a user of the domain with the id default; it returns its id and name.
func (p *people) user(t *testing.T, suffix string) (id, name string) {
	t.Helper()
	name = unique(t) + "-" + suffix
	return p.add(t, "user", map[string]any{"name": name, "domain_id": "default", "password": password}), name
}

// project makes a project of the domain with the id default.
func (p *people) project(t *testing.T, suffix string) string {
	t.Helper()
	return p.add(t, "project", map[string]any{"name": unique(t) + "-" + suffix, "domain_id": "default"})
}

// projectID finds a project by its name.
func (p *people) projectID(t *testing.T, name string) string {
	t.Helper()
	list, _ := p.must(t, "GET", "/projects?domain_id=default&name="+name, nil)["projects"].([]any)
	if len(list) != 1 {
		t.Fatalf("there are %d projects %s", len(list), name)
	}
	return list[0].(map[string]any)["id"].(string)
}

// grant gives a user roles in a scope: "projects/ID", "domains/ID" or "system".
func (p *people) grant(t *testing.T, scope, user string, roles ...string) {
	t.Helper()
	for _, r := range roles {
		p.must(t, "PUT", fmt.Sprintf("/%s/users/%s/roles/%s", scope, user, p.role[r]), nil)
	}
}

// login gets a user's token for a scope; status is Keystone's.
func (p *people) login(t *testing.T, user, password, scope string) (token string, status int) {
	t.Helper()
	var for_ any
	kind, id, _ := strings.Cut(scope, "/")
	switch kind {
	case "system":
		for_ = map[string]any{"system": map[string]any{"all": true}}
	default:
		for_ = map[string]any{strings.TrimSuffix(kind, "s"): map[string]any{"id": id}}
	}
	return p.token(t, map[string]any{"identity": map[string]any{"methods": []string{"password"},
		"password": map[string]any{"user": map[string]any{"id": user, "password": password}}}, "scope": for_})
}

// token asks for a token.
func (p *people) token(t *testing.T, auth any) (token string, status int) {
	t.Helper()
	status, _, header, err := p.ask(t.Context(), "POST", "/auth/tokens", "none", "", map[string]any{"auth": auth})
	if err != nil {
		t.Fatal(err)
	}
	return header.Get("X-Subject-Token"), status
}

// as is login that must succeed.
func (p *people) as(t *testing.T, user, scope string) string {
	t.Helper()
	token, status := p.login(t, user, password, scope)
	if token == "" {
		t.Fatalf("log in as %s for %s: Keystone answered %d", user, scope, status)
	}
	return token
}

// with is Ferric as the bearer of a token sees it.
func (f *ferric) with(token string) *ferric {
	g := *f
	g.token = token
	return &g
}

// status makes a request and returns how it was answered.
func (f *ferric) status(t *testing.T, method, path string, body any) int {
	t.Helper()
	if body == nil {
		return f.send(t, method, path, nil, nil)
	}
	b, err := json.Marshal(body)
	check(t, err)
	return f.send(t, method, path, b, nil)
}

// send makes a request with headers of its own and returns how it was answered.
func (f *ferric) send(t *testing.T, method, path string, body []byte, headers map[string]string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.URL+path, bytes.NewReader(body))
	check(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	if f.token != "" {
		req.Header.Set("X-Auth-Token", f.token)
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is used again
	return resp.StatusCode
}

// names are the names of a list of nodes.
func (f *ferric) names(t *testing.T) string {
	t.Helper()
	list, _ := f.must(t, "GET", "/v1/nodes?sort_key=name", nil)["nodes"].([]any)
	var names []string
	for _, n := range list {
		name, _ := n.(map[string]any)["name"].(string)
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// deleteDomain deletes a domain with what is in it when the test ends.
func (p *people) deleteDomain(t *testing.T, id string) {
	later(t, func(ctx context.Context) {
		for _, step := range []struct {
			method string
			body   any
		}{{"PATCH", map[string]any{"domain": map[string]any{"enabled": false}}}, {"DELETE", nil}} {
			if status, answer, _, err := p.ask(ctx, step.method, "/domains/"+id, "", "", step.body); err != nil || status >= 300 {
				t.Errorf("delete the domain: %s: %d %v %v", step.method, status, answer, err)
			}
		}
	})
}

// write makes a file of the test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// systemAdmin makes an administrator of the system and returns a token.
func (p *people) systemAdmin(t *testing.T) string {
	t.Helper()
	user, _ := p.user(t, "system-admin")
	p.grant(t, "system", user, "admin", "member", "reader")
	return p.as(t, user, "system")
}
