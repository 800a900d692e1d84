// Package keystone tells who sends a request of the API, by the tokens that it carries: the work of keystonemiddleware in front of Ironic.
//
// Tokens are what Keystone says they are (GET /v3/auth/tokens, asked with Ferric's own token); headers in which a client claims a role mean nothing here.
// What Keystone has said is remembered for Options.CacheTime, so a token that is revoked, or whose roles change, goes on being accepted for at most
// that long; Keystone publishes no list of revoked tokens that one could follow instead. A token is never accepted after its own end.
//
// While Keystone cannot be asked, remembered tokens go on being accepted for Options.Grace longer; unknown ones are CodeUnavailable, which is not
// CodeUnauthorized: a client is told to come again, not to log in again.
//
// # Concurrency
//
// Validator may be used by many goroutines. Requests that carry the same unknown token ask Keystone once. It starts no goroutine.
package keystone
