package ipmi

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/sha1"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ferric/lab/bmc"
)

// nothing is a machine that nothing is asked of.
type nothing struct{}

func (nothing) PowerState(context.Context) (bool, error) { return true, nil }
func (nothing) PowerOn(context.Context) error            { return nil }
func (nothing) PowerOff(context.Context) error           { return nil }
func (nothing) Reset(context.Context) error              { return nil }
func (nothing) SoftOff(context.Context) error            { return nil }
func (nothing) NMI(context.Context) error                { return nil }

// solBench is a BMC with a console, whose machine is the far end of a pipe, and a session with it.
type solBench struct {
	bmc    *bmc.Server
	far    net.Conn
	sol    *sol
	in     chan []byte
	out    chan []byte
	result chan error
	cancel context.CancelFunc
}

func newSOLBench(t *testing.T, change func(*sol)) *solBench {
	t.Helper()
	near, far := net.Pipe()
	server, err := bmc.Start(nothing{}, bmc.Options{Users: []bmc.User{{Name: "admin", Password: "pw"}},
		Console: func(context.Context) (io.ReadWriteCloser, error) { return near, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close(); server.Close() })
	pool := NewPool(Options{TryWait: 100 * time.Millisecond})
	t.Cleanup(pool.Close)
	addr := server.Addr()
	s, err := pool.openSOL(t.Context(), Info{Address: addr.IP.String(), Port: uint16(addr.Port), Username: "admin", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	b := &solBench{bmc: server, far: far, sol: s, in: make(chan []byte), out: make(chan []byte, 1000), result: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	b.cancel = cancel
	go func() {
		b.result <- s.run(ctx, b.in, func(text []byte) error { b.out <- bytes.Clone(text); return nil })
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-b.result:
		case <-time.After(30 * time.Second):
			t.Error("the session does not end")
		}
	})
	return b
}

// reads waits until the console has shown a text.
func (b *solBench) reads(t *testing.T, want string) {
	t.Helper()
	var seen strings.Builder
	late := time.After(30 * time.Second)
	for seen.Len() < len(want) {
		select {
		case text := <-b.out:
			seen.Write(text)
		case <-late:
			t.Fatalf("read %d bytes of %d", seen.Len(), len(want))
		}
	}
	if seen.String() != want {
		t.Errorf("read %.80q, want %.80q", seen.String(), want)
	}
}

// gets waits until the machine got a text.
func (b *solBench) gets(t *testing.T, want string) {
	t.Helper()
	got := make([]byte, len(want))
	b.far.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(b.far, got); err != nil || string(got) != want {
		t.Fatalf("the machine got %.80q, %v; want %.80q", got, err, want)
	}
}

func TestSOL(t *testing.T) {
	b := newSOLBench(t, nil)
	long := strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 200)
	go b.far.Write([]byte("login: "))
	b.reads(t, "login: ")
	b.in <- []byte("root\r")
	b.gets(t, "root\r")
	go b.far.Write([]byte(long))
	b.reads(t, long)
	go func() { b.in <- []byte(long[:1500]) }()
	b.gets(t, long[:1500])
}

// TestSOLOverBadNetwork loses datagrams in both directions.
func TestSOLOverBadNetwork(t *testing.T) {
	b := newSOLBench(t, func(s *sol) { s.retry = 50 * time.Millisecond })
	for range 3 {
		b.bmc.SetFaults(bmc.Faults{DropReplies: 2, DropRequests: 2})
		go func() { b.in <- []byte("typed once\r") }()
		b.gets(t, "typed once\r")
		b.bmc.SetFaults(bmc.Faults{DropRequests: 1})
		go b.far.Write([]byte("shown once\r\n"))
		b.reads(t, "shown once\r\n")
	}
	select {
	case text := <-b.out:
		t.Errorf("%q was shown twice", text)
	case <-time.After(100 * time.Millisecond):
	}
}

// TestSOLNoticesADeadBMC: while nobody types, by the signs of life; while somebody types, by that.
func TestSOLNoticesADeadBMC(t *testing.T) {
	for name, typed := range map[string]bool{"quiet": false, "typing": true} {
		t.Run(name, func(t *testing.T) {
			b := newSOLBench(t, func(s *sol) {
				s.silence, s.nextKeepAlive, s.retry = 20*time.Millisecond, time.Now(), 2*time.Millisecond
			})
			b.bmc.SetFaults(bmc.Faults{Silent: true})
			if typed {
				b.in <- []byte("hello?")
			}
			select {
			case err := <-b.result:
				b.result <- nil
				if !errors.Is(err, errNoReply) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("it was not noticed")
			}
		})
	}
}

// TestSOLStaysAlive: signs of life are answered, and the session goes on.
func TestSOLStaysAlive(t *testing.T) {
	b := newSOLBench(t, func(s *sol) { s.silence, s.nextKeepAlive = 10*time.Millisecond, time.Now() })
	select {
	case err := <-b.result:
		t.Fatalf("it ended: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	go b.far.Write([]byte("still here"))
	b.reads(t, "still here")
}

// TestSOLTakesOver: a session that another console has is ended.
func TestSOLTakesOver(t *testing.T) {
	b := newSOLBench(t, nil)
	addr := b.bmc.Addr()
	pool := NewPool(Options{TryWait: 100 * time.Millisecond})
	defer pool.Close()
	s, err := pool.openSOL(t.Context(), Info{Address: addr.IP.String(), Port: uint16(addr.Port), Username: "admin", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	s.end()
}

// wireless is a connection that takes everything.
type wireless struct{ net.Conn }

func (wireless) Write(b []byte) (int, error)      { return len(b), nil }
func (wireless) SetWriteDeadline(time.Time) error { return nil }

func loneSOL(t testing.TB) *sol {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	return &sol{session: &session{link: &link{conn: wireless{}}, keys: keys{integrity: sha1.New, integrityLen: 12, k1: make([]byte, 20), block: block}, consoleID: 1, bmcID: 2},
		limits: solLimits{toBMC: 10}, retry: time.Second, silence: time.Second}
}

// TestSOLAcknowledgements looks at what is left to send after an acknowledgement.
func TestSOLAcknowledgements(t *testing.T) {
	for name, c := range map[string]struct {
		packet solPacket
		left   string
		next   byte // sequence of what is sent next
	}{
		"all of the part":   {solPacket{ack: 1, accepted: 10}, "KLMNO", 2},
		"some":              {solPacket{ack: 1, accepted: 3}, "DEFGHIJKLMNO", 2},
		"does not count":    {solPacket{ack: 1}, "KLMNO", 2},
		"more than sent":    {solPacket{ack: 1, accepted: 200}, "KLMNO", 2},
		"refused":           {solPacket{ack: 1, flags: solNACK}, "ABCDEFGHIJKLMNO", 2},
		"some, then no":     {solPacket{ack: 1, accepted: 4, flags: solNACK | solUnavailable}, "EFGHIJKLMNO", 2},
		"of another packet": {solPacket{ack: 7, accepted: 10}, "ABCDEFGHIJKLMNO", 1},
		"none":              {solPacket{sequence: 3, data: []byte("x")}, "ABCDEFGHIJKLMNO", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := loneSOL(t)
			if err := s.enter([]byte("ABCDEFGHIJKLMNO")); err != nil {
				t.Fatal(err)
			}
			if err := s.acknowledged(c.packet, time.Now()); err != nil {
				t.Fatal(err)
			}
			if string(s.pending) != c.left || s.sequence != c.next {
				t.Errorf("left %q with sequence %d, want %q with %d", s.pending, s.sequence, c.left, c.next)
			}
		})
	}
}

// TestSOLOutput shows each character once, though packets come again, and longer.
func TestSOLOutput(t *testing.T) {
	s := loneSOL(t)
	var seen strings.Builder
	for _, p := range []solPacket{{sequence: 1, data: []byte("ab")}, {sequence: 1, data: []byte("ab")}, {sequence: 1, data: []byte("abc")}, {ack: 4},
		{sequence: 2, data: []byte("d")}, {sequence: 3}, {sequence: 4, data: []byte("e")}} {
		if err := s.received(p, func(b []byte) error { seen.Write(b); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if seen.String() != "abcde" {
		t.Errorf("shown %q", seen.String())
	}
}

func TestParseActivation(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want solLimits
		ok   bool
	}{
		"usual":     {[]byte{0, 0, 0, 0, 100, 0, 100, 0, 0x6f, 0x02, 0xff, 0xff}, solLimits{96, 623}, true},
		"no VLAN":   {[]byte{0, 0, 0, 0, 0, 1, 0, 1, 0x6f, 0x02}, solLimits{200, 623}, true},
		"senseless": {[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, solLimits{1, 0}, true},
		"short":     {[]byte{0, 0, 0, 0, 100, 0}, solLimits{}, false},
	} {
		if got, err := parseActivation(c.data); got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// FuzzSOL feeds any packets to a session in which something is being typed.
func FuzzSOL(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 'a'}, []byte{0, 1, 10, 0})
	f.Add([]byte{15, 1, 255, 0x60, 'a', 'b'}, []byte{15, 2, 0, 0x10})
	f.Add([]byte{}, []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		s := loneSOL(t)
		typed := []byte("typed by somebody")
		if err := s.enter(typed); err != nil {
			t.Fatal(err)
		}
		for i, plain := range [][]byte{one, two} {
			if len(plain) > 900 {
				return
			}
			shown := 0
			err := s.take(s.session.keys.sealAs(payloadSOL, s.session.consoleID, uint32(i+1), plain), func(b []byte) error { shown += len(b); return nil })
			if err != nil && err != errSOLEnded {
				t.Fatal(err)
			}
			if shown > len(plain) || !bytes.HasSuffix(typed, s.pending) || s.sequence < 1 || s.sequence > 15 {
				t.Fatalf("shown %d of %d, pending %q, sequence %d", shown, len(plain), s.pending, s.sequence)
			}
		}
	})
}
