package boot

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"ferric"
)

// Renderer writes the files that the loaders of one flavor read. Its methods are pure: they may be repeated and give
// the same files for the same Config. No file of one Config may have the path of another's.
type Renderer interface {
	// Render returns the files for a Config, which is valid and of the renderer's flavor. A Config without MACs asks
	// for the default files. It returns CodeInvalid for a Config that its loaders cannot boot.
	Render(Config) ([]File, error)
	// Common returns the files that are always there, such as one that leads a loader to the file for its MAC.
	Common() []File
}

// PublisherOptions are what a Publisher works with.
type PublisherOptions struct {
	Records   Records
	Renderers map[Flavor]Renderer // none: this process only publishes, and others serve
	Site      Site                // of this host
	// Peers returns the base HTTP URLs of the other hosts that serve the same machines, the best first. Optional; it must not block.
	Peers func() []string
	Log   *slog.Logger // optional

	// Patience is how long a machine's loader waits while Records cannot say what it boots. Default 10 s.
	Patience time.Duration
	// LastKnown is how old an answer of Records may be to be given again while they cannot answer. Default 5 min.
	LastKnown time.Duration
	// Quick is how long Records are waited for when there is such an answer. Default 1 s.
	Quick time.Duration
	Now   func() time.Time // default time.Now
}

func (o PublisherOptions) defaults() PublisherOptions {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Patience, 10*time.Second)
	set(&o.LastKnown, 5*time.Minute)
	set(&o.Quick, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Peers == nil {
		o.Peers = func() []string { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Renderers = maps.Clone(o.Renderers)
	return o
}

// Publisher answers what machines boot: it keeps configurations in Records, which all hosts share, and writes the files that loaders read when they are asked for.
// Nothing is kept on disk. What Records said is remembered for a while, so that a machine in the middle of its boot goes on while they are away. Only the default
// configuration, for machines that nobody knows, is this process's own. Make one with NewPublisher.
type Publisher struct {
	o      PublisherOptions
	opened time.Time
	common map[string][]byte

	mu    sync.Mutex
	def   *Record
	known map[string]answer // by MAC
	away  time.Time         // of the last warning that Records are away
}

// answer is what Records said about a MAC.
type answer struct {
	record Record
	found  bool
	at     time.Time
}

// maxKnown is how many answers are remembered.
const maxKnown = 4096

// NewPublisher returns a publisher.
func NewPublisher(o PublisherOptions) *Publisher {
	p := &Publisher{o: o.defaults(), common: map[string][]byte{}, known: map[string]answer{}}
	p.opened = p.o.Now()
	for _, r := range p.o.Renderers {
		for _, f := range r.Common() {
			p.common[f.Path] = f.Data
		}
	}
	return p
}

// Publish makes cfg the boot configuration of its node, in place of an earlier one. When it returns nil every host serves it. It may be repeated. It returns
// CodeInvalid for a bad cfg and CodeConflict if another node has one of the MACs.
func (p *Publisher) Publish(ctx context.Context, cfg Config) error {
	cfg, err := cfg.Normalize()
	if err != nil {
		return err
	}
	cfg.Cmdline = anywhere(cfg.Cmdline, p.o.Site.HTTP)
	longest := cfg
	longest.Cmdline = at(cfg.Cmdline, longestSite, nil)
	if _, err := longest.Normalize(); err != nil {
		return err
	}
	if len(p.o.Renderers) > 0 {
		if _, err := p.render(cfg); err != nil {
			return err
		}
	}
	if cfg.NodeUUID == DefaultID {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.def = &Record{cfg, p.o.Now()}
		return nil
	}
	if err := p.o.Records.Put(ctx, cfg); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "publish boot configuration of node %s: %w", cfg.NodeUUID, err)
	}
	p.forget(cfg.NodeUUID)
	for _, mac := range cfg.MACs {
		p.remember(mac, answer{Record{cfg, p.o.Now()}, true, p.o.Now()})
	}
	return nil
}

// Unpublish removes a node's configuration. A node that has none is no error, so it may be repeated.
func (p *Publisher) Unpublish(ctx context.Context, nodeUUID string) error {
	if nodeUUID == DefaultID {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.def = nil
		return nil
	}
	if err := p.o.Records.Delete(ctx, nodeUUID); err != nil {
		return ferric.Errorf(ferric.ErrorCode(err), "remove boot configuration of node %s: %w", nodeUUID, err)
	}
	p.forget(nodeUUID)
	return nil
}

// Lookup returns the configuration of the node that has the MAC, in any usual notation, or CodeNotFound; never the default. While Records are away it is what they
// said last, if that is not too old; else an error with another code. Addresses in it are this host's.
func (p *Publisher) Lookup(ctx context.Context, mac string) (Config, error) {
	r, err := p.lookup(ctx, mac)
	return p.as(r.Config), err
}

func (p *Publisher) lookup(ctx context.Context, mac string) (Record, error) {
	mac, err := ParseMAC(mac)
	if err != nil {
		return Record{}, ferric.Errorf(ferric.CodeNotFound, "%w", err)
	}
	last, remembered := p.last(mac)
	patience := p.o.Patience
	if remembered {
		patience = p.o.Quick
	}
	asked, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := answer{at: p.o.Now()} // before the question: nothing may look newer than it is
	now.record, err = p.o.Records.ByMAC(asked, mac)
	now.found = err == nil
	switch {
	case err == nil, ferric.IsCode(err, ferric.CodeNotFound):
		p.remember(mac, now)
		return now.record, err
	case !remembered:
		return Record{}, ferric.Errorf(ferric.CodeUnavailable, "what %s boots cannot be known now: %w", mac, err)
	}
	p.warn(err)
	if !last.found {
		return Record{}, ferric.Errorf(ferric.CodeNotFound, "Nothing was booted over the network by %s.", mac)
	}
	return Record{last.record.clone(), last.record.At}, nil
}

// Get returns the configuration of a node, or the default one for DefaultID; CodeNotFound if it has none.
func (p *Publisher) Get(ctx context.Context, nodeUUID string) (Config, error) {
	if nodeUUID == DefaultID {
		r, err := p.defaultRecord()
		return p.as(r.Config), err
	}
	r, err := p.o.Records.ByNode(ctx, nodeUUID)
	return p.as(r.Config), err
}

func (p *Publisher) defaultRecord() (Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.def == nil {
		return Record{}, ferric.Errorf(ferric.CodeNotFound, "there is no boot configuration for machines that nobody knows")
	}
	return Record{p.def.clone(), p.def.At}, nil
}

// List returns every node's configuration, ordered by NodeUUID.
func (p *Publisher) List(ctx context.Context) ([]Config, error) {
	all, err := p.o.Records.All(ctx)
	list := make([]Config, len(all))
	for i, r := range all {
		list[i] = p.as(r.Config)
	}
	return list, err
}

// render writes the files of a configuration as this host serves them.
func (p *Publisher) render(cfg Config) ([]File, error) {
	r := p.o.Renderers[cfg.Flavor]
	if r == nil {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "boot configuration of node %s: flavor %q is not served here", cfg.NodeUUID, cfg.Flavor)
	}
	return r.Render(p.as(cfg))
}

// as returns a configuration as this host serves it.
func (p *Publisher) as(cfg Config) Config {
	if p.o.Site.HTTP == "" {
		return cfg
	}
	cfg.Cmdline = at(cfg.Cmdline, p.o.Site.HTTP, p.o.Peers())
	return cfg
}

// last returns an answer that is not too old to be given again.
func (p *Publisher) last(mac string) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.known[mac]
	return a, ok && p.o.Now().Sub(a.at) < p.o.LastKnown
}

func (p *Publisher) remember(mac string, a answer) {
	a.record.Config = a.record.clone()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[mac].at.After(a.at) {
		return // Records were asked before that
	}
	if _, ok := p.known[mac]; !ok && len(p.known) >= maxKnown {
		p.makeRoom()
	}
	p.known[mac] = a
}

// makeRoom removes the answers that are too old, or else the older half; p.mu is held.
func (p *Publisher) makeRoom() {
	before := p.o.Now().Add(-p.o.LastKnown)
	maps.DeleteFunc(p.known, func(_ string, a answer) bool { return a.at.Before(before) })
	if len(p.known) < maxKnown {
		return
	}
	var times []time.Time
	for _, a := range p.known {
		times = append(times, a.at)
	}
	slices.SortFunc(times, time.Time.Compare)
	middle := times[len(times)/2]
	maps.DeleteFunc(p.known, func(_ string, a answer) bool { return !a.at.After(middle) })
}

// forget notes that a node boots nothing.
func (p *Publisher) forget(nodeUUID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for mac, a := range p.known {
		if a.found && a.record.NodeUUID == nodeUUID {
			p.known[mac] = answer{at: p.o.Now()}
		}
	}
}

// warn says once a minute that Records are away.
func (p *Publisher) warn(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.o.Now(); now.Sub(p.away) > time.Minute {
		p.away = now
		p.o.Log.Warn("the boot configurations cannot be read: machines get what was known last, if it is not older than "+p.o.LastKnown.String(), "error", err)
	}
}
