// Command diff plays the same conversations to Ironic and to Ferric and tells where their answers differ.
//
// Conversations come from two places: generated from the tables of package api (every route, every field, every
// argument, at the microversions around its first), and written by hand (the life of a node, paging, errors). Before
// answers are compared, what cannot be the same is made alike: times, addresses of the servers, UUIDs that a server
// chose, request ids.
//
// A difference that is meant is a row in docs/differences.md. A row may be missing for no difference, and a row
// that nothing matches any more is reported.
package main
