package ipmi

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// consolePort is the TCP port of one node's console.
type consolePort struct {
	console  *Console
	info     Info
	node     string
	listener net.Listener
	port     int
	cancel   context.CancelFunc
	ended    chan struct{}
}

// end makes run return.
func (p *consolePort) end() {
	p.cancel()
	p.listener.Close()
}

// run serves clients, one at a time; others are told that the console is taken.
func (p *consolePort) run(ctx context.Context) {
	var clients sync.WaitGroup
	defer clients.Wait()
	taken := make(chan struct{}, 1)
	for {
		conn, err := p.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) || !pause(ctx, 100*time.Millisecond) { // too many open files, and the like
				return
			}
			continue
		}
		select {
		case taken <- struct{}{}:
			clients.Go(func() {
				defer func() { <-taken }()
				p.attend(ctx, conn)
			})
		default:
			farewell(conn, "somebody else uses this console")
		}
	}
}

// farewell tells a client why it is let go.
func farewell(conn net.Conn, why string) {
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	conn.Write([]byte("\r\n[" + why + "]\r\n"))
	conn.Close()
}

// attend connects a client with the machine until one of them goes.
func (p *consolePort) attend(ctx context.Context, conn net.Conn) {
	log := p.console.Pool.opts.Logger.With("node", p.node, "client", conn.RemoteAddr().String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.console.Pool.ctx, cancel)()
	info, err := p.today(ctx)
	var s *sol
	if err == nil {
		s, err = p.console.Pool.openSOL(ctx, info)
	}
	if err != nil {
		log.Warn("no serial console", "error", err)
		farewell(conn, err.Error())
		return
	}
	log.Info("serial console opened")
	idle := newIdleTimer(p.console.Opts.Idle, cancel)
	defer idle.stop()
	input, left := make(chan []byte), make(chan struct{})
	go func() {
		defer close(left)
		defer close(input)
		buffer := make([]byte, 1024)
		for {
			n, err := conn.Read(buffer)
			if n > 0 {
				idle.touch()
				select {
				case input <- append([]byte(nil), buffer[:n]...):
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	err = s.run(ctx, input, func(text []byte) error {
		idle.touch()
		if err := conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		_, err := conn.Write(text)
		return err
	})
	cancel()
	why := "the console was closed"
	if err != nil {
		why = err.Error()
	}
	log.Info("serial console closed", "reason", why)
	farewell(conn, why)
	<-left
}

// today is how the BMC is reached now.
func (p *consolePort) today(ctx context.Context) (Info, error) {
	if p.console.Opts.Node == nil {
		return p.info, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	n, err := p.console.Opts.Node(ctx, p.node)
	if err != nil {
		return Info{}, err
	}
	if serves := p.console.Opts.Serves; serves != nil {
		if err := serves(ctx, n); err != nil {
			return Info{}, err
		}
	}
	return ParseInfo(n.DriverInfo)
}

// idleTimer calls end when nothing has happened for a time.
type idleTimer struct {
	after time.Duration
	timer *time.Timer
}

func newIdleTimer(after time.Duration, end func()) *idleTimer {
	if after <= 0 {
		return &idleTimer{}
	}
	return &idleTimer{after, time.AfterFunc(after, end)}
}

func (t *idleTimer) touch() {
	if t.timer != nil {
		t.timer.Reset(t.after)
	}
}

func (t *idleTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}
