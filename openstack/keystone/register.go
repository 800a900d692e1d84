package keystone

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/openstack"
)

// Registration is what Keystone shall hold about this service.
type Registration struct {
	Type, Name, Description string            // of the service; Name and Description are used when it is made
	Region                  string            // of its endpoints; made if it does not exist
	URLs                    map[string]string // by interface: public, internal, admin
	User                    *User             // nil: none
}

// User is the user that Ferric logs in as.
type User struct {
	Name, Domain string // domain: id or name
	Password     string // of a user that is made; one that exists keeps the password
	Project      string // in the same domain; made if it does not exist
	Roles        []string
}

// Interfaces are those that endpoints have, in the order in which they are registered.
var Interfaces = []string{"public", "internal", "admin"}

// Register makes Keystone hold what it shall, with the session's user, who must be an administrator. What is so already is left alone, so it can be
// repeated, also when it was interrupted. It tells what it does, or finds done, as it goes.
func Register(ctx context.Context, session *openstack.Session, r Registration, tell func(string)) error {
	for _, i := range Interfaces {
		u, err := url.Parse(r.URLs[i])
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return ferric.Errorf(ferric.CodeInvalid, "the %s URL must be one like https://metal.example.org:6385, without user and password", i)
		}
	}
	if r.Region == "" {
		return ferric.Errorf(ferric.CodeInvalid, "it is not said for which region; give --region")
	}
	client, err := session.Client(ctx, openstack.Service{Type: "identity", Endpoint: session.AuthURL()})
	if err != nil {
		return err
	}
	g := &registrar{client, tell}
	if r.User != nil {
		if err := g.user(ctx, *r.User); err != nil {
			return err
		}
	}
	return g.endpoints(ctx, r)
}

type registrar struct {
	client *gophercloud.ServiceClient
	tell   func(string)
}

func (g *registrar) say(format string, args ...any) { g.tell(fmt.Sprintf(format, args...)) }

// object is one of Keystone's objects.
type object struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Interface string `json:"interface"`
	Region    string `json:"region_id"`
	Service   string `json:"service_id"`
	URL       string `json:"url"`
	Enabled   *bool  `json:"enabled"`
}

// list lists the objects of a kind.
func (g *registrar) list(ctx context.Context, kind, query string) ([]object, error) {
	var doc map[string]any
	if _, err := g.client.Get(ctx, g.client.ServiceURL(kind+"s")+query, &doc, nil); err != nil {
		return nil, fmt.Errorf("list %ss: %w", kind, err)
	}
	items, _ := doc[kind+"s"].([]any)
	out := make([]object, 0, len(items))
	for _, item := range items {
		m, _ := item.(map[string]any)
		text := func(name string) string { s, _ := m[name].(string); return s }
		o := object{ID: text("id"), Name: text("name"), Type: text("type"), Interface: text("interface"), Region: text("region_id"), Service: text("service_id"), URL: text("url")}
		if enabled, ok := m["enabled"].(bool); ok {
			o.Enabled = &enabled
		}
		out = append(out, o)
	}
	return out, nil
}

// make makes an object and returns its id.
func (g *registrar) make(ctx context.Context, kind string, fields map[string]any) (string, error) {
	var doc map[string]object
	_, err := g.client.Post(ctx, g.client.ServiceURL(kind+"s"), map[string]any{kind: fields}, &doc, nil)
	if err != nil {
		return "", fmt.Errorf("make the %s: %w", kind, err)
	}
	return doc[kind].ID, nil
}

// ensure finds the object of a kind with a name, or makes it.
func (g *registrar) ensure(ctx context.Context, kind, name, query string, fields map[string]any) (id string, made bool, err error) {
	have, err := g.list(ctx, kind, query)
	if err != nil {
		return "", false, err
	}
	for _, o := range have {
		if o.Name == name {
			return o.ID, false, nil
		}
	}
	fields["name"] = name
	if id, err = g.make(ctx, kind, fields); err == nil {
		g.say("made the %s %s", kind, name)
	}
	return id, true, err
}

// user makes the user and gives it its roles.
func (g *registrar) user(ctx context.Context, u User) error {
	domains, err := g.list(ctx, "domain", "")
	if err != nil {
		return err
	}
	at := slices.IndexFunc(domains, func(d object) bool { return d.ID == u.Domain || d.Name == u.Domain })
	if at < 0 {
		return ferric.Errorf(ferric.CodeInvalid, "there is no domain %s", u.Domain)
	}
	domain := domains[at].ID
	query := func(name string) string {
		return "?domain_id=" + url.QueryEscape(domain) + "&name=" + url.QueryEscape(name)
	}
	project, _, err := g.ensure(ctx, "project", u.Project, query(u.Project), map[string]any{"domain_id": domain, "description": "services of the cloud"})
	if err != nil {
		return err
	}
	found, err := g.list(ctx, "user", query(u.Name))
	if err != nil {
		return err
	}
	if len(found) == 0 && u.Password == "" {
		return ferric.Errorf(ferric.CodeInvalid, "the user %s does not exist and would be made without a password; set openstack.password or give --password-file", u.Name)
	}
	user, made, err := g.ensure(ctx, "user", u.Name, query(u.Name), map[string]any{"domain_id": domain, "password": u.Password, "default_project_id": project})
	if err != nil {
		return err
	}
	if !made {
		g.say("the user %s exists and keeps its password", u.Name)
	}
	for _, name := range u.Roles {
		role, _, err := g.ensure(ctx, "role", name, "?name="+url.QueryEscape(name), map[string]any{})
		if err != nil {
			return err
		}
		path := g.client.ServiceURL("projects", project, "users", user, "roles", role)
		_, err = g.client.Head(ctx, path, &gophercloud.RequestOpts{OkCodes: []int{http.StatusNoContent, http.StatusOK}})
		switch {
		case err == nil:
			g.say("%s has the role %s in the project %s", u.Name, name, u.Project)
			continue
		case !openstack.Is(err, openstack.NotFound):
			return fmt.Errorf("look for the role %s of %s: %w", name, u.Name, err)
		}
		if _, err := g.client.Put(ctx, path, nil, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusNoContent}}); err != nil {
			return fmt.Errorf("give %s the role %s: %w", u.Name, name, err)
		}
		g.say("gave %s the role %s in the project %s", u.Name, name, u.Project)
	}
	return nil
}

// endpoints makes the service and its endpoints, and corrects their URLs.
func (g *registrar) endpoints(ctx context.Context, r Registration) error {
	services, err := g.list(ctx, "service", "?type="+url.QueryEscape(r.Type))
	if err != nil {
		return err
	}
	if len(services) > 1 {
		services = slices.DeleteFunc(services, func(o object) bool { return o.Name != r.Name })
		if len(services) != 1 {
			return ferric.Errorf(ferric.CodeConflict, "the catalogue has several services of the type %s; say by --name which one is meant, or delete the others", r.Type)
		}
	}
	var service string
	if len(services) == 1 {
		service = services[0].ID
		g.say("the service %s (%s) exists", services[0].Name, r.Type)
		if e := services[0].Enabled; e != nil && !*e {
			return ferric.Errorf(ferric.CodeConflict, "the service %s is disabled: openstack service set --enable %s", services[0].Name, service)
		}
	} else {
		if service, err = g.make(ctx, "service", map[string]any{"type": r.Type, "name": r.Name, "description": r.Description}); err != nil {
			return err
		}
		g.say("made the service %s (%s)", r.Name, r.Type)
	}
	regions, err := g.list(ctx, "region", "")
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(regions, func(o object) bool { return o.ID == r.Region }) {
		if _, err := g.make(ctx, "region", map[string]any{"id": r.Region}); err != nil {
			return err
		}
		g.say("made the region %s", r.Region)
	}
	endpoints, err := g.list(ctx, "endpoint", "?service_id="+url.QueryEscape(service))
	if err != nil {
		return err
	}
	for _, i := range Interfaces {
		want := strings.TrimRight(r.URLs[i], "/")
		have := slices.DeleteFunc(slices.Clone(endpoints), func(o object) bool { return o.Interface != i || o.Region != r.Region || o.Service != service })
		switch {
		case len(have) > 1:
			return ferric.Errorf(ferric.CodeConflict, "there are %d %s endpoints in the region %s, and which one is used is not certain; delete all but one: openstack endpoint delete %s",
				len(have), i, r.Region, have[1].ID)
		case len(have) == 0:
			if _, err := g.make(ctx, "endpoint", map[string]any{"service_id": service, "interface": i, "region_id": r.Region, "url": want}); err != nil {
				return err
			}
			g.say("made the %s endpoint in %s: %s", i, r.Region, want)
		case have[0].URL == want && (have[0].Enabled == nil || *have[0].Enabled):
			g.say("the %s endpoint in %s is %s", i, r.Region, want)
		default:
			body := map[string]any{"endpoint": map[string]any{"url": want, "enabled": true}}
			if _, err := g.client.Patch(ctx, g.client.ServiceURL("endpoints", have[0].ID), body, nil, nil); err != nil {
				return fmt.Errorf("change the %s endpoint: %w", i, err)
			}
			g.say("changed the %s endpoint in %s from %s to %s", i, r.Region, have[0].URL, want)
		}
	}
	return nil
}
