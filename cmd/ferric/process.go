package main

import (
	"context"
	"strings"
	"time"

	"ferric"
	"ferric/rpc"
	"ferric/store"
)

// program is what this one tells others of its version.
func program() ferric.Program {
	return ferric.Program{Version: version(), Schema: store.NewestSchema(), Protocol: rpc.Protocol()}
}

// joinProcesses looks whether this program can work with those that run on the same database, and lets them know of it as long as it runs. CodeConflict
// if it cannot.
func (s *service) joinProcesses(ctx context.Context) error {
	if !s.store.Shared() {
		return nil
	}
	own := ferric.Process{Host: s.cfg.Host, Roles: strings.Join(s.cfg.Roles, ","), Program: program(), StartedAt: s.store.Now()}
	others, err := s.store.Processes(ctx, store.ProcessAlive)
	if err != nil {
		return err
	}
	for _, o := range others {
		if (o.Host != own.Host || o.Roles != own.Roles) && !o.Protocol.Meets(own.Protocol) {
			return ferric.Errorf(ferric.CodeConflict, "ferric %s on %s speaks %s, and this one (%s) speaks %s: they cannot work together. Upgrade in smaller steps, "+
				"or end all processes of the other version first (docs/upgrade.md); one that died is forgotten after %s",
				o.Version, o.Host, o.Protocol, own.Version, own.Protocol, store.ProcessAlive)
		}
	}
	if err := s.store.AnnounceProcess(ctx, own); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.store.EndProcess(ctx, own); err != nil {
			s.log.Warn("the others are not told that this process ends; they notice", "after", store.ProcessAlive, "error", err)
		}
		return nil
	})
	s.run("schema", func(ctx context.Context) error {
		tick := time.NewTicker(store.ProcessBeat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			switch err := s.store.AnnounceProcess(ctx, own); {
			case ferric.IsCode(err, ferric.CodeInvalid):
				return err
			case err != nil && ctx.Err() == nil:
				s.log.Warn("cannot note that this process is alive; trying again", "error", err)
			}
		}
	})
	return nil
}
