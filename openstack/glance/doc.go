// Package glance reads images of OpenStack's image service, and puts the deploy ramdisk there.
//
//	c := glance.New(session)
//	img, err := c.Image(ctx, id)      // what Glance knows of it; an error unless its data can be had
//	url, client, err := c.Data(ctx, id)
//
// Requests go out with the session's service token. Such a user usually sees every project's images, so whoever fetches one in somebody
// else's name asks Image.VisibleTo first.
//
// # Errors
//
// CodeNotFound: there is no such image, or Ferric's user may not see it. CodeInvalid: the image is there and cannot be used, with its state.
// CodeUnavailable: Glance or Keystone does not answer, or refuses Ferric's own user.
//
// # Concurrency
//
// A Client may be used by many goroutines and starts none.
package glance
