package openstack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"ferric"
)

// Options are how a session behaves. The zero value is good.
type Options struct {
	Timeout   time.Duration     // how long nothing may move on a connection; 0: a minute
	Retries   int               // how often a request is repeated that may be; 0: 3, negative: never
	Backoff   time.Duration     // before the first repetition, doubled each time; 0: half a second
	Endpoints map[string]string // by service type: URLs instead of the catalogue's
	Log       *slog.Logger      // nil: none
	Now       func() time.Time  // nil: time.Now
}

// Session is one user's access to one cloud.
type Session struct {
	credentials Credentials
	options     Options
	identity    string // Keystone's URL, with /v3/
	base        *http.Transport

	mu       sync.Mutex
	token    *token
	renewing chan struct{} // closed when the renewal under way has ended; nil: none is
	failed   error         // of the last renewal
	quiet    time.Time     // until then a failed renewal is not repeated
	last401  time.Time     // when a service's 401 last made us fetch a token
}

// token is a token with what came along. Its times are by our clock.
type token struct {
	id             string
	renew, expires time.Time
	info           Identity
	catalog        []tokens.CatalogEntry
}

// Identity is who the session is, as Keystone says.
type Identity struct {
	UserID, UserName       string
	ProjectID, ProjectName string
	System                 bool
	Roles                  []string
	Expires                time.Time // of the token, by our clock
}

// New makes a session. It checks credentials for what is missing and reads the certificates' files, but asks nobody.
func New(c Credentials, o Options) (*Session, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Retries == 0 {
		o.Retries = 3
	}
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	conf, err := tlsConfig(c)
	if err != nil {
		return nil, err
	}
	base := &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: min(10*time.Second, o.Timeout)}).DialContext,
		TLSClientConfig: conf, TLSHandshakeTimeout: min(10*time.Second, o.Timeout), MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
		ForceAttemptHTTP2: true, ExpectContinueTimeout: time.Second}
	return &Session{credentials: c, options: o, base: base, identity: version.ReplaceAllString(gophercloud.NormalizeURL(c.AuthURL), "/") + "v3/"}, nil
}

// Close ends the idle connections.
func (s *Session) Close() { s.base.CloseIdleConnections() }

// AuthURL is Keystone's URL with its version, without a slash at the end.
func (s *Session) AuthURL() string { return strings.TrimSuffix(s.identity, "/") }

// Credentials are those that the session was made with.
func (s *Session) Credentials() Credentials { return s.credentials }

func tlsConfig(c Credentials) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s: cacert: %w", c.Source, err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s: cacert: %s holds no PEM certificate", c.Source, c.CACert)
		}
	}
	if c.Cert != "" {
		key := c.Key
		if key == "" {
			key = c.Cert
		}
		pair, err := tls.LoadX509KeyPair(c.Cert, key)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s: client certificate: %w", c.Source, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// Token returns the service token, fetching it if needed.
func (s *Session) Token(ctx context.Context) (string, error) {
	t, err := s.current(ctx)
	if err != nil {
		return "", err
	}
	return t.id, nil
}

// Identity says who we are, fetching a token if needed.
func (s *Session) Identity(ctx context.Context) (Identity, error) {
	t, err := s.current(ctx)
	if err != nil {
		return Identity{}, err
	}
	return t.info, nil
}

// How long a failed renewal is not repeated: Keystone locks users out who try wrong passwords again and again; and those who wait while it is
// away are not to queue up for one timeout each.
const (
	quietRefused = 10 * time.Second
	quietAway    = time.Second
)

// current returns a token that is valid, and renews it when it soon is not.
func (s *Session) current(ctx context.Context) (*token, error) {
	for {
		s.mu.Lock()
		t, now := s.token, s.options.Now()
		if t != nil && now.Before(t.renew) {
			s.mu.Unlock()
			return t, nil
		}
		usable := t != nil && now.Before(t.expires)
		if s.renewing != nil {
			wait := s.renewing
			s.mu.Unlock()
			if usable {
				return t, nil
			}
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, failure("Keystone", http.MethodPost, s.identity+"auth/tokens", ctx.Err())
			}
		}
		if s.failed != nil && now.Before(s.quiet) {
			err := s.failed
			s.mu.Unlock()
			if usable {
				return t, nil
			}
			return nil, err
		}
		done := make(chan struct{})
		s.renewing = done
		s.mu.Unlock()

		fresh, err := s.authenticate(ctx)

		s.mu.Lock()
		s.renewing = nil
		close(done)
		switch {
		case err == nil:
			s.token, s.failed = fresh, nil
			t = fresh
		case ctx.Err() != nil: // ours alone; others try themselves
		default:
			s.failed, s.quiet = err, s.options.Now().Add(quietAway)
			if !Is(err, Unavailable) {
				s.quiet = s.options.Now().Add(quietRefused)
			}
		}
		s.mu.Unlock()
		if err != nil && usable {
			s.options.Log.WarnContext(ctx, "the service token cannot be renewed; the old one is used until it expires", "expires", t.expires, "error", err)
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		return t, nil
	}
}

// authenticate asks Keystone for a token.
func (s *Session) authenticate(ctx context.Context) (*token, error) {
	asked := s.options.Now()
	client := s.keystone()
	var result interface {
		ExtractInto(any) error
		ExtractTokenID() (string, error)
	}
	id := s.credentials.Token
	if id != "" {
		client.MoreHeaders = map[string]string{"X-Auth-Token": id}
		result = tokens.Get(ctx, client, id)
	} else {
		result = tokens.Create(ctx, client, s.credentials.options())
	}
	var doc struct {
		Issued  Instant               `json:"issued_at"`
		Expires Instant               `json:"expires_at"`
		Catalog []tokens.CatalogEntry `json:"catalog"`
		User    tokens.User           `json:"user"`
		Project tokens.Project        `json:"project"`
		System  map[string]bool       `json:"system"`
		Roles   []tokens.Role         `json:"roles"`
	}
	fresh, err := result.ExtractTokenID()
	if err == nil {
		err = result.ExtractInto(&doc)
	}
	if err == nil && (fresh == "" && id == "" || doc.Expires.IsZero()) {
		err = errors.New("the answer holds no token; is auth_url the URL of Keystone?")
	}
	if err != nil {
		return nil, s.explain(failure("Keystone", http.MethodPost, s.identity+"auth/tokens", err))
	}
	if id == "" {
		id = fresh
	}
	// By Keystone's clock only the length counts, so that clocks may differ. Of a token made elsewhere the length is not known.
	life := doc.Expires.Sub(doc.Issued.Time)
	if s.credentials.Token != "" || doc.Issued.IsZero() {
		life = doc.Expires.Sub(asked)
	}
	t := &token{id: id, catalog: doc.Catalog, expires: asked.Add(life)}
	t.renew = t.expires.Add(-min(time.Minute, life/10))
	if s.credentials.Token != "" {
		t.renew = t.expires
	}
	t.info = Identity{UserID: doc.User.ID, UserName: doc.User.Name, ProjectID: doc.Project.ID, ProjectName: doc.Project.Name, System: doc.System["all"], Expires: t.expires}
	for _, r := range doc.Roles {
		t.info.Roles = append(t.info.Roles, r.Name)
	}
	s.options.Log.DebugContext(ctx, "service token", "user", t.info.UserName, "project", t.info.ProjectName, "expires", t.expires)
	return t, nil
}

// explain adds to a refusal what an operator has to look at.
func (s *Session) explain(err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Status == 0 {
		return err
	}
	switch e.Kind {
	case Unauthorized:
		e.Message = fmt.Sprintf("%s is not accepted, or has no role in its scope (credentials from %s): %s", s.credentials.who(), s.credentials.Source, e.Message)
	case NotFound:
		e.Message += "; is auth_url (" + bareURL(s.credentials.AuthURL) + ") the URL of Keystone?"
	}
	return err
}

// keystone is a client of Keystone without a token.
func (s *Session) keystone() *gophercloud.ServiceClient {
	provider := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: &transport{session: s, service: "Keystone", repeat: true}, CheckRedirect: sameHost}}
	provider.UserAgent.Prepend("ferric")
	provider.RetryFunc = func(_ context.Context, method, url string, _ *gophercloud.RequestOpts, err error, _ uint) error {
		return failure("Keystone", method, url, err)
	}
	return &gophercloud.ServiceClient{ProviderClient: provider, Endpoint: s.identity, Type: "identity"}
}

// refused notes that a service did not accept a token. It reports whether there is another one now: at most one is fetched in ten seconds for this
// reason, so that a service that accepts none does not make us ask Keystone for every request.
func (s *Session) refused(ctx context.Context, id string) bool {
	s.mu.Lock()
	now := s.options.Now()
	if s.token != nil && s.token.id == id && s.credentials.Token == "" && now.Sub(s.last401) >= quietRefused {
		s.last401, s.token, s.failed = now, nil, nil
	}
	s.mu.Unlock()
	fresh, err := s.Token(ctx)
	return err == nil && fresh != id
}
