package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/api"
	"ferric/policy"
)

// knownTokens stands for Keystone: tokens with their callers. "away" cannot be asked about.
type knownTokens map[string]policy.Caller

func (k knownTokens) Caller(_ context.Context, token, service, method, path string) (policy.Caller, error) {
	if token == "away" {
		return policy.Caller{}, ferric.Errorf(ferric.CodeUnavailable, "Keystone at http://k is away")
	}
	who, ok := k[token]
	if !ok || service == "wrong" {
		return who, ferric.Errorf(ferric.CodeUnauthorized, "Keystone does not know the token")
	}
	if who.UserID == "limited" && method+" "+path != "GET /v1/nodes" {
		return who, ferric.Errorf(ferric.CodeUnauthorized, "the access rules do not allow it")
	}
	return who, nil
}

func keystoneFixture(t *testing.T) *rbacFixture {
	service := func(domain string) policy.Caller {
		return policy.Caller{UserName: "nova", ProjectID: "p", ProjectName: "service", ProjectDomainID: domain, Roles: []string{"service"}}
	}
	f := newRBAC(t, "", func(c *api.Config, d *api.Deps) {
		d.Tokens = knownTokens{"admin": policy.SystemAdmin("a"), "owner": {UserID: "o", ProjectID: "owner", Roles: []string{"reader"}},
			"limited": {UserID: "limited", SystemScope: "all", Roles: []string{"reader"}}, "nova": service("default"), "other": service("elsewhere"), "nobody": {UserID: "n"}}
		c.AuthStrategy, c.AuthURI, c.ElevatedServiceProject, c.ElevatedServiceDomain = api.Keystone, "http://keystone.example:5000/v3", "service", "default"
	})
	return f
}

func TestKeystoneAuth(t *testing.T) {
	f := keystoneFixture(t)
	for name, c := range map[string]struct {
		method, path string
		header       []string
		status       int
	}{
		"a token":                           {"GET", "/v1/nodes", []string{"X-Auth-Token", "admin"}, 200},
		"the older header":                  {"GET", "/v1/nodes", []string{"X-Storage-Token", "admin"}, 200},
		"a slash at the end":                {"GET", "/v1/nodes/", []string{"X-Auth-Token", "limited"}, 200},
		"none":                              {"GET", "/v1/nodes", nil, 401},
		"a wrong one":                       {"GET", "/v1/nodes", []string{"X-Auth-Token", "wrong"}, 401},
		"a wrong one beside":                {"GET", "/v1/nodes", []string{"X-Auth-Token", "admin", "X-Service-Token", "wrong"}, 401},
		"not for this path":                 {"GET", "/v1/ports", []string{"X-Auth-Token", "limited"}, 401},
		"roles that a client claims":        {"GET", "/v1/nodes", []string{"X-Roles", "admin", "OpenStack-System-Scope", "all", "X-Identity-Status", "Confirmed", "X-User-Id", "a"}, 401},
		"more roles than the token has":     {"GET", "/v1/chassis", []string{"X-Auth-Token", "nobody", "X-Roles", "admin", "OpenStack-System-Scope", "all"}, 403},
		"Keystone is away":                  {"GET", "/v1/nodes", []string{"X-Auth-Token", "away"}, 503},
		"a path that is not there":          {"GET", "/v1/nothing", nil, 401},
		"the root":                          {"GET", "/", nil, 200},
		"the version":                       {"GET", "/v1", nil, 200},
		"an agent's lookup":                 {"GET", "/v1/lookup?addresses=00:00:00:00:00:77", nil, 404},
		"lookup, with a token of no use":    {"GET", "/v1/lookup?addresses=00:00:00:00:00:77", []string{"X-Auth-Token", "wrong"}, 404},
		"an agent's heartbeat":              {"POST", "/v1/heartbeat/11111111-1111-1111-1111-111111111111", nil, 400},
		"a service in the service project":  {"GET", "/v1/nodes/other", []string{"X-Auth-Token", "nova"}, 200},
		"one of the same name in a domain":  {"GET", "/v1/nodes", []string{"X-Auth-Token", "other"}, 403},
		"what is not the caller's":          {"GET", "/v1/nodes/other", []string{"X-Auth-Token", "owner"}, 404},
		"what is the caller's":              {"GET", "/v1/nodes/owned", []string{"X-Auth-Token", "owner"}, 200},
		"what is the caller's, to be shown": {"DELETE", "/v1/nodes/owned", []string{"X-Auth-Token", "owner"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.with(t).do(c.method, c.path, nil, append(c.header, "X-OpenStack-Ironic-API-Version", "1.82")...)
			if r.status != c.status {
				t.Fatalf("status %d, want %d: %s", r.status, c.status, r.body)
			}
			want, challenge := map[string]any{}, ""
			switch c.status {
			case 401:
				want = map[string]any{"error": map[string]any{"code": 401.0, "title": "Unauthorized", "message": "The request you have made requires authentication."}}
				challenge = `Keystone uri="http://keystone.example:5000/v3"`
			case 503:
				want = map[string]any{"error": map[string]any{"code": 503.0, "title": "Service Unavailable", "message": "The Keystone service is temporarily unavailable."}}
			default:
				return
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(r.body), &got); err != nil || cmp.Diff(want, got) != "" {
				t.Errorf("%s: %v\n%s", r.body, err, cmp.Diff(want, got))
			}
			if h := r.header.Get("WWW-Authenticate"); h != challenge {
				t.Errorf("WWW-Authenticate: %q, want %q", h, challenge)
			}
			if c.status == 503 && r.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

// TestElevatedNova: with what ferric serve sets by default, a Nova whose token is for the project service sees every node. An empty list would make it
// delete its compute nodes and their resource providers.
func TestElevatedNova(t *testing.T) {
	f := keystoneFixture(t)
	if got := f.must(200, "GET", "/v1/nodes", nil, "X-Auth-Token", "nova").values(t, "nodes", "name"); len(got) != 3 {
		t.Errorf("Nova sees %q, want all three nodes", got)
	}
}

// TestFeedOfARevokedToken: whoever follows the change feed is sent away when the token ends.
func TestFeedOfARevokedToken(t *testing.T) {
	var revoked atomic.Bool
	f, _ := feedFixture(t, func(c *api.Config, d *api.Deps) {
		c.AuthStrategy, c.EventHeartbeat = api.Keystone, 20*time.Millisecond
		d.Tokens = revocable{&revoked}
	})
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.server.URL+"/ferric/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", "admin")
	resp, err := f.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for beats := 0; beats < 3; {
		line, err := lines.ReadString('\n')
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("the feed ended with a good token: status %d, %v", resp.StatusCode, err)
		}
		if line == ": heartbeat\n" {
			beats++
		}
	}
	revoked.Store(true)
	if _, err := io.Copy(io.Discard, lines); err != nil { // it ends, or the test does not
		t.Errorf("the feed did not end well: %v", err)
	}
}

// revocable knows every token until it is told otherwise.
type revocable struct{ revoked *atomic.Bool }

func (r revocable) Caller(context.Context, string, string, string, string) (policy.Caller, error) {
	if r.revoked.Load() {
		return policy.Caller{}, ferric.Errorf(ferric.CodeUnauthorized, "revoked")
	}
	return policy.SystemAdmin("a"), nil
}

func TestKeystoneNeedsKeystone(t *testing.T) {
	conf := api.Defaults()
	conf.AuthStrategy = api.Keystone
	if _, err := api.New(conf, api.Deps{}); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("without Keystone: %v", err)
	}
}
