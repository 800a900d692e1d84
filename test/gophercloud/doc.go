// Package gophercloud holds the tests that use gophercloud, the Go SDK of OpenStack, as a client: every call of its bare metal
// packages against a running Ferric with fake-hardware, at several microversions. CONFORMANCE_ENDPOINT names a Ferric that runs
// already (with nothing in it); otherwise the tests build and start one.
package gophercloud
