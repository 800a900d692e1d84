package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// clientBacklog is how many pieces of output wait for a client that does not read; then it misses some.
const clientBacklog = 1024

// inputTimeout is how long a machine may take to read what a client sends, before that is dropped.
const inputTimeout = 2 * time.Second

// consoles is the lab's console server as a process.
func (l *Lab) consoles() daemon {
	mark := filepath.Join(l.dir, "consoles")
	return daemon{
		lab: l, what: "the console server", dir: mark, mark: mark,
		command: append(slices.Clone(l.config.Self), "consoles", "--name", l.config.Name, "--dir", l.dir, "--mark", mark),
		ready: func(process) bool {
			machines := l.Machines()
			conn, err := machines[len(machines)-1].dialConsole()
			if err != nil {
				return false
			}
			conn.Close()
			return true
		},
	}
}

// ServeConsoles lets several clients share each machine's serial console, until ctx ends: every client sees all output
// and may type. QEMU itself takes one client at a time, and ipmi_sim holds on to it. It must run in the lab's
// namespace: ipmi_sim connects by TCP.
func (l *Lab) ServeConsoles(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range l.Machines() {
		h := &hub{clients: map[*hubClient]bool{}}
		serve := func(network, address string, accept func(net.Conn)) error {
			if network == "unix" {
				os.Remove(address)
			}
			listener, err := net.Listen(network, address)
			if err != nil {
				return fmt.Errorf("console of %s: %w", m.Name, err)
			}
			group.Go(func() error { return h.serve(ctx, listener, accept) })
			return nil
		}
		err := serve("unix", m.files.serial(), h.machineConnected)
		err = errors.Join(err, serve("unix", m.files.console(), h.clientConnected))
		if m.SerialPort != 0 {
			err = errors.Join(err, serve("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(m.SerialPort)), h.clientConnected))
		}
		if err != nil {
			group.Go(func() error { return err })
		}
	}
	return group.Wait()
}

// hub connects one machine with its clients.
type hub struct {
	mu      sync.Mutex
	machine net.Conn // nil while the machine is off
	clients map[*hubClient]bool
}

type hubClient struct {
	conn   net.Conn
	output chan []byte
}

// serve accepts connections until ctx ends, and waits for their handlers.
func (h *hub) serve(ctx context.Context, listener net.Listener, handle func(net.Conn)) error {
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer listener.Close()
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			return err
		}
		handlers.Go(func() {
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			handle(conn)
		})
	}
}

// machineConnected passes a machine's output on until the machine goes off.
func (h *hub) machineConnected(conn net.Conn) {
	defer conn.Close()
	h.mu.Lock()
	if h.machine != nil {
		h.machine.Close()
	}
	h.machine = conn
	h.mu.Unlock()
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		h.mu.Lock()
		for c := range h.clients {
			select {
			case c.output <- slices.Clone(buffer[:n]):
			default: // it does not read: it misses this
			}
		}
		if err != nil && h.machine == conn {
			h.machine = nil
		}
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// clientConnected serves a client until it hangs up.
func (h *hub) clientConnected(conn net.Conn) {
	c := &hubClient{conn: conn, output: make(chan []byte, clientBacklog)}
	h.mu.Lock()
	h.clients[c] = true
	h.mu.Unlock()
	var writer sync.WaitGroup
	writer.Go(func() {
		for data := range c.output {
			if _, err := conn.Write(data); err != nil {
				conn.Close() // ends the reader below
			}
		}
	})
	io.Copy(h, conn) //nolint:errcheck // that a client has gone is no error
	conn.Close()
	h.mu.Lock()
	delete(h.clients, c)
	close(c.output)
	h.mu.Unlock()
	writer.Wait()
}

// Write sends a client's input to the machine. What is typed while the machine is off, or does not read, is lost, as on
// a serial line.
func (h *hub) Write(data []byte) (int, error) {
	h.mu.Lock()
	machine := h.machine
	h.mu.Unlock()
	if machine != nil {
		machine.SetWriteDeadline(time.Now().Add(inputTimeout)) //nolint:errcheck // sockets have deadlines
		machine.Write(data)                                    //nolint:errcheck // see above
	}
	return len(data), nil
}
