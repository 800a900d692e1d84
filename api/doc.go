// Package api is the REST API: Ironic's under /v1, microversions 1.1 to 1.115, and Ferric's own additions under
// /ferric/v1.
//
// It is made of tables. A resource is a table of fields (name, microversions, type, who may write it and when) and the
// whole API is one table of routes (method, path, microversions, policy, arguments, handler). Version discovery,
// serialising, fields=, detail, the check of bodies and JSON Patch are derived from them. Adding a field of a next
// microversion is one line in node_fields.go or port_fields.go.
//
// Reads go straight to the store. What reaches hardware or needs a conductor's knowledge of drivers goes to the
// conductors (see Conductors), and the answer 202 is given once the conductor has written its plan.
//
// The reference for paths, fields, status codes and messages is OpenStack Ironic's API (ironic/api/controllers/v1
// and doc/source/contributor/webapi-version-history.rst).
//
// # Concurrency
//
// An API is immutable once made, except for the cache of checked passwords, which has its own lock. Its handlers start
// no goroutines and are called from as many as there are requests. Every request has a deadline (Config.RequestTimeout)
// that its context carries to the store and the conductors.
package api
