package agentapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ferric"
)

// ClientOptions say how to reach an agent.
type ClientOptions struct {
	// URL is the callback_url of the heartbeat: "https://192.0.2.7:9999".
	URL string
	// Token is the agent token. It travels in the query, as the protocol wants, and never appears in errors.
	Token string
	// VerifyCA is agent_verify_ca of the heartbeat: PEM of the agent's own certificate (pinned byte for byte, its
	// dates and names do not matter then) or of the CA that signed it. Empty: the system's CAs.
	VerifyCA string
	// Insecure skips certificate verification.
	Insecure bool
	// Timeout is for one HTTP request; 0 means 60 s, as Ironic's command_timeout.
	Timeout time.Duration
	// PollInterval is the pause between looks at a running command; 0 means 1 s.
	PollInterval time.Duration
}

// Client sends commands to one agent. It never retries a command by itself: the caller knows whether it has an
// id that makes that safe.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	poll  time.Duration
}

// maxAnswer bounds an agent's answer, in bytes. Collected logs are the longest ones.
const maxAnswer = 64 << 20

// NewClient checks the options. A bad URL or PEM is CodeInvalid.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, ferric.Errorf(ferric.CodeInvalid, "agent URL %q is not http://host:port or https://host:port", o.URL)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case o.Insecure:
		conf.InsecureSkipVerify = true
	case o.VerifyCA != "":
		if err := pin(conf, o.VerifyCA); err != nil {
			return nil, err
		}
	}
	if o.Timeout == 0 {
		o.Timeout = 60 * time.Second
	}
	if o.PollInterval == 0 {
		o.PollInterval = time.Second
	}
	return &Client{
		base:  u,
		token: o.Token,
		poll:  o.PollInterval,
		http: &http.Client{
			Timeout: o.Timeout,
			// One connection per request: an agent reboots under us, and a dead kept-alive connection costs a deadline.
			Transport:     &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Status asks how the agent is. It needs no token.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	err := c.call(ctx, "status", http.MethodGet, "/v1/status", nil, nil, &out)
	return out, err
}

// Commands lists the commands that the agent has been given since it started, oldest first.
func (c *Client) Commands(ctx context.Context) ([]CommandResult, error) {
	var out CommandResults
	err := c.call(ctx, "list of commands", http.MethodGet, "/v1/commands/", url.Values{}, nil, &out)
	return out.Commands, err
}

// Command returns one command by the id in its result. CodeNotFound: the agent does not know it (it may have
// been restarted since).
func (c *Client) Command(ctx context.Context, id string) (CommandResult, error) {
	var out CommandResult
	err := c.call(ctx, "command "+id, http.MethodGet, "/v1/commands/"+id, url.Values{}, nil, &out)
	return out, err
}

// Do sends a command. With wait it returns when the command has finished, by polling; ctx bounds that.
// The result may be RUNNING without wait. Errors:
//
//   - CodeUnavailable: the agent cannot be reached or broke off; the command may or may not have been accepted;
//   - CodeTimeout: ctx's deadline passed;
//   - CodeBusy: another command runs;
//   - CodeStale: the agent has seen a newer fencing epoch;
//   - CodeUnauthorized: wrong token; CodeInvalid: unknown command or bad parameters;
//   - *CommandFailed: the command ran and failed (the result is returned as well).
func (c *Client) Do(ctx context.Context, cmd Command, wait bool) (CommandResult, error) {
	if cmd.Params == nil {
		cmd.Params = map[string]any{}
	}
	body, err := json.Marshal(cmd)
	if err != nil {
		return CommandResult{}, ferric.Errorf(ferric.CodeInvalid, "agent command %s: parameters: %w", cmd.Name, err)
	}
	var res CommandResult
	if err := c.call(ctx, "command "+cmd.Name, http.MethodPost, "/v1/commands/", url.Values{"wait": {"false"}}, body, &res); err != nil {
		return CommandResult{}, err
	}
	if wait {
		if res, err = c.await(ctx, cmd.Name, res); err != nil {
			return res, err
		}
	}
	if s := res.CommandStatus; s.Done() && s != StatusSucceeded {
		return res, &CommandFailed{Command: cmd.Name, Result: res}
	}
	return res, nil
}

// await polls until the command is done. Unreachability is borne until ctx ends, since a busy or slow agent
// recovers; any other error ends it.
func (c *Client) await(ctx context.Context, name string, res CommandResult) (CommandResult, error) {
	timer := time.NewTimer(c.poll)
	defer timer.Stop()
	for !res.CommandStatus.Done() {
		select {
		case <-ctx.Done():
			return res, ferric.Errorf(ferric.CodeTimeout, "agent command %s is still running: %w", name, ctx.Err())
		case <-timer.C:
		}
		next, err := c.Command(ctx, res.ID)
		switch {
		case err == nil:
			res = next
		case !ferric.IsCode(err, ferric.CodeUnavailable):
			return res, err
		}
		timer.Reset(c.poll)
	}
	return res, nil
}

// call makes one request. query nil means no token.
func (c *Client) call(ctx context.Context, what, method, path string, query url.Values, body []byte, out any) error {
	u := *c.base
	u.Path += path
	if query != nil {
		if c.token != "" {
			query.Set("agent_token", c.token)
		}
		u.RawQuery = query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "agent %s: %s: %w", c.base.Host, what, withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return ferric.Errorf(ferric.CodeTimeout, "agent %s: %s: no answer in time: %w", c.base.Host, what, withoutURL(err))
		}
		return ferric.Errorf(ferric.CodeUnavailable, "agent %s: %s: %w", c.base.Host, what, withoutURL(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "agent %s: %s: the answer broke off: %w", c.base.Host, what, withoutURL(err))
	}
	if len(answer) > maxAnswer {
		return ferric.Errorf(ferric.CodeCorrupt, "agent %s: %s: the answer is longer than %d MiB", c.base.Host, what, maxAnswer>>20)
	}
	if resp.StatusCode != http.StatusOK {
		return c.fault(what, resp.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return ferric.Errorf(ferric.CodeCorrupt, "agent %s: %s: the answer is not the JSON expected: %w", c.base.Host, what, err)
	}
	return nil
}

func (c *Client) fault(what string, status int, answer []byte) error {
	var f Fault
	_ = json.Unmarshal(answer, &f) // not JSON: an HTTP error page, whose text is of no use
	text := f.FaultString
	if text == "" {
		text = http.StatusText(status)
	}
	code := faultCode(status, text)
	if status == http.StatusConflict && f.Ferric == ferric.CodeStale {
		code = ferric.CodeStale
	}
	return ferric.Errorf(code, "agent %s: %s: HTTP %d: %s", c.base.Host, what, status, text)
}

func faultCode(status int, text string) ferric.Code {
	// Agents before 2020 report "agent is busy" with a status of their own choice.
	if status == http.StatusConflict || strings.Contains(strings.ToLower(text), "agent is busy") {
		return ferric.CodeBusy
	}
	switch status {
	case http.StatusUnauthorized:
		return ferric.CodeUnauthorized
	case http.StatusForbidden:
		return ferric.CodeForbidden
	case http.StatusNotFound:
		return ferric.CodeNotFound
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return ferric.CodeUnavailable
	}
	if status >= 400 && status < 500 {
		return ferric.CodeInvalid
	}
	return ferric.CodeInternal
}

// withoutURL drops the URL from net/http's errors: its query holds the token.
func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
