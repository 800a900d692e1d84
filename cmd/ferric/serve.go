package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/bus"
	"ferric/config"
	"ferric/obs"
	"ferric/openstack"
	"ferric/store"

	"golang.org/x/sync/errgroup"
)

// serveCommand runs the service until it is told to stop.
func serveCommand(ctx context.Context, args []string, _, stderr io.Writer) int {
	cfg, code := loadConfig("serve", args, stderr, nil)
	if cfg == nil {
		return code
	}
	log, err := obs.NewLogger(stderr, obs.LogOptions{Level: cfg.Log.Level, Format: cfg.Log.Format})
	if err != nil {
		return fail(stderr, err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	s, err := newService(ctx, cfg, log)
	if err != nil {
		return fail(stderr, err)
	}
	if err := s.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fail(stderr, err)
	}
	return 0
}

// heapGrowth is how much the heap grows between two collections, in percent of what is in use: the service holds little and makes much garbage, so that
// memory is the cheaper side (Go's own setting is 100; GOGC in the environment wins).
const heapGrowth = 200

// loadConfig reads flags and configuration for a subcommand. more registers further flags. On failure the configuration is nil
// and the exit code says what went wrong.
func loadConfig(name string, args []string, stderr io.Writer, more func(*flag.FlagSet)) (*config.Config, int) {
	fs := flag.NewFlagSet("ferric "+name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	flags := config.NewFlags(fs)
	if more != nil {
		more(fs)
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, 0
		}
		return nil, 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "ferric %s: unexpected argument %q\n", name, fs.Arg(0))
		return nil, 2
	}
	source, err := config.System(flags)
	if err != nil {
		return nil, fail(stderr, err)
	}
	source.Allowed = allowedValues()
	cfg, err := config.Load(source)
	if err != nil {
		return nil, fail(stderr, err)
	}
	return cfg, 0
}

// healthTimeout bounds each check of /healthcheck.
const healthTimeout = 5 * time.Second

// service is everything that runs in one process, put together.
type service struct {
	cfg     *config.Config
	log     *slog.Logger
	store   *store.Store
	bus     *bus.Bus
	metrics *metrics
	health  *obs.Health
	members *members
	cloud   *openstack.Session // nil without OpenStack
	tells   bool               // other programs are told what happens
	news    chan struct{}      // of members that came or went

	stopping atomic.Bool
	// publisher has the boot files that are served here, if boot services run. It is there before anything runs.
	publisher *boot.Publisher
	// parts are run until the context ends; closers are called afterwards, the last one first.
	parts   []part
	closers []func() error
}

// part is something that runs.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// newService opens the database and the bus and sets up the roles. What it opened is closed again when it fails.
func newService(ctx context.Context, cfg *config.Config, log *slog.Logger) (*service, error) {
	s := &service{cfg: cfg, log: log, metrics: newMetrics(), health: &obs.Health{}}
	s.closers = append(s.closers, func() error { s.health.Close(); return nil })
	if err := s.setUp(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// setUp opens what the service needs, and adds its parts.
func (s *service) setUp(ctx context.Context) (err error) {
	cfg, log := s.cfg, s.log
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "data_dir: %w", err)
	}
	switch s.cloud, err = openCloud(&cfg.OpenStack, os.Environ(), log); {
	case err != nil && (cfg.OpenStack.AuthURL != "" || cfg.OpenStack.Cloud != ""):
		return err
	case err != nil: // of the shell that started us
		log.Warn("the OS_* variables do not say how to reach a cloud and are not used", "error", err)
	}
	if s.cloud != nil {
		s.closers = append(s.closers, func() error { s.cloud.Close(); return nil })
	}
	kept := storeConfig(cfg)
	kept.Notices = announcing(cfg, s.cloud, log)
	s.tells = kept.Notices != nil
	if s.store, err = store.Open(ctx, kept, log); err != nil {
		return err
	}
	s.closers = append(s.closers, s.store.Close)
	if _, err := s.health.Add("database", healthTimeout, s.store.Ping); err != nil {
		return err
	}
	if err := s.joinProcesses(ctx); err != nil {
		return err
	}
	if s.bus, err = bus.Open(ctx, busConfig(cfg), log); err != nil {
		return err
	}
	s.closers = append(s.closers, s.bus.Close)
	if _, err := s.health.Add("bus", healthTimeout, s.bus.Check); err != nil {
		return err
	}

	s.metrics.watchBus(s.bus.Connected)
	if err := s.metrics.all.Register(newOperationMetrics(s.store)); err != nil {
		return err
	}
	if _, err := s.health.Add("accepting", healthTimeout, func(context.Context) error {
		if s.stopping.Load() {
			return ferric.Errorf(ferric.CodeUnavailable, "the process is stopping")
		}
		return nil
	}); err != nil {
		return err
	}
	s.news = make(chan struct{}, 1)
	if s.members, err = follow(s.store, s.bus, cfg.Conductor.HeartbeatTimeout, func() { wake(s.news) }); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { s.members.watch.Stop(); return nil })
	calls := &calls{bus: s.bus, members: s.members, patience: cfg.API.ConductorPatience, keyed: cfg.Bus.URL != "",
		repeated: func() { s.metrics.repetitions.WithLabelValues().Inc() }}
	rest, err := s.setUpAPI(calls)
	if err != nil {
		return err
	}
	serving := cfg.HasRole("boot") && cfg.Boot.Interface != ""
	if !serving && !cfg.HasRole("api") && !cfg.HasRole("conductor") {
		return ferric.Errorf(ferric.CodeInvalid, "boot.interface: the only role of this process is boot, and no interface is named to serve machines on")
	}
	var pictures *images
	var services *bootServices
	if serving || cfg.HasRole("conductor") {
		if pictures, err = newImages(cfg, s.store, s.cloud, s.log); err != nil {
			return err
		}
		s.closers = append(s.closers, pictures.Close)
	}
	if serving {
		if services, err = s.setUpBoot(ctx, rest, pictures); err != nil {
			return err
		}
	}
	if cfg.HasRole("conductor") {
		if err := s.setUpConductor(ctx, pictures, services); err != nil {
			return err
		}
		if err := s.setUpNotifications(ctx); err != nil {
			return err
		}
	}
	if cfg.HasRole("api") {
		if err := s.followChanges(rest); err != nil {
			return err
		}
		if err := s.listenAPI(ctx, rest); err != nil {
			return err
		}
	}
	if cfg.HasRole("api") && cfg.API.EnableRamdiskEndpoints || services != nil {
		s.keepDoor(ctx)
	}
	return s.listenMetrics(ctx)
}

// wake puts a token into a channel of capacity 1, if there is none.
func wake(poke chan<- struct{}) {
	select {
	case poke <- struct{}{}:
	default:
	}
}

func storeConfig(cfg *config.Config) store.Config {
	c := store.Defaults()
	c.URL, c.DataDir, c.KeyFile = string(cfg.Database.URL), cfg.DataDir, cfg.Database.KeyFile
	c.Migrate, c.Connections = cfg.Database.AutoMigrate, cfg.Database.MaxOpenConnections
	return c
}

func busConfig(cfg *config.Config) bus.Config {
	b := cfg.Bus
	return bus.Config{URL: string(b.URL), Name: cfg.Host, CredentialsFile: b.CredentialsFile, Token: string(b.Token), User: b.User,
		Password: string(b.Password), CAFile: b.CAFile, CertFile: b.CertFile, KeyFile: b.KeyFile, Prefix: b.Prefix,
		MaxPayload: int(b.MaxPayload), ConnectTimeout: b.ConnectTimeout, CallTimeout: b.CallTimeout, Beat: b.Beat, LostAfter: b.LostAfter}
}

// Run runs all parts until ctx ends or one of them fails, and closes what was opened.
func (s *service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, func() { s.stopping.Store(true) })()
	for _, p := range s.parts {
		group.Go(func() error {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			return nil
		})
	}
	s.log.Info("Ferric is up", "version", version(), "roles", s.cfg.Roles, "api", s.cfg.API.Listen, "host", s.cfg.Host, "data_dir", s.cfg.DataDir)
	err := group.Wait()
	s.log.Info("Ferric stops")
	return errors.Join(err, s.close())
}

func (s *service) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// run adds a part.
func (s *service) run(name string, do func(ctx context.Context) error) {
	s.parts = append(s.parts, part{name, do})
}

// path returns a path below the data directory.
func (s *service) path(elem ...string) string {
	return filepath.Join(append([]string{s.cfg.DataDir}, elem...)...)
}
