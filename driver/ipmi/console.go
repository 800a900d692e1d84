package ipmi

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"ferric"
	"ferric/driver"
)

// portKey is where the node's driver_internal_info holds the TCP port of its console, as in Ironic.
const portKey = "allocated_ipmi_terminal_port"

// ConsoleOptions are the settings of a Console.
type ConsoleOptions struct {
	Address   string        // that the TCP ports are on
	Public    string        // the address in the URL; "": Address
	FirstPort int           // of the ports for nodes that name none; 0: there are none
	LastPort  int           //
	Idle      time.Duration // without a character, after which a client is let go; 0: never
	// Node loads a node when a client comes, so that the BMC's address and credentials are today's. nil: those of the console's start.
	Node func(ctx context.Context, uuid string) (*ferric.Node, error)
	// Serves says whether the node is this conductor's now, and others know that it is alive: otherwise its console is another one's, which a client who came
	// here would take it from. nil: always.
	Serves func(ctx context.Context, n *ferric.Node) error
}

// Console is the console interface "ipmitool-socat": a TCP port on the conductor that serves the machine's serial console, one client at a time.
// Serial over LAN with the BMC begins when a client connects and ends with it, as where Ironic starts ipmitool from socat.
//
// Whoever can connect to the port has the console: there is no password.
type Console struct {
	Pool *Pool
	Opts ConsoleOptions

	mu      sync.Mutex
	served  map[string]*consolePort // by node
	closed  bool
	serving sync.WaitGroup
}

var (
	_ driver.Console       = (*Console)(nil)
	_ driver.ConsoleLeaver = (*Console)(nil)
)

// Properties implements driver.Interface.
func (*Console) Properties() map[string]string { return properties() }

// Validate implements driver.Interface.
func (c *Console) Validate(_ context.Context, m *driver.Machine) error {
	info, err := ParseInfo(m.Node.DriverInfo)
	if err == nil && info.TerminalPort == 0 && c.Opts.FirstPort == 0 {
		err = ferric.Errorf(ferric.CodeInvalid, "Missing 'ipmi_terminal_port' parameter in node's driver_info.")
	}
	return err
}

// StartConsole implements driver.Console. It proves that the BMC can be reached, and ends serial over LAN that others have there.
func (c *Console) StartConsole(ctx context.Context, t *driver.Task) error {
	info, err := ParseInfo(t.Node.DriverInfo)
	if err != nil {
		return err
	}
	if err := c.Pool.BMC(info).endSOL(ctx); err != nil {
		return err
	}
	c.stop(t.Node.UUID)
	p, err := c.listen(t.Node, info)
	if err != nil {
		return err
	}
	if !c.serve(t.Node.UUID, p) {
		p.listener.Close()
		return ferric.Errorf(ferric.CodeUnavailable, "the console server is shutting down")
	}
	if p.port == allocated(t.Node) || info.TerminalPort != 0 {
		return nil
	}
	err = t.Mutate(ctx, func(n *ferric.Node) error {
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo[portKey] = p.port
		return nil
	})
	if err != nil {
		c.stop(t.Node.UUID)
	}
	return err
}

// StopConsole implements driver.Console.
func (c *Console) StopConsole(ctx context.Context, t *driver.Task) error {
	c.stop(t.Node.UUID)
	if _, ok := t.Node.InternalInfo[portKey]; !ok {
		return nil
	}
	return t.Mutate(ctx, func(n *ferric.Node) error { delete(n.InternalInfo, portKey); return nil })
}

// LeaveConsole implements driver.ConsoleLeaver.
func (c *Console) LeaveConsole(_ context.Context, m *driver.Machine) error {
	c.stop(m.Node.UUID)
	return nil
}

// ConsoleInfo implements driver.Console.
func (c *Console) ConsoleInfo(_ context.Context, m *driver.Machine) (map[string]string, error) {
	info, err := ParseInfo(m.Node.DriverInfo)
	if err != nil {
		return nil, err
	}
	port := int(info.TerminalPort)
	if port == 0 {
		port = allocated(m.Node)
	}
	host := c.Opts.Public
	if host == "" {
		host = c.Opts.Address
	}
	return map[string]string{"type": "socat", "url": "tcp://" + net.JoinHostPort(host, strconv.Itoa(port))}, nil
}

// allocated is the port that the node got before, 0 if none.
func allocated(n *ferric.Node) int {
	switch v := n.InternalInfo[portKey].(type) {
	case float64:
		return int(v)
	case int:
		return v
	}
	return 0
}

// listen opens the node's port: its own, the one that it had, or a free one.
func (c *Console) listen(n *ferric.Node, info Info) (*consolePort, error) {
	open := func(port int) (*consolePort, error) {
		l, err := net.Listen("tcp", net.JoinHostPort(c.Opts.Address, strconv.Itoa(port)))
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeConflict, "open the console's port: %w", err)
		}
		return &consolePort{console: c, info: info, node: n.UUID, listener: l, port: port}, nil
	}
	if info.TerminalPort != 0 {
		return open(int(info.TerminalPort))
	}
	if port := allocated(n); port >= c.Opts.FirstPort && port <= c.Opts.LastPort {
		if p, err := open(port); err == nil {
			return p, nil
		}
	}
	for port := c.Opts.FirstPort; port <= c.Opts.LastPort && port > 0; port++ {
		if p, err := open(port); err == nil {
			return p, nil
		}
	}
	return nil, ferric.Errorf(ferric.CodeBusy, "there is no free port for the console on %s from %d to %d", c.Opts.Address, c.Opts.FirstPort, c.Opts.LastPort)
}

// serve begins to serve a port; false after Close.
func (c *Console) serve(node string, p *consolePort) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if c.served == nil {
		c.served = map[string]*consolePort{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan struct{})
	c.served[node] = p
	c.serving.Go(func() {
		defer close(p.ended)
		p.run(ctx)
	})
	return true
}

// stop ends the console of a node and waits for it.
func (c *Console) stop(node string) {
	c.mu.Lock()
	p := c.served[node]
	delete(c.served, node)
	c.mu.Unlock()
	if p != nil {
		p.end()
		<-p.ended
	}
}

// Close ends all consoles and waits for them.
func (c *Console) Close() {
	c.mu.Lock()
	c.closed = true
	for _, p := range c.served {
		p.end()
	}
	clear(c.served)
	c.mu.Unlock()
	c.serving.Wait()
}

// endSOL ends serial over LAN, whoever has it. Nobody having it is no error, nor is a BMC that has none at all: that shows when a client comes.
func (b BMC) endSOL(ctx context.Context) error {
	return b.do(ctx, "end serial over LAN", false, func(ctx context.Context, t *turn) error {
		_, err := t.run(ctx, deactivateSOL)
		if isReply(err) {
			return nil
		}
		return err
	})
}
