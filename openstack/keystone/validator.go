package keystone

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"ferric"
	"ferric/openstack"
	"ferric/policy"
)

// Options are how tokens are checked. The zero value is keystonemiddleware's, with no grace.
type Options struct {
	CacheTime            time.Duration // how long an answer is believed; 0: 5 minutes, negative: not at all
	Grace                time.Duration // how much longer it is while Keystone cannot be asked
	CacheSize            int           // most tokens remembered; 0: 10,000
	ServiceRoles         []string      // of a service that asks in a user's name; none: service
	ServiceRolesRequired bool          // a service token without one of them is refused
	ServiceTypes         []string      // what access rules call this service; none: baremetal, bare-metal
	Timeout              time.Duration // how long one question may take; 0: 20 seconds
	Log                  *slog.Logger
	Now                  func() time.Time // nil: time.Now
}

// Validator asks Keystone about tokens.
type Validator struct {
	session *openstack.Session
	options Options

	mu    sync.Mutex
	cache *cache
	away  time.Time // until then Keystone is taken for unreachable
	err   error     // why
}

// New makes a validator that asks with the session's token.
func New(session *openstack.Session, o Options) *Validator {
	if o.CacheTime == 0 {
		o.CacheTime = 5 * time.Minute
	}
	if o.CacheSize <= 0 {
		o.CacheSize = 10000
	}
	if len(o.ServiceRoles) == 0 {
		o.ServiceRoles = []string{"service"}
	}
	if len(o.ServiceTypes) == 0 {
		o.ServiceTypes = []string{"baremetal", "bare-metal"}
	}
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Validator{session: session, options: o, cache: newCache(o.CacheSize)}
}

// How long an answer is believed that is no good one: that a token is not known (somebody may go on sending it), and that Keystone cannot be asked.
const (
	unknownFor = 10 * time.Second
	awayFor    = 2 * time.Second
)

// Request is what there is to judge of a request of the API.
type Request struct {
	Token, ServiceToken string // X-Auth-Token, X-Service-Token
	Method, Path        string // for the access rules of application credentials
}

// Caller says who sent a request. CodeUnauthorized: a token is missing or no good, or its access rules do not allow this request. CodeUnavailable:
// Keystone cannot be asked, or does not let us ask.
//
// A service token with one of the service roles lets the user's token be one that has expired, as Keystone allows it (its allow_expired_window),
// because long work in a user's name must end somehow; and the user's access rules do not hold, because the service has checked its own.
func (v *Validator) Caller(ctx context.Context, r Request) (policy.Caller, error) {
	var service *token
	trusted := false
	if r.ServiceToken != "" {
		var err error
		if service, err = v.ask(ctx, r.ServiceToken, false); err != nil {
			return policy.Caller{}, err
		}
		if trusted = service.hasRole(v.options.ServiceRoles); !trusted && v.options.ServiceRolesRequired {
			return policy.Caller{}, unauthorized("the service token of %s has none of the roles %v", service.caller.UserName, v.options.ServiceRoles)
		}
	}
	if r.Token == "" {
		return policy.Caller{}, unauthorized("the request carries no token")
	}
	user, err := v.ask(ctx, r.Token, trusted)
	if err != nil {
		return policy.Caller{}, err
	}
	if !trusted && !user.allows(v.options.ServiceTypes, r.Method, r.Path) {
		return policy.Caller{}, unauthorized("the access rules of the application credential of %s do not allow %s %s", user.caller.UserName, r.Method, r.Path)
	}
	c := user.caller
	if service != nil {
		s := service.caller
		c.ServiceUserID, c.ServiceUserDomainID = s.UserID, s.UserDomainID
		c.ServiceProjectID, c.ServiceProjectDomainID, c.ServiceRoles = s.ProjectID, s.ProjectDomainID, s.Roles
	}
	return c, nil
}

func unauthorized(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeUnauthorized, format, args...)
}

// ask returns what a token is, from memory if that is fresh enough.
func (v *Validator) ask(ctx context.Context, id string, expired bool) (*token, error) {
	k := key(sha256.Sum256([]byte(id)))
	if expired { // the answers differ
		k = sha256.Sum256(append(k[:], "allow_expired"...))
	}
	for {
		v.mu.Lock()
		e := v.cache.get(k)
		now := v.options.Now()
		age := now.Sub(e.asked)
		switch {
		case e.token != nil && age < v.options.CacheTime:
			v.mu.Unlock()
			return v.judge(e.token, now, expired)
		case e.token == nil && !e.asked.IsZero() && age < min(unknownFor, v.options.CacheTime):
			v.mu.Unlock()
			return nil, unauthorized("Keystone does not know the token, or it has expired or was revoked")
		case now.Before(v.away):
			t, err := e.token, v.err
			v.mu.Unlock()
			if t != nil && age < v.options.CacheTime+v.options.Grace {
				return v.judge(t, now, expired)
			}
			return nil, err
		case e.asking != nil:
			wait := e.asking
			v.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, ferric.Errorf(ferric.CodeUnavailable, "Keystone has not answered yet: %w", ctx.Err())
			}
		}
		done := make(chan struct{})
		e.asking = done
		v.mu.Unlock()

		asking, cancel := context.WithTimeout(ctx, v.options.Timeout)
		t, err := v.fetch(asking, id, expired)
		cancel()

		v.mu.Lock()
		e.asking = nil
		close(done)
		now = v.options.Now()
		stale := e.token
		age = now.Sub(e.asked)
		switch {
		case err == nil:
			e.token, e.asked = t, now
		case ferric.IsCode(err, ferric.CodeUnauthorized):
			e.token, e.asked = nil, now
		case ctx.Err() != nil: // the client has gone; others ask themselves
		case errors.Is(err, errAway):
			v.away, v.err = now.Add(awayFor), err
		}
		if err == nil && v.options.CacheTime < 0 || e.asked.IsZero() {
			v.cache.drop(e)
		}
		v.mu.Unlock()
		switch {
		case err == nil:
			return v.judge(t, now, expired)
		case ferric.IsCode(err, ferric.CodeUnauthorized):
			return nil, err
		case stale != nil && age < v.options.CacheTime+v.options.Grace:
			v.options.Log.WarnContext(ctx, "Keystone cannot be asked; a token is accepted because Keystone knew it before", "user", stale.caller.UserName,
				"asked", age.Round(time.Second), "error", err)
			return v.judge(stale, now, expired)
		}
		return nil, err
	}
}

// judge refuses a token whose time is over.
func (v *Validator) judge(t *token, now time.Time, expired bool) (*token, error) {
	if !expired && !now.Before(t.expires) {
		return nil, unauthorized("the token of %s has expired", t.caller.UserName)
	}
	return t, nil
}

// maxAnswer bounds what is read of Keystone's answer.
const maxAnswer = 1 << 20

// errAway is in the chain of errors that have to do with Keystone and not with the token that it was asked about: there is no use in asking about others.
var errAway = errors.New("Keystone is away")

// away makes an error with errAway in its chain, whose text does not say so again.
type away struct{ error }

func (a away) Unwrap() []error { return []error{errAway, a.error} }

// fetch asks Keystone.
func (v *Validator) fetch(ctx context.Context, id string, expired bool) (*token, error) {
	if len(id) > 16<<10 || !plain(id) {
		return nil, unauthorized("the token is not one")
	}
	url := v.session.AuthURL() + "/auth/tokens?nocatalog"
	if expired {
		url += "&allow_expired=1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "ask Keystone about a token: %w", err)
	}
	req.Header.Set("X-Subject-Token", id)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("OpenStack-Identity-Access-Rules", "1") // else Keystone does not show tokens with access rules
	resp, err := v.session.HTTPClient("identity").Do(req)
	if err != nil {
		var known *openstack.Error
		if errors.As(err, &known) { // without net/http's wrapping, which says the URL again
			err = known
		}
		return nil, ferric.Errorf(ferric.CodeUnavailable, "ask Keystone about a token: %w", away{err})
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return nil, unauthorized("Keystone does not know the token, or it has expired or was revoked")
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return nil, ferric.Errorf(ferric.CodeUnavailable, "%w", away{fmt.Errorf("Keystone answered %d when asked about a token: Ferric's own user may not do that; "+
			"give it the role service or admin", resp.StatusCode)})
	case resp.StatusCode >= http.StatusBadGateway:
		return nil, ferric.Errorf(ferric.CodeUnavailable, "%w", away{fmt.Errorf("Keystone at %s answered %d when asked about a token", v.session.AuthURL(), resp.StatusCode)})
	case resp.StatusCode != http.StatusOK:
		return nil, ferric.Errorf(ferric.CodeUnavailable, "Keystone at %s answered %d when asked about a token", v.session.AuthURL(), resp.StatusCode)
	case err != nil:
		return nil, ferric.Errorf(ferric.CodeUnavailable, "ask Keystone about a token: %w", err)
	}
	t, err := parseToken(body)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "Keystone at %s answered what is no token; is auth_url the URL of Keystone? %w", v.session.AuthURL(), err)
	}
	return t, nil
}

// plain reports whether a token can stand in a header.
func plain(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return id != ""
}

// Check asks Keystone about our own token, as the doctor does: whether it can be reached, knows us, and lets us ask.
func (v *Validator) Check(ctx context.Context) error {
	id, err := v.session.Token(ctx)
	if err != nil {
		return err
	}
	_, err = v.fetch(ctx, id, false)
	if ferric.IsCode(err, ferric.CodeUnauthorized) {
		return fmt.Errorf("Keystone does not know the token that it has just given us: %w", err)
	}
	return err
}
