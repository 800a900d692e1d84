package config

import "time"

// Bus is the section [bus].
type Bus struct {
	URL             SecretURL     `toml:"url" check:"nats" help:"Empty: a NATS server inside the process, reachable from nowhere else. nats://host:4222 or tls://…, several separated by commas: an external cluster."`
	CredentialsFile string        `toml:"credentials_file" check:"path" help:"NATS .creds file."`
	User            string        `toml:"user" help:"User at the NATS server."`
	Password        Secret        `toml:"password" help:"Password of the user."`
	Token           Secret        `toml:"token" help:"Token, in place of user and password."`
	CAFile          string        `toml:"ca_file" check:"path" help:"PEM file with the authorities that sign the server's certificate. Empty: the system's."`
	CertFile        string        `toml:"cert_file" check:"path" help:"PEM file with this client's certificate, for servers that ask for one."`
	KeyFile         string        `toml:"key_file" check:"path" help:"PEM file with the private key of cert_file."`
	Prefix          string        `toml:"prefix" default:"ferric" check:"prefix" help:"First part of all subjects; give each Ferric that shares a cluster its own."`
	MaxPayload      Size          `toml:"max_payload" default:"8MiB" min:"64KiB" max:"32MiB" help:"Largest message. An external server must allow as much with its own max_payload, which is 1 MiB unless configured."`
	ConnectTimeout  time.Duration `toml:"connect_timeout" default:"10s" min:"1s" max:"10m" help:"How long the start waits for an external server. Later on a lost connection is made again for ever."`
	CallTimeout     time.Duration `toml:"call_timeout" default:"60s" min:"1s" max:"1h" help:"Longest that the API waits for a conductor's answer."`
	Beat            time.Duration `toml:"beat" default:"500ms" min:"10ms" max:"1m" help:"Time between a conductor's signs of life on the bus."`
	LostAfter       time.Duration `toml:"lost_after" default:"2s" min:"20ms" max:"10m" help:"Silence after which a conductor counts as lost. At least twice beat."`
}

func (b *Bus) contradictions(report reporter) {
	given := map[string]bool{
		"bus.credentials_file": b.CredentialsFile != "", "bus.user": b.User != "", "bus.password": b.Password != "",
		"bus.token": b.Token != "", "bus.ca_file": b.CAFile != "", "bus.cert_file": b.CertFile != "", "bus.key_file": b.KeyFile != "",
	}
	if b.URL == "" {
		for key, set := range given {
			if set {
				report(key, "is for an external server; set bus.url, or leave it out")
			}
		}
		return
	}
	switch {
	case b.CredentialsFile != "" && (b.Token != "" || b.User != "" || b.Password != ""):
		report("bus.credentials_file", "is one of three ways to log in; leave out bus.token, bus.user and bus.password")
	case b.Token != "" && (b.User != "" || b.Password != ""):
		report("bus.token", "is one of three ways to log in; leave out bus.user and bus.password")
	case b.Password != "" && b.User == "":
		report("bus.password", "needs bus.user beside it")
	}
	if b.CertFile != "" && b.KeyFile == "" {
		report("bus.cert_file", "needs bus.key_file beside it")
	}
	if b.KeyFile != "" && b.CertFile == "" {
		report("bus.key_file", "needs bus.cert_file beside it")
	}
	if b.LostAfter < 2*b.Beat {
		report("bus.lost_after", "must be at least twice bus.beat, which is "+b.Beat.String())
	}
}
