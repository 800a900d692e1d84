package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"ferric"
	"ferric/config"
	"ferric/openstack"
	"ferric/openstack/notify"
	"ferric/openstack/nova"
	"ferric/store"
)

// announcing makes what other programs are told, nil if they are told nothing.
func announcing(cfg *config.Config, cloud *openstack.Session, log *slog.Logger) store.Announcing {
	c := &notify.Composer{Host: cfg.Host, Log: log, Nova: tellsNova(cfg, cloud)}
	if len(cfg.Notifications.Drivers) > 0 {
		c.Level = cfg.Notifications.Level
	}
	if c.Level == "" && !c.Nova {
		return nil
	}
	return c.Notices
}

// tellsNova reports whether Nova is told of power states.
func tellsNova(cfg *config.Config, cloud *openstack.Session) bool {
	return cloud != nil && cfg.Nova.SendPowerNotifications
}

// novaTimeout bounds a request to Nova. It is less than what a courier gives a sink.
const novaTimeout = 8 * time.Second

// trimInterval is how often notices that are not needed any more are removed.
const trimInterval = 10 * time.Second

// setUpNotifications adds the parts that deliver notifications, and the one that keeps the outbox small, even if nothing is delivered any more.
func (s *service) setUpNotifications(ctx context.Context) error {
	sinks, err := s.sinks()
	if err != nil {
		return err
	}
	topics := map[string][]string{}
	for _, k := range sinks {
		topics[k.Name] = k.Topics
	}
	if err := s.store.KeepSinks(ctx, slices.Collect(maps.Keys(topics))); err != nil {
		return err
	}
	for _, k := range sinks {
		k.Outbox, k.Holder, k.Log, k.Watch = s.store, s.cfg.Host, s.log, s.metrics
		poke := make(chan struct{}, 1)
		s.store.OnChange(func() { wake(poke) })
		s.run("notifications to "+k.Name, func(ctx context.Context) error { return k.Run(ctx, poke) })
	}
	s.run("notifications", func(ctx context.Context) error { return s.trimOutbox(ctx, topics) })
	return nil
}

// sinks makes the couriers of all that notifications go to.
func (s *service) sinks() ([]*notify.Courier, error) {
	n := &s.cfg.Notifications
	secure, err := notificationTLS(n)
	if err != nil {
		return nil, err
	}
	var all []*notify.Courier
	add := func(name string, sink notify.Sink, topics ...string) {
		all = append(all, &notify.Courier{Name: name, Sink: sink, Topics: topics})
	}
	if tellsNova(s.cfg, s.cloud) {
		add("nova", &nova.PowerUpdates{Session: s.cloud, Timeout: novaTimeout}, ferric.TopicNova)
	}
	for _, driver := range n.Drivers {
		switch driver {
		case "rabbitmq":
			transport, err := notify.ParseTransportURL(string(n.TransportURL))
			if err != nil {
				return nil, ferric.Errorf(ferric.CodeInvalid, "notifications.transport_url: %w", err)
			}
			add(driver, &notify.AMQP{Transport: transport, TLS: secure, Exchange: n.Exchange, Topics: map[string][]string{ferric.TopicNotifications: n.Topics},
				Durable: n.DurableQueues, AutoDelete: n.AutoDelete, Name: "ferric " + s.cfg.Host, Log: s.log}, ferric.TopicNotifications)
		case "nats":
			add(driver, &notify.NATS{Subjects: s.bus, Prefix: n.NATSSubject, Stream: n.NATSStream}, ferric.TopicNotifications)
		case "webhook":
			transport := http.DefaultTransport.(*http.Transport).Clone()
			transport.TLSClientConfig = secure
			client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			add(driver, &notify.Webhook{URL: string(n.WebhookURL), Secret: []byte(n.WebhookSecret), Timeout: n.WebhookWait, Client: client}, ferric.TopicNotifications)
		}
	}
	return all, nil
}

func notificationTLS(n *config.Notifications) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if n.CAFile != "" {
		text, err := os.ReadFile(n.CAFile)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "notifications.ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "notifications.ca_file: %s holds no certificate", n.CAFile)
		}
	}
	if n.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(n.CertFile, n.KeyFile)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "notifications.cert_file and notifications.key_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, nil
}

// trimOutbox removes notices now and then, until ctx ends.
func (s *service) trimOutbox(ctx context.Context, topics map[string][]string) error {
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n := &s.cfg.Notifications
		dropped, err := s.store.TrimOutbox(ctx, topics, int64(n.MaxQueued), s.store.Now().Add(-n.MaxAge))
		for sink, count := range dropped {
			s.metrics.dropped(sink, count)
			s.log.Warn("notifications were thrown away that could not be delivered in time", "sink", sink, "count", count, "max_queued", n.MaxQueued, "max_age", n.MaxAge)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("cannot remove notifications from the database; it will be tried again", "in", trimInterval, "error", err)
		}
	}
}
