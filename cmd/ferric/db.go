package main

import (
	"context"
	"fmt"
	"io"

	"ferric/obs"
	"ferric/store"
)

// dbCommand looks after the database.
func dbCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	usage := func() int {
		fmt.Fprintln(stderr, "usage: ferric db migrate | version | rotate-key [flags]")
		return 2
	}
	if len(args) == 0 {
		return usage()
	}
	what := args[0]
	switch what {
	case "migrate", "version", "rotate-key":
	default:
		return usage()
	}
	cfg, code := loadConfig("db "+what, args[1:], stderr, nil)
	if cfg == nil {
		return code
	}
	log, err := obs.NewLogger(stderr, obs.LogOptions{Level: cfg.Log.Level, Format: cfg.Log.Format})
	if err != nil {
		return fail(stderr, err)
	}
	conf := storeConfig(cfg)
	switch what {
	case "migrate":
		version, err := store.Migrate(ctx, conf, log)
		if err != nil {
			return fail(stderr, err)
		}
		fmt.Fprintln(stdout, "the schema is at version", version)
	case "version":
		have, want, err := store.SchemaVersion(ctx, conf, log)
		if err != nil {
			return fail(stderr, err)
		}
		fmt.Fprintf(stdout, "the database's schema is at version %d; this ferric wants %d\n", have, want)
	case "rotate-key":
		id, err := store.AddKey(conf.KeyFile)
		if err != nil {
			return fail(stderr, err)
		}
		s, err := store.Open(ctx, conf, log)
		if err != nil {
			return fail(stderr, err)
		}
		defer s.Close()
		n, err := s.Rotate(ctx)
		if err != nil {
			return fail(stderr, err)
		}
		fmt.Fprintf(stdout, "key %s is in use; %d secrets were encrypted anew. Restart every conductor and API with the new key file.\n", id, n)
	}
	return 0
}
