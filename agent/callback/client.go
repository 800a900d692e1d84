package callback

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
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"ferric"
	"ferric/agentapi"
)

// Options configure a Client.
type Options struct {
	// URLs are the API's base URLs, the preferred one first ("http://192.0.2.1:6385").
	URLs []string
	Log  *slog.Logger
	// Insecure skips TLS verification. CA is PEM text of extra CAs.
	Insecure bool
	CA       string
	// Timeout is for one request; 0 means 30 s.
	Timeout time.Duration
	// OnDate is called with the Date of every answer; the agent sets its clock by it. May be nil.
	OnDate func(time.Time)
	// ClockIsWrong says that the clock cannot be right (a dead battery): TLS certificates then look expired, and the
	// first Date is taken without verification. May be nil.
	ClockIsWrong func() bool
	UserAgent    string
}

// Client speaks to the API. The URL that answered last is tried first.
type Client struct {
	o    Options
	http *http.Client

	mu   sync.Mutex
	urls []string
	vers [2]int // highest microversion of the server, 0 while unknown
}

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 4 << 20

// NewClient checks the URLs.
func NewClient(o Options) (*Client, error) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}
	if o.CA != "" {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(o.CA)) {
			return nil, ferric.Errorf(ferric.CodeInvalid, "the CA of the API holds no PEM certificate")
		}
	}
	c := &Client{o: o, http: &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			TLSClientConfig: conf, DisableKeepAlives: true,
			DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		},
	}}
	for _, raw := range o.URLs {
		raw = strings.TrimRight(strings.TrimSpace(raw), "/")
		if raw == "" {
			continue
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "API URL %q is not http://host:port or https://host:port", raw)
		}
		// Old kernel command lines carry the version in the URL.
		c.urls = append(c.urls, strings.TrimSuffix(raw, "/v1"))
	}
	return c, nil
}

// URL returns the base URL that is tried first, "" if there is none.
func (c *Client) URL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.urls) == 0 {
		return ""
	}
	return c.urls[0]
}

// Lookup asks which node has these MAC addresses. Errors: CodeNotFound (unknown, or not in a state that expects an
// agent), CodeLocked (ask again), CodeUnavailable.
func (c *Client) Lookup(ctx context.Context, macs []string, nodeUUID string) (agentapi.LookupResponse, error) {
	q := url.Values{"addresses": {strings.Join(macs, ",")}}
	if nodeUUID != "" {
		q.Set("node_uuid", nodeUUID)
	}
	var out agentapi.LookupResponse
	err := c.each(ctx, "lookup", http.MethodGet, "/v1/lookup?"+q.Encode(), c.version(ctx, 62), nil, http.StatusOK, &out)
	if err == nil && out.Node.UUID == "" {
		err = ferric.Errorf(ferric.CodeCorrupt, "lookup: the answer has no node.uuid")
	}
	return out, err
}

// Heartbeat tells the API that the agent is there. Fields too new for the server are left out. CodeLocked means that
// the node is locked and the heartbeat was not taken.
func (c *Client) Heartbeat(ctx context.Context, node string, hb agentapi.Heartbeat) error {
	v := c.version(ctx, 68)
	if v < 68 {
		hb.AgentVerifyCA = ""
	}
	if v < 62 {
		hb.AgentToken = ""
	}
	if v < 36 {
		hb.AgentVersion = ""
	}
	return c.each(ctx, "heartbeat", http.MethodPost, "/v1/heartbeat/"+url.PathEscape(node), v, hb, http.StatusAccepted, nil)
}

// Inspection posts inspection data to the URLs of ipa-inspection-callback-url (tried in turn).
func (c *Client) Inspection(ctx context.Context, urls []string, data agentapi.InspectionData) (agentapi.InspectionResponse, error) {
	var last error
	for _, u := range urls {
		var out agentapi.InspectionResponse
		last = c.do(ctx, "inspection data", http.MethodPost, u, 0, data, 0, &out)
		if last == nil {
			return out, nil
		}
		if !ferric.IsCode(last, ferric.CodeUnavailable) {
			break
		}
	}
	return agentapi.InspectionResponse{}, last
}

// version is the microversion 1.want, or the server's highest if that is lower. Unknown counts as the oldest that
// has agents.
func (c *Client) version(ctx context.Context, want int) int {
	c.mu.Lock()
	have := c.vers
	c.mu.Unlock()
	if have[0] == 0 {
		var root struct {
			Default struct {
				Version string `json:"version"`
			} `json:"default_version"`
		}
		if err := c.each(ctx, "API version", http.MethodGet, "/", 0, nil, http.StatusOK, &root); err != nil {
			c.o.Log.Warn("the API's version is unknown", "err", err)
			return min(want, 31)
		}
		major, minor, _ := strings.Cut(root.Default.Version, ".")
		have[0], _ = strconv.Atoi(major) // garbage counts as 0: asked again next time
		have[1], _ = strconv.Atoi(minor)
		if have[0] == 0 {
			return min(want, 31)
		}
		c.mu.Lock()
		c.vers = have
		c.mu.Unlock()
	}
	if have[0] > 1 {
		return want
	}
	return min(want, have[1])
}

// each tries the URLs in turn until one answers.
func (c *Client) each(ctx context.Context, what, method, path string, version int, body any, want int, out any) error {
	c.mu.Lock()
	urls := append([]string(nil), c.urls...)
	c.mu.Unlock()
	err := ferric.Errorf(ferric.CodeInvalid, "%s: no API URL is configured (ipa-api-url)", what)
	for i, u := range urls {
		err = c.do(ctx, what, method, u+path, version, body, want, out)
		if !ferric.IsCode(err, ferric.CodeUnavailable) {
			c.mu.Lock()
			c.urls = append(append([]string(nil), urls[i:]...), urls[:i]...)
			c.mu.Unlock()
			return err
		}
		if i < len(urls)-1 {
			c.o.Log.Warn("trying the next API URL", "err", err)
		}
	}
	return err
}

func (c *Client) do(ctx context.Context, what, method, target string, version int, body any, want int, out any) error {
	var reader io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return ferric.Errorf(ferric.CodeInternal, "%s: %w", what, err)
		}
		reader = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "%s: %w", what, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.o.UserAgent)
	if version > 0 {
		req.Header.Set(agentapi.VersionHeader, fmt.Sprintf("1.%d", version))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.bootstrapClock(ctx, target, err)
		return ferric.Errorf(ferric.CodeUnavailable, "%s to %s: %w", what, req.URL.Host, withoutURL(err))
	}
	defer resp.Body.Close()
	c.date(resp)
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "%s to %s: the answer broke off: %w", what, req.URL.Host, err)
	}
	if want == 0 && resp.StatusCode/100 != 2 || want != 0 && resp.StatusCode != want {
		return ferric.Errorf(statusCode(resp.StatusCode), "%s to %s: HTTP %d: %s", what, req.URL.Host, resp.StatusCode, faultText(answer))
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return ferric.Errorf(ferric.CodeCorrupt, "%s to %s: the answer is not the JSON expected: %w", what, req.URL.Host, err)
	}
	return nil
}

func (c *Client) date(resp *http.Response) {
	if c.o.OnDate == nil {
		return
	}
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.o.OnDate(t)
	}
}

// bootstrapClock takes the Date of a server whose certificate looks expired or not yet valid while the clock is
// known to be wrong. Nothing but the time is taken from the unverified answer.
func (c *Client) bootstrapClock(ctx context.Context, target string, err error) {
	var inv x509.CertificateInvalidError
	if !errors.As(err, &inv) || inv.Reason != x509.Expired || c.o.ClockIsWrong == nil || !c.o.ClockIsWrong() {
		return
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return
	}
	cl := &http.Client{Timeout: c.o.Timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	resp, err := cl.Do(req)
	if err != nil {
		c.o.Log.Warn("the clock is wrong and no time could be had", "err", withoutURL(err))
		return
	}
	_ = resp.Body.Close() // HEAD has no body
	c.date(resp)
}

func statusCode(status int) ferric.Code {
	switch {
	case status == http.StatusConflict:
		return ferric.CodeLocked
	case status == http.StatusNotFound:
		return ferric.CodeNotFound
	case status == http.StatusUnauthorized:
		return ferric.CodeUnauthorized
	case status == http.StatusForbidden:
		return ferric.CodeForbidden
	case status >= 500:
		return ferric.CodeUnavailable
	}
	return ferric.CodeInvalid
}

// faultText digs the reason out of an API error: {"error_message": "<JSON>" or {…}}.
func faultText(body []byte) string {
	var outer struct {
		Message json.RawMessage `json:"error_message"`
	}
	inner := body
	if json.Unmarshal(body, &outer) == nil && len(outer.Message) > 0 {
		inner = outer.Message
		var text string
		if json.Unmarshal(inner, &text) == nil {
			inner = []byte(text)
		}
	}
	var f struct {
		Fault, Title, Description string
		FaultString               string `json:"faultstring"`
	}
	if json.Unmarshal(inner, &f) == nil {
		for _, s := range []string{f.FaultString, f.Description, f.Title} {
			if s != "" {
				return s
			}
		}
	}
	text := strings.ToValidUTF8(string(inner), "?")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return text
}

func withoutURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}
