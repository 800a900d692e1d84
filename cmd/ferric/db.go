package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ferric"
	"ferric/config"
	"ferric/obs"
	"ferric/store"

	"github.com/jackc/pgx/v5"
)

// dbVerbs are the subcommands of db. positional names their argument, if they take one.
func dbVerbs() []dbVerb {
	return []dbVerb{
		{name: "migrate", run: (*dbCall).migrate},
		{name: "version", run: (*dbCall).version},
		{name: "check", flags: checkFlags, run: (*dbCall).check},
		{name: "backup", flags: backupFlags, run: (*dbCall).backup},
		{name: "restore", positional: "BACKUP", flags: restoreFlags, run: (*dbCall).restore},
		{name: "restored", flags: restoreFlags, run: (*dbCall).restored},
		{name: "rotate-key", run: (*dbCall).rotateKey},
	}
}

type dbVerb struct {
	name       string
	positional string
	flags      func(*dbCall, *flag.FlagSet)
	run        func(*dbCall, context.Context) error
}

// dbCall is one call of `ferric db`.
type dbCall struct {
	cfg    *config.Config
	conf   store.Config
	log    *slog.Logger
	stdout io.Writer
	file   string // the positional argument

	out            string
	withKey        bool
	accept         bool
	trustAvailable bool
}

func checkFlags(d *dbCall, fs *flag.FlagSet) {
	fs.BoolVar(&d.accept, "accept", false, "let the database be opened although its write-ahead log is missing")
}

func backupFlags(d *dbCall, fs *flag.FlagSet) {
	fs.StringVar(&d.out, "out", "", "the new file (default: ferric-backup-TIME.db in this directory)")
	fs.BoolVar(&d.withKey, "with-key", false, "copy the encryption keys, too, to FILE.key: whoever has both files can read all credentials")
}

func restoreFlags(d *dbCall, fs *flag.FlagSet) {
	fs.BoolVar(&d.trustAvailable, "trust-available", false, "do not put available nodes into maintenance: nothing was deployed since the backup")
}

// dbCommand looks after the database.
func dbCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	d := &dbCall{stdout: stdout}
	var names []string
	for _, v := range dbVerbs() {
		names = append(names, strings.TrimSpace(v.name+" "+v.positional))
		if len(args) == 0 || v.name != args[0] {
			continue
		}
		rest := args[1:]
		if v.positional != "" {
			if len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
				fmt.Fprintf(stderr, "usage: ferric db %s %s [flags]\n", v.name, v.positional)
				return 2
			}
			d.file, rest = rest[0], rest[1:]
		}
		cfg, code := loadConfig("db "+v.name, rest, stderr, func(fs *flag.FlagSet) {
			if v.flags != nil {
				v.flags(d, fs)
			}
		})
		if cfg == nil {
			return code
		}
		log, err := obs.NewLogger(stderr, obs.LogOptions{Level: cfg.Log.Level, Format: cfg.Log.Format})
		if err != nil {
			return fail(stderr, err)
		}
		d.cfg, d.conf, d.log = cfg, storeConfig(cfg), log
		if err := v.run(d, ctx); err != nil {
			return fail(stderr, err)
		}
		return 0
	}
	fmt.Fprintf(stderr, "usage: ferric db %s [flags]\n", strings.Join(names, " | "))
	return 2
}

func (d *dbCall) say(format string, args ...any) { fmt.Fprintf(d.stdout, format+"\n", args...) }

func (d *dbCall) migrate(ctx context.Context) error {
	version, err := store.Migrate(ctx, d.conf, d.log)
	if err == nil {
		d.say("the schema is at version %d", version)
	}
	return err
}

func (d *dbCall) version(ctx context.Context) error {
	have, want, err := store.SchemaVersion(ctx, d.conf, d.log)
	if err == nil {
		d.say("the database's schema is at version %d; this ferric wants %d", have, want)
	}
	return err
}

func (d *dbCall) rotateKey(ctx context.Context) error {
	id, err := store.AddKey(d.conf.KeyFile)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, d.conf, d.log)
	if err != nil {
		return err
	}
	defer s.Close()
	n, err := s.Rotate(ctx)
	if err == nil {
		d.say("key %s is in use; %d secrets were encrypted anew. Restart every conductor and API with the new key file.", id, n)
	}
	return err
}

func (d *dbCall) check(ctx context.Context) error {
	if d.accept {
		if err := store.AcceptLoss(d.conf); err != nil {
			return err
		}
	}
	c, problems, err := store.Check(ctx, d.conf, d.log)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return ferric.Errorf(ferric.CodeCorrupt, "the database is not well:\n  %s", strings.Join(problems, "\n  "))
	}
	d.say("the database is well: %s", describe(*c))
	return nil
}

func describe(c store.Copy) string {
	text := fmt.Sprintf("schema %d, %d nodes", c.Schema, c.Nodes)
	if c.File != "" {
		text = fmt.Sprintf("%s, %d bytes, %s", c.File, c.Bytes, text)
	}
	if !c.Changed.IsZero() {
		text += ", last change " + c.Changed.UTC().Format(time.RFC3339)
	}
	if len(c.Keys) > 0 {
		text += ", encrypted with " + strings.Join(c.Keys, ", ")
	}
	return text
}

func (d *dbCall) backup(ctx context.Context) error {
	url := string(d.cfg.Database.URL)
	postgres := strings.HasPrefix(url, "postgres")
	if d.out == "" {
		ending := ".db"
		if postgres {
			ending = ".dump"
		}
		d.out = "ferric-backup-" + time.Now().UTC().Format("20060102T150405Z") + ending
	}
	keyCopy := d.out + ".key"
	if _, err := os.Lstat(keyCopy); d.withKey && err == nil {
		return ferric.Errorf(ferric.CodeConflict, "%s exists already: choose another name", keyCopy)
	}
	if postgres {
		if err := d.dump(ctx, url); err != nil {
			return err
		}
	} else {
		c, err := store.Backup(ctx, d.conf, d.out, d.log)
		if err != nil {
			return err
		}
		d.say("the backup is whole and on the disk: %s", describe(*c))
	}
	if !d.withKey {
		d.say("The encryption keys are not in it: keep a copy of %s elsewhere (or use --with-key); without them the credentials are lost.", d.keyFile())
		return nil
	}
	if err := store.CopyKeys(d.conf, keyCopy); err != nil {
		return err
	}
	d.say("The encryption keys are in %s: keep it apart from the backup.", keyCopy)
	return nil
}

func (d *dbCall) keyFile() string {
	if d.conf.KeyFile != "" {
		return d.conf.KeyFile
	}
	return filepath.Join(d.conf.DataDir, "secret.key")
}

// dump has pg_dump make the backup. The password goes by the environment, where other users do not see it.
func (d *dbCall) dump(ctx context.Context, url string) error {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "database.url is no valid PostgreSQL address: %w", err)
	}
	args := []string{"--format=custom", "--file=" + d.out, "--host=" + c.Host, fmt.Sprintf("--port=%d", c.Port), "--username=" + c.User, c.Database}
	program, err := exec.LookPath("pg_dump")
	if err != nil {
		return ferric.Errorf(ferric.CodeUnsupported, "pg_dump is not installed here. Where it is, run: pg_dump %s", strings.Join(args, " "))
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+c.Password)
	if text, err := cmd.CombinedOutput(); err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "pg_dump: %w: %s", err, strings.TrimSpace(string(text)))
	}
	d.say("the backup is in %s; restore it with: pg_restore --clean --if-exists --single-transaction --host=%s --port=%d --username=%s --dbname=%s %s, then: ferric db restored",
		d.out, c.Host, c.Port, c.User, c.Database, d.out)
	return nil
}

func (d *dbCall) restore(ctx context.Context) error {
	r, err := store.Restore(ctx, d.conf, d.file, store.Reset{TrustAvailable: d.trustAvailable}, d.log)
	if err != nil {
		return err
	}
	d.say("restored: %s", describe(r.Copy))
	for _, file := range r.Aside {
		d.say("what was there before is in %s", file)
	}
	d.afterwards(r)
	return nil
}

func (d *dbCall) restored(ctx context.Context) error {
	r, err := store.AfterRestore(ctx, d.conf, store.Reset{TrustAvailable: d.trustAvailable}, d.cfg.Conductor.HeartbeatTimeout, d.log)
	if err == nil {
		d.say("the restored database is ready for use")
		d.afterwards(r)
	}
	return err
}

func (d *dbCall) afterwards(r *store.Restored) {
	d.say("%d operations that were under way in the backup were ended; %d nodes on their way are failed and in maintenance", r.Operations, r.Stopped)
	d.say("%d available nodes are in maintenance, since they may be in use by now", r.Guarded)
	d.say("Start the service, then compare the nodes with their machines: ferric doctor --hardware")
}
