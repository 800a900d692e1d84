package bus

import (
	"time"

	"ferric"
)

// Config says which bus to use. The zero value is the embedded server with the default limits.
type Config struct {
	URL  string // nats://host:port or tls://host:port, several separated by commas; "" is the embedded server
	Name string // how this process is called in the server's list of connections; "ferric" if empty

	// Credentials for an external server; at most one of the three forms.
	CredentialsFile string // a .creds file (JWT and NKey seed)
	Token           string
	User, Password  string

	// TLS towards an external server. CertFile and KeyFile come in pairs and are for servers that ask for a
	// client certificate. CAFile is used in place of the system's roots.
	CAFile, CertFile, KeyFile string

	// Prefix is put in front of every subject, so that several Ferrics share a cluster. "ferric" if empty.
	Prefix string

	// MaxPayload is the largest message in bytes that the embedded server takes. 8 MiB if zero, which has room
	// for a config drive. An external server has its own limit (max_payload, 1 MiB unless configured): Open
	// warns when that is smaller.
	MaxPayload int

	ConnectTimeout time.Duration // how long Open tries to reach an external server; 10 s if zero
	CallTimeout    time.Duration // deadline of a Call whose context has none; 60 s if zero

	// Beat is the time between two signs of life of an announced member, LostAfter the silence after which a
	// watcher counts it as lost. 500 ms and 2 s if zero; LostAfter must be at least twice Beat.
	Beat, LostAfter time.Duration
}

// withDefaults fills in the zero fields and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "ferric"
	}
	if c.Prefix == "" {
		c.Prefix = "ferric"
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 8 << 20
	}
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"ConnectTimeout", &c.ConnectTimeout, 10 * time.Second},
		{"CallTimeout", &c.CallTimeout, 60 * time.Second},
		{"Beat", &c.Beat, 500 * time.Millisecond},
		{"LostAfter", &c.LostAfter, 2 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < 0 {
			return c, ferric.Errorf(ferric.CodeInvalid, "bus: %s is %s; give a positive duration", d.name, *d.v)
		}
	}
	if c.LostAfter < 2*c.Beat {
		return c, ferric.Errorf(ferric.CodeInvalid, "bus: LostAfter (%s) must be at least twice Beat (%s)", c.LostAfter, c.Beat)
	}
	if c.MaxPayload < 4096 || c.MaxPayload > 32<<20 {
		return c, ferric.Errorf(ferric.CodeInvalid, "bus: MaxPayload is %d bytes; give 4096 to 33554432", c.MaxPayload)
	}
	if err := checkSubject(c.Prefix, false); err != nil {
		return c, ferric.Errorf(ferric.CodeInvalid, "bus: Prefix: %w", err)
	}
	if err := checkURL(c.URL); err != nil {
		return c, err
	}
	return c, c.checkCredentials()
}

func (c Config) checkCredentials() error {
	forms := 0
	for _, set := range []bool{c.CredentialsFile != "", c.Token != "", c.User != "" || c.Password != ""} {
		if set {
			forms++
		}
	}
	switch {
	case forms > 1:
		return ferric.Errorf(ferric.CodeInvalid, "bus: give only one of CredentialsFile, Token, and User with Password")
	case c.Password != "" && c.User == "":
		return ferric.Errorf(ferric.CodeInvalid, "bus: Password is given without User")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return ferric.Errorf(ferric.CodeInvalid, "bus: CertFile and KeyFile must be given together")
	case c.URL == "" && (forms > 0 || c.CAFile != "" || c.CertFile != ""):
		return ferric.Errorf(ferric.CodeInvalid, "bus: credentials or TLS files are given without URL; the embedded server uses none")
	}
	return nil
}
