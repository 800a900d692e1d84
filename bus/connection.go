package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
)

// options turns the configuration into options of the NATS client.
func (b *Bus) options() ([]nats.Option, error) {
	cfg := b.cfg
	opts := []nats.Option{
		nats.Name(cfg.Name),
		nats.Timeout(min(2*time.Second, cfg.ConnectTimeout)), // per server; there may be others
		nats.MaxReconnects(-1),
		nats.ReconnectWait(200 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1), // while disconnected, fail at once: a request sent later would surprise its caller
		// A server whose host is cut off closes nothing: it is noticed by its silence, and another server takes its place.
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			b.broken()
			if !nc.IsClosed() {
				b.log.Warn("the connection to the bus is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("the connection to the bus is back", "server", nc.ConnectedUrlRedacted())
			b.reconnected()
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			switch {
			case errors.Is(err, nats.ErrSlowConsumer) && sub != nil:
				b.log.Warn("a subscriber of the bus is too slow; events are dropped", "subject", b.short(sub.Subject))
			default:
				b.log.Warn("error on the bus", "error", err)
			}
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(b.gone) }),
	}
	if b.srv != nil {
		return append(opts, nats.InProcessServer(b.srv)), nil
	}
	switch {
	case cfg.CredentialsFile != "":
		if err := readable("CredentialsFile", cfg.CredentialsFile); err != nil {
			return nil, err
		}
		opts = append(opts, nats.UserCredentials(cfg.CredentialsFile))
	case cfg.Token != "":
		opts = append(opts, nats.Token(cfg.Token))
	case cfg.User != "":
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.CAFile != "" || cfg.CertFile != "" {
		t, err := cfg.tls()
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.Secure(t))
	}
	return opts, nil
}

func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "bus: CAFile: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "bus: CAFile: %s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "bus: CertFile %s with KeyFile %s: %w", c.CertFile, c.KeyFile, err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func readable(field, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "bus: %s: %w", field, err)
	}
	return f.Close()
}

// unreachable tells a server that is not there (yet) from a setting that will never work.
func unreachable(err error) bool {
	var netErr net.Error
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &netErr)
}

// redactURL takes the credentials of the URLs out of an error's text. The URLs have been checked by checkURL.
func redactURL(err error, urls string) error {
	text := err.Error()
	for u := range strings.SplitSeq(urls, ",") {
		p, perr := url.Parse(strings.TrimSpace(u))
		if perr != nil || p.User == nil {
			continue
		}
		secret, ok := p.User.Password()
		if !ok {
			secret = p.User.Username() // a bare token
		}
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if form != "" {
				text = strings.ReplaceAll(text, form, "******")
			}
		}
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// checkURL refuses what the client would refuse, without repeating the URL: it may hold a password.
func checkURL(urls string) error {
	if urls == "" {
		return nil
	}
	for i, u := range strings.Split(urls, ",") {
		p, err := url.Parse(strings.TrimSpace(u))
		if err != nil {
			return ferric.Errorf(ferric.CodeInvalid, "bus: URL: entry %d is not a URL; write nats://host:port", i+1)
		}
		switch p.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return ferric.Errorf(ferric.CodeInvalid, "bus: URL: entry %d has the scheme %q; use nats:// or tls://", i+1, p.Scheme)
		}
		if p.Hostname() == "" {
			return ferric.Errorf(ferric.CodeInvalid, "bus: URL: entry %d names no host; write nats://host:port", i+1)
		}
	}
	return nil
}
