// Package qcow2 reads QEMU's qcow2 disk images (versions 2 and 3) from untrusted sources.
//
// It is written for streaming: [Open] reads the header and the first-level table by a few small ranged reads,
// [Image.Index] reads the second-level tables and builds a map from file to guest offsets, and a [Stream] is
// then fed the file's bytes once, in order, and hands out the pieces of guest data as they pass. The bytes of
// the tables that pass in the stream must equal those that the map was made from, so a file that is exchanged
// between the two readings is refused.
//
// The package reads one file and nothing else. An image that names a backing file, an external data file or
// encryption is refused when its header is parsed; internal snapshots and the saved machine state are ignored.
// Every offset and length is checked against the size of the file before it is used.
//
// The format is QEMU's docs/interop/qcow2. Supported: zlib and zstd compressed clusters, zero clusters, the
// dirty bit. Not supported and refused: extended L2 entries (subclusters), LUKS and AES encryption.
//
// # Memory
//
// The map costs 4 bytes per cluster of the file, 12 bytes per compressed cluster (up to twice that while it
// grows), 1 bit per cluster of the guest, 8 bytes per first-level entry and 24 bytes per second-level table.
// The sum is held under [Options].MaxMapBytes: a file of 20 GiB with the usual 64 KiB clusters needs 1.3 MB,
// one of 2 TiB 132 MB. A stream keeps at most 4 MiB beside the bytes it was given.
//
// # Concurrency
//
// An Image and its Map do not change once they are made. Image.ReadAt may be called by many goroutines. A
// Stream and a Decoder each belong to one goroutine at a time; a Piece may be decoded by any goroutine that
// has a Decoder, as long as the bytes given to Feed stay untouched.
package qcow2
