// Package agent implements what is done through the agent in the deploy ramdisk: the deploy interface "direct", which lets the agent write
// an image, and the inspect interface "agent".
//
// # Concurrency
//
// The implementations keep no state and may be shared by all nodes.
package agent
