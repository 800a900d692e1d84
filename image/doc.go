// Package image fetches, checks and writes disk images, all of which are hostile input.
//
//   - [Open] gives a [Source] for an http, https or file URL. Its readers carry a broken download on where it
//     stopped, for as long as [Options] says, and refuse a file that changed meanwhile.
//   - [Inspect] finds out what an image is from its content, never from its name, and refuses what is unsafe.
//   - [Write] streams a raw, ISO or qcow2 image to a [Target] and verifies its checksum on the way; nothing is
//     stored in between. [OpenDevice] is the target for disks.
//   - [ResolveChecksum] turns what a node's instance_info says into a [Checksum].
//   - [Cache] keeps verified copies of images on the conductor's disk.
//
// Both the conductor and the agent in the deploy ramdisk use the package, so it stays free of templates and of
// large dependencies. Config drives are in image/configdrive, the qcow2 format is in image/qcow2.
//
// # Errors
//
// All errors carry a code of package ferric: CodeCorrupt for damaged, changed or unsafe images and for
// checksum mismatches; CodeNoSpace for a disk or cache that is too small; CodeUnavailable for servers that
// cannot be reached and disks that cannot be written; CodeNotFound and CodeForbidden as the server or the file
// system answered; CodeTimeout when the caller's deadline passed; CodeInvalid for bad arguments. Messages show
// URLs without user, password and query.
//
// # Concurrency
//
// A Source may be used by several goroutines, each Reader by one. Write runs a small pipeline of goroutines and
// returns when all of them have ended. A Cache may be used by any number of goroutines; downloads run in
// goroutines that belong to the Cache and end at the latest in Close.
package image
