package keystone_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/openstack"
	"ferric/openstack/keystone"
	"ferric/policy"
)

// server stands for Keystone where the real one cannot be made to do something at will: be away at one request and there at the next, answer
// nonsense, let an hour pass. What the real one says of tokens is tested in test/openstack.
type server struct {
	*httptest.Server
	clock  time.Time
	tokens map[string]map[string]any // what GET /v3/auth/tokens says of them; absent is 404
	status atomic.Int64              // of every answer about a token instead; 0: none
	asked  atomic.Int64              // questions about tokens
	block  chan struct{}             // not nil: they wait until it is closed
	last   atomic.Pointer[http.Request]
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{clock: time.Now(), tokens: map[string]map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", "ours")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{"issued_at": s.clock, "expires_at": s.clock.Add(100 * time.Hour)}})
	})
	mux.HandleFunc("GET /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.last.Store(r)
		if s.block != nil {
			<-s.block
		}
		if code := s.status.Load(); code != 0 {
			w.WriteHeader(int(code))
			return
		}
		doc, ok := s.tokens[r.Header.Get("X-Subject-Token")]
		if !ok || r.Header.Get("X-Auth-Token") != "ours" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": doc})
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// add makes a token known. more adds to what is said of it.
func (s *server) add(id, user string, life time.Duration, more map[string]any, roles ...string) {
	doc := map[string]any{"expires_at": s.clock.Add(life), "user": object(user), "project": object("p-" + user)}
	var list []any
	for _, r := range roles {
		list = append(list, map[string]any{"id": "id-" + r, "name": r})
	}
	doc["roles"] = list
	for k, v := range more {
		if doc[k] = v; v == nil {
			delete(doc, k)
		}
	}
	s.tokens[id] = doc
}

func object(name string) map[string]any {
	return map[string]any{"id": "id-" + name, "name": name, "domain": map[string]any{"id": "default", "name": "Default"}}
}

func (s *server) validator(t *testing.T, o keystone.Options) *keystone.Validator {
	t.Helper()
	session, err := openstack.New(openstack.Credentials{AuthURL: s.URL, Username: "ferric", Password: "p", ProjectName: "service"}, openstack.Options{Retries: -1,
		Now: func() time.Time { return s.clock }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	o.Now = func() time.Time { return s.clock }
	return keystone.New(session, o)
}

// code asks about a token and returns "" for yes, else the error's code.
func code(t *testing.T, v *keystone.Validator, token string) ferric.Code {
	t.Helper()
	_, err := v.Caller(t.Context(), keystone.Request{Token: token, Method: "GET", Path: "/v1/nodes"})
	if err != nil && token != "" && strings.Contains(err.Error(), token) {
		t.Errorf("%q tells the token", err)
	}
	return ferric.ErrorCode(err)
}

func TestScopes(t *testing.T) {
	s := newServer(t)
	s.add("project", "alice", time.Hour, nil, "member", "reader")
	s.add("system", "bob", time.Hour, map[string]any{"project": nil, "system": map[string]any{"all": true}}, "admin")
	s.add("domain", "carol", time.Hour, map[string]any{"project": nil, "domain": map[string]any{"id": "d1", "name": "D"}, "is_admin_project": false}, "admin")
	s.add("unscoped", "dave", time.Hour, map[string]any{"project": nil, "roles": nil})
	v := s.validator(t, keystone.Options{})
	for token, want := range map[string]policy.Caller{
		"project": {UserID: "id-alice", UserName: "alice", UserDomainID: "default", ProjectID: "id-p-alice", ProjectName: "p-alice", ProjectDomainID: "default",
			Roles: []string{"member", "reader"}, IsAdminProject: true},
		"system":   {UserID: "id-bob", UserName: "bob", UserDomainID: "default", SystemScope: "all", Roles: []string{"admin"}, IsAdminProject: true},
		"domain":   {UserID: "id-carol", UserName: "carol", UserDomainID: "default", DomainID: "d1", Roles: []string{"admin"}},
		"unscoped": {UserID: "id-dave", UserName: "dave", UserDomainID: "default", IsAdminProject: true},
	} {
		got, err := v.Caller(t.Context(), keystone.Request{Token: token})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", token, err, diff)
		}
	}
}

// TestMemory follows a token through its life.
func TestMemory(t *testing.T) {
	s := newServer(t)
	s.add("geheim-1", "alice", 20*time.Minute, nil, "member")
	v := s.validator(t, keystone.Options{CacheTime: 5 * time.Minute, Grace: 3 * time.Minute})
	asked := int64(0)
	step := func(story string, later time.Duration, want ferric.Code, questions int64) {
		t.Helper()
		s.clock = s.clock.Add(later)
		if got := code(t, v, "geheim-1"); got != want {
			t.Errorf("%s: %q, want %q", story, got, want)
		}
		if asked += questions; s.asked.Load() != asked {
			t.Errorf("%s: Keystone was asked %d times in all, want %d", story, s.asked.Load(), asked)
			asked = s.asked.Load()
		}
	}
	step("at first Keystone is asked", 0, "", 1)
	step("then it is remembered", 4*time.Minute, "", 0)
	step("until the answer is too old", 2*time.Minute, "", 1)
	s.status.Store(503)
	step("Keystone is away, which does not matter yet", 4*time.Minute, "", 0)
	step("the answer is old, but Keystone cannot be asked", 2*time.Minute, "", 1)
	step("it is not asked each time", time.Second, "", 0)
	step("too old, and Keystone is still away: come again later", 3*time.Minute, ferric.CodeUnavailable, 1)
	s.status.Store(0)
	step("Keystone is back", 3*time.Second, "", 1)
	delete(s.tokens, "geheim-1")
	step("revoked, and still remembered", 4*time.Minute, "", 0)
	step("revoked, and noticed at the latest now", time.Minute, ferric.CodeUnauthorized, 1)
	step("an unknown token is not asked about each time", time.Second, ferric.CodeUnauthorized, 0)
	s.add("geheim-1", "alice", time.Minute, nil, "member")
	step("but again soon", 10*time.Second, "", 1)
	step("its own end counts, however fresh the answer", 49*time.Second, "", 0)
	step("ended", time.Second, ferric.CodeUnauthorized, 0)
}

func TestAwayAndUnknown(t *testing.T) {
	s := newServer(t)
	s.add("known", "alice", time.Hour, nil, "member")
	v := s.validator(t, keystone.Options{})
	if got := code(t, v, "known"); got != "" {
		t.Fatal(got)
	}
	for name, status := range map[string]int64{"away": 502, "our user may not ask": 403, "our token is not accepted": 401, "nonsense": 200} {
		s.clock = s.clock.Add(time.Minute)
		s.status.Store(status)
		if got := code(t, v, fmt.Sprint("new-", status)); got != ferric.CodeUnavailable {
			t.Errorf("%s: a new token gives %q, want %q", name, got, ferric.CodeUnavailable)
		}
		if got := code(t, v, "known"); got != "" {
			t.Errorf("%s: the known token gives %q", name, got)
		}
	}
}

func TestNoCache(t *testing.T) {
	s := newServer(t)
	s.add("geheim-1", "alice", time.Hour, nil, "member")
	v := s.validator(t, keystone.Options{CacheTime: -1})
	for range 3 {
		if got := code(t, v, "geheim-1"); got != "" {
			t.Error(got)
		}
	}
	delete(s.tokens, "geheim-1")
	if got := code(t, v, "geheim-1"); got != ferric.CodeUnauthorized || s.asked.Load() != 4 {
		t.Errorf("got %q after %d questions, want %q after 4", got, s.asked.Load(), ferric.CodeUnauthorized)
	}
}

// TestOddToken: what Keystone cannot say of one token, or says in a form that is not known, is no trouble for others.
func TestOddToken(t *testing.T) {
	s := newServer(t)
	s.add("odd", "alice", time.Hour, map[string]any{"expires_at": "tomorrow"})
	s.add("naive", "alice", time.Hour, map[string]any{"expires_at": s.clock.Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000")})
	s.add("good", "bob", time.Hour, nil)
	v := s.validator(t, keystone.Options{})
	if got := code(t, v, "odd"); got != ferric.CodeUnavailable {
		t.Errorf("odd: %q", got)
	}
	s.status.Store(500)
	if got := code(t, v, "worse"); got != ferric.CodeUnavailable {
		t.Errorf("worse: %q", got)
	}
	s.status.Store(0)
	for _, token := range []string{"good", "naive"} {
		if got := code(t, v, token); got != "" {
			t.Errorf("%s: %q", token, got)
		}
	}
	s.clock = s.clock.Add(time.Hour)
	if got := code(t, v, "naive"); got != ferric.CodeUnauthorized {
		t.Errorf("a time without a zone is UTC; an hour later: %q", got)
	}
}

// TestOneQuestion: a hundred requests with the same new token ask Keystone once.
func TestOneQuestion(t *testing.T) {
	s := newServer(t)
	s.add("geheim-1", "alice", time.Hour, nil, "member")
	s.block = make(chan struct{})
	v := s.validator(t, keystone.Options{})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got := code(t, v, "geheim-1"); got != "" {
				t.Error(got)
			}
		})
	}
	close(s.block)
	all.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("Keystone was asked %d times, want once", n)
	}
}

// TestBounds: however many tokens come, a known one that is used stays known.
func TestBounds(t *testing.T) {
	s := newServer(t)
	s.add("used", "alice", time.Hour, nil, "member")
	v := s.validator(t, keystone.Options{CacheSize: 10})
	for i := range 50 {
		s.add(fmt.Sprint("other-", i), "bob", time.Hour, nil)
		code(t, v, "used")
		code(t, v, fmt.Sprint("other-", i))
		code(t, v, fmt.Sprint("wrong-", i))
	}
	if n := s.asked.Load(); n != 101 {
		t.Errorf("Keystone was asked %d times, want once for each of 101 tokens", n)
	}
	code(t, v, "other-0")
	if n := s.asked.Load(); n != 102 {
		t.Error("a token that was pushed out is still remembered")
	}
}

func TestServiceTokens(t *testing.T) {
	rules := map[string]any{"application_credential": map[string]any{"access_rules": []any{map[string]any{"service": "baremetal", "method": "GET", "path": "/v1/drivers"}}}}
	for name, c := range map[string]struct {
		token, service string
		required       bool
		want           ferric.Code
	}{
		"no token":                           {"", "", false, ferric.CodeUnauthorized},
		"a service's token alone":            {"", "nova", false, ferric.CodeUnauthorized},
		"both":                               {"user", "nova", true, ""},
		"a service token that is none":       {"user", "bob", true, ferric.CodeUnauthorized},
		"the same, where that is let pass":   {"user", "bob", false, ""},
		"a service token that nobody knows":  {"user", "nobody", false, ferric.CodeUnauthorized},
		"an expired token":                   {"expired", "", false, ferric.CodeUnauthorized},
		"an expired token, from a service":   {"expired", "nova", false, ""},
		"an expired token, from somebody":    {"expired", "bob", false, ferric.CodeUnauthorized},
		"not allowed by access rules":        {"limited", "", false, ferric.CodeUnauthorized},
		"the same, from a service":           {"limited", "nova", false, ""},
		"the same, from somebody":            {"limited", "bob", false, ferric.CodeUnauthorized},
		"a token that cannot be in a header": {"a\nb", "", false, ferric.CodeUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.add("user", "alice", time.Hour, nil, "member")
			s.add("expired", "alice", -time.Minute, nil, "member")
			s.add("limited", "alice", time.Hour, rules, "member")
			s.add("nova", "nova", time.Hour, nil, "Service")
			s.add("bob", "bob", time.Hour, nil, "member")
			v := s.validator(t, keystone.Options{ServiceRolesRequired: c.required})
			for range 2 { // from Keystone, and from memory
				got, err := v.Caller(t.Context(), keystone.Request{Token: c.token, ServiceToken: c.service, Method: "GET", Path: "/v1/nodes"})
				if ferric.ErrorCode(err) != c.want {
					t.Fatalf("got %v, want %q", err, c.want)
				}
				if err == nil && (got.UserName != "alice" || c.service != "" && (got.ServiceUserID != "id-"+c.service || got.ServiceProjectID != "id-p-"+c.service || len(got.ServiceRoles) != 1)) {
					t.Errorf("got %+v", got)
				}
			}
			if c.token == "expired" && c.service == "nova" && s.last.Load().URL.Query().Get("allow_expired") != "1" {
				t.Error("Keystone was not asked to show an expired token")
			}
		})
	}
}

func TestAccessRules(t *testing.T) {
	for name, c := range map[string]struct {
		rules        string
		method, path string
		want         ferric.Code
	}{
		"no rules":               {`null`, "DELETE", "/v1/nodes/x", ""},
		"an empty list":          {`[]`, "GET", "/v1/nodes", ferric.CodeUnauthorized},
		"just this":              {`[{"service":"baremetal","method":"GET","path":"/v1/nodes"}]`, "GET", "/v1/nodes", ""},
		"another method":         {`[{"service":"baremetal","method":"GET","path":"/v1/nodes"}]`, "POST", "/v1/nodes", ferric.CodeUnauthorized},
		"another service":        {`[{"service":"compute","method":"GET","path":"/v1/nodes"}]`, "GET", "/v1/nodes", ferric.CodeUnauthorized},
		"a longer path":          {`[{"service":"baremetal","method":"GET","path":"/v1/nodes"}]`, "GET", "/v1/nodes/x", ferric.CodeUnauthorized},
		"a star":                 {`[{"service":"baremetal","method":"GET","path":"/v1/nodes/*"}]`, "GET", "/v1/nodes/x", ""},
		"a star and more":        {`[{"service":"baremetal","method":"GET","path":"/v1/nodes/*"}]`, "GET", "/v1/nodes/x/states", ferric.CodeUnauthorized},
		"a star and nothing":     {`[{"service":"baremetal","method":"GET","path":"/v1/nodes/*"}]`, "GET", "/v1/nodes/", ferric.CodeUnauthorized},
		"a name":                 {`[{"service":"bare-metal","method":"GET","path":"/v1/nodes/{node}/states"}]`, "GET", "/v1/nodes/x/states", ""},
		"two stars":              {`[{"service":"baremetal","method":"GET","path":"/v1/**"}]`, "GET", "/v1/nodes/x/states", ""},
		"two stars in the midst": {`[{"service":"baremetal","method":"PUT","path":"/v1/**/power"}]`, "PUT", "/v1/nodes/x/states/power", ""},
		"a point is a point":     {`[{"service":"baremetal","method":"GET","path":"/v1.nodes"}]`, "GET", "/v1/nodes", ferric.CodeUnauthorized},
		"the second rule":        {`[{"service":"baremetal","method":"GET","path":"/"},{"service":"baremetal","method":"GET","path":"/v1/nodes"}]`, "GET", "/v1/nodes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.add("t", "alice", time.Hour, map[string]any{"application_credential": map[string]any{"access_rules": json.RawMessage(c.rules)}}, "member")
			v := s.validator(t, keystone.Options{})
			if _, err := v.Caller(t.Context(), keystone.Request{Token: "t", Method: c.method, Path: c.path}); ferric.ErrorCode(err) != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if s.last.Load().Header.Get("OpenStack-Identity-Access-Rules") != "1" {
				t.Error("Keystone was not told that access rules are understood")
			}
		})
	}
}

func BenchmarkCaller(b *testing.B) {
	s := newServer(b)
	s.add("geheim-1", "alice", time.Hour, nil, "member")
	session, err := openstack.New(openstack.Credentials{AuthURL: s.URL, Username: "f", Password: "p", ProjectName: "s"}, openstack.Options{})
	if err != nil {
		b.Fatal(err)
	}
	v := keystone.New(session, keystone.Options{})
	for b.Loop() {
		if _, err := v.Caller(b.Context(), keystone.Request{Token: "geheim-1"}); err != nil {
			b.Fatal(err)
		}
	}
}
