package rescue

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ferric"
)

// handshake is how long a client may take until it has logged in.
const handshake = time.Minute

// maxClients are the most clients at the same time.
const maxClients = 16

// serveSSH lets people log in by SSH until ctx ends.
func (e *Environment) serveSSH(ctx context.Context, l net.Listener) error {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "make a host key: %w", err)
	}
	signer, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "make a host key: %w", err)
	}
	e.Log.Info("rescue: log in as rescue by SSH or on a console", "address", l.Addr().String(), "host_key", ssh.FingerprintSHA256(signer.PublicKey()))
	config := &ssh.ServerConfig{MaxAuthTries: 3, PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if e.admits(ctx, c.User(), string(password)) {
			return nil, nil
		}
		return nil, errors.New("wrong user or password")
	}}
	config.AddHostKey(signer)
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	places := make(chan struct{}, maxClients)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return ferric.Errorf(ferric.CodeUnavailable, "wait for SSH clients: %w", err)
		}
		select {
		case places <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		clients.Go(func() {
			defer func() { <-places }()
			e.client(ctx, conn, config)
		})
	}
}

// client serves one connection.
func (e *Environment) client(ctx context.Context, conn net.Conn, config *ssh.ServerConfig) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(handshake))
	c, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		e.Log.Warn("an SSH client did not log in", "from", conn.RemoteAddr().String(), "err", err)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	e.Log.Info("somebody logged in", "from", conn.RemoteAddr().String(), "user", c.User())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() { ssh.DiscardRequests(requests) })
	for ch := range channels {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions are served here")
			continue
		}
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		work.Go(func() { (&session{e: e, channel: channel}).serve(ctx, requests) })
	}
}

// session is one shell or command of a client.
type session struct {
	e       *Environment
	channel ssh.Channel
	term    string
	master  *os.File // of the terminal, nil without one
	slave   *os.File
	begun   bool
}

func (s *session) serve(ctx context.Context, requests <-chan *ssh.Request) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	defer s.closeTerminal()
	for r := range requests {
		ok := false
		switch r.Type {
		case "pty-req":
			var p struct {
				Term          string
				Columns, Rows uint32
				Width, Height uint32
				Modes         string
			}
			if ssh.Unmarshal(r.Payload, &p) == nil && s.master == nil && !s.begun {
				ok = s.terminal(p.Term, p.Columns, p.Rows) == nil
			}
		case "window-change":
			var p struct{ Columns, Rows, Width, Height uint32 }
			if ssh.Unmarshal(r.Payload, &p) == nil && s.master != nil {
				ok = resize(s.master, p.Columns, p.Rows) == nil
			}
		case "shell", "exec":
			var p struct{ Line string }
			if !s.begun && (r.Type == "shell" || ssh.Unmarshal(r.Payload, &p) == nil) {
				s.begun, ok = true, true
				work.Go(func() { s.run(ctx, p.Line) })
			}
		}
		if r.WantReply {
			_ = r.Reply(ok, nil) // a client that is gone shows in the channel
		}
	}
}

func (s *session) terminal(term string, columns, rows uint32) (err error) {
	s.term = term
	if s.master, s.slave, err = openPTY(); err != nil {
		return err
	}
	return resize(s.master, columns, rows)
}

func (s *session) closeTerminal() {
	if s.master != nil {
		_ = s.master.Close() // nothing is kept in it
		_ = s.slave.Close()
	}
}

// run runs a shell, or a line, and tells the client how it ended.
func (s *session) run(ctx context.Context, line string) {
	defer s.channel.Close()
	var env []string
	if s.term != "" {
		env = append(env, "TERM="+s.term)
	}
	cmd := s.e.command(ctx, line, env...)
	if s.master != nil {
		s.onTerminal(cmd)
		return
	}
	cmd.Stdout, cmd.Stderr = s.channel, s.channel.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil {
		s.exit(err)
		return
	}
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(in, s.channel) // ends with the client or with the process
		_ = in.Close()
	})
	err = cmd.Run()
	_ = s.channel.CloseWrite()
	s.exit(err)
	_ = s.channel.Close()
	copying.Wait()
}

func (s *session) onTerminal(cmd *exec.Cmd) {
	onTerminal(cmd, s.slave)
	if err := cmd.Start(); err != nil {
		s.exit(err)
		return
	}
	_ = s.slave.Close() // the shell has it now; the master sees its end
	var in, out sync.WaitGroup
	in.Go(func() { _, _ = io.Copy(s.master, s.channel) })
	out.Go(func() { _, _ = io.Copy(s.channel, s.master) })
	err := cmd.Wait()
	out.Wait() // all that it wrote
	s.exit(err)
	_ = s.channel.Close()
	_ = s.master.Close()
	in.Wait()
}

// exit tells the client the exit status.
func (s *session) exit(err error) {
	status := struct{ Status uint32 }{}
	if err != nil {
		status.Status = 255
		var e *exec.ExitError
		if errors.As(err, &e) && e.ExitCode() >= 0 {
			status.Status = uint32(e.ExitCode())
		}
	}
	_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(&status))
}
