// Package doctor finds nodes, operations, allocations and conductors that are not well, by what the database says of them, and tells what, since when,
// why, and what mends it. It changes nothing.
//
// What only a conductor can see (machines, files, disks) it reports itself, in the same form: ferric.Finding.
//
// # Concurrency
//
// Examine may be called at any time, from many goroutines. It holds nothing in the database while it looks, so what it looks at may move meanwhile: leases
// are looked at twice before they count as left over.
package doctor
