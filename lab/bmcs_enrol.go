package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ferric"
	"ferric/lab/bmc"

	"golang.org/x/sync/errgroup"
)

// Enrolment says how a fleet's machines are entered in Ferric, or in Ironic.
type Enrolment struct {
	URL     string // of the API; a user and a password in it are for HTTP basic authentication
	Token   string // X-Auth-Token, "" for none
	State   string // "enroll", "manageable" (each BMC is verified) or "available" (taken as it is, as by clients of API version 1.10)
	Clients int    // requests at the same time; default 16
}

// Enrolled is what an enrolment did.
type Enrolled struct {
	Created, There int // nodes that were made, and nodes of that name that there were already
	Refused        int // nodes whose move to the wanted state was refused
	Took           time.Duration
}

// Enrol makes a node for each BMC of the fleet. It may be repeated: nodes that exist are left as they are.
func (e Enrolment) Enrol(ctx context.Context, f *bmc.Fleet) (Enrolled, error) {
	c := enroller{Enrolment: e, fleet: f, http: &http.Client{Timeout: time.Minute}}
	base, err := url.Parse(strings.TrimRight(e.URL, "/"))
	if err != nil || base.Host == "" {
		return Enrolled{}, ferric.Errorf(ferric.CodeInvalid, "enrol: %q is not the URL of an API", e.URL)
	}
	c.user, base.User = base.User, nil
	c.base = base.String()
	switch c.version = "1.82"; e.State {
	case "available":
		c.version = "1.10"
	case "enroll", "manageable":
	default:
		return Enrolled{}, ferric.Errorf(ferric.CodeInvalid, "enrol: the state %q is not one of enroll, manageable, available", e.State)
	}
	if c.Clients <= 0 {
		c.Clients = 16
	}
	c.http.Transport = &http.Transport{MaxIdleConnsPerHost: c.Clients}
	defer c.http.CloseIdleConnections()
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range c.Clients {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < f.Len(); i = int(next.Add(1)) - 1 {
				if err := c.enrol(ctx, i); err != nil {
					return fmt.Errorf("enrol %s: %w", FleetNode(i), err)
				}
			}
			return nil
		})
	}
	err = group.Wait()
	c.done.Took = time.Since(began)
	return c.done, err
}

// enroller is an enrolment under way.
type enroller struct {
	Enrolment
	fleet         *bmc.Fleet
	http          *http.Client
	base, version string
	user          *url.Userinfo

	mu   sync.Mutex
	done Enrolled
}

func (c *enroller) enrol(ctx context.Context, index int) error {
	at, name := c.fleet.Addr(index), FleetNode(index)
	status, answer, err := c.send(ctx, http.MethodPost, "/v1/nodes", map[string]any{"name": name, "driver": "ipmi",
		"driver_info": map[string]any{"ipmi_address": at.Addr().String(), "ipmi_port": at.Port(),
			"ipmi_username": c.fleet.User().Name, "ipmi_password": c.fleet.User().Password},
		"properties": map[string]any{"cpu_arch": "x86_64", "cpus": 16, "memory_mb": 65536, "local_gb": 480}})
	switch {
	case err != nil:
		return err
	case status == http.StatusConflict:
		c.count(func(e *Enrolled) { e.There++ })
		return nil
	case status != http.StatusCreated:
		return ferric.Errorf(ferric.CodeUnavailable, "POST /v1/nodes: HTTP %d: %.300s", status, answer)
	}
	c.count(func(e *Enrolled) { e.Created++ })
	if c.State != "manageable" {
		return nil
	}
	for { // busy is for a while
		status, answer, err = c.send(ctx, http.MethodPut, "/v1/nodes/"+name+"/states/provision", map[string]any{"target": "manage"})
		switch {
		case err != nil:
			return err
		case status == http.StatusAccepted:
			return nil
		case status != http.StatusServiceUnavailable:
			c.count(func(e *Enrolled) { e.Refused++ })
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *enroller) count(add func(*Enrolled)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.done)
}

func (c *enroller) send(ctx context.Context, method, path string, body any) (status int, answer []byte, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", c.version)
	if c.Token != "" {
		req.Header.Set("X-Auth-Token", c.Token)
	}
	if c.user != nil {
		password, _ := c.user.Password()
		req.SetBasicAuth(c.user.Username(), password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, ferric.Errorf(ferric.CodeUnavailable, "%w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}
