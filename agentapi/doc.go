// Package agentapi holds what a conductor and the agent in the deploy ramdisk say to each other: the JSON
// of lookup, heartbeat, inspection and commands, the inventory, root device hints, and a client for the
// agent's HTTP API.
//
// The protocol is that of OpenStack's ironic-python-agent (API "v1"), so a stock agent works with Ferric and
// Ferric's agent works with a stock Ironic. Ferric adds a few fields; each is marked "Ferric" in its comment
// and is either ignored by a stock peer or sent to a Ferric peer only:
//
//   - a command may carry "id" (sending the same id again returns the first result and never runs the command
//     twice) and "epoch" (the agent refuses a command whose fencing epoch is older than the newest it has seen);
//   - the lookup answer's config may carry "ferric"; only when it does, heartbeats carry "ferric" with progress;
//   - /v1/status and command results carry "ferric" with progress.
//
// # Concurrency
//
// All types are plain values. A *Client may be used by many goroutines at once; it starts none itself.
package agentapi
