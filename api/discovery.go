package api

import "strings"

// versionObject describes version 1.
func versionObject(rq *request) map[string]any {
	return map[string]any{"id": "v1", "status": "CURRENT", "min_version": versionString(minVersion), "version": versionString(maxVersion),
		"links": []link{{Href: rq.base + "/v1/", Rel: "self"}}}
}

func (a *API) showRoot(rq *request) (any, error) {
	v := versionObject(rq)
	return map[string]any{
		"name":            "OpenStack Ironic API",
		"description":     "Ironic is an OpenStack project which enables the provision and management of baremetal machines.",
		"default_version": v, "versions": []any{v},
	}, nil
}

// showV1 lists the collections that the version has: those that are in the route table.
func (a *API) showV1(rq *request) (any, error) {
	out := map[string]any{
		"id": "v1",
		"links": []link{{Href: rq.base + "/v1/", Rel: "self"},
			{Href: "https://docs.openstack.org//ironic/latest/contributor//webapi.html", Rel: "describedby", Type: "text/html"}},
		"media_types": map[string]string{"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"},
		"version":     versionObject(rq),
	}
	for _, r := range a.routes() {
		name, rest, _ := strings.Cut(strings.TrimPrefix(r.path, "/v1/"), "/")
		isRoot := rest == "" || name == "heartbeat"
		if !strings.HasPrefix(r.path, "/v1/") || !isRoot || r.shownSince(name) > rq.version || out[name] != nil {
			continue
		}
		out[name] = rq.links(name + "/")
	}
	return out, nil
}

// shownSince is the version from which the root lists a collection. continue_inspection is there in 1.1 too, for agents
// that know the inspector's API, but that is not told.
func (r *route) shownSince(collection string) int {
	if collection == "continue_inspection" {
		return 84
	}
	return r.since
}
