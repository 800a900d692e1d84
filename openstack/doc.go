// Package openstack holds Ferric's session with a cloud: who we are (settings, clouds.yaml, OS_* variables), one service token, and
// clients of the cloud's services by what the catalogue says.
//
//	session, err := openstack.New(credentials, openstack.Options{Log: log})
//	images, err := session.Client(ctx, openstack.Service{Type: "image"})
//	image, err := images.Get(ctx, images.ServiceURL("images", id), &doc, nil)   // or gophercloud's own functions
//
// New asks nobody. A client is cheap: it is made of the catalogue that came with the token, so ask for one per task instead of keeping it,
// then it follows the catalogue. When Keystone is away, Client fails with Unavailable and can be asked again.
//
// # The token
//
// There is one token, fetched when it is first needed and used by all clients until shortly before it expires. While it is renewed the old one
// goes on being used. A service that answers 401 makes the session fetch a new one, once, and the request is sent again.
//
// # Errors
//
// Every error of a client is an *Error: which service at which URL, what kind of failure (NotFound, Unavailable, ...), the service's own
// words; never a secret. ferric.ErrorCode knows them, too.
//
// # Deadlines and repetition
//
// A request fails when nothing has moved for Options.Timeout, neither a byte of a body nor the answer, so that a slow download of a large image may
// take its time; how long the whole may take, the caller's context says. Requests that may be repeated (GET, HEAD, PUT, DELETE with a body
// that can be sent again) are, after connection errors and 502, 503 and 504; every request is after a connection that was refused.
// A DELETE that is sent again may find its work done and answer 404: treat NotFound as done.
//
// The id of the request that the work is for (obs.RequestID) goes along as X-OpenStack-Request-ID, so that it stands in the other services' logs.
//
// # Concurrency
//
// Session may be used by many goroutines, and so may the clients. The package starts no goroutine that outlives a call.
package openstack
