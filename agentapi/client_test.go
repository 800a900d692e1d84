package agentapi_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ferric"
	"ferric/agentapi"
)

const token = "0123456789012345678901234567890123456789abc"

// agent serves a handler over HTTPS and returns a client that pins its certificate.
func agent(t *testing.T, h http.HandlerFunc) (*agentapi.Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c, err := agentapi.NewClient(agentapi.ClientOptions{URL: srv.URL, Token: token, VerifyCA: certPEM(srv), PollInterval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c, srv
}

func certPEM(srv *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

func TestClientDoWaits(t *testing.T) {
	var polls atomic.Int32
	c, _ := agent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("agent_token") != token {
			t.Errorf("%s without the token", r.URL.Path)
		}
		switch {
		case r.Method == http.MethodPost && r.URL.Path == "/v1/commands/":
			var cmd agentapi.CommandRequest
			if err := json.NewDecoder(r.Body).Decode(&cmd); err != nil {
				t.Error(err)
			}
			if cmd.Name != "standby.sync" || cmd.ID != "plan-1/3" || cmd.Epoch != 7 || cmd.Params == nil {
				t.Errorf("command %+v", cmd)
			}
			io.WriteString(w, `{"id": "own", "command_name": "sync", "command_status": "RUNNING", "command_error": null, "command_result": null}`)
		case r.Method == http.MethodGet && r.URL.Path == "/v1/commands/own":
			status := "RUNNING"
			if polls.Add(1) == 3 {
				status = "SUCCEEDED"
			}
			io.WriteString(w, `{"id": "own", "command_name": "sync", "command_status": "`+status+`", "command_error": null, "command_result": {"result": "ok"}}`)
		default:
			t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
		}
	})
	res, err := c.Do(context.Background(), agentapi.Command{Name: "standby.sync", ID: "plan-1/3", Epoch: 7}, true)
	if err != nil {
		t.Fatal(err)
	}
	if res.CommandStatus != agentapi.StatusSucceeded || polls.Load() != 3 {
		t.Errorf("status %s after %d polls", res.CommandStatus, polls.Load())
	}
}

func TestClientErrors(t *testing.T) {
	tests := map[string]struct {
		status int
		body   string
		want   ferric.Code
		text   string
	}{
		"busy":         {409, `{"faultcode": "Client", "faultstring": "Agent is busy: executing command prepare_image"}`, ferric.CodeBusy, "prepare_image"},
		"busy, old":    {500, `{"faultcode": "Server", "faultstring": "Agent is busy"}`, ferric.CodeBusy, "busy"},
		"stale":        {409, `{"faultcode": "Client", "faultstring": "epoch 3 is older than 4", "ferric": "stale"}`, ferric.CodeStale, "epoch 3"},
		"token":        {401, `{"faultcode": "Client", "faultstring": "401 Unauthorized: Token invalid."}`, ferric.CodeUnauthorized, "Token invalid"},
		"unknown":      {404, `{"faultcode": "Client", "faultstring": "Not found: Extension with id x not found."}`, ferric.CodeNotFound, "Extension"},
		"params":       {400, `{"faultcode": "Client", "faultstring": "Invalid command parameters: x"}`, ferric.CodeInvalid, "parameters"},
		"broken":       {500, `oops`, ferric.CodeInternal, "500"},
		"proxy":        {502, `<html>`, ferric.CodeUnavailable, "502"},
		"redirect":     {302, ``, ferric.CodeInternal, "302"},
		"not JSON":     {200, `hello`, ferric.CodeCorrupt, "JSON"},
		"forged stale": {400, `{"faultstring": "x", "ferric": "stale"}`, ferric.CodeInvalid, "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, _ := agent(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})
			_, err := c.Do(context.Background(), agentapi.Command{Name: "standby.sync"}, false)
			if !ferric.IsCode(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %s %v, want %s with %q", ferric.ErrorCode(err), err, tt.want, tt.text)
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("the error holds the token: %v", err)
			}
		})
	}
}

func TestClientCommandFailed(t *testing.T) {
	c, _ := agent(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"id": "1", "command_name": "prepare_image", "command_status": "FAILED", "command_result": null,
			"command_error": {"type": "ImageChecksumError", "code": 500, "message": "m", "details": "sha256 differs"}}`)
	})
	res, err := c.Do(context.Background(), agentapi.PrepareImage(agentapi.ImageInfo{ID: "x"}, ""), true)
	var failed *agentapi.CommandFailed
	if !errors.As(err, &failed) || failed.Command != "standby.prepare_image" {
		t.Fatalf("got %v, want *CommandFailed", err)
	}
	if !ferric.IsCode(err, ferric.CodeCorrupt) || res.CommandStatus != agentapi.StatusFailed || !strings.Contains(err.Error(), "sha256 differs") {
		t.Errorf("code %s, status %s, %v", ferric.ErrorCode(err), res.CommandStatus, err)
	}
}

func TestClientUnreachable(t *testing.T) {
	c, srv := agent(t, func(http.ResponseWriter, *http.Request) {})
	srv.Close()
	_, err := c.Commands(context.Background())
	if !ferric.IsCode(err, ferric.CodeUnavailable) || strings.Contains(err.Error(), token) {
		t.Errorf("got %s %v", ferric.ErrorCode(err), err)
	}
}

func TestClientDeadline(t *testing.T) {
	block := make(chan struct{})
	c, _ := agent(t, func(http.ResponseWriter, *http.Request) { <-block })
	defer close(block)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); !ferric.IsCode(err, ferric.CodeTimeout) {
		t.Errorf("got %s %v", ferric.ErrorCode(err), err)
	}
}

func TestClientPinning(t *testing.T) {
	status := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			t.Errorf("status with a query: %s", r.URL.RawQuery)
		}
		io.WriteString(w, `{"started_at": 1.5, "version": "1"}`)
	}
	c, srv := agent(t, status)
	if s, err := c.Status(context.Background()); err != nil || s.StartedAt != 1.5 {
		t.Errorf("with the right pin: %+v %v", s, err)
	}
	for name, o := range map[string]agentapi.ClientOptions{
		"wrong pin":  {URL: srv.URL, VerifyCA: foreignPEM},
		"system CAs": {URL: srv.URL},
	} {
		c, err := agentapi.NewClient(o)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := c.Status(context.Background()); !ferric.IsCode(err, ferric.CodeUnavailable) {
			t.Errorf("%s: got %v, want CodeUnavailable", name, err)
		}
	}
	c, err := agentapi.NewClient(agentapi.ClientOptions{URL: srv.URL, Insecure: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(context.Background()); err != nil {
		t.Errorf("insecure: %v", err)
	}
}

func TestNewClientRefuses(t *testing.T) {
	for name, o := range map[string]agentapi.ClientOptions{
		"no URL":  {},
		"scheme":  {URL: "ftp://h"},
		"no host": {URL: "https://"},
		"not PEM": {URL: "https://h", VerifyCA: "hello"},
		"bad PEM": {URL: "https://h", VerifyCA: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
	} {
		if _, err := agentapi.NewClient(o); !ferric.IsCode(err, ferric.CodeInvalid) {
			t.Errorf("%s: got %v, want CodeInvalid", name, err)
		}
	}
}

// foreignPEM is a certificate for 127.0.0.1 that no test server uses.
const foreignPEM = `-----BEGIN CERTIFICATE-----
MIIBiDCCAS6gAwIBAgIUbXeUvxS6i4wwa981Q4RIKMySMa4wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTIyMTYxMzM1WhgPMjEyNjEwMjkxNjEz
MzVaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
/LZoknpSCgWA2bBEF7CHmq6MpGdMAn0QOhAFBFQ7PqyKvcQsWbY6NNedqf0SR3AH
ggVCzca7z0w+r+9aCeKwmqNkMGIwHQYDVR0OBBYEFNEdKck+HQcbta8fZONPk9+o
KuQ/MB8GA1UdIwQYMBaAFNEdKck+HQcbta8fZONPk9+oKuQ/MA8GA1UdEwEB/wQF
MAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjOPQQDAgNIADBFAiANYw0+k8qw
i3heDTt5xY2myP9xFjJrVVTauQCvL81ffgIhANN4imLrm30pgTCb5Pf9jsq0PGBz
00krMGHOMnth9yhC
-----END CERTIFICATE-----
`
