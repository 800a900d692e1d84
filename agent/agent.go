package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"

	"ferric"
	"ferric/agent/callback"
	"ferric/agent/clean"
	"ferric/agent/command"
	"ferric/agent/deploy"
	"ferric/agentapi"
)

// Version is the agent's version, as heartbeats and /v1/status tell it.
const Version = "0.1.0"

// lockdown is an End that keeps the machine running without network.
const lockdown End = "lockdown"

// rescued is an End that keeps the machine running for people to log in.
const rescued End = "rescued"

// Options make an Agent.
type Options struct {
	Params  Params
	Machine Machine
	Log     *slog.Logger
	// Pause is the first pause between tries of lookup and inspection; 0 means one second. Tests shorten it.
	Pause time.Duration
	// Linger is how long the agent still answers after it was told to reboot; 0 means one second.
	Linger time.Duration
}

// Agent is one life of the program, from lookup to reboot.
type Agent struct {
	o       Options
	p       Params
	m       Machine
	log     *slog.Logger
	started time.Time
	client  *callback.Client
	exec    *command.Executor
	writer  *deploy.Writer
	cleaner *clean.Cleaner
	end     chan End
	bmc     func() BMC

	mu     sync.Mutex
	token  string
	node   agentapi.LookupNode
	config agentapi.LookupConfig
	beat   *callback.Heartbeat
	rescue func(context.Context) error // what runs after finalize_rescue
	lldp   map[string][][2]any
}

// New makes an Agent. An API URL that cannot be one is CodeInvalid.
func New(o Options) (*Agent, error) {
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Linger == 0 {
		o.Linger = time.Second
	}
	a := &Agent{o: o, p: o.Params, m: o.Machine, log: o.Log, started: time.Now(), end: make(chan End, 1), token: o.Params.Token}
	a.writer = &deploy.Writer{Open: o.Machine.Open, Rescan: o.Machine.Rescan}
	a.cleaner = &clean.Cleaner{Disks: o.Machine.Disks, Open: o.Machine.Open, Rescan: o.Machine.Rescan, StopArray: o.Machine.StopArray, ATA: o.Machine.ATA, NVMe: o.Machine.NVMe}
	a.exec = command.NewExecutor(o.Log, a.commands(), a.forceHeartbeat)
	var err error
	a.client, err = callback.NewClient(callback.Options{
		URLs: o.Params.APIURLs, Log: o.Log, Insecure: o.Params.Insecure, OnDate: o.Machine.Observe, ClockIsWrong: o.Machine.ClockIsWrong, UserAgent: "ferric-agent/" + Version,
	})
	return a, err
}

// Run lives until it is told to end the machine, and returns how, or until ctx ends.
func (a *Agent) Run(ctx context.Context) (End, error) {
	defer a.exec.Close()
	bmcDone := make(chan struct{})
	a.bmc = sync.OnceValue(func() BMC { return a.m.BMC(ctx) })
	go func() { defer close(bmcDone); a.bmc() }() // slow controllers take seconds; asked while the network comes up
	defer func() { <-bmcDone }()
	if a.p.CollectLLDP {
		a.collectLLDP(ctx)
	}
	uuid := ""
	if a.inspects() {
		uuid = a.inspect(ctx)
	}
	if a.client.URL() == "" {
		a.log.Error("no API URL on the kernel's command line (ipa-api-url): there is nobody to obey")
		<-ctx.Done()
		return "", ferric.Errorf(ferric.CodeInvalid, "no API URL: %w", ctx.Err())
	}
	if err := a.lookup(ctx, uuid); err != nil {
		return "", err
	}
	return a.serve(ctx)
}

// lookup asks who we are until the API knows and has given us a token.
func (a *Agent) lookup(ctx context.Context, uuid string) error {
	for {
		res, err := a.client.LookupLoop(ctx, a.macs, uuid, a.o.Pause)
		if err != nil {
			return err
		}
		if a.accept(res.Node, res.Config) {
			return nil
		}
		a.log.Error("the API has given the agent token to somebody else (or to an earlier boot); trying again", "node", res.Node.UUID)
		select {
		case <-ctx.Done():
			return ferric.Errorf(ferric.CodeTimeout, "lookup: %w", ctx.Err())
		case <-time.After(10 * a.o.Pause):
		}
	}
}

// accept takes over what a lookup said. It returns false if there is no token to work with.
func (a *Agent) accept(node agentapi.LookupNode, config agentapi.LookupConfig) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t := config.AgentToken; t != agentapi.MaskedToken && len(t) >= agentapi.MinTokenLength {
		a.token = t
	}
	a.node, a.config = node, config
	return a.token != ""
}

func (a *Agent) macs() []string {
	var out []string
	for _, nic := range a.m.Inventory().Interfaces {
		if nic.MACAddress != "" {
			out = append(out, nic.MACAddress)
		}
	}
	return out
}

// serve answers commands and sends heartbeats until the end.
func (a *Agent) serve(ctx context.Context) (End, error) {
	ip, err := a.address(ctx)
	if err != nil {
		return "", err
	}
	cert, pem, err := command.NewCertificate(ip, time.Now())
	if err != nil {
		return "", err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":"+strconv.Itoa(a.p.ListenPort))
	if err != nil {
		return "", ferric.Errorf(ferric.CodeConflict, "listen for commands: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	srv := command.NewServer(command.ServerOptions{Log: a.log, Executor: a.exec, Token: a.currentToken, Version: Version, Started: a.started})
	srv.Serve(l, &cert)
	defer srv.Close()

	a.mu.Lock()
	node, timeout := a.node.UUID, time.Duration(a.config.HeartbeatTimeout)*time.Second
	callbackURL := "https://" + net.JoinHostPort(ip.String(), strconv.Itoa(port))
	a.beat = callback.NewHeartbeat(callback.Heartbeat{Client: a.client, Node: node, Timeout: timeout, Retry: 5 * a.o.Pause, MinGap: a.o.Pause,
		Body: func() agentapi.Heartbeat { return a.heartbeat(callbackURL, pem) }})
	beat := a.beat
	a.mu.Unlock()
	a.log.Info("ready for commands", "node", node, "url", callbackURL)

	beating, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { beat.Run(beating) })
	defer wg.Wait()
	defer stop()
	select {
	case <-ctx.Done():
		return "", ferric.Errorf(ferric.CodeTimeout, "the agent was stopped: %w", ctx.Err())
	case how := <-a.end:
		time.Sleep(a.o.Linger) // lets the conductor read the command's result
		if how == lockdown || how == rescued {
			stop()
			wg.Wait()
			srv.Close()
			if how == rescued {
				return a.rescueUntilOff(ctx)
			}
			return a.locked(ctx)
		}
		return how, nil
	}
}

// rescueUntilOff lets people in and waits for somebody to switch the machine off. The agent itself is not there any more.
func (a *Agent) rescueUntilOff(ctx context.Context) (End, error) {
	a.mu.Lock()
	run := a.rescue
	a.mu.Unlock()
	for ctx.Err() == nil {
		if err := run(ctx); err != nil {
			a.log.Error("the rescue environment ended; it is begun again", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * a.o.Pause):
		}
	}
	return "", ferric.Errorf(ferric.CodeTimeout, "the agent was stopped: %w", ctx.Err())
}

// locked takes the network away and waits for somebody to switch the machine off.
func (a *Agent) locked(ctx context.Context) (End, error) {
	if err := a.m.Lockdown(); err != nil {
		a.log.Error("lockdown is not complete", "err", err)
	}
	a.log.Info("locked down: no network, no commands")
	<-ctx.Done()
	return "", ferric.Errorf(ferric.CodeTimeout, "the agent was stopped: %w", ctx.Err())
}

func (a *Agent) heartbeat(url, pem string) agentapi.Heartbeat {
	a.mu.Lock()
	defer a.mu.Unlock()
	hb := agentapi.Heartbeat{CallbackURL: url, AgentToken: a.token, AgentVersion: Version, AgentVerifyCA: pem}
	if a.config.Ferric != nil {
		ext := a.exec.Extension()
		hb.Ferric = &ext
	}
	return hb
}

func (a *Agent) currentToken() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

func (a *Agent) forceHeartbeat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.beat != nil {
		a.beat.Force()
	}
}

// address is ours as the API sees it: the one that a packet to it would carry.
func (a *Agent) address(ctx context.Context) (net.IP, error) {
	if a.p.AdvertiseHost != "" {
		if ip := net.ParseIP(a.p.AdvertiseHost); ip != nil {
			return ip, nil
		}
		a.log.Warn("ipa-advertise-host is not an address", "value", a.p.AdvertiseHost)
	}
	u, err := url.Parse(a.client.URL())
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "find our address: %w", err)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	for {
		c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), port)) // sends nothing
		if err == nil {
			ip := c.LocalAddr().(*net.UDPAddr).IP
			_ = c.Close() // nothing was sent
			return ip, nil
		}
		a.log.Warn("no route to the API", "host", u.Hostname(), "err", err)
		select {
		case <-ctx.Done():
			return nil, ferric.Errorf(ferric.CodeTimeout, "find our address: %w", ctx.Err())
		case <-time.After(5 * a.o.Pause):
		}
	}
}

// finish asks Run to end. The first wish counts.
func (a *Agent) finish(how End) error {
	select {
	case a.end <- how:
		return nil
	default:
		return command.Failf(agentapi.TypeSystemReboot, "the machine is being ended already")
	}
}

// power ends the machine after flushing the disks.
func (a *Agent) power(how End) error {
	if !a.m.Sync(2 * time.Minute) {
		a.log.Error("the disks did not take all data in time; the machine is ended all the same", "action", string(how))
	}
	return a.finish(how)
}

// rootDevice chooses the disk for the image: by the node's hints, else the smallest that is big enough, never one on the
// node's skip list. It waits a while for slow controllers.
func (a *Agent) rootDevice(ctx context.Context, node agentapi.LookupNode, skip clean.Options) (agentapi.BlockDevice, error) {
	raw, _ := node.InstanceInfo["root_device"].(map[string]any)
	if len(raw) == 0 {
		raw, _ = node.Properties["root_device"].(map[string]any)
	}
	hints, err := agentapi.ParseHints(raw)
	if err != nil {
		return agentapi.BlockDevice{}, command.Failf(agentapi.TypeDeviceNotFound, "%w", err)
	}
	deadline := time.Now().Add(a.p.DiskWait)
	for {
		var disks []agentapi.BlockDevice
		for _, d := range a.m.Disks() {
			if d.ReadOnly || d.Removable && hints.Empty() || skip.Skips(d.BlockDevice) {
				continue
			}
			disks = append(disks, d.BlockDevice)
		}
		root, err := agentapi.RootDevice(disks, hints)
		if err == nil {
			a.log.Info("root device", "disk", root.Name, "size", fmt.Sprintf("%.1f GiB", float64(root.Size)/(1<<30)), "hints", hints.String())
			return root, nil
		}
		if !time.Now().Before(deadline) {
			return agentapi.BlockDevice{}, command.Failf(agentapi.TypeDeviceNotFound, "%w", err)
		}
		select {
		case <-ctx.Done():
			return agentapi.BlockDevice{}, command.Failf(agentapi.TypeDeviceNotFound, "%w", err)
		case <-time.After(a.o.Pause):
		}
	}
}
