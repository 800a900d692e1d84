package openstack

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// within asks again and again until the answer is what it has to become.
func within(t *testing.T, patience time.Duration, what string, want int, ask func() int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		got := ask()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, want %d", what, got, want)
		}
	}
}

// TestKeystoneRevocation: a token that is revoked is refused at once where Keystone is asked each time, and otherwise once the answer is too old.
func TestKeystoneRevocation(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, _ := p.user(t, "user")
	p.grant(t, "system", user, "reader")
	fresh := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.token_cache_time=-1s")
	short := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.token_cache_time=1s")
	long := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.token_cache_time=1h")
	token := p.as(t, user, "system")
	nodes := func(f *ferric) func() int {
		return func() int { return f.with(token).status(t, "GET", "/v1/nodes", nil) }
	}
	for name, f := range map[string]*ferric{"fresh": fresh, "short": short, "long": long} {
		if got := nodes(f)(); got != 200 {
			t.Fatalf("%s: %d before it is revoked", name, got)
		}
	}
	if status, _, _, err := p.ask(t.Context(), "DELETE", "/auth/tokens", "", token, nil); err != nil || status != 204 {
		t.Fatalf("revoke the token: %d %v", status, err)
	}
	within(t, time.Minute, "asked each time", 401, nodes(fresh))
	within(t, time.Minute, "asked once a second", 401, nodes(short))
	if got := nodes(long)(); got != 200 {
		t.Errorf("a token that was looked at before it was revoked: %d within token_cache_time", got)
	}
	if _, status := p.login(t, user, "wrong", "system"); status != 401 {
		t.Errorf("Keystone gives a token for a wrong password: %d", status)
	}
	if _, status := p.login(t, user, password, "projects/"+p.project(t, "foreign")); status != 401 {
		t.Errorf("Keystone gives a token for a project in which the user has no role: %d", status)
	}
}

// TestKeystoneDisabledUser: with the user all tokens go.
func TestKeystoneDisabledUser(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, _ := p.user(t, "user")
	p.grant(t, "system", user, "reader")
	f := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.token_cache_time=-1s").with(p.as(t, user, "system"))
	if got := f.status(t, "GET", "/v1/nodes", nil); got != 200 {
		t.Fatal(got)
	}
	p.must(t, "PATCH", "/users/"+user, map[string]any{"user": map[string]any{"enabled": false}})
	within(t, time.Minute, "a disabled user", 401, func() int { return f.status(t, "GET", "/v1/nodes", nil) })
}

// credential makes an application credential in the name of the bearer of a token, and returns how one logs in with it.
func (p *people) credential(t *testing.T, user, token string, fields map[string]any) (auth map[string]any) {
	t.Helper()
	fields["name"] = unique(t)
	status, answer, _, err := p.ask(t.Context(), "POST", "/users/"+user+"/application_credentials", token, "", map[string]any{"application_credential": fields})
	if err != nil || status != 201 {
		t.Fatalf("make an application credential: %d %v %v", status, answer, err)
	}
	made := answer["application_credential"].(map[string]any)
	return map[string]any{"identity": map[string]any{"methods": []string{"application_credential"},
		"application_credential": map[string]any{"id": made["id"], "secret": made["secret"]}}}
}

// TestKeystoneApplicationCredentials: they may do what their user may, but where they have access rules no more than these allow; and their tokens end
// when they end.
func TestKeystoneApplicationCredentials(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, _ := p.user(t, "user")
	project := p.project(t, "project")
	p.grant(t, "projects/"+project, user, "admin", "member", "reader")
	own := p.as(t, user, "projects/"+project)
	f := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.token_cache_time=-1s")
	admin, _ := p.user(t, "admin")
	p.grant(t, "system", admin, "admin", "reader")
	f.with(p.as(t, admin, "system")).node(t, map[string]any{"name": "mine", "owner": project})

	all, _ := p.token(t, p.credential(t, user, own, map[string]any{}))
	limited, _ := p.token(t, p.credential(t, user, own, map[string]any{"access_rules": []any{
		map[string]any{"service": "baremetal", "method": "GET", "path": "/v1/nodes"},
		map[string]any{"service": "baremetal", "method": "GET", "path": "/v1/nodes/*"},
		map[string]any{"service": "compute", "method": "GET", "path": "/v1/ports"}}}))
	reader, _ := p.token(t, p.credential(t, user, own, map[string]any{"roles": []any{map[string]any{"name": "reader"}}}))
	for _, row := range []struct {
		method, path         string
		all, limited, reader int
	}{
		{"GET", "/v1/nodes", 200, 200, 200},
		{"GET", "/v1/nodes/", 200, 200, 200},
		{"GET", "/v1/nodes/mine", 200, 200, 200},
		{"GET", "/v1/nodes/mine/states", 200, 401, 200},
		{"GET", "/v1/ports", 200, 401, 200},
		{"PUT", "/v1/nodes/mine/maintenance", 202, 401, 403},
	} {
		for name, who := range map[string]struct {
			token string
			want  int
		}{"all": {all, row.all}, "limited": {limited, row.limited}, "reader": {reader, row.reader}} {
			if got := f.with(who.token).status(t, row.method, row.path, nil); got != who.want {
				t.Errorf("%s: %s %s: %d, want %d", name, row.method, row.path, got, who.want)
			}
		}
	}

	// From a service in the user's name the rules do not hold; from somebody else's token beside it they do.
	nova, _ := p.user(t, "nova")
	service := "projects/" + p.projectID(t, "service")
	p.grant(t, service, nova, "service")
	for name, who := range map[string]struct {
		token string
		want  int
	}{"a service": {p.as(t, nova, service), 200}, "somebody": {own, 401}} {
		if got := f.with(limited).send(t, "GET", "/v1/ports", nil, map[string]string{"X-Service-Token": who.token}); got != who.want {
			t.Errorf("with the service token of %s: %d, want %d", name, got, who.want)
		}
	}

	// A credential that ends soon: its token, once remembered, is refused at its end, however long answers are believed.
	long := c.start(t, "api.auth_strategy=keystone", "keystone_authtoken.token_cache_time=1h")
	end := time.Now().Add(20 * time.Second).UTC()
	ends, _ := p.token(t, p.credential(t, user, own, map[string]any{"expires_at": end.Format("2006-01-02T15:04:05.000000")}))
	if got := long.with(ends).status(t, "GET", "/v1/nodes", nil); got != 200 && time.Now().Before(end) {
		t.Errorf("before its end: %d", got)
	}
	within(t, 2*time.Minute, "after its end", 401, func() int { return long.with(ends).status(t, "GET", "/v1/nodes", nil) })
	if time.Now().Before(end.Add(-time.Second)) {
		t.Error("it was refused before its end")
	}
	// A service that works on in the user's name may still use it.
	if got := long.with(ends).send(t, "GET", "/v1/nodes", nil, map[string]string{"X-Service-Token": p.as(t, nova, service)}); got != 200 {
		t.Errorf("its token, once ended, with a service's beside it: %d", got)
	}
}

// TestKeystoneServiceUser: Ferric itself may log in with an application credential, from clouds.yaml.
func TestKeystoneServiceUser(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, name := p.user(t, "ferric")
	service := p.projectID(t, "service")
	p.grant(t, "projects/"+service, user, "service")
	client, _ := p.user(t, "client")
	p.grant(t, "system", client, "reader")
	token := p.as(t, client, "system")
	auth := p.credential(t, user, p.as(t, user, "projects/"+service), map[string]any{})["identity"].(map[string]any)["application_credential"].(map[string]any)
	clouds := write(t, "clouds.yaml", "clouds:\n  lab:\n    region_name: "+c.Region+"\n    auth_type: v3applicationcredential\n    auth:\n      auth_url: "+c.AuthURL+
		"\n      application_credential_id: "+auth["id"].(string)+"\n      application_credential_secret: "+auth["secret"].(string)+"\n")
	for what, settings := range map[string][]string{
		"an application credential in clouds.yaml": {"openstack.cloud=lab", "openstack.clouds_file=" + clouds},
		"OS_CLOUD": {"OS_CLOUD=lab", "OS_CLIENT_CONFIG_FILE=" + clouds},
		"a password in the settings": {"openstack.auth_url=" + strings.TrimSuffix(c.AuthURL, "/v3"), "openstack.username=" + name, "openstack.password=" + password,
			"openstack.project_name=service"},
	} {
		f := c.start(t, append(settings, "api.auth_strategy=keystone")...)
		if got := f.with(token).status(t, "GET", "/v1/nodes", nil); got != 200 {
			t.Errorf("%s: %d", what, got)
		}
	}

	wrong := c.start(t, "api.auth_strategy=keystone", "openstack.auth_url="+c.AuthURL, "openstack.username="+name, "openstack.password=geheimwrong", "openstack.project_name=service")
	if got := wrong.with(token).status(t, "GET", "/v1/nodes", nil); got != 503 {
		t.Errorf("Ferric has a wrong password: clients get %d, want 503", got)
	}
	if said := wrong.log.String(); !strings.Contains(said, "user "+name+" is not accepted") || strings.Contains(said, "geheimwrong") {
		t.Error("the log does not say who is not accepted, or tells the password")
	}
	nobody, name := p.user(t, "nobody")
	p.grant(t, "projects/"+service, nobody, "reader")
	blind := c.start(t, "api.auth_strategy=keystone", "openstack.auth_url="+c.AuthURL, "openstack.username="+name, "openstack.password="+password, "openstack.project_name=service")
	if got := blind.with(token).status(t, "GET", "/v1/nodes", nil); got != 503 {
		t.Errorf("Ferric's user has not the role service: clients get %d, want 503", got)
	}
	if said := blind.log.String(); !strings.Contains(said, "give it the role service or admin") {
		t.Error("the log does not say which role is missing")
	}
}

// relay passes TCP connections on to Keystone, until it is told to be away: then it refuses them, and cuts those that are open.
type relay struct {
	address, target string
	away            atomic.Bool
	mu              sync.Mutex
	open            map[net.Conn]bool
	passed          atomic.Int64 // connections passed on
}

func newRelay(t *testing.T, target string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	r := &relay{address: l.Addr().String(), target: target, open: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if r.away.Load() {
				conn.Close()
				continue
			}
			all.Go(func() { r.pass(t.Context(), conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.cut()
		all.Wait()
	})
	return r
}

func (r *relay) pass(ctx context.Context, from net.Conn) {
	to, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", r.target)
	if err != nil {
		from.Close()
		return
	}
	r.passed.Add(1)
	r.mu.Lock()
	r.open[from], r.open[to] = true, true
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(to, from); to.Close() })
	both.Go(func() { _, _ = io.Copy(from, to); from.Close() })
	both.Wait()
	r.mu.Lock()
	delete(r.open, from)
	delete(r.open, to)
	r.mu.Unlock()
}

// cut ends all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		conn.Close()
	}
}

// TestKeystoneAway: while Keystone cannot be reached, clients whose tokens are known go on, others are told to come again, and all is well once it is back.
// Starting does not need it.
func TestKeystoneAway(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, _ := p.user(t, "user")
	p.grant(t, "system", user, "reader")
	known, fresh := p.as(t, user, "system"), p.as(t, user, "system")
	u, err := url.Parse(c.AuthURL)
	check(t, err)
	r := newRelay(t, u.Host)
	r.away.Store(true)
	f := c.start(t, "api.auth_strategy=keystone", "OS_AUTH_URL=http://"+r.address+u.Path, "keystone_authtoken.token_cache_time=1s", "keystone_authtoken.token_cache_grace=1h")
	nodes := func(token string) func() int {
		return func() int { return f.with(token).status(t, "GET", "/v1/nodes", nil) }
	}
	if got := nodes(known)(); got != 503 {
		t.Errorf("Keystone has never been there: %d, want 503", got)
	}
	r.away.Store(false)
	within(t, time.Minute, "Keystone has come", 200, nodes(known))
	r.away.Store(true)
	r.cut()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) { // longer than the answer is believed
		if got := nodes(known)(); got != 200 {
			t.Fatalf("Keystone is away, a known token: %d, want 200", got)
		}
	}
	if got := nodes(fresh)(); got != 503 {
		t.Errorf("Keystone is away, a token that was not seen before: %d, want 503", got)
	}
	if !strings.Contains(f.log.String(), "Keystone is unavailable") {
		t.Error("the log does not say that Keystone is unavailable")
	}
	r.away.Store(false)
	within(t, time.Minute, "Keystone is back", 200, nodes(fresh))
}

// TestKeystoneOneToken: Ferric logs in once, however many requests it checks.
func TestKeystoneOneToken(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	user, _ := p.user(t, "user")
	p.grant(t, "system", user, "reader")
	u, err := url.Parse(c.AuthURL)
	check(t, err)
	r := newRelay(t, u.Host)
	f := c.start(t, "api.auth_strategy=keystone", "OS_AUTH_URL=http://"+r.address+u.Path)
	token := p.as(t, user, "system")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if got := f.with(token).status(t, "GET", "/v1/nodes", nil); got != 200 {
					t.Errorf("status %d", got)
				}
			}
		})
	}
	all.Wait()
	// One question for our token and one about the client's; Debian's Keystone answers one per connection.
	if n := r.passed.Load(); n > 2 {
		t.Errorf("Keystone was connected to %d times for 200 requests, want at most twice", n)
	}
}
