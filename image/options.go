package image

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"ferric"
)

// Options says how images are reached. The zero value works for http and https without credentials.
type Options struct {
	// FileRoots are the folders whose regular files may be read by file:// URLs. None means that file://
	// URLs are refused. Symbolic links that lead out of a root are refused.
	FileRoots []string

	// User and Password are sent as HTTP basic authentication. Authorization is a complete header value and
	// wins over them. None is sent to another host after a redirect.
	User, Password string
	Authorization  string

	// Remotes are the services that keep images under a scheme of their own ("glance").
	Remotes map[string]Remote

	// CAs are PEM certificates that are trusted besides the system's. Insecure switches the verification of
	// TLS certificates off.
	CAs      []byte
	Insecure bool

	// Proxies maps the image URL's scheme ("http", "https") to a proxy URL. NoProxy lists hosts that are
	// reached directly, separated by commas: names (with all names below them), addresses, networks, "*".
	// The environment is not looked at.
	Proxies map[string]string
	NoProxy string

	// MaxRedirects bounds redirects; 0 means 5, a negative number none. https never leads to http.
	MaxRedirects int

	// ConnectTimeout bounds a connection attempt (default 30 s), IdleTimeout the wait for the next bytes
	// (default 60 s).
	ConnectTimeout, IdleTimeout time.Duration

	// OpenFor is how long Open keeps trying to reach a server (default 30 s; negative: one attempt).
	// ResumeFor is how long a reader that was interrupted keeps trying without getting any further
	// (default 5 min; negative: never again).
	OpenFor, ResumeFor time.Duration
	// RemoteFor is OpenFor for the services of Remotes, which need others of their cloud in turn (default 2 min).
	RemoteFor time.Duration

	// Logger receives a line per interruption; nil means none.
	Logger *slog.Logger
}

// String hides the credentials.
func (o Options) String() string { return "image.Options{…}" }

// LogValue hides the credentials.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.ConnectTimeout, 30*time.Second)
	set(&o.IdleTimeout, 60*time.Second)
	set(&o.OpenFor, 30*time.Second)
	set(&o.ResumeFor, 5*time.Minute)
	set(&o.RemoteFor, 2*time.Minute)
	if o.MaxRedirects == 0 {
		o.MaxRedirects = 5
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports the first value that cannot work, with CodeInvalid.
func (o Options) Validate() error {
	for _, root := range o.FileRoots {
		if !filepath.IsAbs(root) {
			return ferric.Errorf(ferric.CodeInvalid, "image file root %q: give an absolute path", root)
		}
	}
	if len(o.CAs) > 0 && !x509.NewCertPool().AppendCertsFromPEM(o.CAs) {
		return ferric.Errorf(ferric.CodeInvalid, "image CA certificates: no PEM certificate found")
	}
	for scheme := range o.Proxies {
		if _, err := o.proxy(scheme); err != nil {
			return err
		}
	}
	return nil
}

// proxy returns the proxy for the scheme, nil if there is none.
func (o Options) proxy(scheme string) (*url.URL, error) {
	raw := o.Proxies[scheme]
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		// The cause would repeat the URL, which may hold a password.
		return nil, ferric.Errorf(ferric.CodeInvalid, "proxy for %s: give a URL such as http://proxy.example:3128", scheme)
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	default:
		return nil, ferric.Errorf(ferric.CodeInvalid, "proxy for %s: the scheme %q is not http, https or socks5", scheme, u.Scheme)
	}
}

// direct reports whether NoProxy lists the host.
func (o Options) direct(host string) bool {
	address, addressErr := netip.ParseAddr(host)
	for item := range strings.SplitSeq(o.NoProxy, ",") {
		item = strings.ToLower(strings.TrimSpace(item))
		if item == "*" {
			return true
		}
		if network, err := netip.ParsePrefix(item); err == nil {
			if addressErr == nil && network.Contains(address) {
				return true
			}
			continue
		}
		if name, _, err := net.SplitHostPort(item); err == nil {
			item = name
		}
		item = strings.TrimPrefix(strings.Trim(item, "[]"), ".")
		host := strings.ToLower(host)
		if item != "" && (host == item || strings.HasSuffix(host, "."+item)) {
			return true
		}
	}
	return false
}

// client makes an HTTP client of its own, so that nothing is shared with other images.
func (o Options) client() (*http.Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	if len(o.CAs) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM(o.CAs)
		config.RootCAs = pool
	}
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   o.ConnectTimeout,
		ResponseHeaderTimeout: o.IdleTimeout,
		IdleConnTimeout:       30 * time.Second,
		DisableCompression:    true,
		ReadBufferSize:        64 << 10,
		Proxy: func(r *http.Request) (*url.URL, error) {
			if o.direct(r.URL.Hostname()) {
				return nil, nil
			}
			return o.proxy(r.URL.Scheme)
		},
	}
	redirect := func(r *http.Request, via []*http.Request) error {
		if len(via) > max(o.MaxRedirects, 0) {
			return permanent(ferric.Errorf(ferric.CodeUnavailable, "more than %d redirects", max(o.MaxRedirects, 0)))
		}
		if via[len(via)-1].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return permanent(ferric.Errorf(ferric.CodeForbidden, "a redirect leads from https to %s", r.URL.Scheme))
		}
		return nil
	}
	return &http.Client{Transport: transport, CheckRedirect: redirect}, nil
}

// DisplayURL is the URL without user, password, query and fragment, fit for logs and errors.
func DisplayURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return shown.String()
}
