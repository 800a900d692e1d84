package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Client talks to the APIs as stock clients do behind a balancer without health checks: when an API refuses the connection it tries the other
// one, a request without effect whose connection broke is sent again, and everything else is the caller's.
type Client struct {
	addresses []string
	http      *http.Client

	mu    sync.Mutex
	turn  int
	stats Stats
}

// Stats counts what a client met.
type Stats struct {
	Requests int
	Refused  int            // connections that could not be made
	Broken   int            // connections that broke before the answer
	Errors   map[string]int // answers of 500 and above, by status and text
}

// ServerErrors is the number of answers of 500 and above.
func (s Stats) ServerErrors() int {
	n := 0
	for _, count := range s.Errors {
		n += count
	}
	return n
}

// Direct lets a client talk to one API only.
func Direct(address string) func(*Client) {
	return func(c *Client) { c.addresses = []string{address} }
}

// Client makes a client on the tester's host.
func (c *Cluster) Client(opts ...func(*Client)) *Client {
	cl := &Client{addresses: c.APIAddresses(), http: &http.Client{Timeout: 90 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			return c.tester.Dial(ctx, network, address)
		},
		MaxIdleConnsPerHost: 1000}}, stats: Stats{Errors: map[string]int{}}}
	for _, o := range opts {
		o(cl)
	}
	return cl
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Stats returns what the client has met so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Errors = map[string]int{}
	for k, v := range c.stats.Errors {
		s.Errors[k] = v
	}
	return s
}

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	Text   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Text) }

// status returns the status of an answer that was no success, 0 for anything else.
func status(err error) int {
	var e *StatusError
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// errBroken is a request that may have been carried out.
var errBroken = errors.New("the connection broke before the answer")

// Do sends a request and reads the answer into out. The error is a *StatusError for an answer that is no success, errBroken for a request with
// effect whose answer was lost.
func (c *Client) Do(ctx context.Context, method, path string, body, out any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := c.once(ctx, method, path, raw, out)
		var dial *net.OpError
		refused := errors.As(err, &dial) && dial.Op == "dial"
		if err == nil || status(err) != 0 || !refused && method != http.MethodGet {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

func (c *Client) once(ctx context.Context, method, path string, body []byte, out any) error {
	c.mu.Lock()
	address := c.addresses[c.turn%len(c.addresses)]
	c.stats.Requests++
	c.mu.Unlock()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	rq, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, reader)
	if err != nil {
		return err
	}
	rq.Header.Set("X-OpenStack-Ironic-API-Version", "1.82")
	rq.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(rq)
	if err != nil {
		c.next(address)
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			c.count(func(s *Stats) { s.Refused++ })
			return err
		}
		c.count(func(s *Stats) { s.Broken++ })
		return fmt.Errorf("%s %s at %s: %w: %w", method, path, address, errBroken, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.next(address)
		c.count(func(s *Stats) { s.Broken++ })
		return fmt.Errorf("%s %s at %s: %w: %w", method, path, address, errBroken, err)
	}
	if resp.StatusCode >= 300 {
		failure := &StatusError{resp.StatusCode, faultText(raw)}
		if resp.StatusCode >= 500 {
			c.count(func(s *Stats) { s.Errors[fmt.Sprintf("%s %d %.200s", method, resp.StatusCode, failure.Text)]++ })
		}
		return failure
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}

// next turns to another API, unless somebody has done so.
func (c *Client) next(failed string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addresses[c.turn%len(c.addresses)] == failed {
		c.turn++
	}
}

func (c *Client) count(do func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do(&c.stats)
}

// faultText is the message in an error's body.
func faultText(raw []byte) string {
	var body struct {
		Error json.RawMessage `json:"error_message"`
	}
	text := string(raw)
	if json.Unmarshal(raw, &body) == nil && len(body.Error) > 0 {
		text = string(body.Error)
		var inner string
		if json.Unmarshal(body.Error, &inner) == nil {
			text = inner
		}
		var fault struct {
			Text string `json:"faultstring"`
		}
		if json.Unmarshal([]byte(text), &fault) == nil && fault.Text != "" {
			text = fault.Text
		}
	}
	return strings.TrimSpace(text)
}

// ConductorsAlive returns how many conductors an API takes for alive.
func (c *Client) ConductorsAlive(ctx context.Context) (int, error) {
	var list struct {
		Conductors []struct {
			Alive bool `json:"alive"`
		} `json:"conductors"`
	}
	if err := c.Do(ctx, http.MethodGet, "/v1/conductors", nil, &list); err != nil {
		return 0, err
	}
	list.Conductors = slices.DeleteFunc(list.Conductors, func(s struct {
		Alive bool `json:"alive"`
	}) bool {
		return !s.Alive
	})
	return len(list.Conductors), nil
}
