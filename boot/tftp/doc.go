// Package tftp serves boot loaders over TFTP, read-only, on one address (RFC 1350 with the options of RFC 2347, 2348
// blksize and 2349 tsize).
//
// It is there to hand out the first loader, a few hundred kilobytes; kernels and images go by HTTP, which is many
// times as fast. Every transfer uses a port of its own, as the protocol says: with a single port the iPXE of network
// cards was seen to time out.
//
// # Concurrency
//
// One goroutine reads requests, each transfer has one of its own, at most Options.MaxTransfers at a time and none longer
// than Options.TransferTimeout. Serve waits for all of them before it returns; when its context ends, transfers under
// way are cut off.
package tftp
