package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"ferric"
	"ferric/boot"
	"ferric/state"
	"ferric/store"
)

// bootRecords keeps boot configurations in the database. It implements boot.Records.
type bootRecords struct{ store *store.Store }

// Put implements boot.Records.
func (r bootRecords) Put(ctx context.Context, c boot.Config) error {
	data, err := json.Marshal(c)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "encode boot configuration of node %s: %w", c.NodeUUID, err)
	}
	return r.store.PutNetworkBoot(ctx, &ferric.NetworkBoot{NodeUUID: c.NodeUUID, MACs: c.MACs, Config: data})
}

// Delete implements boot.Records.
func (r bootRecords) Delete(ctx context.Context, nodeUUID string) error {
	return r.store.DeleteNetworkBoot(ctx, nodeUUID)
}

// ByMAC implements boot.Records.
func (r bootRecords) ByMAC(ctx context.Context, mac string) (boot.Record, error) {
	return decodeBoot(r.store.NetworkBootByMAC(ctx, mac))
}

// ByNode implements boot.Records.
func (r bootRecords) ByNode(ctx context.Context, nodeUUID string) (boot.Record, error) {
	return decodeBoot(r.store.NetworkBoot(ctx, nodeUUID))
}

// All implements boot.Records.
func (r bootRecords) All(ctx context.Context) ([]boot.Record, error) {
	all, err := r.store.NetworkBoots(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]boot.Record, len(all))
	for i := range all {
		if list[i], err = decodeBoot(&all[i], nil); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// decodeBoot reads what is stored. Fields that a later version added are passed over.
func decodeBoot(b *ferric.NetworkBoot, err error) (boot.Record, error) {
	if err != nil {
		return boot.Record{}, err
	}
	r := boot.Record{At: b.UpdatedAt}
	if err := json.Unmarshal(b.Config, &r.Config); err != nil {
		return boot.Record{}, ferric.Errorf(ferric.CodeCorrupt, "boot configuration of node %s in the database: %w; the node's next deployment writes it anew", b.NodeUUID, err)
	}
	return r, nil
}

// importBoots takes over what an earlier version kept in files of this host, and removes the files. It reports whether there were any.
func (s *service) importBoots(ctx context.Context) (found bool, err error) {
	old := s.path("boot", "nodes")
	files, err := filepath.Glob(filepath.Join(old, "nodes", "*.json"))
	if err != nil {
		return false, ferric.Errorf(ferric.CodeInternal, "look for boot files of an earlier version: %w", err)
	}
	records := bootRecords{s.store}
	for _, file := range files {
		if filepath.Base(file) == boot.DefaultID+".json" || strings.HasPrefix(filepath.Base(file), ".") {
			continue
		}
		found = true
		var c boot.Config
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &c)
		}
		if err == nil {
			c, err = c.Normalize()
		}
		if err != nil {
			s.log.WarnContext(ctx, "a boot configuration of an earlier version cannot be read; the node's next deployment writes it anew", "file", file, "error", err)
			continue
		}
		var n *ferric.Node
		if n, err = s.store.Node(ctx, c.NodeUUID); err == nil && state.Stable(n.ProvisionState) && n.ProvisionState != ferric.Rescue {
			continue // another conductor ended meanwhile what it was for
		}
		if err == nil {
			_, err = records.ByNode(ctx, c.NodeUUID)
			if ferric.IsCode(err, ferric.CodeNotFound) {
				err = records.Put(ctx, c)
			}
		}
		switch {
		case ferric.IsCode(err, ferric.CodeNotFound), ferric.IsCode(err, ferric.CodeConflict):
			s.log.WarnContext(ctx, "removed the boot configuration of a node that does not exist any more", "node", c.NodeUUID, "error", err)
		case err != nil:
			return found, ferric.Errorf(ferric.ErrorCode(err), "take over %s: %w", file, err)
		}
	}
	if err := os.RemoveAll(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, ferric.Errorf(ferric.CodeInternal, "remove boot files of an earlier version: %w", err)
	}
	return found, nil
}

// How often a boot host shows that it is there, and how long it counts as there after that. Who believes that it is there and is wrong tries the next one.
const (
	bootBeat = 3 * time.Second
	bootLost = 30 * time.Second
)

// bootPeers knows the other hosts that serve machines on the same network, or all of them if this one serves none (own is empty).
type bootPeers struct {
	store *store.Store
	own   ferric.BootHost
	all   atomic.Pointer[[]ferric.BootHost]
}

// URLs are the base URLs of the other hosts.
func (p *bootPeers) URLs() []string {
	var urls []string
	if all := p.all.Load(); all != nil {
		for _, h := range *all {
			near := p.own.Host == "" || h.Network == p.own.Network
			if h.Host != p.own.Host && h.HTTP != p.own.HTTP && near && !slices.Contains(urls, h.HTTP) {
				urls = append(urls, h.HTTP)
			}
		}
	}
	return urls
}

// Ours reports whether an address is that of a DHCP server of ours.
func (p *bootPeers) Ours(address string) bool {
	all := p.all.Load()
	return address == p.own.Address || all != nil && slices.ContainsFunc(*all, func(h ferric.BootHost) bool { return h.Address == address })
}

// look announces this host and reads who else is there.
func (p *bootPeers) look(ctx context.Context) error {
	if p.own.Host != "" {
		if err := p.store.AnnounceBootHost(ctx, p.own); err != nil {
			return err
		}
	}
	all, err := p.store.BootHosts(ctx, bootLost)
	if err == nil {
		p.all.Store(&all)
	}
	return err
}

// followPeers announces this host's boot services, if it has any, and adds the part that goes on with it.
func (s *service) followPeers(ctx context.Context, own ferric.BootHost) (*bootPeers, error) {
	p := &bootPeers{store: s.store, own: own}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	s.run("presence of the boot services", func(ctx context.Context) error {
		defer func() {
			if own.Host == "" {
				return
			}
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := s.store.RetireBootHost(stop, own.Host); err != nil {
				s.log.Warn("cannot note that the boot services have stopped; it will be noticed", "error", err)
			}
		}()
		return every(ctx, bootBeat, func(ctx context.Context) {
			if err := p.look(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("cannot look for the hosts that serve machines which boot, or note that this one does; trying again", "error", err)
			}
		})
	})
	return p, nil
}

// publishOnly publishes from a process that serves nothing itself: others do.
type publishOnly struct {
	*boot.Publisher
	peers *bootPeers
}

// Publish implements netboot.Publisher. CodeUnavailable while no host serves.
func (p publishOnly) Publish(ctx context.Context, c boot.Config) error {
	if len(p.peers.URLs()) == 0 {
		return ferric.Errorf(ferric.CodeUnavailable, "no host with the role boot is alive that could serve the machine; start one, with boot.interface set")
	}
	return p.Publisher.Publish(ctx, c)
}

// publishForOthers makes the publisher of a conductor whose machines are served by other processes.
func (s *service) publishForOthers(ctx context.Context, pictures *images) (publishOnly, error) {
	peers, err := s.followPeers(ctx, ferric.BootHost{})
	if err != nil {
		return publishOnly{}, err
	}
	pictures.peers = peers.URLs
	return publishOnly{boot.NewPublisher(boot.PublisherOptions{Records: bootRecords{s.store}, Log: s.log}), peers}, nil
}
