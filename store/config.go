package store

import (
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"ferric"
)

// Config says where the database and its keys are.
type Config struct {
	// URL is "" (DataDir/ferric.db), a path, sqlite:///path, or postgres://user:password@host:port/database?options.
	URL string
	// DataDir is where the database and the key file are unless URL and KeyFile say otherwise. Made if missing.
	DataDir string
	// KeyFile holds the encryption keys; "" is DataDir/secret.key.
	KeyFile string
	// Migrate lets Open bring the schema up to date. Otherwise Open refuses an old one.
	Migrate bool
	// Connections bounds the connections to PostgreSQL, and those that read from SQLite.
	Connections int
	// ConnectTimeout is how long Open waits for PostgreSQL.
	ConnectTimeout time.Duration
	// Timeout bounds every call.
	Timeout time.Duration
	// Now is the clock for leases and timestamps; nil is PostgreSQL's, or with SQLite time.Now.
	Now func() time.Time
	// Notices makes what other programs are told of, written in the transaction of what it tells of. nil: they are told nothing.
	Notices Announcing
}

// Defaults returns the settings used where none are given: everything under /var/lib/ferric.
func Defaults() Config {
	return Config{DataDir: "/var/lib/ferric", Migrate: true, Connections: 10, ConnectTimeout: 10 * time.Second,
		Timeout: 30 * time.Second}
}

// Validate checks the settings and names the first bad one (CodeInvalid).
func (c Config) Validate() error {
	if _, err := c.location(); err != nil {
		return err
	}
	if c.keyFile() == "" {
		return ferric.Errorf(ferric.CodeInvalid, "KeyFile and DataDir are both empty: set one of them")
	}
	if c.Connections < 0 {
		return ferric.Errorf(ferric.CodeInvalid, "Connections is %d: it must be at least 1 (0: default)", c.Connections)
	}
	if c.Timeout < 0 || c.ConnectTimeout < 0 {
		return ferric.Errorf(ferric.CodeInvalid, "Timeout is %s and ConnectTimeout %s: they must be positive (0: default)",
			c.Timeout, c.ConnectTimeout)
	}
	return nil
}

// filled puts the defaults where nothing is given.
func (c Config) filled() Config {
	d := Defaults()
	if c.Connections == 0 {
		c.Connections = d.Connections
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = d.ConnectTimeout
	}
	if c.Timeout == 0 {
		c.Timeout = d.Timeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) keyFile() string {
	if c.KeyFile != "" || c.DataDir == "" {
		return c.KeyFile
	}
	return filepath.Join(c.DataDir, "secret.key")
}

// location is a parsed URL: a file for SQLite or a connection for PostgreSQL.
type location struct {
	path string
	pg   *pgx.ConnConfig
}

func (c Config) location() (location, error) {
	scheme, rest, hasScheme := strings.Cut(c.URL, "://")
	switch {
	case c.URL == "":
		if c.DataDir == "" {
			return location{}, ferric.Errorf(ferric.CodeInvalid, "URL and DataDir are both empty: set one of them")
		}
		return absolute(filepath.Join(c.DataDir, "ferric.db"))
	case !hasScheme:
		return absolute(c.URL)
	case scheme == "sqlite":
		path, err := url.PathUnescape(rest)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsRune(rest, '?') {
			return location{}, ferric.Errorf(ferric.CodeInvalid, "URL %q: write sqlite:///absolute/path, without options", c.URL)
		}
		return absolute(path)
	case scheme == "postgres", scheme == "postgresql":
		pg, err := pgx.ParseConfig(c.URL) // its errors mask the password
		if err != nil {
			return location{}, ferric.Errorf(ferric.CodeInvalid, "URL is no valid PostgreSQL address: %w", err)
		}
		if pg.ConnectTimeout == 0 {
			pg.ConnectTimeout = 5 * time.Second
		}
		noticeLoss(pg)
		return location{pg: pg}, nil
	}
	return location{}, ferric.Errorf(ferric.CodeInvalid,
		"URL has the unknown scheme %q: use a path, sqlite:///path or postgres://user:password@host/database", scheme)
}

func absolute(path string) (location, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return location{}, ferric.Errorf(ferric.CodeInvalid, "find the database's path: %w", err)
	}
	return location{path: abs}, nil
}
