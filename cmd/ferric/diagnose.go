package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ferric"
	"ferric/conductor/ring"
	"ferric/doctor"
	"ferric/obs"
	"ferric/rpc"
	"ferric/state"
	"ferric/store"

	"golang.org/x/sys/unix"
)

// examineTime bounds how long one conductor may take to answer the doctor; its own limit for machines is below that.
const examineTime = 30 * time.Second

// diagnose is the API's doctor: it looks at the database and asks every conductor that is alive, all at the same time.
func (s *service) diagnose(c *calls) func(ctx context.Context, nodes []string, hardware bool) (*ferric.Diagnosis, error) {
	return func(ctx context.Context, nodes []string, hardware bool) (*ferric.Diagnosis, error) {
		if err := s.store.Damage(); err != nil {
			return &ferric.Diagnosis{Unseen: []string{"the nodes: the database is damaged"}, Findings: []ferric.Finding{{Code: "database-damaged",
				Severity: ferric.FindingError, What: "the database is damaged", Why: err.Error(), Do: "stop the service, then: ferric db restore BACKUP"}}}, nil
		}
		all, err := s.store.Conductors(ctx, s.cfg.Conductor.HeartbeatTimeout)
		if err != nil {
			return nil, err
		}
		members := ring.New(all)
		hosts, err := s.servers(ctx, members, nodes)
		if err != nil {
			return nil, err
		}
		asked := make(chan []rpc.Examined, 1)
		go func() { asked <- c.examine(ctx, hosts, rpc.ExamineArgs{Nodes: nodes, Hardware: hardware}) }()
		d, err := doctor.Examine(ctx, s.store, doctor.Options{Nodes: nodes, Owner: ownerIn(members),
			ConductorAlive: s.cfg.Conductor.HeartbeatTimeout, AgentSilent: s.cfg.Agent.HeartbeatTimeout, ProcessAlive: store.ProcessAlive})
		answers := <-asked // it ends with ctx
		if err != nil {
			return nil, err
		}
		merge(d, answers)
		if !s.cfg.HasRole("conductor") && len(nodes) == 0 {
			for _, f := range s.ownFindings(ctx) {
				f.Conductor = s.cfg.Host
				d.Findings = append(d.Findings, f)
			}
		}
		doctor.Sort(d.Findings)
		return d, nil
	}
}

// ownerIn tells which conductor of a ring serves a node, "" if none does.
func ownerIn(members *ring.Ring) func(*ferric.Node) string {
	return func(n *ferric.Node) string {
		host, err := members.Owner(n.UUID, n.ConductorGroup, n.Driver)
		if err != nil {
			return ""
		}
		return host
	}
}

// servers are the conductors that serve the nodes, or all for none.
func (s *service) servers(ctx context.Context, members *ring.Ring, nodes []string) ([]string, error) {
	if len(nodes) == 0 {
		return members.Hosts(), nil
	}
	var hosts []string
	for _, uuid := range nodes {
		n, err := s.store.Node(ctx, uuid)
		if err != nil {
			return nil, err
		}
		if host := ownerIn(members)(n); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts, nil
}

// examine asks conductors, all at the same time.
func (c *calls) examine(ctx context.Context, hosts []string, args rpc.ExamineArgs) []rpc.Examined {
	out := make([]rpc.Examined, len(hosts))
	ctx, cancel := context.WithTimeout(ctx, examineTime)
	defer cancel()
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() {
			e := rpc.Examined{Host: host, Examination: &rpc.Examination{}, Asked: time.Now()}
			if e.Err = c.send(ctx, host, callOf(rpc.Examine, args), e.Examination); e.Err != nil {
				e.Examination = nil
			}
			e.Answered = time.Now()
			out[i] = e
		})
	}
	all.Wait()
	return out
}

// skewed is how far a conductor's clock may be off: certificates, leases and histories bear that.
const skewed = 2 * time.Second

// merge puts the conductors' answers into a diagnosis.
func merge(d *ferric.Diagnosis, answers []rpc.Examined) {
	for _, a := range answers {
		if a.Err != nil {
			d.Findings = append(d.Findings, ferric.Finding{Code: "conductor-unreachable", Severity: ferric.FindingError, Conductor: a.Host,
				What: "the conductor " + a.Host + " is alive by the database, but does not answer on the bus", Why: a.Err.Error(),
				Do: "look at bus.url and the network between this host and NATS, and at the log of " + a.Host})
			d.Unseen = append(d.Unseen, "machines, files and disks of "+a.Host)
			continue
		}
		e := a.Examination
		for _, f := range e.Findings {
			if !slices.ContainsFunc(d.Findings, func(have ferric.Finding) bool { return f.Code == have.Code && f.Node != "" && f.Node == have.Node }) {
				d.Findings = append(d.Findings, f)
			}
		}
		d.Unseen = append(d.Unseen, e.Unseen...)
		// Its clock was read between Asked and Answered.
		off := max(a.Asked.Sub(e.Now), e.Now.Sub(a.Answered))
		if off > skewed {
			d.Findings = append(d.Findings, ferric.Finding{Code: "clock-skew", Severity: ferric.FindingWarning, Conductor: a.Host,
				What: fmt.Sprintf("the clocks of %s and of this API differ by %s or more", a.Host, off.Round(time.Millisecond)),
				Why:  "a host's clock is not set by NTP", Do: "set the clocks of all hosts by NTP (chronyc tracking)"})
		}
	}
}

// ownFindings tells what is not well on this host.
func (s *service) ownFindings(ctx context.Context) []ferric.Finding {
	dirs := map[string]string{"data_dir": s.cfg.DataDir, "image.cache_dir": s.cfg.Image.CacheDir, "agent.deploy_logs_dir": s.cfg.Agent.DeployLogsDir}
	return slices.Concat(healthFindings(s.health.Run(ctx)), diskFindings(dirs), s.bootFindings(ctx), cloudFindings(ctx, s.cfg, s.cloud))
}

func healthFindings(r obs.Report) []ferric.Finding {
	var out []ferric.Finding
	for _, c := range r.Checks {
		if !c.Healthy {
			out = append(out, ferric.Finding{Code: "unhealthy", Severity: ferric.FindingError, What: "the check " + c.Name + " of /healthcheck fails",
				Why: c.Reason, Do: "see what it says; docs/operations.md, \"What to do when\""})
		}
	}
	return out
}

// Below what a disk is called full, and nearly full if less than a twentieth is left, too.
const (
	fullDisk       = 256 << 20
	nearlyFullDisk = 5 << 30
)

// disk is a file system that settings put files on. Sizes are in bytes.
type disk struct {
	settings    []string
	free, total uint64
}

// finding tells whether a disk is full.
func (d disk) finding() (f ferric.Finding, is bool) {
	slices.Sort(d.settings)
	f = ferric.Finding{Code: "disk-full", Severity: ferric.FindingWarning,
		What: fmt.Sprintf("the disk of %s has %d MiB of %d MiB left", strings.Join(d.settings, ", "), d.free>>20, d.total>>20),
		Why:  "the database, images or logs fill it; when it is full, nothing can be written, and all work waits",
		Do:   "free space, move the image cache to a disk of its own (image.cache_dir), or limit it (image.cache_size)"}
	switch {
	case d.free < fullDisk:
		f.Severity = ferric.FindingError
		return f, true
	case d.free < nearlyFullDisk && d.free < d.total/20:
		return f, true
	}
	return f, false
}

// diskFindings looks at the disks that folders are on, by the settings that name them.
func diskFindings(dirs map[string]string) []ferric.Finding {
	disks := map[uint64]disk{}
	for setting, dir := range dirs {
		var st unix.Stat_t
		var vfs unix.Statfs_t
		if dir == "" || unix.Stat(existingPart(dir), &st) != nil || unix.Statfs(existingPart(dir), &vfs) != nil {
			continue
		}
		d := disks[st.Dev]
		d.settings, d.free, d.total = append(d.settings, setting), vfs.Bavail*uint64(vfs.Bsize), vfs.Blocks*uint64(vfs.Bsize)
		disks[st.Dev] = d
	}
	var out []ferric.Finding
	for _, d := range disks {
		if f, is := d.finding(); is {
			out = append(out, f)
		}
	}
	return out
}

// existingPart is the path, or the first folder above it that exists.
func existingPart(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// bootFindings looks for published boot files of nodes that need none.
func (s *service) bootFindings(ctx context.Context) []ferric.Finding {
	if s.publisher == nil {
		return nil
	}
	all, err := s.publisher.List(ctx)
	if err != nil {
		return nil // the database is away, which others say
	}
	var out []ferric.Finding
	for _, c := range all {
		n, err := s.store.Node(ctx, c.NodeUUID)
		if err != nil || !idle(n.ProvisionState) || n.Reservation != "" {
			continue
		}
		out = append(out, ferric.Finding{Code: "boot-files-left", Severity: ferric.FindingWarning, Node: c.NodeUUID, NodeName: n.Name,
			What: fmt.Sprintf("boot files are served for a node in the state %q, which boots nothing", n.ProvisionState),
			Why:  "its last operation could not remove them, or the database was restored",
			Do:   "its next cleaning or deploy replaces them; a machine that boots from the network now runs the ramdisk"})
	}
	return out
}

// idle reports whether nothing is served to a node in the state.
func idle(s ferric.ProvisionState) bool {
	return state.Stable(s) && s != ferric.Active && s != ferric.Rescue && s != ferric.ErrorState
}
