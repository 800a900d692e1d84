package api

import "strings"

// Surface is what the tables say about the API, for tools and tests that go through all of it.
type Surface struct {
	Resources []ResourceInfo
	Routes    []RouteInfo
}

// ResourceInfo describes a kind of object.
type ResourceInfo struct {
	Name       string // "node"
	Collection string // below /v1: "nodes"
	Fields     []FieldInfo
}

// FieldInfo describes a field of an object.
type FieldInfo struct {
	Name     string
	Since    int  // minor number of the first microversion that has it, 1 for the oldest
	Brief    bool // lists show it by default
	Required bool
	OnCreate bool // a body that makes an object may hold it
	OnPatch  bool
	Sort     bool // lists may be sorted by it
}

// RouteInfo describes a method of a path.
type RouteInfo struct {
	Method  string
	Path    string // "/v1/nodes/{node}"
	Since   int    // minor number of the first microversion that has it, 1 for the oldest
	Policy  string
	Body    bool // it reads the request's body
	Args    []ArgInfo
	Ramdisk bool // it is for agents
}

// ArgInfo describes an argument of a route.
type ArgInfo struct {
	Name     string
	Since    int
	Required bool
}

// Surface returns the surface of the whole API.
func (a *API) Surface() Surface {
	var s Surface
	for _, r := range a.resources() {
		s.Resources = append(s.Resources, r.info())
	}
	for _, r := range a.routes() {
		if r.refusal && strings.Contains(r.path, "{") {
			continue // a way that leads nowhere
		}
		info := RouteInfo{Method: r.method, Path: r.path, Since: max(r.since, minVersion), Policy: r.policy, Body: r.body != noBody, Ramdisk: r.ramdisk}
		for _, arg := range r.args {
			info.Args = append(info.Args, ArgInfo{Name: arg.name, Since: max(arg.since, minVersion), Required: arg.required})
		}
		s.Routes = append(s.Routes, info)
	}
	return s
}

func (r *resource[T]) info() ResourceInfo {
	info := ResourceInfo{Name: r.name, Collection: r.collection}
	for _, f := range r.fields {
		info.Fields = append(info.Fields, FieldInfo{Name: f.name, Since: max(f.since, minVersion), Brief: f.brief, Required: f.required,
			OnCreate: f.write&onCreate != 0, OnPatch: f.write&onPatch != 0, Sort: f.sort})
	}
	return info
}
