// Package storage holds the storage interfaces "cinder" and "external".
//
// With external, others attach the volumes and say in the node's volume targets how they are reached. With cinder, Ferric asks Cinder to attach them, as
// Ironic does: reserve, initialize the connection, attach, then a line in the volume's metadata; and begin detaching, terminate the connection, detach,
// metadata. Volumes that are attached to the instance already, by Nova, are left as they are, and are detached with the others.
//
// # Crashes
//
// Nothing is assumed of what was asked before: Cinder is asked for the volume first, each time. What its answer cannot tell is in a journal, which is kept with
// the node (driver.States) and written before each call that it is about: that the reservation of a volume is ours, and how far its connection has come. So
// a conductor that is killed between any two calls, or whose call got no answer, goes on where it was. The journal outlives operations, so that a deploy that
// was given up leaves nothing reserved once the instance is deleted.
//
// One window remains, because Cinder's reservations have no owner: when a conductor is killed after it noted that it is about to reserve a volume, and before
// it did, and somebody else reserves the volume in just that moment, both believe that it is theirs. Cinder then refuses to attach it to the second.
//
// # Concurrency
//
// The implementations have no state; what a node's journal says is changed under the node's lease only.
package storage
