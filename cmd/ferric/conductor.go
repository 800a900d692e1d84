package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/conductor"
	"ferric/driver/ipmi"
	"ferric/image"
	"ferric/image/configdrive"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// How often a running agent command is asked after, and how long an agent may be out of reach meanwhile.
const (
	agentPoll = 3 * time.Second
	agentLost = 5 * time.Minute
)

// setUpConductor makes the conductor with its drivers. services are the boot services of this process, nil if it has none.
func (s *service) setUpConductor(ctx context.Context, pictures *images, services *bootServices) error {
	cfg := s.cfg
	idle := cfg.IPMI.SessionIdleTimeout
	if idle == 0 {
		idle = -1 // a session per command
	}
	pool := ipmi.NewPool(ipmi.Options{States: s.store, CipherSuites: cfg.IPMI.CipherSuiteVersions, OperationTimeout: cfg.IPMI.CommandRetryTimeout,
		MinInterval: 0, TryWait: cfg.IPMI.MinCommandInterval, SessionIdle: idle, MaxSessions: maxSessions(s.log),
		KeepBootTimeout: !cfg.IPMI.DisableBootTimeout, Logger: s.log})
	s.closers = append(s.closers, func() error { pool.Close(); return nil })

	var c *conductor.Conductor // no console is served before it is there
	consoles := &ipmi.Console{Pool: pool, Opts: ipmi.ConsoleOptions{Address: cfg.Console.Address, Public: cfg.Console.PublicAddress,
		FirstPort: cfg.Console.FirstPort, LastPort: cfg.Console.LastPort, Idle: cfg.Console.TerminalTimeout,
		Node:   s.store.Node,
		Serves: func(ctx context.Context, n *ferric.Node) error { return c.ServesConsole(ctx, n) }}}
	s.closers = append(s.closers, func() error { consoles.Close(); return nil })

	p := parts{bmcs: pool, consoles: consoles, images: pictures, configDrives: s.store, cloud: s.cloud, states: s.store, log: s.log}
	apiURL := cfg.Agent.ExternalCallbackURL
	switch {
	case services != nil:
		p.publisher = services.publisher
		p.site = func(context.Context) (boot.Site, error) { return services.site, nil }
		apiURL = cmp.Or(apiURL, services.site.HTTP)
	case cfg.Bus.URL != "" && !cfg.HasRole("boot"):
		others, err := s.publishForOthers(ctx, pictures)
		if err != nil {
			return err
		}
		p.publisher, p.site = others, others.site
		apiURL = cmp.Or(apiURL, boot.AnyHost)
	}
	drivers, err := registry(cfg, p)
	if err != nil {
		return err
	}
	conf := conductorConfig(cfg)
	conf.Notices = s.tells
	if conf.Inspection, err = inspectionConfig(cfg); err != nil {
		return err
	}
	conf.RamdiskAPIURL = apiURL
	conf.DeployKernel, conf.DeployRamdisk = pictures.kernel, pictures.ramdisk
	way := s.watchDoors(ctx, cfg.HasRole("api") && cfg.API.EnableRamdiskEndpoints || services != nil && cfg.Agent.ExternalCallbackURL == "")
	if err := s.lockConductor(); err != nil {
		return err
	}
	present := &presence{bus: s.bus, log: s.log}
	c, err = conductor.New(conf, conductor.Deps{Store: s.store, Drivers: drivers, ConfigDrives: driveBuilder{pictures.opts}, Log: s.log, Metrics: s.metrics, CallsArrive: way.open.Load, Local: s.ownFindings,
		Cluster: conductor.Cluster{Members: s.members.Conductors, Leaving: present.leave, Released: present.released}})
	if err != nil {
		return err
	}
	s.metrics.watchPower(c.PowerSyncState)
	s.metrics.watchBMCs(pool.Stats)
	if err := c.Start(ctx); err != nil {
		return err
	}
	s.closers = append(s.closers, present.stop) // after the last answer
	served, err := serveCalls(s.bus, c, callsPerWorker*cfg.Conductor.WorkersPoolSize)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		served.Stop(stop)
		return nil
	})
	if err := present.announce(c); err != nil {
		return err
	}
	s.run("members", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-s.news:
				c.MembersChanged(ctx)
			}
		}
	})
	poke := make(chan struct{}, 1)
	s.store.OnChange(func() { wake(poke) })
	s.run("conductor", c.Run)
	s.run("change feed", func(ctx context.Context) error {
		return c.PublishChanges(ctx, s.store, poke, func(ctx context.Context, change ferric.Change) error {
			return s.bus.Publish(ctx, "changes.node."+change.NodeUUID, change)
		})
	})
	return nil
}

// maxSessions is how many sessions with BMCs may be open: each is a file descriptor, and a quarter of them is left for the rest.
func maxSessions(log *slog.Logger) int {
	const wanted = 20000
	var limit unix.Rlimit // Go has raised the soft limit to the hard one
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur/4*3 >= wanted {
		return wanted
	}
	n := int(limit.Cur / 4 * 3)
	log.Warn("the limit of open files bounds the sessions with BMCs; with more nodes than that, sessions are opened anew all the time. "+
		"Raise it: LimitNOFILE= in the unit, or ulimit -n", "open_files", limit.Cur, "sessions", n)
	return n
}

// driveBuilder makes config drives with package configdrive.
type driveBuilder struct{ opts image.Options }

// Build implements conductor.ConfigDrives.
func (d driveBuilder) Build(ctx context.Context, n *ferric.Node, raw []byte) ([]byte, error) {
	var text string
	var iso []byte
	var err error
	if json.Unmarshal(raw, &text) == nil {
		iso, err = configdrive.Resolve(ctx, text, d.opts)
	} else {
		var data configdrive.Data
		if data, err = configdrive.ParseDict(raw); err == nil {
			data.SetDefaults(n.UUID, n.Name)
			iso, err = configdrive.Build(data)
		}
	}
	if err != nil {
		return nil, err
	}
	wire, err := configdrive.Encode(iso)
	return []byte(wire), err
}

func newBootID() string { return uuid.NewString() }

// callsPerWorker is how many calls a conductor takes at once for each of its workers: most come and go without one, and the others wait for one.
const callsPerWorker = 10
