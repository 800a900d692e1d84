package command_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ferric"
	"ferric/agent/command"
	"ferric/agentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "0123456789012345678901234567890123456789abc"

// rig is an agent's command server with a few commands, and a client that pins its certificate.
type rig struct {
	*agentapi.Client
	url, pem string
	release  chan struct{} // lets standby.slow finish
	runs     atomic.Int32  // how often standby.slow ran
	done     atomic.Int32  // onDone calls
}

func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{release: make(chan struct{})}
	log := slog.New(slog.DiscardHandler)
	exec := command.NewExecutor(log, []command.Spec{
		{Name: "standby.slow", Async: true, Params: []string{"x"}, Run: func(ctx context.Context, c command.Call) (any, error) {
			r.runs.Add(1)
			c.Progress(agentapi.Progress{Phase: "write", Done: 5, Total: 10})
			select {
			case <-r.release:
				return "written", nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}},
		{Name: "standby.sync", Run: func(context.Context, command.Call) (any, error) { return nil, nil }},
		{Name: "standby.fail", Async: true, Run: func(context.Context, command.Call) (any, error) {
			return nil, command.Failf(agentapi.TypeImageChecksum, "wanted %s, got %s", "a", "b")
		}},
		{Name: "standby.panic", Run: func(context.Context, command.Call) (any, error) { panic("oops") }},
		{Name: "clean.mismatch", Async: true, Run: func(context.Context, command.Call) (any, error) {
			return nil, command.Failf(agentapi.TypeVersionMismatch, "1 is not 2")
		}},
		{Name: "standby.text", Run: func(context.Context, command.Call) (any, error) { return "hello", nil }},
		{Name: "standby.checked", Async: true, Check: func(p command.Params) error {
			var n int
			return p.Require("n", &n)
		}, Run: func(context.Context, command.Call) (any, error) { return nil, nil }},
	}, func() { r.done.Add(1) })
	srv := command.NewServer(command.ServerOptions{Log: log, Executor: exec, Token: func() string { return token }, Version: "9.9", Started: time.Unix(100, 0)})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, text, err := command.NewCertificate(net.IPv4(127, 0, 0, 1), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	srv.Serve(l, &cert)
	t.Cleanup(func() { exec.Close(); srv.Close() })
	r.url, r.pem = "https://"+l.Addr().String(), text
	r.Client = r.client(t, token)
	return r
}

func (r *rig) client(t *testing.T, tok string) *agentapi.Client {
	t.Helper()
	c, err := agentapi.NewClient(agentapi.ClientOptions{URL: r.url, Token: tok, VerifyCA: r.pem, PollInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return c
}

func TestAsyncCommand(t *testing.T) {
	r := start(t)
	res, err := r.Do(ctx(t), agentapi.Command{Name: "standby.slow"}, false)
	if err != nil || res.CommandStatus != agentapi.StatusRunning || res.CommandName != "slow" || res.ID == "" {
		t.Fatalf("%+v %v", res, err)
	}
	for { // until the handler has reported progress
		st, err := r.Status(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		if st.Version != "9.9" || st.StartedAt != 100 || !st.Ferric.Running {
			t.Fatalf("status %+v", st)
		}
		if st.Ferric.Progress != nil {
			if st.Ferric.Progress.Percent() != 50 || st.Ferric.Command != "standby.slow" {
				t.Fatalf("status %+v", st.Ferric)
			}
			break
		}
	}
	if _, err := r.Do(ctx(t), agentapi.Command{Name: "standby.sync"}, false); !ferric.IsCode(err, ferric.CodeBusy) || !strings.Contains(err.Error(), "slow") {
		t.Errorf("a second command: %v, want CodeBusy naming the first", err)
	}
	close(r.release)
	for {
		got, err := r.Command(ctx(t), res.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.CommandStatus.Done() {
			if got.CommandStatus != agentapi.StatusSucceeded || string(got.CommandResult) != `{"result":"slow: written"}` || got.Ferric != nil {
				t.Errorf("result %+v", got)
			}
			break
		}
	}
	if _, err := r.Do(ctx(t), agentapi.Command{Name: "standby.sync"}, false); err != nil {
		t.Errorf("after the first one: %v", err)
	}
	list, err := r.Commands(ctx(t))
	if err != nil || len(list) != 2 || list[0].CommandName != "slow" || list[1].CommandName != "sync" {
		t.Errorf("list %+v %v", list, err)
	}
	if r.done.Load() != 1 {
		t.Errorf("onDone ran %d times, want once: for the asynchronous command", r.done.Load())
	}
}

func TestSameIDRunsOnce(t *testing.T) {
	r := start(t)
	cmd := agentapi.Command{Name: "standby.slow", ID: "plan-7/step-3", Epoch: 2}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if res, err := r.Do(ctx(t), cmd, false); err != nil || res.ID != cmd.ID {
				t.Errorf("%+v %v", res, err)
			}
		})
	}
	wg.Wait()
	close(r.release)
	cmd.Epoch = 3 // another conductor carries on
	res, err := r.Do(ctx(t), cmd, true)
	if err != nil || res.CommandStatus != agentapi.StatusSucceeded {
		t.Fatalf("%+v %v", res, err)
	}
	if r.runs.Load() != 1 {
		t.Errorf("ran %d times, want once", r.runs.Load())
	}
	if _, err := r.Do(ctx(t), agentapi.Command{Name: "standby.sync", ID: cmd.ID}, false); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("the id for another command: %v", err)
	}
}

func TestOldEpochIsRefused(t *testing.T) {
	r := start(t)
	if _, err := r.Do(ctx(t), agentapi.Command{Name: "standby.sync", Epoch: 5}, false); err != nil {
		t.Fatal(err)
	}
	_, err := r.Do(ctx(t), agentapi.Command{Name: "standby.sync", Epoch: 4}, false)
	if !ferric.IsCode(err, ferric.CodeStale) {
		t.Errorf("older epoch: %v, want CodeStale", err)
	}
	for _, epoch := range []int64{5, 6, 0} {
		if _, err := r.Do(ctx(t), agentapi.Command{Name: "standby.sync", Epoch: epoch}, false); err != nil {
			t.Errorf("epoch %d: %v", epoch, err)
		}
	}
	if st, _ := r.Status(ctx(t)); st.Ferric.Epoch != 6 {
		t.Errorf("status says epoch %d, want 6", st.Ferric.Epoch)
	}
}

func TestFailures(t *testing.T) {
	r := start(t)
	tests := map[string]struct {
		cmd    agentapi.Command
		code   ferric.Code
		failed bool // accepted, then FAILED
		text   string
	}{
		"failed command":    {agentapi.Command{Name: "standby.fail"}, ferric.CodeCorrupt, true, "wanted a, got b"},
		"panic":             {agentapi.Command{Name: "standby.panic"}, ferric.CodeInternal, true, "oops"},
		"version mismatch":  {agentapi.Command{Name: "clean.mismatch"}, ferric.CodeConflict, true, "1 is not 2"},
		"unknown extension": {agentapi.Command{Name: "nope.x"}, ferric.CodeNotFound, false, "nope"},
		"unknown command":   {agentapi.Command{Name: "standby.nope"}, ferric.CodeInvalid, false, "nope"},
		"no extension":      {agentapi.Command{Name: "sync"}, ferric.CodeInvalid, false, "<extension>"},
		"unknown parameter": {agentapi.Command{Name: "standby.slow", Params: map[string]any{"y": 1}}, ferric.CodeInvalid, false, "unknown parameter y"},
		"missing parameter": {agentapi.Command{Name: "standby.checked"}, ferric.CodeInvalid, false, "the parameter n is missing"},
		"wrong type":        {agentapi.Command{Name: "standby.checked", Params: map[string]any{"n": "x"}}, ferric.CodeInvalid, false, "parameter n"},
		"long id":           {agentapi.Command{Name: "standby.sync", ID: strings.Repeat("x", 300)}, ferric.CodeInvalid, false, "255"},
		"negative epoch":    {agentapi.Command{Name: "standby.sync", Epoch: -1}, ferric.CodeInvalid, false, "negative"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := r.Do(ctx(t), tt.cmd, true)
			var failed *agentapi.CommandFailed
			if !ferric.IsCode(err, tt.code) || errors.As(err, &failed) != tt.failed || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %s %v (failed %t), want %s with %q", ferric.ErrorCode(err), err, errors.As(err, &failed), tt.code, tt.text)
			}
		})
	}
}

func TestToken(t *testing.T) {
	r := start(t)
	for name, tok := range map[string]string{"none": "", "wrong": "x" + token, "prefix": token[:10]} {
		c := r.client(t, tok)
		if _, err := c.Do(ctx(t), agentapi.Command{Name: "standby.sync"}, false); !ferric.IsCode(err, ferric.CodeUnauthorized) {
			t.Errorf("%s: command: %v, want CodeUnauthorized", name, err)
		}
		if _, err := c.Commands(ctx(t)); !ferric.IsCode(err, ferric.CodeUnauthorized) {
			t.Errorf("%s: list: %v, want CodeUnauthorized", name, err)
		}
		if _, err := c.Status(ctx(t)); err != nil {
			t.Errorf("%s: status needs no token: %v", name, err)
		}
	}
	if list, _ := r.Commands(ctx(t)); len(list) != 0 {
		t.Errorf("a refused command was recorded: %+v", list)
	}
}

// post makes a request that agentapi.Client would not make.
func (r *rig) post(t *testing.T, query, body string) (int, string) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(r.pem))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx(t), http.MethodPost, r.url+"/v1/commands/"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// TestWire checks what a stock conductor sees: status codes and the exact keys.
func TestWire(t *testing.T) {
	r := start(t)
	q := "?wait=true&agent_token=" + token
	tests := map[string]struct {
		body   string
		status int
		keys   map[string]any // keys and values that must be there; "" means any
	}{
		"text result":   {`{"name": "standby.text", "params": {}}`, 200, map[string]any{"id": "", "command_name": "text", "command_status": "SUCCEEDED", "command_error": nil, "command_result": map[string]any{"result": "hello"}}},
		"null result":   {`{"name": "standby.sync", "params": {}}`, 200, map[string]any{"command_status": "SUCCEEDED", "command_result": nil}},
		"failure":       {`{"name": "standby.fail", "params": {}}`, 200, map[string]any{"command_status": "FAILED", "command_error": map[string]any{"type": "ImageChecksumError", "code": 500.0, "message": "Error verifying image checksum", "details": "wanted a, got b"}}},
		"mismatch":      {`{"name": "clean.mismatch", "params": {}}`, 200, map[string]any{"command_status": "CLEAN_VERSION_MISMATCH"}},
		"no params":     {`{"name": "standby.sync"}`, 400, map[string]any{"faultcode": "Client", "faultstring": "400 Bad Request: Missing or invalid name or params"}},
		"params a list": {`{"name": "standby.sync", "params": []}`, 400, map[string]any{"faultcode": "Client"}},
		"not JSON":      {`{`, 400, map[string]any{"faultcode": "Client"}},
		"unknown":       {`{"name": "x.y", "params": {}}`, 404, map[string]any{"faultcode": "Client", "faultstring": "Not found: Extension with id x not found."}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			status, body := r.post(t, q, tt.body)
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%d %s: %v", status, body, err)
			}
			if status != tt.status {
				t.Errorf("status %d, want %d: %s", status, tt.status, body)
			}
			for k, want := range tt.keys {
				have, ok := got[k]
				if !ok || want != "" && fmt.Sprint(have) != fmt.Sprint(want) {
					t.Errorf("%s is %v, want %v", k, have, want)
				}
			}
		})
	}
	if status, body := r.post(t, "?agent_token=bad", `{}`); status != 401 || body != `{"faultcode":"Client","faultstring":"401 Unauthorized: Token invalid."}` {
		t.Errorf("wrong token: %d %s", status, body)
	}
}

func TestCloseCancelsTheCommand(t *testing.T) {
	exec := command.NewExecutor(slog.New(slog.DiscardHandler), []command.Spec{{Name: "a.b", Async: true, Run: func(ctx context.Context, c command.Call) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}}, nil)
	req := agentapi.CommandRequest{Name: "a.b"}
	res, err := exec.Execute(req)
	if err != nil {
		t.Fatal(err)
	}
	exec.Close()
	if got, _ := exec.Get(res.ID); got.CommandStatus != agentapi.StatusFailed {
		t.Errorf("status %s, want FAILED", got.CommandStatus)
	}
	if _, err := exec.Execute(req); err == nil {
		t.Error("a command was accepted after Close")
	}
}

func TestOldResultsAreForgotten(t *testing.T) {
	exec := command.NewExecutor(slog.New(slog.DiscardHandler), []command.Spec{{Name: "a.b", Run: func(context.Context, command.Call) (any, error) { return nil, nil }}}, nil)
	defer exec.Close()
	for i := range 300 {
		if _, err := exec.Execute(agentapi.CommandRequest{Name: "a.b", ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if list := exec.List(); len(list) != 256 || list[255].ID != "299" {
		t.Errorf("%d results", len(list))
	}
	if _, err := exec.Get("0"); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("the oldest one: %v", err)
	}
}

func FuzzExecute(f *testing.F) {
	for _, s := range []string{`{"name": "a.b", "params": {}}`, `{"name": "a.b", "params": {"x": null}, "id": "1", "epoch": 9}`, `{"name": 1}`, `[]`} {
		f.Add([]byte(s))
	}
	exec := command.NewExecutor(slog.New(slog.DiscardHandler), []command.Spec{{Name: "a.b", Params: []string{"x"}, Check: func(p command.Params) error {
		var n []int
		return p.Decode("x", &n)
	}, Run: func(context.Context, command.Call) (any, error) { return nil, nil }}}, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		var req agentapi.CommandRequest
		if json.Unmarshal(b, &req) != nil {
			return
		}
		res, err := exec.Execute(req)
		if err != nil {
			var fail *command.Failure
			if !errors.As(err, &fail) || fail.Code < 400 || fail.Code > 499 {
				t.Fatalf("%v is not a client's failure", err)
			}
			return
		}
		if out, err := json.Marshal(res); err != nil || !bytes.Contains(out, []byte(`"SUCCEEDED"`)) {
			t.Fatalf("%s %v", out, err)
		}
	})
}
