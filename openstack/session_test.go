package openstack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/obs"
	"ferric/openstack"
)

// cloud is an HTTP server in the place of Keystone (at /v3) and of Glance (at /image), for what real ones cannot be made to do at will. What the real
// Keystone does is tested in test/openstack.
type cloud struct {
	*httptest.Server
	life   time.Duration // of a token
	tokens atomic.Int64  // handed out so far
	// keystone and image answer instead, if they are set. n counts the requests to them from 1.
	keystone, image func(n int64, w http.ResponseWriter, r *http.Request)
	nKeystone       atomic.Int64
	nImage          atomic.Int64
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{life: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		n := c.nKeystone.Add(1)
		if c.keystone != nil {
			c.keystone(n, w, r)
			return
		}
		c.grant(w)
	})
	mux.HandleFunc("/image/", func(w http.ResponseWriter, r *http.Request) {
		n := c.nImage.Add(1)
		if c.image != nil {
			c.image(n, w, r)
			return
		}
		fmt.Fprintf(w, `{"token": %q, "path": %q}`, r.Header.Get("X-Auth-Token"), r.URL.Path)
	})
	c.Server = httptest.NewServer(mux)
	t.Cleanup(c.Close)
	return c
}

// grant hands out the next token.
func (c *cloud) grant(w http.ResponseWriter) {
	now := time.Now()
	endpoint := func(i, url string) map[string]any {
		return map[string]any{"interface": i, "region": "RegionOne", "region_id": "RegionOne", "url": c.URL + url}
	}
	doc := map[string]any{"token": map[string]any{"issued_at": now, "expires_at": now.Add(c.life), "user": map[string]any{"name": "ferric", "id": "u1"},
		"project": map[string]any{"id": "p1", "name": "service"}, "roles": []any{map[string]any{"name": "service"}},
		"catalog": []any{
			map[string]any{"type": "image", "name": "glance", "endpoints": []any{endpoint("public", "/public"), endpoint("internal", "/image/v2")}},
			map[string]any{"type": "volumev3", "name": "cinder", "endpoints": []any{endpoint("public", "/volume/v3/p1")}},
			map[string]any{"type": "network", "name": "neutron", "endpoints": []any{endpoint("public", "/network")}},
		}}}
	w.Header().Set("X-Subject-Token", fmt.Sprintf("token-%d", c.tokens.Add(1)))
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(doc)
}

func (c *cloud) session(t *testing.T, o openstack.Options) *openstack.Session {
	t.Helper()
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	s, err := openstack.New(openstack.Credentials{AuthURL: c.URL, Username: "ferric", Password: "geheim", ProjectName: "service", Region: "RegionOne", Source: "the test"}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// get asks Glance for something and returns the token that came there.
func get(ctx context.Context, s *openstack.Session) (string, error) {
	client, err := s.Client(ctx, openstack.Service{Type: "image"})
	if err != nil {
		return "", err
	}
	var doc struct{ Token, Path string }
	_, err = client.Get(ctx, client.ServiceURL("images", "1"), &doc, nil)
	if err == nil && doc.Path != "/image/v2/images/1" {
		return "", fmt.Errorf("asked for %s", doc.Path)
	}
	return doc.Token, err
}

func TestOneTokenForAll(t *testing.T) {
	c := newCloud(t)
	s := c.session(t, openstack.Options{})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if token, err := get(t.Context(), s); err != nil || token != "token-1" {
				t.Errorf("the request went with token %q, %v", token, err)
			}
		})
	}
	all.Wait()
	if n := c.tokens.Load(); n != 1 {
		t.Errorf("%d tokens were fetched for 50 requests at once, want 1", n)
	}
	who, err := s.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	who.Expires = time.Time{}
	if diff := cmp.Diff(openstack.Identity{UserID: "u1", UserName: "ferric", ProjectID: "p1", ProjectName: "service", Roles: []string{"service"}}, who); diff != "" {
		t.Error(diff)
	}
}

// TestRenewal: shortly before its end a token is renewed; if Keystone is away then, the old one is used to its end.
func TestRenewal(t *testing.T) {
	c := newCloud(t)
	now := time.Now()
	away := false
	c.keystone = func(_ int64, w http.ResponseWriter, _ *http.Request) {
		if away {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		c.grant(w)
	}
	s := c.session(t, openstack.Options{Now: func() time.Time { return now }, Retries: -1})
	want := func(story, token string) {
		t.Helper()
		if got, err := s.Token(t.Context()); err != nil || got != token {
			t.Errorf("%s: token %q, %v; want %q", story, got, err, token)
		}
	}
	want("at first", "token-1")
	now = now.Add(58 * time.Minute)
	want("long before the end", "token-1")
	away = true
	now = now.Add(90 * time.Second)
	want("shortly before the end, Keystone being away", "token-1")
	now = now.Add(time.Minute)
	if _, err := s.Token(t.Context()); !openstack.Is(err, openstack.Unavailable) {
		t.Errorf("after the end, Keystone being away: %v, want unavailable", err)
	}
	away = false
	now = now.Add(10 * time.Second)
	want("once Keystone is back", "token-2")
}

// TestRevoked: a service does not accept the token any more, because somebody revoked it or Keystone's keys were lost.
func TestRevoked(t *testing.T) {
	c := newCloud(t)
	c.image = func(_ int64, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Auth-Token") == "token-1" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"token": %q, "path": %q, "body": %q}`, r.Header.Get("X-Auth-Token"), r.URL.Path, body)
	}
	s := c.session(t, openstack.Options{})
	if token, err := get(t.Context(), s); err != nil || token != "token-2" {
		t.Errorf("got %q, %v; want the second token", token, err)
	}
	c.image = func(_ int64, w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }
	for range 5 {
		if _, err := get(t.Context(), s); !openstack.Is(err, openstack.Unauthorized) {
			t.Errorf("a service that accepts nothing: %v, want unauthorized", err)
		}
	}
	if n := c.tokens.Load(); n != 2 {
		t.Errorf("%d tokens were fetched, want 2: a service that accepts none must not make us ask Keystone each time", n)
	}
}

// TestWrongPassword: Keystone's refusal says who was refused and where that is configured, never the password, and is not provoked again at once.
func TestWrongPassword(t *testing.T) {
	c := newCloud(t)
	c.keystone = func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`)
	}
	s := c.session(t, openstack.Options{})
	for range 3 {
		_, err := get(t.Context(), s)
		if !openstack.Is(err, openstack.Unauthorized) || !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Fatalf("got %v (%s)", err, ferric.ErrorCode(err))
		}
		for _, want := range []string{"user ferric", "the test", c.URL, "requires authentication"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q tells the password", err)
		}
	}
	if n := c.nKeystone.Load(); n != 1 {
		t.Errorf("Keystone was asked %d times with a wrong password, want once", n)
	}
}

func TestFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		status    int
		body      string
		retryable bool
		kind      openstack.Kind
		code      ferric.Code
		says      string
	}{
		"Glance says not found":   {404, `<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1>No image found with ID 1<br /></body></html>`, false, openstack.NotFound, ferric.CodeNotFound, "No image found with ID 1"},
		"Neutron says conflict":   {409, `{"NeutronError":{"type":"IpAddressInUse","message":"the address is in use","detail":""}}`, false, openstack.Conflict, ferric.CodeConflict, "the address is in use"},
		"Nova says bad request":   {400, `{"badRequest":{"code":400,"message":"Invalid input"}}`, false, openstack.Rejected, ferric.CodeInvalid, "Invalid input"},
		"our role is missing":     {403, `{"error":{"code":403,"message":"not authorized"}}`, false, openstack.Forbidden, ferric.CodeUnavailable, "not authorized"},
		"a proxy without backend": {503, `<html><body>no server available</body></html>`, true, openstack.Unavailable, ferric.CodeUnavailable, "no server available"},
		"a defect there":          {500, ``, false, openstack.Unavailable, ferric.CodeUnavailable, "Internal Server Error"},
		"no JSON":                 {200, `<html>`, false, openstack.Unavailable, ferric.CodeUnavailable, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.image = func(_ int64, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				fmt.Fprint(w, tc.body)
			}
			_, err := get(t.Context(), c.session(t, openstack.Options{Retries: 2}))
			if !openstack.Is(err, tc.kind) || ferric.ErrorCode(err) != tc.code {
				t.Errorf("got %v: %s, %s; want %s, %s", err, openstack.KindOf(err), ferric.ErrorCode(err), tc.kind, tc.code)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "Glance") || !strings.Contains(err.Error(), c.URL)) {
				t.Errorf("%q does not say %q, Glance and its URL", err, tc.says)
			}
			want := int64(1)
			if tc.retryable {
				want = 3
			}
			if n := c.nImage.Load(); n != want {
				t.Errorf("Glance was asked %d times, want %d", n, want)
			}
		})
	}
}

// TestRepetition: what may be repeated is, with its body; what may not is sent once.
func TestRepetition(t *testing.T) {
	for method, want := range map[string]int64{"GET": 3, "PUT": 3, "DELETE": 3, "POST": 1, "PATCH": 1} {
		t.Run(method, func(t *testing.T) {
			c := newCloud(t)
			c.image = func(n int64, w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if method != "GET" && string(body) != "what is sent" {
					t.Errorf("attempt %d came with the body %q", n, body)
				}
				switch n {
				case 1:
					hang, _, _ := w.(http.Hijacker).Hijack() // the connection breaks
					hang.Close()
				case 2:
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}
			s := c.session(t, openstack.Options{})
			var body io.Reader
			if method != "GET" {
				body = strings.NewReader("what is sent")
			}
			req, err := http.NewRequestWithContext(t.Context(), method, c.URL+"/image/x?signature=geheim", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.HTTPClient("image").Do(req)
			if err == nil {
				resp.Body.Close()
			}
			var failed *openstack.Error
			if want == 1 && (!errors.As(err, &failed) || failed.Kind != openstack.Unavailable || strings.Contains(failed.Error(), "geheim")) {
				t.Errorf("got %v, want that it is unavailable, without the query", err)
			}
			if want == 3 && err != nil {
				t.Error(err)
			}
			if n := c.nImage.Load(); n != want {
				t.Errorf("sent %d times, want %d", n, want)
			}
		})
	}
}

// TestNothingMoves: a service that takes requests and never answers, or stops in the middle of a body, is given up.
func TestNothingMoves(t *testing.T) {
	for name, begin := range map[string]string{"no answer": "", "half an answer": `{"token": "`} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			end := make(chan struct{})
			c.image = func(_ int64, w http.ResponseWriter, _ *http.Request) {
				if begin != "" {
					fmt.Fprint(w, begin)
					w.(http.Flusher).Flush()
				}
				<-end
			}
			defer close(end)
			_, err := get(t.Context(), c.session(t, openstack.Options{Timeout: 2 * time.Second, Retries: -1}))
			if !openstack.Is(err, openstack.Unavailable) || !strings.Contains(err.Error(), "nothing came for 2s") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestKeystoneAway: nothing listens where Keystone should.
func TestKeystoneAway(t *testing.T) {
	c := newCloud(t)
	s := c.session(t, openstack.Options{Retries: 1})
	c.Close()
	_, err := get(t.Context(), s)
	if !openstack.Is(err, openstack.Unavailable) || !strings.Contains(err.Error(), "Keystone") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

// TestRequestIDGoesAlong: the other services' logs name the request that made us ask.
func TestRequestIDGoesAlong(t *testing.T) {
	c := newCloud(t)
	var seen atomic.Value
	c.image = func(_ int64, w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("X-OpenStack-Request-ID"))
		fmt.Fprintf(w, `{"path": %q}`, r.URL.Path)
	}
	id := obs.NewRequestID()
	if _, err := get(obs.WithRequestID(t.Context(), id), c.session(t, openstack.Options{})); err != nil {
		t.Fatal(err)
	}
	if seen.Load() != id {
		t.Errorf("Glance saw the id %v, want %s", seen.Load(), id)
	}
}

// TestTokenStaysHere: a redirect to another host is not followed, so that nobody else sees the token.
func TestTokenStaysHere(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked, with the token %q", r.Header.Get("X-Auth-Token"))
	}))
	defer other.Close()
	c := newCloud(t)
	c.image = func(_ int64, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	}
	if _, err := get(t.Context(), c.session(t, openstack.Options{Retries: -1})); err == nil || !strings.Contains(err.Error(), "not followed") {
		t.Errorf("got %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	c := newCloud(t)
	s := c.session(t, openstack.Options{Endpoints: map[string]string{"compute": "http://nova.example/v2.1"}})
	for name, tc := range map[string]struct {
		service openstack.Service
		want    string
		says    string
	}{
		"the preferred interface":      {openstack.Service{Type: "image"}, "/image/v2/x", ""},
		"an interface of its own":      {openstack.Service{Type: "image", Interfaces: []string{"admin", "public"}}, "/public/v2/x", ""},
		"an alias in the catalogue":    {openstack.Service{Type: "block-storage"}, "/volume/v3/p1/x", ""},
		"asked by an alias":            {openstack.Service{Type: "volumev3"}, "/volume/v3/p1/x", ""},
		"no version in the catalogue":  {openstack.Service{Type: "network"}, "/network/v2.0/x", ""},
		"set for the session":          {openstack.Service{Type: "compute"}, "http://nova.example/v2.1/x", ""},
		"given with the service":       {openstack.Service{Type: "network", Endpoint: "http://n.example:9696"}, "http://n.example:9696/v2.0/x", ""},
		"not there":                    {openstack.Service{Type: "placement"}, "", "no Placement (service type placement) with interface internal or public in region RegionOne"},
		"in another region":            {openstack.Service{Type: "image", Region: "Two"}, "", "in region Two"},
		"under another name":           {openstack.Service{Type: "image", Name: "other"}, "", "named other"},
		"on an interface that is none": {openstack.Service{Type: "network", Interfaces: []string{"admin"}}, "", "with interface admin"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := s.Client(t.Context(), tc.service)
			if tc.says != "" {
				if !openstack.Is(err, openstack.NoEndpoint) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("got %v, want %q", err, tc.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(client.ServiceURL("x"), c.URL); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
