package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"ferric"
	"ferric/api"
	"ferric/bus"
	"ferric/obs"
	"ferric/policy"
	"ferric/policy/file"

	"golang.org/x/net/netutil"
)

// setUpAPI makes the API. It listens only in the role api; its part for agents is served by the boot services, too.
func (s *service) setUpAPI(c *calls) (*api.API, error) {
	a := s.cfg.API
	conf := api.Defaults()
	conf.PublicEndpoint, conf.AuthStrategy, conf.UserFile = a.PublicEndpoint, a.AuthStrategy, a.HTTPBasicAuthUserFile
	if s.cfg.Discovery.Enabled {
		conf.DiscoveryDriver = s.cfg.Discovery.Driver
	}
	conf.RamdiskEndpoints, conf.RestrictLookup = a.EnableRamdiskEndpoints, a.RestrictLookup
	conf.MaxLimit, conf.MaxBody = a.MaxLimit, int64(a.MaxBodySize)
	conf.MaxBodyProvision, conf.MaxBodyInspection, conf.MaxDepth = int64(a.MaxBodySizeProvision), int64(a.MaxBodySizeInspection), a.MaxBodyDepth
	conf.RequestTimeout, conf.ConductorAlive = a.RequestTimeout, s.cfg.Conductor.HeartbeatTimeout
	conf.DefaultResourceClass, conf.DefaultConductorGroup = a.DefaultResourceClass, a.DefaultConductorGroup
	conf.DefaultPortgroupMode = a.DefaultPortgroupMode
	conf.AgentHeartbeatTimeout = s.cfg.Agent.HeartbeatTimeout
	conf.PermittedImageFormats, conf.FerricVersion = s.cfg.Image.PermittedImageFormats, version()
	conf.LockedTries, conf.LockedInterval = s.cfg.Conductor.NodeLockedRetryAttempts, s.cfg.Conductor.NodeLockedRetryInterval
	conf.ProjectAdminCanManageOwnNodes = a.ProjectAdminCanManageOwnNodes
	if a.RBACServiceRoleElevatedAccess {
		conf.ElevatedServiceProject, conf.ElevatedServiceDomain = a.RBACServiceProjectName, a.RBACServiceProjectDomainID
	}
	conf.MaxEventStreams = a.MaxEventStreams
	deps := api.Deps{Store: memberStore{s.store, s.members}, Changes: s.store, Conductors: c, Log: s.log, Owner: c.Owner, Observe: s.metrics.request, Health: s.health.Handler(), Alive: obs.Alive(), Doctor: s.diagnose(c)}
	if s.tells {
		deps.Tell = s.store.Tell
	}
	if s.cfg.Metrics.Enabled && s.cfg.Metrics.Listen == "" {
		deps.Metrics = s.metrics
	}
	if a.AuthStrategy == api.Keystone {
		if s.cloud == nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "api.auth_strategy is keystone, but nothing says where Keystone is and who Ferric is there; set openstack.auth_url, username, "+
				"password and project_name, or openstack.cloud")
		}
		conf.AuthURI, deps.Tokens = cmp.Or(s.cfg.KeystoneAuthToken.WWWAuthenticateURI, s.cloud.AuthURL()), tokens{validator(s.cfg, s.cloud, s.log)}
	}
	if a.PolicyFile != "" {
		source, err := file.Open(a.PolicyFile, policy.Ironic(), s.log, nil)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "api.policy_file: %w", err)
		}
		deps.Policy = source.Rules
	}
	return api.New(conf, deps)
}

// followChanges adds the part that runs the change feed: the bus tells that there are changes, the database which ones.
func (s *service) followChanges(rest *api.API) error {
	poke := make(chan struct{}, 1)
	wake := func(context.Context) {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
	sub, err := s.bus.Subscribe("changes.node.>", func(ctx context.Context, _ bus.Event) { wake(ctx) }, wake)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, func() error { sub.Stop(); return nil })
	s.run("event feed", func(ctx context.Context) error { return rest.Events(ctx, poke) })
	return nil
}

// listenAPI opens the API's listener and adds the part that serves it.
func (s *service) listenAPI(ctx context.Context, handler http.Handler) error {
	var tlsConf *tls.Config
	if s.cfg.API.TLSCert != "" {
		cert, err := tls.LoadX509KeyPair(s.cfg.API.TLSCert, s.cfg.API.TLSKey)
		if err != nil {
			return ferric.Errorf(ferric.CodeInvalid, "api.tls_cert and api.tls_key: %w", err)
		}
		tlsConf = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		if s.cfg.API.TLSMinimumVersion == "1.3" {
			tlsConf.MinVersion = tls.VersionTLS13
		}
	}
	return s.listen(ctx, "api", s.cfg.API.Listen, handler, tlsConf)
}

// listenMetrics opens the listener of metrics and health, whatever the process does.
func (s *service) listenMetrics(ctx context.Context) error {
	if !s.cfg.Metrics.Enabled || s.cfg.Metrics.Listen == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.metrics)
	mux.Handle("/healthz", obs.Alive())
	mux.Handle("/readyz", s.health.Handler())
	return s.listen(ctx, "metrics", s.cfg.Metrics.Listen, mux, nil)
}

// stopListening is how long requests under way may take when the process stops.
const stopListening = 10 * time.Second

// listen opens a listener and adds the part that serves it.
func (s *service) listen(ctx context.Context, name, address string, handler http.Handler, tlsConf *tls.Config) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "%s.listen: %w", name, err)
	}
	s.log.Info("listening", "what", name, "address", ln.Addr().String(), "tls", tlsConf != nil)
	ln = netutil.LimitListener(ln, s.cfg.API.MaxConnections)
	if tlsConf != nil {
		ln = tls.NewListener(ln, tlsConf)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: s.cfg.API.RequestTimeout,
		WriteTimeout: 2 * s.cfg.API.RequestTimeout, IdleTimeout: s.cfg.API.IdleTimeout, MaxHeaderBytes: 64 << 10}
	s.run(name, func(ctx context.Context) error {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			<-ctx.Done()
			if name == "api" && s.cfg.API.DrainDelay > 0 {
				server.SetKeepAlivesEnabled(false)
				time.Sleep(s.cfg.API.DrainDelay) // the load balancer sees /readyz meanwhile
			}
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopListening)
			defer cancel()
			if server.Shutdown(stop) != nil {
				server.Close()
			}
		}()
		err := server.Serve(ln)
		if !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		<-stopped
		return nil
	})
	return nil
}
