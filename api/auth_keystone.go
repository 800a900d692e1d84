package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"ferric"
	"ferric/policy"
)

// Tokens knows whose tokens are: Keystone.
type Tokens interface {
	// Caller returns who sent a request with this X-Auth-Token and X-Service-Token ("" for none). method and path are for application
	// credentials that may be used for some requests only. CodeUnauthorized: the client must log in (again); CodeUnavailable: Keystone cannot be asked now.
	Caller(ctx context.Context, token, serviceToken, method, path string) (policy.Caller, error)
}

// tokenAuth takes callers for whom Keystone says they are. No other header counts.
type tokenAuth struct {
	tokens    Tokens
	challenge string
}

func newTokenAuth(tokens Tokens, uri string) *tokenAuth {
	return &tokenAuth{tokens, `Keystone uri="` + strings.NewReplacer(`"`, "", "\\", "").Replace(uri) + `"`}
}

// Authenticate asks about the request's tokens. The answers are keystonemiddleware's.
func (a *tokenAuth) Authenticate(r *http.Request) (policy.Caller, error) {
	token := strings.TrimSpace(cmp.Or(r.Header.Get("X-Auth-Token"), r.Header.Get("X-Storage-Token")))
	path := r.URL.Path
	if len(path) > 1 {
		path = strings.TrimRight(path, "/")
	}
	who, err := a.tokens.Caller(r.Context(), token, strings.TrimSpace(r.Header.Get("X-Service-Token")), r.Method, path)
	switch {
	case err == nil:
		return who, nil
	case ferric.IsCode(err, ferric.CodeUnauthorized):
		return who, &Refusal{Status: http.StatusUnauthorized, Title: "Unauthorized", Text: "The request you have made requires authentication.", Challenge: a.challenge, Err: err}
	case r.Context().Err() != nil:
		return who, err
	}
	return who, &Refusal{Status: http.StatusServiceUnavailable, Title: "Service Unavailable", Text: "The Keystone service is temporarily unavailable.", RetryAfter: 2, Err: err}
}
