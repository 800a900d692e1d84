package bus_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/bus"
)

func watch(t *testing.T, b *bus.Bus) (*bus.Watch, <-chan bus.Change) {
	t.Helper()
	ch := make(chan bus.Change, 100)
	w, err := b.Watch(func(c bus.Change) { ch <- c })
	if err != nil {
		t.Fatal(err)
	}
	return w, ch
}

func announce(t *testing.T, b *bus.Bus, m bus.Member) *bus.Announcement {
	t.Helper()
	a, err := b.Announce(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// want receives changes and compares host, boot id and status.
func want(t *testing.T, ch <-chan bus.Change, changes ...string) {
	t.Helper()
	for _, w := range changes {
		c := receive(t, w, ch)
		if got := c.Member.Host + " " + c.Member.BootID + " " + string(c.Status); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
}

func hosts(w *bus.Watch) string {
	var h []string
	for _, m := range w.Members() {
		h = append(h, m.Host+"/"+m.BootID)
	}
	return strings.Join(h, " ")
}

func TestPresence(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *bus.Bus) {
		m := bus.Member{Host: "c1", Group: "g", HardwareTypes: []string{"ipmi"}, BootID: "1", Started: time.Unix(100, 0).UTC()}
		ann := announce(t, a, m)
		w, ch := watch(t, b)
		want(t, ch, "c1 1 alive")
		if diff := cmp.Diff([]bus.Member{m}, w.Members()); diff != "" {
			t.Error(diff)
		}
		other := announce(t, b, bus.Member{Host: "c0", BootID: "7"})
		want(t, ch, "c0 7 alive")
		if got := hosts(w); got != "c0/7 c1/1" {
			t.Errorf("members %q", got)
		}
		ann.Update("g2", []string{"ipmi", "redfish"})
		want(t, ch, "c1 1 updated")
		if got := w.Members()[1]; got.Group != "g2" || len(got.HardwareTypes) != 2 {
			t.Errorf("after the update: %+v", got)
		}
		ann.Stop()
		want(t, ch, "c1 1 left")
		other.Stop()
		other.Stop()
		want(t, ch, "c0 7 left")
		if got := hosts(w); got != "" {
			t.Errorf("members %q", got)
		}
		w.Stop()
		w.Stop()
	})
}

// A watcher must not wait for the next beat to learn who is there.
func TestWatchAsks(t *testing.T) {
	b := open(t, bus.Config{Beat: time.Hour, LostAfter: 3 * time.Hour})
	announce(t, b, bus.Member{Host: "c1", BootID: "1"})
	_, ch := watch(t, b)
	want(t, ch, "c1 1 alive")
}

func TestCloseSaysGoodbye(t *testing.T) {
	url := external(t, -1, nil).ClientURL()
	cfg := bus.Config{URL: url, Beat: time.Hour, LostAfter: 3 * time.Hour}
	_, ch := watch(t, open(t, cfg))
	b := open(t, cfg)
	announce(t, b, bus.Member{Host: "c1", BootID: "1"})
	want(t, ch, "c1 1 alive")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, ch, "c1 1 left")
}

// A conductor that dies says nothing: its beats stop.
func TestSilenceIsLoss(t *testing.T) {
	url := external(t, -1, nil).ClientURL()
	_, ch := watch(t, open(t, bus.Config{URL: url, Beat: 20 * time.Millisecond, LostAfter: 2 * time.Second}))
	// The watcher asks once, at its start; this member then beats once an hour, which is silence.
	announce(t, open(t, bus.Config{URL: url, Beat: time.Hour, LostAfter: 3 * time.Hour}), bus.Member{Host: "c1", BootID: "1"})
	want(t, ch, "c1 1 alive")
	begin := time.Now()
	want(t, ch, "c1 1 lost")
	if d := time.Since(begin); d < 200*time.Millisecond {
		t.Errorf("lost after only %s", d)
	}
}

func TestRestartedConductor(t *testing.T) {
	url := external(t, -1, nil).ClientURL()
	cfg := bus.Config{URL: url, Beat: 10 * time.Millisecond, LostAfter: time.Minute}
	w, ch := watch(t, open(t, cfg))
	now := time.Now()
	old := announce(t, open(t, cfg), bus.Member{Host: "c1", BootID: "1", Started: now})
	want(t, ch, "c1 1 alive")
	announce(t, open(t, cfg), bus.Member{Host: "c1", BootID: "2", Started: now.Add(time.Second)})
	want(t, ch, "c1 1 lost", "c1 2 alive")
	old.Stop() // the old process' late goodbye does not concern the new one
	time.Sleep(100 * time.Millisecond)
	if got := hosts(w); got != "c1/2" || len(ch) > 0 {
		t.Errorf("members %q, %d more changes", got, len(ch))
	}
}

func TestServerRestartLosesNobody(t *testing.T) {
	srv := external(t, -1, nil)
	port, url := srv.Addr().(*net.TCPAddr).Port, srv.ClientURL()
	cfg := bus.Config{URL: url, Beat: 50 * time.Millisecond, LostAfter: 3 * time.Second}
	watcher, member := open(t, cfg), open(t, cfg)
	w, ch := watch(t, watcher)
	announce(t, member, bus.Member{Host: "c1", BootID: "1"})
	want(t, ch, "c1 1 alive")
	srv.Shutdown()
	srv.WaitForShutdown()
	eventually(t, "the server is gone", func() bool { return !watcher.Connected() && !member.Connected() })
	time.Sleep(3500 * time.Millisecond) // longer than LostAfter
	if got := hosts(w); got != "c1/1" {
		t.Errorf("members without a server: %q", got)
	}
	external(t, port, nil)
	// A round trip, so that the watcher's subscription is known to the new server before the goodbye is sent.
	eventually(t, "both are back", func() bool {
		return watcher.Check(t.Context()) == nil && member.Check(t.Context()) == nil
	})
	member.Close()
	want(t, ch, "c1 1 left") // and nothing before
}

func TestAnnounceRefuses(t *testing.T) {
	b := open(t, bus.Config{})
	for _, m := range []bus.Member{{Host: "h"}, {BootID: "1"}} {
		if _, err := b.Announce(m); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%+v: got %v, want invalid", m, err)
		}
	}
}
