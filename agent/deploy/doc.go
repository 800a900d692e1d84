// Package deploy writes an image and a config drive to the root device: the commands standby.prepare_image,
// standby.cache_image and the deploy step write_image.
//
// # Concurrency
//
// A Writer may be called from many goroutines, but writes one image at a time: the agent runs one command at a time.
package deploy
