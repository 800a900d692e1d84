package api

import (
	"encoding/json"
	"net/http"

	"ferric"
	"ferric/rpc"
)

// rawBytes is an answer that is sent as it is.
type rawBytes []byte

// vendorRoutes are the paths of vendors' methods below a prefix: the name comes in the query or at the end of the path, with any HTTP method.
func vendorRoutes(prefix, policy string, methods, call func(*request) (any, error)) []route {
	out := []route{{method: http.MethodGet, path: prefix + "/methods", policy: policy, handle: methods}}
	for _, verb := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		out = append(out,
			route{method: verb, path: prefix, policy: policy, body: docBody, args: []arg{{name: "method", parse: argString, required: true}}, handle: call},
			route{method: verb, path: prefix + "/{method}", policy: policy, body: docBody, handle: call})
	}
	return out
}

// vendorMethod reads which method is called with which arguments.
func vendorMethod(rq *request) (name string, args map[string]any, err error) {
	if name = rq.vars["method"]; name == "" {
		name = rq.args.str("method")
	}
	if name == "" {
		return "", nil, invalid("Method not specified")
	}
	args, ok := rq.doc.(map[string]any)
	if !ok {
		return "", nil, typeError("data", rq.doc, "object")
	}
	return name, args, nil
}

func (a *API) listVendorMethods(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	methods := map[string]rpc.VendorMethod{}
	return methods, a.deps.Conductors.Call(rq.Context(), n, rpc.VendorMethods, a.ref(rq, n), &methods)
}

func (a *API) callVendor(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	name, args, err := vendorMethod(rq)
	if err != nil {
		return nil, err
	}
	var reply rpc.VendorReply
	err = a.deps.Conductors.Call(rq.Context(), n, rpc.VendorCall, rpc.VendorArgs{NodeRef: a.ref(rq, n), Method: name, HTTPMethod: rq.Method, Args: args}, &reply)
	if err != nil {
		return nil, err
	}
	return rq.vendorAnswer(reply)
}

func (a *API) listDriverMethods(rq *request) (any, error) {
	d, err := a.driver(rq)
	if err != nil {
		return nil, err
	}
	methods := map[string]rpc.VendorMethod{}
	return methods, a.deps.Conductors.CallAny(rq.Context(), rpc.DriverVendorMethods, rpc.DriverRef{Driver: d.Name, Caller: rq.caller}, &methods)
}

func (a *API) callDriverVendor(rq *request) (any, error) {
	d, err := a.driver(rq)
	if err != nil {
		return nil, err
	}
	name, args, err := vendorMethod(rq)
	if err != nil {
		return nil, err
	}
	var reply rpc.VendorReply
	err = a.deps.Conductors.CallAny(rq.Context(), rpc.DriverVendorCall, rpc.DriverVendorArgs{DriverRef: rpc.DriverRef{Driver: d.Name, Caller: rq.caller},
		Method: name, HTTPMethod: rq.Method, Args: args}, &reply)
	if err != nil {
		return nil, err
	}
	return rq.vendorAnswer(reply)
}

// vendorAnswer is 202 without a body for an asynchronous method, else 200 with the result.
func (rq *request) vendorAnswer(r rpc.VendorReply) (any, error) {
	switch {
	case r.Async:
		rq.status = http.StatusAccepted
		return nil, nil
	case r.Attach:
		var text string
		if err := json.Unmarshal(r.Return, &text); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "result of a vendor's method: %w", err)
		}
		return rawBytes(text), nil
	case len(r.Return) == 0:
		return rawJSON("null"), nil
	}
	return rawJSON(r.Return), nil
}
