package openstack

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// registry is a region of a test's own in the catalogue, so that nobody else's endpoints change.
type registry struct {
	p      *people
	region string
}

func newRegistry(t *testing.T, p *people) *registry {
	r := &registry{p, strings.ToLower(unique(t))}
	later(t, func(ctx context.Context) {
		_, list, _, err := p.ask(ctx, "GET", "/endpoints?region_id="+r.region, "", "", nil)
		if err != nil {
			t.Errorf("list the endpoints: %v", err)
		}
		items, _ := list["endpoints"].([]any)
		for _, e := range items {
			if _, _, _, err := p.ask(ctx, "DELETE", "/endpoints/"+e.(map[string]any)["id"].(string), "", "", nil); err != nil {
				t.Errorf("delete an endpoint: %v", err)
			}
		}
		if status, _, _, err := p.ask(ctx, "DELETE", "/regions/"+r.region, "", "", nil); err != nil || status >= 300 && status != 404 {
			t.Errorf("delete the region: %d %v", status, err)
		}
	})
	return r
}

// urls are the region's endpoints by interface.
func (r *registry) urls(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	list, _ := r.p.must(t, "GET", "/endpoints?region_id="+r.region, nil)["endpoints"].([]any)
	for _, e := range list {
		m := e.(map[string]any)
		if i := m["interface"].(string); out[i] != "" {
			t.Errorf("there are two %s endpoints", i)
		}
		out[m["interface"].(string)] = m["url"].(string)
	}
	return out
}

// as runs a subcommand with somebody's credentials.
func (c *cloud) as(t *testing.T, a account, args ...string) (string, error) {
	t.Helper()
	d := *c
	d.Service = a
	return d.command(t, args...)
}

// TestKeystoneRegister enters Ferric in the catalogue of a region, twice, moves it, and lets Ferric log in as the user that was made.
func TestKeystoneRegister(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	r := newRegistry(t, p)
	name := unique(t)
	later(t, func(ctx context.Context) {
		_, list, _, err := p.ask(ctx, "GET", "/users?name="+name, "", "", nil)
		users, _ := list["users"].([]any)
		if err != nil || len(users) != 1 {
			t.Errorf("there are %d users %s: %v", len(users), name, err)
			return
		}
		if _, _, _, err := p.ask(ctx, "DELETE", "/users/"+users[0].(map[string]any)["id"].(string), "", "", nil); err != nil {
			t.Error(err)
		}
	})
	register := func(more ...string) string {
		t.Helper()
		out, err := c.as(t, c.Admin, append([]string{"openstack", "register", "--region", r.region}, more...)...)
		if err != nil {
			t.Fatalf("register %v: %v\n%s", more, err, out)
		}
		return out
	}
	secret := write(t, "password", password+"\n")
	out := register("--url", "http://metal.example:6385/", "--create-user", name, "--password-file", secret)
	if !strings.Contains(out, "made the public endpoint in "+r.region+": http://metal.example:6385\n") || strings.Contains(out, password) {
		t.Errorf("it said\n%s", out)
	}
	want := map[string]string{"public": "http://metal.example:6385", "internal": "http://metal.example:6385", "admin": "http://metal.example:6385"}
	if got := r.urls(t); !equal(got, want) {
		t.Errorf("the catalogue has %v, want %v", got, want)
	}
	if out := register("--url", "http://metal.example:6385", "--create-user", name, "--password-file", secret); strings.Contains(out, "made") || strings.Contains(out, "changed") || strings.Contains(out, "gave") {
		t.Errorf("the second time it still does something:\n%s", out)
	}

	f := c.start(t, "api.auth_strategy=keystone", "openstack.auth_url="+c.AuthURL, "openstack.username="+name, "openstack.password="+password, "openstack.project_name=service",
		"openstack.region_name="+r.region)
	user, _ := p.user(t, "reader")
	p.grant(t, "system", user, "reader")
	if got := f.with(p.as(t, user, "system")).status(t, "GET", "/v1/nodes", nil); got != 200 {
		t.Errorf("Ferric with the user that was made: %d", got)
	}
	out = register("--url", f.URL, "--internal-url", f.URL+"/v1")
	if !strings.Contains(out, "changed the public endpoint in "+r.region+" from http://metal.example:6385 to "+f.URL) {
		t.Errorf("it said\n%s", out)
	}
	if got := r.urls(t); !equal(got, map[string]string{"public": f.URL, "internal": f.URL + "/v1", "admin": f.URL + "/v1"}) {
		t.Errorf("the catalogue has %v", got)
	}

	// The stock client finds Ferric by the catalogue, whether the endpoint names the version (as the internal one does now) or not.
	f.with(p.systemAdmin(t)).node(t, map[string]any{"name": "found-by-the-client"})
	for _, i := range []string{"public", "internal"} {
		cmd := exec.CommandContext(t.Context(), "/usr/bin/openstack", "--os-interface", i, "baremetal", "node", "list", "-f", "value", "-c", "Name")
		cmd.Env = append(os.Environ(), c.env(c.Service)...)
		cmd.Env = append(cmd.Env, "OS_REGION_NAME="+r.region, "HOME="+t.TempDir())
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if out, err := cmd.Output(); err != nil || string(out) != "found-by-the-client\n" {
			t.Errorf("openstack baremetal node list at the %s endpoint: %v\n%s%s", i, err, out, stderr.String())
		}
	}

	member := account{User: "", Password: password, Project: "", Domain: c.Admin.Domain}
	id, memberName := p.user(t, "member")
	project := unique(t) + "-project"
	p.grant(t, "projects/"+p.add(t, "project", map[string]any{"name": project, "domain_id": "default"}), id, "member")
	member.User, member.Project = memberName, project
	for what, try := range map[string]struct {
		who  account
		args []string
		say  string
	}{
		"somebody who is no administrator": {member, []string{"--region", r.region, "--url", f.URL}, "only an administrator may do that"},
		"a wrong password":                 {account{c.Admin.User, "wrong", c.Admin.Project, c.Admin.Domain}, []string{"--region", r.region, "--url", f.URL}, "is not accepted"},
		"no URL":                           {c.Admin, []string{"--region", r.region}, "give --url"},
		"an odd URL":                       {c.Admin, []string{"--region", r.region, "--url", "metal:6385"}, "must be one like"},
		"a user without a password":        {c.Admin, []string{"--region", r.region, "--url", f.URL, "--create-user", unique(t)}, "without a password"},
	} {
		out, err := c.as(t, try.who, append([]string{"openstack", "register"}, try.args...)...)
		if err == nil || !strings.Contains(out, try.say) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

func equal(a, b map[string]string) bool {
	x, _ := json.Marshal(a) // sorted
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// TestKeystoneDoctor makes what is between Ferric and Keystone ill, and reads what the doctor says.
func TestKeystoneDoctor(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	r := newRegistry(t, p)
	user, name := p.user(t, "ferric")
	service := p.projectID(t, "service")
	p.grant(t, "projects/"+service, user, "service")
	settings := []string{"api.auth_strategy=keystone", "openstack.auth_url=" + c.AuthURL, "openstack.username=" + name, "openstack.password=" + password, "openstack.project_name=service",
		"openstack.region_name=" + r.region}
	f := c.start(t, settings...)
	codes := func(args ...string) []string {
		t.Helper()
		out, _ := c.command(t, append([]string{"doctor", "--json"}, args...)...)
		var report struct {
			Findings []struct{ Code, What, Why, Do string }
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("doctor %v: %v\n%s", args, err, out)
		}
		var all []string
		for _, f := range report.Findings {
			if f.What == "" || f.Why == "" || f.Do == "" || strings.Contains(out, password) {
				t.Errorf("%+v", f)
			}
			all = append(all, f.Code)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	want := func(story string, got []string, codes ...string) {
		t.Helper()
		if !slices.Equal(got, codes) {
			t.Errorf("%s: the doctor finds %v, want %v", story, got, codes)
		}
	}
	want("nothing is registered in the region", codes("--url", f.URL), "not-in-catalogue")
	register := func(url string) {
		t.Helper()
		if out, err := c.as(t, c.Admin, "openstack", "register", "--region", r.region, "--url", url); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	register(c.AuthURL)
	f.restart(t) // the catalogue comes with the token
	want("the catalogue names something else", codes("--url", f.URL), "catalogue-elsewhere")
	register(f.URL)
	f.restart(t)
	want("all is well", codes("--url", f.URL))

	p.grant(t, "projects/"+service, user, "reader")
	p.must(t, "DELETE", "/projects/"+service+"/users/"+user+"/roles/"+p.role["service"], nil)
	f.restart(t)
	want("the role is missing", codes(append([]string{"--db", "--data-dir", f.Data}, flags(settings)...)...), "keystone-role-missing")
	want("wrong password", codes(append([]string{"--db", "--data-dir", f.Data}, flags(append(settings, "openstack.password=wrong"))...)...), "keystone-refuses-us")
	f.stop()
	nobody := freeAddress(t)
	away := append(settings, "openstack.auth_url=http://"+nobody+"/v3")
	want("Keystone is away", codes(append([]string{"--db", "--data-dir", f.Data}, flags(away)...)...), "keystone-unreachable")
}

// flags are settings for the command line.
func flags(settings []string) []string {
	var out []string
	for _, s := range settings {
		out = append(out, "--set", s)
	}
	return out
}

// restart stops Ferric and starts it again.
func (f *ferric) restart(t *testing.T) {
	t.Helper()
	f.stop()
	f.run(t)
}
