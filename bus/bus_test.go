package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"ferric"
	"ferric/bus"
	"ferric/obs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long is how long a test waits for what must happen. It is never waited for when things work.
const long = 60 * time.Second

func open(t *testing.T, cfg bus.Config) *bus.Bus {
	t.Helper()
	b, err := bus.Open(t.Context(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// external starts a NATS server that listens on loopback. Port -1 chooses one.
func external(t *testing.T, port int, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, MaxPayload: 8 << 20}
	if change != nil {
		change(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(long) {
		t.Fatal("the NATS server does not start")
	}
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	return srv
}

// eachKind runs a test with two users of one bus: over the embedded server both are the same, over an external
// server they are two connections.
func eachKind(t *testing.T, test func(t *testing.T, a, b *bus.Bus)) {
	t.Run("embedded", func(t *testing.T) {
		b := open(t, bus.Config{})
		test(t, b, b)
	})
	t.Run("external", func(t *testing.T) {
		url := external(t, -1, nil).ClientURL()
		test(t, open(t, bus.Config{URL: url}), open(t, bus.Config{URL: url}))
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(long); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(long):
		t.Fatalf("nothing came: %s", what)
		panic("unreachable")
	}
}

type ask struct {
	Name string `json:"name"`
	N    int    `json:"n"`
}

type answer struct {
	Text string `json:"text"`
}

func TestCall(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *bus.Bus) {
		_, err := a.Serve("greet", "", 4, bus.Handle(func(ctx context.Context, r ask) (answer, error) {
			return answer{fmt.Sprintf("%s %d %s", r.Name, r.N, obs.RequestID(ctx))}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		var got answer
		ctx := obs.WithRequestID(t.Context(), "req-1")
		if err := b.Call(ctx, "greet", ask{"node", 7}, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(answer{"node 7 req-1"}, got); diff != "" {
			t.Error(diff)
		}
		if err := b.Call(ctx, "greet", ask{}, nil); err != nil {
			t.Errorf("answer ignored: %v", err)
		}
	})
}

func TestCallErrors(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *bus.Bus) {
		long := strings.Repeat("ä", 20<<10)
		handlers := map[string]bus.Handler{
			"coded": func(context.Context, *bus.Request) (any, error) {
				return nil, ferric.Errorf(ferric.CodeLocked, "node %q\nis locked: %w ", "n1 – ü", io.EOF)
			},
			"wrapped": func(context.Context, *bus.Request) (any, error) {
				return nil, fmt.Errorf("outer: %w", ferric.Errorf(ferric.CodeConflict, "inner"))
			},
			"plain":    func(context.Context, *bus.Request) (any, error) { return nil, io.ErrUnexpectedEOF },
			"empty":    func(context.Context, *bus.Request) (any, error) { return nil, &ferric.Error{Code: ferric.CodeNotFound} },
			"deadline": func(context.Context, *bus.Request) (any, error) { return nil, context.DeadlineExceeded },
			"panic":    func(context.Context, *bus.Request) (any, error) { panic("secret stuff") },
			"unwritable": func(context.Context, *bus.Request) (any, error) {
				return func() {}, nil
			},
			"long": func(context.Context, *bus.Request) (any, error) {
				return nil, ferric.Errorf(ferric.CodeBusy, "%s", long)
			},
			"huge":   func(context.Context, *bus.Request) (any, error) { return strings.Repeat("x", 9<<20), nil },
			"typed":  bus.Handle(func(context.Context, ask) (answer, error) { return answer{}, nil }),
			"number": func(context.Context, *bus.Request) (any, error) { return 5, nil },
		}
		for subject, h := range handlers {
			if _, err := a.Serve(subject, "", 1, h); err != nil {
				t.Fatal(err)
			}
		}
		tests := map[string]struct {
			subject string
			req     any
			code    ferric.Code
			text    string // part of the message
		}{
			"code and text come through":      {"coded", nil, ferric.CodeLocked, "node \"n1 – ü\"\nis locked: EOF "},
			"code of a wrapped error":         {"wrapped", nil, ferric.CodeConflict, "outer: inner"},
			"no code is internal":             {"plain", nil, ferric.CodeInternal, "unexpected EOF"},
			"no text":                         {"empty", nil, ferric.CodeNotFound, ""},
			"deadline of the handler":         {"deadline", nil, ferric.CodeTimeout, "deadline"},
			"panic is internal":               {"panic", nil, ferric.CodeInternal, "crashed"},
			"answer is not JSON":              {"unwritable", nil, ferric.CodeInternal, "JSON"},
			"long text is cut":                {"long", nil, ferric.CodeBusy, "ä …"},
			"answer too large":                {"huge", nil, ferric.CodeInternal, "max_payload"},
			"request too large":               {"typed", ask{Name: strings.Repeat("x", 9<<20)}, ferric.CodeInvalid, "max_payload"},
			"request does not fit":            {"typed", []int{1}, ferric.CodeInvalid, "typed"},
			"request is not JSON":             {"typed", func() {}, ferric.CodeInternal, "JSON"},
			"answer does not fit":             {"number", nil, ferric.CodeCorrupt, "number"},
			"nobody there":                    {"nobody", nil, ferric.CodeUnavailable, "nobody serves it"},
			"subject with a wildcard":         {"a.*", nil, ferric.CodeInvalid, "wildcard"},
			"subject with an empty token":     {"a..b", nil, ferric.CodeInvalid, "empty token"},
			"subject with a space":            {"a b", nil, ferric.CodeInvalid, "white space"},
			"subject with a star in the text": {"a*", nil, ferric.CodeInvalid, "token of its own"},
		}
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				var got answer
				err := b.Call(t.Context(), tt.subject, tt.req, &got)
				if code := ferric.ErrorCode(err); code != tt.code {
					t.Fatalf("code %q, want %q (%v)", code, tt.code, err)
				}
				if !strings.Contains(err.Error(), tt.text) {
					t.Errorf("message %q lacks %q", err, tt.text)
				}
				if strings.Contains(err.Error(), "secret stuff") {
					t.Errorf("the panic's value reached the caller: %v", err)
				}
				if len(err.Error()) > 20<<10 {
					t.Errorf("message of %d bytes", len(err.Error()))
				}
			})
		}
	})
}

func TestNobodyThereIsKnownAtOnce(t *testing.T) {
	b := open(t, bus.Config{CallTimeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	if err := b.Call(ctx, "conductor.gone", nil, nil); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("got %v", err)
	}
	if ctx.Err() != nil {
		t.Error("the call waited for its deadline")
	}
}

func TestHandlersRunTogetherUpToTheLimit(t *testing.T) {
	b := open(t, bus.Config{})
	started, release := make(chan struct{}), make(chan struct{})
	_, err := b.Serve("work", "", 2, func(context.Context, *bus.Request) (any, error) {
		started <- struct{}{}
		<-release
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- b.Call(t.Context(), "work", nil, nil) }()
	}
	receive(t, "first handler", started)
	receive(t, "second handler at the same time", started)
	if err := b.Call(t.Context(), "work", nil, nil); !ferric.IsCode(err, ferric.CodeBusy) {
		t.Errorf("third call: got %v, want busy", err)
	}
	close(release)
	for range 2 {
		if err := receive(t, "answer", results); err != nil {
			t.Error(err)
		}
	}
	go func() { results <- b.Call(t.Context(), "work", nil, nil) }()
	receive(t, "a handler in the slot that became free", started)
	if err := receive(t, "answer", results); err != nil {
		t.Error(err)
	}
}

func TestDeadlineTravels(t *testing.T) {
	b := open(t, bus.Config{})
	lefts, ended := make(chan time.Duration, 1), make(chan error, 1)
	_, err := b.Serve("slow", "", 1, func(ctx context.Context, _ *bus.Request) (any, error) {
		d, _ := ctx.Deadline()
		lefts <- time.Until(d)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err = b.Call(ctx, "slow", nil, nil)
	if !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("got %v, want timeout", err)
	}
	if left := receive(t, "the handler's deadline", lefts); left > time.Second {
		t.Errorf("the handler had %s", left)
	}
	if err := receive(t, "the handler's end", ended); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the handler's context ended with %v", err)
	}
	if err := b.Call(ctx, "slow", nil, nil); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("call after the deadline: %v", err)
	}
}

func TestCallWithoutDeadlineHasOne(t *testing.T) {
	b := open(t, bus.Config{CallTimeout: 100 * time.Millisecond})
	_, err := b.Serve("slow", "", 1, func(ctx context.Context, _ *bus.Request) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Call(context.Background(), "slow", nil, nil); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("got %v, want timeout", err)
	}
}

func TestQueueSharesRequests(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *bus.Bus) {
		var mu sync.Mutex
		count := map[string]int{}
		for _, name := range []string{"one", "two"} {
			_, err := a.Serve("shared", "q", 50, func(context.Context, *bus.Request) (any, error) {
				mu.Lock()
				defer mu.Unlock()
				count[name]++
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		const calls = 200
		for range calls {
			if err := b.Call(t.Context(), "shared", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if count["one"]+count["two"] != calls || count["one"] == 0 || count["two"] == 0 {
			t.Errorf("requests were not shared one each: %v", count)
		}
	})
}

func TestLargePayload(t *testing.T) {
	eachKind(t, func(t *testing.T, a, b *bus.Bus) {
		_, err := a.Serve("echo", "", 1, bus.Handle(func(_ context.Context, s string) (string, error) { return s, nil }))
		if err != nil {
			t.Fatal(err)
		}
		want, got := strings.Repeat("x", 7<<20), ""
		if err := b.Call(t.Context(), "echo", want, &got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %d bytes back", len(got))
		}
	})
}

func TestCloseCancelsHandlersAndAnswers(t *testing.T) {
	url := external(t, -1, nil).ClientURL()
	caller := open(t, bus.Config{URL: url})
	b := open(t, bus.Config{URL: url})
	started := make(chan struct{})
	_, err := b.Serve("work", "", 1, func(ctx context.Context, _ *bus.Request) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- caller.Call(t.Context(), "work", nil, nil) }()
	receive(t, "the handler's start", started)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the answer", result); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	for name, err := range map[string]error{
		"call":    b.Call(t.Context(), "work", nil, nil),
		"publish": b.Publish(t.Context(), "e", 1),
		"check":   b.Check(t.Context()),
		"serve":   second(b.Serve("x", "", 1, nil)),
		"watch":   second(b.Watch(nil)),
		"close":   nil,
	} {
		if name == "close" {
			if err := b.Close(); err != nil {
				t.Errorf("second close: %v", err)
			}
		} else if !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Errorf("%s on a closed bus: got %v, want unavailable", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestStopLetsHandlersFinish(t *testing.T) {
	b := open(t, bus.Config{})
	started, release := make(chan struct{}), make(chan struct{})
	s, err := b.Serve("work", "", 1, func(ctx context.Context, _ *bus.Request) (any, error) {
		close(started)
		<-release
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	result, stopped := make(chan error, 1), make(chan struct{})
	go func() { result <- b.Call(t.Context(), "work", nil, nil) }()
	receive(t, "the handler's start", started)
	go func() { s.Stop(t.Context()); close(stopped) }()
	eventually(t, "the service takes no more requests", func() bool {
		return ferric.IsCode(b.Call(t.Context(), "work", nil, nil), ferric.CodeUnavailable)
	})
	close(release)
	if err := receive(t, "the answer", result); err != nil {
		t.Errorf("the running handler was cut off: %v", err)
	}
	receive(t, "Stop's return", stopped)
	s.Stop(t.Context())
}

func TestStopCancelsWhenItsContextEnds(t *testing.T) {
	b := open(t, bus.Config{})
	started := make(chan struct{})
	s, err := b.Serve("work", "", 1, func(ctx context.Context, _ *bus.Request) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- b.Call(t.Context(), "work", nil, nil) }()
	receive(t, "the handler's start", started)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Stop(ctx)
	if err := receive(t, "the answer", result); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestServeRefuses(t *testing.T) {
	b := open(t, bus.Config{})
	for name, err := range map[string]error{
		"limit 0":       second(b.Serve("x", "", 0, nil)),
		"empty subject": second(b.Serve("", "", 1, nil)),
		"wildcard":      second(b.Serve("x.>", "", 1, nil)),
	} {
		if !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(pem, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "nats://127.0.0.1:1"
	tests := map[string]struct {
		cfg  bus.Config
		text string
	}{
		"negative duration":     {bus.Config{Beat: -1}, "Beat"},
		"lost before two beats": {bus.Config{Beat: time.Second, LostAfter: time.Second}, "LostAfter"},
		"tiny payload":          {bus.Config{MaxPayload: 1}, "MaxPayload"},
		"bad prefix":            {bus.Config{Prefix: "a b"}, "Prefix"},
		"bad URL":               {bus.Config{URL: "nats://user:pa%ss@host"}, "entry 1"},
		"bad scheme":            {bus.Config{URL: url + ",http://x"}, "entry 2"},
		"no host":               {bus.Config{URL: "nats://"}, "names no host"},
		"two credentials":       {bus.Config{URL: url, Token: "t", User: "u"}, "only one"},
		"password alone":        {bus.Config{URL: url, Password: "pass-word"}, "without User"},
		"certificate alone":     {bus.Config{URL: url, CertFile: "x"}, "together"},
		"credentials, embedded": {bus.Config{Token: "t"}, "without URL"},
		"no credentials file":   {bus.Config{URL: url, CredentialsFile: pem + "x"}, "CredentialsFile"},
		"no CA file":            {bus.Config{URL: url, CAFile: pem + "x"}, "CAFile"},
		"CA file without PEM":   {bus.Config{URL: url, CAFile: pem}, "no PEM"},
		"no certificate file":   {bus.Config{URL: url, CertFile: pem, KeyFile: pem}, "CertFile"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := bus.Open(t.Context(), tt.cfg, quiet())
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(fmt.Sprint(err), tt.text) {
				t.Errorf("got %v, want invalid naming %q", err, tt.text)
			}
			if err != nil && (strings.Contains(err.Error(), "pa%ss") || strings.Contains(err.Error(), "pass-word")) {
				t.Errorf("the password is in the message: %v", err)
			}
		})
	}
}

func TestOpenWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = bus.Open(t.Context(), bus.Config{URL: "nats://u:pass-word@" + addr, ConnectTimeout: 300 * time.Millisecond}, quiet())
	if !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	if strings.Contains(fmt.Sprint(err), "pass-word") {
		t.Errorf("the password is in the message: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	srv := external(t, -1, func(o *server.Options) { o.Username, o.Password = "ferric", "pass-word" })
	_, err := bus.Open(t.Context(), bus.Config{URL: srv.ClientURL(), User: "ferric", Password: "wrong-word"}, quiet())
	if !ferric.IsCode(err, ferric.CodeUnauthorized) {
		t.Errorf("wrong password: got %v, want unauthorized", err)
	}
	if strings.Contains(fmt.Sprint(err), "wrong-word") {
		t.Errorf("the password is in the message: %v", err)
	}
	b := open(t, bus.Config{URL: srv.ClientURL(), User: "ferric", Password: "pass-word"})
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSmallServerLimitIsWarnedOf(t *testing.T) {
	srv := external(t, -1, func(o *server.Options) { o.MaxPayload = 1 << 20 })
	var out bytes.Buffer
	b, err := bus.Open(t.Context(), bus.Config{URL: srv.ClientURL()}, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if !strings.Contains(out.String(), "raise max_payload") {
		t.Errorf("no warning: %s", out.String())
	}
}

func TestServerComesLate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	opened := make(chan error, 1)
	go func() {
		b, err := bus.Open(context.Background(), bus.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", port), ConnectTimeout: long}, quiet())
		if err == nil {
			err = b.Close()
		}
		opened <- err
	}()
	time.Sleep(300 * time.Millisecond) // let it fail once or twice; it must succeed either way
	external(t, port, nil)
	if err := receive(t, "Open's return", opened); err != nil {
		t.Error(err)
	}
}

func TestServerRestart(t *testing.T) {
	srv := external(t, -1, nil)
	port := srv.Addr().(*net.TCPAddr).Port
	url := srv.ClientURL()
	server, client := open(t, bus.Config{URL: url}), open(t, bus.Config{URL: url})
	started := make(chan struct{})
	_, err := server.Serve("slow", "", 1, func(ctx context.Context, _ *bus.Request) (any, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Serve("quick", "", 1, func(context.Context, *bus.Request) (any, error) { return 1, nil }); err != nil {
		t.Fatal(err)
	}
	gaps, events := make(chan struct{}, 10), make(chan string, 10)
	_, err = client.Subscribe("event", func(_ context.Context, e bus.Event) { events <- string(e.Data) },
		func(context.Context) { gaps <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		result <- client.Call(ctx, "slow", nil, nil)
	}()
	receive(t, "the handler's start", started)

	srv.Shutdown()
	srv.WaitForShutdown()
	if err := receive(t, "the end of the call under way", result); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("call under way: got %v, want unavailable", err)
	}
	eventually(t, "both know that the server is gone", func() bool { return !server.Connected() && !client.Connected() })
	for name, err := range map[string]error{
		"call":    client.Call(t.Context(), "quick", nil, nil),
		"publish": client.Publish(t.Context(), "event", 1),
		"check":   client.Check(t.Context()),
	} {
		if !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Errorf("%s without a server: got %v, want unavailable", name, err)
		}
	}

	external(t, port, nil)
	receive(t, "the gap after the reconnect", gaps)
	eventually(t, "calls work again", func() bool { return client.Call(t.Context(), "quick", nil, nil) == nil })
	eventually(t, "the subscriber's connection is good", func() bool { return client.Check(t.Context()) == nil })
	if err := server.Publish(t.Context(), "event", "back"); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "an event after the restart", events); got != `"back"` {
		t.Errorf("got %s", got)
	}
}

func TestCloseWithoutServer(t *testing.T) {
	srv := external(t, -1, nil)
	b := open(t, bus.Config{URL: srv.ClientURL()})
	if _, err := b.Serve("x", "", 1, func(context.Context, *bus.Request) (any, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Announce(bus.Member{Host: "h", BootID: "1"}); err != nil {
		t.Fatal(err)
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	eventually(t, "the server is gone", func() bool { return !b.Connected() })
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	if err := receive(t, "Close's return", closed); err != nil {
		t.Error(err)
	}
}

func TestPanicIsLogged(t *testing.T) {
	var out bytes.Buffer
	b, err := bus.Open(t.Context(), bus.Config{}, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Serve("bad", "", 1, func(context.Context, *bus.Request) (any, error) { panic("why") })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the slot is free again afterwards
		if err := b.Call(t.Context(), "bad", nil, nil); !ferric.IsCode(err, ferric.CodeInternal) {
			t.Errorf("got %v, want internal", err)
		}
	}
	b.Close()
	if n := strings.Count(out.String(), "panic=why"); n != 2 {
		t.Errorf("%d lines name the panic: %s", n, out.String())
	}
}
