package neutron_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/network"
	"ferric/openstack"
	"ferric/openstack/neutron"
)

// dial makes a client of a server that answers what handle says. The token is made elsewhere, so that no Keystone is asked.
func dial(t *testing.T, handle http.HandlerFunc) *neutron.Client {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	identity := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", "t")
		_ = json.NewEncoder(w).Encode(map[string]any{"token": map[string]any{"expires_at": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"),
			"issued_at": time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")}})
	}))
	t.Cleanup(identity.Close)
	session, err := openstack.New(openstack.Credentials{AuthURL: identity.URL, Token: "t", Source: "the test"},
		openstack.Options{Endpoints: map[string]string{"network": s.URL}, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	return &neutron.Client{Session: session, Timeout: 30 * time.Second}
}

// TestErrors: what each kind of answer is for the network interfaces.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		code   ferric.Code
	}{
		"not there":        {404, `{"NeutronError": {"type": "PortNotFound", "message": "Port x could not be found.", "detail": ""}}`, ferric.CodeNotFound},
		"in use":           {409, `{"NeutronError": {"type": "MacAddressInUse", "message": "The mac address is in use."}}`, ferric.CodeConflict},
		"refused":          {400, `{"NeutronError": {"message": "no"}}`, ferric.CodeInvalid},
		"not allowed":      {403, `{"NeutronError": {"message": "rule:update_port is disallowed by policy"}}`, ferric.CodeInternal},
		"failed":           {500, `{"NeutronError": {"message": "Request Failed: internal server error"}}`, ferric.CodeBusy},
		"behind a proxy":   {503, "<html><body>no backend</body></html>", ferric.CodeUnavailable},
		"nonsense":         {200, "<html>", ferric.CodeUnavailable},
		"something else":   {200, `{"ports": []}`, ferric.CodeInternal},
		"not even a shape": {200, `{"port": 7}`, ferric.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			client := dial(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			if _, err := client.Port(t.Context(), "x"); ferric.ErrorCode(err) != c.code {
				t.Errorf("%v (%s), want %s", err, ferric.ErrorCode(err), c.code)
			}
		})
	}
	client := dial(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := client.CreatePorts(t.Context(), []network.Attrs{{}}); ferric.ErrorCode(err) != ferric.CodeUnavailable {
		t.Errorf("a connection that breaks: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Port(ctx, "x"); ferric.ErrorCode(err) != ferric.CodeUnavailable {
		t.Errorf("a context that has ended: %v", err)
	}
}

// TestPorts: lists come page by page, as long as Neutron says that there is more.
func TestPorts(t *testing.T) {
	var asked []string
	client := dial(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("device_owner")+" after "+r.URL.Query().Get("marker"))
		answer := map[string]any{"ports": []any{map[string]any{"id": "a"}, map[string]any{"id": "b"}}, "ports_links": []any{map[string]any{"rel": "next", "href": "x"}}}
		if r.URL.Query().Get("marker") == "b" {
			answer = map[string]any{"ports": []any{map[string]any{"id": "c"}}, "ports_links": []any{map[string]any{"rel": "previous"}}}
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	all, err := client.Ports(t.Context(), url.Values{"device_owner": {"baremetal:none"}})
	if err != nil || len(all) != 3 {
		t.Errorf("%d ports, %v", len(all), err)
	}
	if diff := cmp.Diff([]string{"baremetal:none after ", "baremetal:none after b"}, asked); diff != "" {
		t.Errorf("asked (-want +have):\n%s", diff)
	}
}

// TestFindNetworks: a UUID is looked up as one first, anything else as a name; no name leaves its place in the path.
func TestFindNetworks(t *testing.T) {
	const id = "0123abcd-0000-4000-8000-00000000000F"
	for name, c := range map[string]struct {
		name string
		want []string
	}{
		"id":           {id, []string{"/v2.0/networks/" + id}},
		"id of nobody": {"1123abcd-0000-4000-8000-00000000000f", []string{"/v2.0/networks/1123abcd-0000-4000-8000-00000000000f", "/v2.0/networks?limited"}},
		"name":         {"../ports", []string{"/v2.0/networks?limited"}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			client := dial(t, func(w http.ResponseWriter, r *http.Request) {
				path := r.URL.Path
				if r.URL.RawQuery != "" {
					path += "?limited"
					if r.URL.Query().Get("name") != c.name {
						t.Errorf("asked for %q", r.URL.RawQuery)
					}
				}
				asked = append(asked, path)
				switch r.URL.Path {
				case "/v2.0/networks":
					_, _ = io.WriteString(w, `{"networks": [{"id": "n1"}, {"id": "n2"}]}`)
				case "/v2.0/networks/" + id:
					_, _ = io.WriteString(w, `{"network": {"id": "`+id+`", "provider:physical_network": "physnet1"}}`)
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			})
			found, err := client.FindNetworks(t.Context(), c.name)
			if err != nil || (len(found) == 1) != (c.name == id) {
				t.Errorf("found %d, %v", len(found), err)
			}
			if diff := cmp.Diff(c.want, asked); diff != "" {
				t.Errorf("asked (-want +have):\n%s", diff)
			}
		})
	}
	client := dial(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/v2.0/ports/..%2Fnetworks" {
			t.Errorf("asked for %s", r.URL.EscapedPath())
		}
		w.WriteHeader(http.StatusNotFound)
	})
	if _, err := client.Port(t.Context(), "../networks"); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("an id with a slash: %v", err)
	}
}
