package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ferric"
	"ferric/flow"
)

// endpoint is where Ferric's API is, inside the lab's namespace: the default of ferric serve.
const endpoint = "http://127.0.0.1:6385"

// api asks Ferric's API. Its methods may be called from any goroutine.
type api struct {
	base   string
	client *http.Client
}

// newAPI makes an api that connects from inside a network namespace.
func newAPI(namespace string) *api {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialInside(ctx, "/run/netns/"+namespace, network, addr)
	}
	return &api{base: endpoint, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dial}}}
}

// dialInside connects from inside a network namespace.
func dialInside(ctx context.Context, namespace, network, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	got := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, which is in another namespace by then, ends with the goroutine
		ns, err := os.Open(namespace)
		if err != nil {
			got <- result{nil, err}
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			got <- result{nil, fmt.Errorf("enter %s: %w", namespace, err)}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		got <- result{conn, err}
	}()
	r := <-got
	return r.conn, r.err
}

// node is what the demo looks at in a node.
type node struct {
	UUID           string         `json:"uuid"`
	ProvisionState string         `json:"provision_state"`
	PowerState     string         `json:"power_state"`
	LastError      string         `json:"last_error"`
	Maintenance    bool           `json:"maintenance"`
	MaintReason    string         `json:"maintenance_reason"`
	BootMode       string         `json:"boot_mode"`
	Properties     map[string]any `json:"properties"`
}

// operation is what the demo looks at in an operation.
type operation struct {
	ID          string  `json:"id"`
	Status      string  `json:"status"`
	EndedAt     *string `json:"ended_at"`
	CurrentStep *int    `json:"current_step"`
	WaitingFor  *struct {
		What string `json:"what"`
	} `json:"waiting_for"`
	Steps []struct {
		Step    string `json:"step"`
		CleanUp bool   `json:"clean_up"` // run after a failure only
	} `json:"steps"`
}

// step names the step under way and what it waits for, both "" if there is none.
func (o operation) step() (name, waits string) {
	if o.EndedAt != nil || o.CurrentStep == nil || *o.CurrentStep < 0 || *o.CurrentStep >= len(o.Steps) {
		return "", ""
	}
	if s := o.Steps[*o.CurrentStep]; s.CleanUp && flow.Status(o.Status) != flow.Failing {
		return "", "" // about to be passed over
	}
	if o.WaitingFor != nil {
		waits = o.WaitingFor.What
	}
	return o.Steps[*o.CurrentStep].Step, waits
}

// get fetches an object. CodeNotFound if it is not there, CodeUnavailable if Ferric does not answer.
func (a *api) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	resp, err := a.client.Do(req)
	if err != nil {
		return ferric.Errorf(ferric.CodeUnavailable, "ask Ferric: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	switch {
	case err != nil:
		return ferric.Errorf(ferric.CodeUnavailable, "ask Ferric: GET %s: %w", path, err)
	case resp.StatusCode == http.StatusNotFound:
		return ferric.Errorf(ferric.CodeNotFound, "GET %s: %s", path, fault(body))
	case resp.StatusCode >= 500:
		return ferric.Errorf(ferric.CodeUnavailable, "GET %s: %s: %s", path, resp.Status, fault(body))
	case resp.StatusCode >= 300:
		return ferric.Errorf(ferric.CodeInternal, "GET %s: %s: %s", path, resp.Status, fault(body))
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "GET %s: %w", path, err)
	}
	return nil
}

// fault takes the message out of an error in Ironic's form: a JSON object in a string in a JSON object.
func fault(body []byte) string {
	var outer struct {
		Message string `json:"error_message"`
	}
	var inner struct {
		Fault string `json:"faultstring"`
	}
	if json.Unmarshal(body, &outer) == nil && json.Unmarshal([]byte(outer.Message), &inner) == nil && inner.Fault != "" {
		return inner.Fault
	}
	return strings.TrimSpace(string(body[:min(len(body), 300)]))
}

// healthy reports why Ferric is not up, nil if it is.
func (a *api) healthy(ctx context.Context) error { return a.get(ctx, "/healthcheck", nil) }

func (a *api) node(ctx context.Context, name string) (node, error) {
	var n node
	return n, a.get(ctx, "/v1/nodes/"+url.PathEscape(name), &n)
}

// ports returns the MAC addresses of a node's ports.
func (a *api) ports(ctx context.Context, name string) ([]string, error) {
	var out struct {
		Ports []struct {
			Address string `json:"address"`
		} `json:"ports"`
	}
	if err := a.get(ctx, "/v1/nodes/"+url.PathEscape(name)+"/ports", &out); err != nil {
		return nil, err
	}
	var macs []string
	for _, p := range out.Ports {
		macs = append(macs, p.Address)
	}
	return macs, nil
}

// operation returns a node's newest operation. CodeNotFound if there was none yet.
func (a *api) operation(ctx context.Context, name string) (operation, error) {
	var list struct {
		Operations []operation `json:"operations"`
	}
	if err := a.get(ctx, "/ferric/v1/nodes/"+url.PathEscape(name)+"/operations?limit=1", &list); err != nil {
		return operation{}, err
	}
	if len(list.Operations) == 0 {
		return operation{}, ferric.Errorf(ferric.CodeNotFound, "node %s has had no operation", name)
	}
	op := list.Operations[0]
	if op.EndedAt != nil || len(op.Steps) > 0 {
		return op, nil
	}
	return op, a.get(ctx, "/ferric/v1/operations/"+url.PathEscape(op.ID), &op)
}

// away reports whether an error means that Ferric could not be asked just now.
func away(err error) bool {
	return ferric.IsCode(err, ferric.CodeUnavailable) && !errors.Is(err, context.Canceled)
}
