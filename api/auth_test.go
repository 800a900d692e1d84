package api_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ferric/api"
	"ferric/rpc"
)

// hash makes a bcrypt hash with another prefix of the same meaning.
func hash(t testing.TB, password, prefix string, cost int) string {
	b, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return prefix + strings.TrimPrefix(string(b), "$2a$")
}

func writeUsers(t testing.TB, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func basicFixture(t *testing.T, lines ...string) (*fixture, string) {
	path := filepath.Join(t.TempDir(), "users")
	writeUsers(t, path, lines...)
	return newFixture(t, func(c *api.Config, _ *api.Deps) { c.AuthStrategy, c.UserFile = api.HTTPBasic, path }), path
}

func TestBasicAuth(t *testing.T) {
	f, path := basicFixture(t, "alice:"+hash(t, "wonder", "$2y$", 4), "", "bob:"+hash(t, "builder", "$2b$", 4),
		"alice:"+hash(t, "second", "$2a$", 4), "no colon here")
	auth := func(s string) []string { return []string{"Authorization", s} }
	basic := func(s string) []string { return auth("Basic " + s) }
	for name, c := range map[string]struct {
		header  []string
		status  int
		message string
	}{
		"right":               {basic("YWxpY2U6d29uZGVy"), 200, ""},
		"right, another kind": {basic("Ym9iOmJ1aWxkZXI="), 200, ""},
		"lower case word":     {auth("basic YWxpY2U6d29uZGVy"), 200, ""},
		"none":                {nil, 401, "Authorization required"},
		"wrong password":      {basic("YWxpY2U6d3Jvbmc="), 401, "Incorrect username or password"},
		"second line":         {basic("YWxpY2U6c2Vjb25k"), 401, "Incorrect username or password"},
		"unknown user":        {basic("ZXZlOngK"), 401, "Incorrect username or password"},
		"no base64":           {basic("!!!"), 400, "Could not decode authorization token"},
		"no colon":            {basic("YWxpY2U="), 400, "Could not decode authorization token"},
		"one word":            {auth("Basic"), 400, "Could not parse Authorization header"},
		"another type":        {auth("Bearer x"), 400, `Unsupported authorization type "Bearer"`},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, "GET", "/v1/nodes", nil, c.header...)
			if c.status == 200 {
				return
			}
			e, _ := r.object(t)["error"].(m)
			if e["message"] != c.message || e["code"] != float64(c.status) {
				t.Errorf("error %v, want %q", e, c.message)
			}
			want := ""
			if c.status == 401 {
				want = `Basic realm="Baremetal API"`
			}
			if got := r.header.Get("WWW-Authenticate"); got != want {
				t.Errorf("WWW-Authenticate %q, want %q", got, want)
			}
		})
	}
	for _, public := range []string{"/", "/v1", "/v1/"} {
		f.must(200, "GET", public, nil)
	}
	f.must(404, "GET", "/v1/lookup?node_uuid="+nodeID, nil)
	f.must(404, "POST", "/v1/heartbeat/"+nodeID, m{"callback_url": "http://h"})
	for _, private := range []string{"/v1/nope", "/v1/drivers", "/nodes", "/ferric/v1/operations/" + opID, "/v1/nodes/detail"} {
		f.must(401, "GET", private, nil)
	}

	// The file is read again when it changes, and what was right before is not any more.
	writeUsers(t, path, "alice:"+hash(t, "looking glass", "$2y$", 4))
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.must(401, "GET", "/v1/nodes", nil, basic("YWxpY2U6d29uZGVy")...)
	f.must(200, "GET", "/v1/nodes", nil, basic("YWxpY2U6bG9va2luZyBnbGFzcw==")...)

	// While it cannot be used nobody gets in, and the client is not told why.
	writeUsers(t, path, "alice:plain text")
	r := f.must(500, "GET", "/v1/nodes", nil, basic("YWxpY2U6bG9va2luZyBnbGFzcw==")...)
	if strings.Contains(string(r.body), path) || strings.Contains(string(r.body), "bcrypt") {
		t.Errorf("%s", r.body)
	}
}

// TestBasicAuthRemembers: the second check of the same password does not cost bcrypt's time again.
func TestBasicAuthRemembers(t *testing.T) {
	f, _ := basicFixture(t, "alice:"+hash(t, "wonder", "$2y$", 12))
	once := func() time.Duration {
		start := time.Now()
		f.must(200, "GET", "/v1/nodes", nil, "Authorization", "Basic YWxpY2U6d29uZGVy")
		return time.Since(start)
	}
	first := once()
	rest := time.Duration(0)
	for range 10 {
		rest += once()
	}
	if rest > first*5 { // ten bcrypt checks would be ten times the first
		t.Errorf("first request %v, the next ten %v", first, rest)
	}
}

// TestBasicAuthUser: who asked is told to the conductor.
func TestBasicAuthUser(t *testing.T) {
	f, _ := basicFixture(t, "alice:"+hash(t, "wonder", "$2y$", 4))
	var caller rpc.Caller
	f.conductor.on(rpc.CreateNode, func(req any) (any, error) {
		caller = req.(rpc.NodeArgs).Caller
		return req.(rpc.NodeArgs).Node, nil
	})
	f.must(201, "POST", "/v1/nodes", m{"driver": "ipmi"}, "Authorization", "Basic YWxpY2U6d29uZGVy")
	if caller.User != "alice" {
		t.Errorf("caller %+v", caller)
	}
}

func TestBadConfig(t *testing.T) {
	dir := t.TempDir()
	md5 := filepath.Join(dir, "md5")
	writeUsers(t, md5, "alice:$apr1$x$y")
	for name, c := range map[string]struct {
		change func(*api.Config)
		text   string
	}{
		"strategy":     {func(c *api.Config) { c.AuthStrategy = "magic" }, "auth_strategy"},
		"no file":      {func(c *api.Config) { c.AuthStrategy = api.HTTPBasic }, "http_basic_auth_user_file"},
		"missing file": {func(c *api.Config) { c.AuthStrategy, c.UserFile = api.HTTPBasic, filepath.Join(dir, "none") }, "Problem reading auth user file"},
		"not bcrypt":   {func(c *api.Config) { c.AuthStrategy, c.UserFile = api.HTTPBasic, md5 }, "Only bcrypt digested passwords are supported for alice"},
		"endpoint":     {func(c *api.Config) { c.PublicEndpoint = "metal" }, "public_endpoint"},
		"limit":        {func(c *api.Config) { c.MaxLimit = 0 }, "max_limit"},
		"timeout":      {func(c *api.Config) { c.RequestTimeout = 0 }, "request_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			config := api.Defaults()
			c.change(&config)
			if _, err := api.New(config, api.Deps{}); err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q in it", err, c.text)
			}
		})
	}
	if err := (api.Defaults()).Validate(); err != nil {
		t.Error(err)
	}
}
