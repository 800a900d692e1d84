// Package http serves the machines of a provisioning network over HTTP: boot loaders and per-machine files (the same
// tree as boot/tftp), image files at /images/ID, and whatever handlers are mounted beside them (the deploy ramdisk's
// API).
//
// Files are served with ranges, ETag and Last-Modified. There are no directory listings, and nothing is writable.
// A client that takes no data for a minute is cut off, so that a dead machine holds nothing open.
//
// # Concurrency
//
// As in net/http every request has a goroutine. Handle must not be called after Serve has begun. Serve waits for
// requests under way, up to Options.StopTimeout, before it returns.
package http
