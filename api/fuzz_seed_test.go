package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ferric/api"
)

// seed is a request that fuzzing begins with.
type seed struct {
	method  uint8 // of fuzzMethods
	path    string
	body    string
	version string
}

func fuzzMethods() []string {
	return []string{"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"}
}

// routeSeeds is one request, with all arguments and fields, for every row of the table of routes, so that a new row is fuzzed from the day on which it is there.
func routeSeeds(s api.Surface) []seed {
	fields := map[string]api.ResourceInfo{}
	for _, r := range s.Resources {
		fields["/v1/"+r.Collection] = r
	}
	places := strings.NewReplacer("{node}", "one", "{port}", portID, "{portgroup}", "bond0", "{chassis}", chassisID, "{connector}", connectorID, "{target}", targetID,
		"{driver}", "ipmi", "{conductor}", "host-1", "{allocation}", "a", "{operation}", opID)
	var seeds []seed
	for _, r := range s.Routes {
		path := places.Replace(r.Path)
		for { // what is left is any name
			before, rest, more := strings.Cut(path, "{")
			if !more {
				break
			}
			_, after, _ := strings.Cut(rest, "}")
			path = before + "x" + after
		}
		arguments, body := map[string]any{}, any(nil)
		version := r.Since
		for _, a := range r.Args {
			arguments[a.Name] = "a"
			version = max(version, a.Since)
		}
		switch resource, known := fields[r.Path]; {
		case r.Body && r.Method == http.MethodPatch:
			body = []m{{"op": "add", "path": "/extra/a", "value": []any{1, nil}}, {"op": "remove", "path": "/name"}}
		case r.Body && known:
			object := m{}
			for _, f := range resource.Fields {
				if f.OnCreate {
					object[f.Name] = "a"
				}
			}
			body, version = object, 115
		case r.Body:
			body = arguments
		case len(arguments) > 0:
			query := []string{}
			for name := range arguments {
				query = append(query, name+"=a")
			}
			slices.Sort(query)
			path += "?" + strings.Join(query, "&")
		}
		one := seed{method: uint8(slices.Index(fuzzMethods(), r.Method)), path: path, version: fmt.Sprintf("1.%d", version)}
		if body != nil {
			one.body = string(mustMarshal(body))
		}
		seeds = append(seeds, one)
	}
	return seeds
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and lists of them
	}
	return b
}

// TestSeedsReachEveryRoute plays what fuzzing begins with: each route is reached by its own seed, and none of them ends in a 5xx.
func TestSeedsReachEveryRoute(t *testing.T) {
	reached := ""
	fx := newFixture(t, func(_ *api.Config, d *api.Deps) {
		d.Observe = func(method, route string, _ int, _ time.Duration) { reached = method + " " + route }
	})
	fx.must(201, "POST", "/v1/nodes", m{"uuid": nodeID, "name": "one", "driver": "ipmi"})
	surface := fx.api.Surface()
	seeds := routeSeeds(surface)
	for i, r := range surface.Routes {
		s := seeds[i]
		if strings.HasSuffix(r.Path, "/events") && strings.HasPrefix(r.Path, "/ferric") {
			continue // the answer does not end; TestChangeFeed and others reach it
		}
		reached = ""
		req := httptest.NewRequestWithContext(t.Context(), r.Method, "http://host"+s.path, strings.NewReader(s.body))
		req.Header.Set("X-OpenStack-Ironic-API-Version", s.version)
		w := httptest.NewRecorder()
		fx.api.ServeHTTP(w, req)
		checkAnswer(t, fmt.Sprintf("%s %s %s at %s", r.Method, s.path, s.body, s.version), w)
		if want := r.Method + " " + r.Path; reached != want {
			t.Errorf("the seed %s %s reaches %q, not %q", r.Method, s.path, reached, want)
		}
	}
}
