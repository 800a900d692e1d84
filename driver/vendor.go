package driver

import (
	"context"
	"slices"
	"strings"

	"ferric"
)

// Vendor offers calls of its own. Interface kind "vendor".
type Vendor interface {
	Interface
	Methods() []VendorMethod
}

// DriverVendor is an optional part of Vendor: calls that are about no node. Their Run and Check get no machine.
type DriverVendor interface {
	DriverMethods() []VendorMethod
}

// VendorMethod is one call of a vendor interface.
type VendorMethod struct {
	Name        string
	HTTPMethods []string // POST, GET, …
	// Async: the caller does not wait for the end; a failure is told in the node's last_error, and no result. Such a call is not repeated
	// after a crash.
	Async bool
	// Shared calls do not need the node for themselves.
	Shared bool
	// Attach: the result, a text, is the body of the answer as it is.
	Attach      bool
	Description string
	// Check refuses wrong arguments before anything is done. nil: there is nothing to check.
	Check func(ctx context.Context, m *Machine, args map[string]any) error
	Run   func(ctx context.Context, m *Machine, args map[string]any) (any, error)
}

// FindMethod finds the method for a call. CodeInvalid, in Ironic's words.
func FindMethod(methods []VendorMethod, name, httpMethod string) (VendorMethod, error) {
	i := slices.IndexFunc(methods, func(m VendorMethod) bool { return m.Name == name })
	if i < 0 {
		return VendorMethod{}, ferric.Errorf(ferric.CodeInvalid, "No handler for method %s", name)
	}
	if !slices.Contains(methods[i].HTTPMethods, strings.ToUpper(httpMethod)) {
		return VendorMethod{}, ferric.Errorf(ferric.CodeInvalid, "The method %s does not support HTTP %s", name, strings.ToUpper(httpMethod))
	}
	return methods[i], nil
}
