package api

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// The OpenAPI 3.1 document at /ferric/v1/openapi.json. It is made from the route table and the resources' tables of fields when the API
// starts, so it cannot tell anything else than what is served. Extensions: x-ferric-since is the microversion that a path, an argument or a
// field came with, x-ferric-policy the rule that guards it.

// showOpenAPI answers with the document.
func (a *API) showOpenAPI(rq *request) (any, error) {
	doc := maps.Clone(a.document())
	doc["servers"] = []any{map[string]any{"url": rq.base}}
	return doc, nil
}

// resources are all kinds of objects that have a table of fields.
func (a *API) resources() []schemaSource {
	return []schemaSource{a.nodes, a.ports, a.portgroups, a.chassis, a.connectors, a.targets, a.inspectionRules, a.allocations, a.deployTemplates, a.runbooks}
}

// describe makes the document.
func (a *API) describe(routes []route) map[string]any {
	d := description{schemas: map[string]any{}, kinds: map[string]string{}}
	for _, r := range a.resources() {
		name, collection := r.names()
		kind := camel(name)
		d.kinds[collection] = kind
		d.schemas[kind] = r.answerSchema()
		d.schemas["New"+kind] = r.bodySchema()
		d.schemas[kind+"List"] = schema{"type": "object", "required": []string{lastPart(collection)}, "properties": schema{
			lastPart(collection): listOf(refTo("schemas", kind)),
			"next":               schema{"type": "string", "format": "uri", "description": "the next page; missing on the last one"}}}
	}
	maps.Copy(d.schemas, commonSchemas())
	paths := map[string]map[string]any{}
	for _, r := range routes {
		if r.refusal {
			continue
		}
		if paths[r.path] == nil {
			paths[r.path] = map[string]any{}
		}
		paths[r.path][strings.ToLower(r.method)] = d.operation(r, a.auth != nil)
	}
	components := map[string]any{"schemas": d.schemas, "responses": map[string]any{"Error": map[string]any{
		"description": "An error. Its error_message is a JSON object in a string: {faultcode, faultstring, debuginfo}, or {code, title, description} " +
			"when no handler was reached.", "content": jsonContent(refTo("schemas", "Error"))}},
		"parameters": map[string]any{"Microversion": map[string]any{"name": versionHeader, "in": "header", "schema": schema{"type": "string",
			"pattern": `^(1\.[0-9]+|latest)$`, "default": versionString(minVersion)}, "description": "The microversion that the request is made for."}}}
	if a.auth != nil {
		components["securitySchemes"] = map[string]any{"basic": map[string]any{"type": "http", "scheme": "basic"}}
	}
	return map[string]any{"openapi": "3.1.0", "paths": paths, "components": components, "info": map[string]any{
		"title": "Ferric", "version": versionString(maxVersion),
		"summary":     "Bare metal provisioning with the API of OpenStack Ironic",
		"description": "Microversions " + versionString(minVersion) + " to " + versionString(maxVersion) + " are served; a request that names none is one for " + versionString(minVersion) + "."}}
}

// description is the document while it is made.
type description struct {
	schemas map[string]any
	kinds   map[string]string // names of schemas, by the collection's path
}

// commonSchemas are of no resource.
func commonSchemas() map[string]any {
	text := schema{"type": "string"}
	return map[string]any{
		"Link":  schema{"type": "object", "required": []string{"href", "rel"}, "properties": schema{"href": text, "rel": text, "type": text}},
		"Error": schema{"type": "object", "required": []string{"error_message"}, "properties": schema{"error_message": text}},
		"Patch": listOf(schema{"type": "object", "required": []string{"op", "path"}, "properties": schema{
			"op": schema{"enum": []string{"add", "replace", "remove"}}, "path": schema{"type": "string", "pattern": "^/"}, "value": schema{}}}),
	}
}

// operation describes a route.
func (d *description) operation(r route, login bool) map[string]any {
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	done := map[string]any{"description": http.StatusText(status)}
	if status == http.StatusOK || status == http.StatusCreated {
		switch {
		case r.path == eventsPath:
			done["content"] = map[string]any{"text/event-stream": map[string]any{"schema": schema{"type": "string"}}}
		case r.method != http.MethodHead:
			done["content"] = jsonContent(d.answer(r))
		}
	}
	op := map[string]any{
		"operationId":    operationID(r),
		"tags":           []string{tag(r.path)},
		"responses":      map[string]any{strconv.Itoa(status): done, "default": refTo("responses", "Error")},
		"x-ferric-since": versionString(max(r.since, minVersion)),
	}
	if r.policy != "" {
		op["x-ferric-policy"] = r.policy
	}
	if r.own != "" {
		op["x-ferric-policy-own"] = r.own
	}
	parameters := []any{}
	if strings.HasPrefix(r.path, "/v1") {
		parameters = append(parameters, refTo("parameters", "Microversion"))
	}
	for seg := range segments(r.path) {
		if name, ok := strings.CutPrefix(seg, "{"); ok {
			parameters = append(parameters, map[string]any{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": schema{"type": "string"}})
		}
	}
	var required []string
	members := schema{}
	for _, a := range r.args {
		s := ofArgument(a, r.body == argsBody)
		if r.body != argsBody {
			p := map[string]any{"name": a.name, "in": "query", "schema": s, "x-ferric-since": versionString(max(a.since, r.since, minVersion))}
			if a.required {
				p["required"] = true
			}
			if s["type"] == "array" {
				p["style"], p["explode"] = "form", false
			}
			parameters = append(parameters, p)
			continue
		}
		s["x-ferric-since"] = versionString(max(a.since, r.since, minVersion))
		members[a.name] = s
		if a.required {
			required = append(required, a.name)
		}
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	switch body := (schema{"type": "object", "properties": members}); {
	case r.body == argsBody:
		if len(required) > 0 {
			body["required"] = required
		}
		op["requestBody"] = map[string]any{"content": jsonContent(body), "required": len(required) > 0}
	case r.body == docBody:
		op["requestBody"] = map[string]any{"content": jsonContent(d.document(r)), "required": r.method == http.MethodPatch || d.makes(r)}
	}
	if login && (r.public || r.ramdisk) {
		op["security"] = []any{}
	} else if login {
		op["security"] = []any{map[string]any{"basic": []string{}}}
	}
	return op
}

// makes reports whether a route makes an object of a resource.
func (d *description) makes(r route) bool {
	return r.method == http.MethodPost && r.status == http.StatusCreated && d.kinds[strings.TrimPrefix(r.path, "/v1/")] != ""
}

// document is the schema of a body that is one document.
func (d *description) document(r route) schema {
	switch {
	case d.makes(r):
		return refTo("schemas", "New"+d.kinds[strings.TrimPrefix(r.path, "/v1/")])
	case r.method == http.MethodPatch && d.answer(r)["$ref"] != nil:
		return refTo("schemas", "Patch")
	}
	return schema{"type": []string{"object", "array", "string", "number", "boolean", "null"}}
}

// answer is the schema of a route's answer: the resource's whose collection the path is, or is in; otherwise any object.
func (d *description) answer(r route) schema {
	path, v1 := strings.CutPrefix(r.path, "/v1/")
	if !v1 {
		return schema{"type": "object"}
	}
	path = strings.TrimSuffix(path, "/detail")
	parent, last := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, last = path[:i], path[i+1:]
	}
	below := path // "ports" for nodes/{node}/ports, "volume/connectors" for nodes/{node}/volume/connectors
	if i := strings.LastIndex(path, "}/"); i >= 0 {
		below = path[i+2:]
	}
	switch {
	case d.kinds[below] != "" && r.method == http.MethodGet:
		return refTo("schemas", d.kinds[below]+"List")
	case d.kinds[path] != "":
		return refTo("schemas", d.kinds[path])
	case d.kinds[parent] != "" && strings.HasPrefix(last, "{"):
		return refTo("schemas", d.kinds[parent])
	}
	return schema{"type": "object"}
}

// operationID is "getNodesNodeStates" for GET /v1/nodes/{node}/states.
func operationID(r route) string {
	id := strings.ToLower(r.method)
	for seg := range segments(r.path) {
		id += camel(strings.Trim(seg, "{}"))
	}
	return id
}

// tag groups the operations by the collection.
func tag(path string) string {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/ferric"), "/v1")
	for seg := range segments(path) {
		return seg
	}
	return "versions"
}

// camel is "DeployTemplate" for "deploy_template" and for "deploy template".
func camel(s string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(s, func(c rune) bool { return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// lastPart is what a list calls its objects: "connectors" for "volume/connectors".
func lastPart(collection string) string { return collection[strings.LastIndexByte(collection, '/')+1:] }
