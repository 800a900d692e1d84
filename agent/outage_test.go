package agent_test

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/agentapi"
)

// wire is a network path to a server, which can be cut: what goes over it breaks off, and nothing new gets through.
type wire struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]bool
	work  sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{l: l, to: to, conns: map[net.Conn]bool{}}
	w.work.Go(w.serve)
	t.Cleanup(func() {
		l.Close()
		w.cut()
		w.work.Wait()
	})
	return w
}

func (w *wire) serve() {
	for {
		in, err := w.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.to)
		if err != nil {
			in.Close()
			continue
		}
		w.mu.Lock()
		if w.isCut {
			in.Close()
			out.Close()
		} else {
			w.conns[in], w.conns[out] = true, true
			w.work.Go(func() { w.carry(in, out) })
			w.work.Go(func() { w.carry(out, in) })
		}
		w.mu.Unlock()
	}
}

func (w *wire) carry(from, to net.Conn) {
	io.Copy(to, from)
	from.Close()
	to.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, from)
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for c := range w.conns {
		c.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

// quietTLS is a server that does not log every connection that breaks.
func quietTLS(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	return s
}

// slowly makes an image come to a halt in its middle.
type slowly struct {
	*bytes.Reader
	begun   func()
	release <-chan struct{}
}

func (s *slowly) Read(b []byte) (int, error) {
	if s.Reader.Size()-int64(s.Reader.Len()) >= s.Reader.Size()/2 {
		s.begun()
		<-s.release
	}
	return s.Reader.Read(b)
}

// TestOutage cuts an agent that writes an image off from everything but the image: it goes on, and tells of the end when somebody is there again. The
// conductor that comes then learns the result by sending the command again; the one from before the outage is refused.
func TestOutage(t *testing.T) {
	info := deployment(t)
	resp, err := http.Get(info.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	image, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	var served atomic.Int32
	var once sync.Once
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		http.ServeContent(w, r, "i.raw", time.Time{}, &slowly{Reader: bytes.NewReader(image), begun: func() { once.Do(func() { close(begun) }) }, release: release})
	}))
	defer slow.Close()
	letGo := sync.OnceFunc(func() { close(release) })
	defer letGo()
	info.URLs = []string{slow.URL + "/i.raw"}

	c, h := newConductor(t, quietTLS), newHardware(t)
	one, two := newWire(t, c.Listener.Addr().String()), newWire(t, c.Listener.Addr().String())
	l := run(t, h, "ipa-api-url=https://"+one.l.Addr().String()+",https://"+two.l.Addr().String())
	a := c.agent("")
	cmd := agentapi.PrepareImage(info, "")
	cmd.ID, cmd.Epoch = "deploy/write_image", 7
	if res, err := a.Do(ctx(t), cmd, false); err != nil || res.CommandStatus != agentapi.StatusRunning {
		t.Fatalf("%+v %v", res, err)
	}
	<-begun
	one.cut()
	two.cut()
	letGo()
	for deadline := time.Now().Add(time.Minute); strings.Join(h.written(t), " ") != "sdb"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the image is not written while nobody can be reached")
		}
	}
	ended := func() bool {
		b := c.beats[len(c.beats)-1]
		return b.Ferric != nil && b.Ferric.CommandID == cmd.ID && !b.Ferric.Running
	}
	c.mu.Lock()
	if ended() {
		t.Error("a heartbeat got through a wire that is cut")
	}
	c.mu.Unlock()
	two.mend()
	c.wait(time.Minute, "heartbeat that tells of the end", ended)

	requests := served.Load()
	cmd.Epoch = 8 // the next conductor's
	res, err := a.Do(ctx(t), cmd, false)
	if err != nil || res.CommandStatus != agentapi.StatusSucceeded || !strings.Contains(string(res.CommandResult), "sdb") {
		t.Errorf("the result is %+v, %v", res, err)
	}
	if n := served.Load(); n != requests {
		t.Errorf("the image was asked for %d times more", n-requests)
	}
	cmd.Epoch = 7 // the one from before
	if _, err := a.Do(ctx(t), cmd, false); !ferric.IsCode(err, ferric.CodeStale) {
		t.Errorf("the old conductor's command again: %v", err)
	}
	if _, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdPowerOff, Epoch: 7}, false); !ferric.IsCode(err, ferric.CodeStale) {
		t.Errorf("a new command of the old conductor: %v", err)
	}
	select {
	case <-l.done:
		t.Error("the agent obeyed the old conductor")
	default:
	}

	c.mu.Lock()
	before := len(c.beats)
	c.mu.Unlock()
	two.cut() // the other way again
	one.mend()
	c.wait(time.Minute, "heartbeat over the other address", func() bool { return len(c.beats) > before+1 })
}

// TestAgentWithoutNetwork lets an agent that never reached anybody find its conductor when the network comes.
func TestAgentWithoutNetwork(t *testing.T) {
	c, h := newConductor(t, quietTLS), newHardware(t)
	w := newWire(t, c.Listener.Addr().String())
	w.cut()
	var tries atomic.Int32
	inventory := h.Machine.Inventory
	h.Machine.Inventory = func() agentapi.Inventory { tries.Add(1); return inventory() }
	run(t, h, "ipa-api-url=https://"+w.l.Addr().String())
	for deadline := time.Now().Add(time.Minute); tries.Load() < 6; time.Sleep(time.Millisecond) { // its addresses are read for every try
		if time.Now().After(deadline) {
			t.Fatal("it does not go on trying")
		}
	}
	w.mend()
	c.wait(time.Minute, "heartbeat", func() bool { return len(c.beats) > 0 })
}
