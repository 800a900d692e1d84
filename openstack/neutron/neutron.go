// Package neutron is the client of Neutron that the network interfaces use.
//
// # Concurrency
//
// A Client may be used by many goroutines. It starts none.
package neutron

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/network"
	"ferric/openstack"
)

// Session makes clients of services; *openstack.Session is one.
type Session interface {
	Client(ctx context.Context, service openstack.Service) (*gophercloud.ServiceClient, error)
}

// Client is a client of Neutron.
type Client struct {
	Session Session
	Timeout time.Duration // of each request, with its repetitions
}

var _ network.Client = (*Client)(nil)

// do sends a request. path is below /v2.0/; body and answer are JSON and may be nil.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	client, err := c.Session.Client(ctx, openstack.Service{Type: "network"})
	if err != nil {
		return told(err)
	}
	address := client.ServiceURL(strings.Split(path, "/")...)
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	resp, err := client.Request(ctx, method, address, &gophercloud.RequestOpts{JSONBody: body, JSONResponse: answer,
		OkCodes: []int{http.StatusOK, http.StatusCreated, http.StatusNoContent}, KeepResponseBody: answer == nil})
	if err != nil {
		return told(err)
	}
	if answer == nil {
		resp.Body.Close()
	}
	return nil
}

// told gives an error the code that network.Client promises.
func told(err error) error {
	var e *openstack.Error
	if !errors.As(err, &e) {
		return ferric.Errorf(ferric.CodeUnavailable, "%w", err)
	}
	code := ferric.ErrorCode(err)
	switch {
	case e.Kind == openstack.Unauthorized, e.Kind == openstack.Forbidden, e.Kind == openstack.NoEndpoint:
		code = ferric.CodeInternal
	case e.Status == http.StatusInternalServerError || e.Status == http.StatusNotImplemented:
		code = ferric.CodeBusy
	}
	return ferric.Errorf(code, "%w", err)
}

// escaped is an id or a name as a part of a path.
func escaped(s string) string { return url.PathEscape(s) }

// FindNetworks implements network.Client.
func (c *Client) FindNetworks(ctx context.Context, idOrName string) ([]*network.Network, error) {
	if isUUID(idOrName) {
		n, err := c.Network(ctx, idOrName)
		if err == nil {
			return []*network.Network{n}, nil
		}
		if !ferric.IsCode(err, ferric.CodeNotFound) {
			return nil, err
		}
	}
	var found struct{ Networks []*network.Network }
	err := c.do(ctx, http.MethodGet, "networks", url.Values{"name": {idOrName}}, nil, &found)
	return found.Networks, err
}

// isUUID reports whether a name has the form of an id, so that it is looked up as one first.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		switch hyphen := i == 8 || i == 13 || i == 18 || i == 23; {
		case hyphen && r != '-', !hyphen && !strings.ContainsRune("0123456789abcdefABCDEF", r):
			return false
		}
	}
	return true
}

// Network implements network.Client.
func (c *Client) Network(ctx context.Context, id string) (*network.Network, error) {
	var a struct{ Network *network.Network }
	err := c.do(ctx, http.MethodGet, "networks/"+escaped(id), nil, nil, &a)
	return present(a.Network, err)
}

// Subnet implements network.Client.
func (c *Client) Subnet(ctx context.Context, id string) (*network.Subnet, error) {
	var a struct{ Subnet *network.Subnet }
	err := c.do(ctx, http.MethodGet, "subnets/"+escaped(id), nil, nil, &a)
	return present(a.Subnet, err)
}

// SegmentNetwork implements network.Client.
func (c *Client) SegmentNetwork(ctx context.Context, id string) (string, error) {
	var a struct {
		Segment struct {
			PhysicalNetwork string `json:"physical_network"`
		}
	}
	err := c.do(ctx, http.MethodGet, "segments/"+escaped(id), nil, nil, &a)
	return a.Segment.PhysicalNetwork, err
}

// SecurityGroups implements network.Client.
func (c *Client) SecurityGroups(ctx context.Context, ids []string) ([]string, error) {
	var a struct {
		Groups []struct{ ID string } `json:"security_groups"`
	}
	err := c.do(ctx, http.MethodGet, "security-groups", url.Values{"id": ids, "fields": {"id"}}, nil, &a)
	var out []string
	for _, g := range a.Groups {
		out = append(out, g.ID)
	}
	return out, err
}

// AgentAlive implements network.Client.
func (c *Client) AgentAlive(ctx context.Context, host string) (bool, error) {
	var a struct{ Agents []struct{ Alive bool } }
	if err := c.do(ctx, http.MethodGet, "agents", url.Values{"host": {host}}, nil, &a); err != nil {
		return false, err
	}
	for _, agent := range a.Agents {
		if agent.Alive {
			return true, nil
		}
	}
	return false, nil
}

// Port implements network.Client.
func (c *Client) Port(ctx context.Context, id string) (*network.Port, error) {
	var a struct{ Port *network.Port }
	err := c.do(ctx, http.MethodGet, "ports/"+escaped(id), nil, nil, &a)
	return present(a.Port, err)
}

// Ports implements network.Client. Neutron may give less at once than is asked for, so its word counts whether there is more.
func (c *Client) Ports(ctx context.Context, query url.Values) ([]*network.Port, error) {
	q := url.Values{"limit": {"1000"}, "sort_key": {"id"}, "sort_dir": {"asc"}}
	for k, v := range query {
		q[k] = v
	}
	var all []*network.Port
	for {
		var a struct {
			Ports []*network.Port
			Links []struct{ Rel string } `json:"ports_links"`
		}
		if err := c.do(ctx, http.MethodGet, "ports", q, nil, &a); err != nil {
			return nil, err
		}
		all = append(all, a.Ports...)
		more := false
		for _, l := range a.Links {
			more = more || l.Rel == "next"
		}
		if !more || len(a.Ports) == 0 {
			return all, nil
		}
		q.Set("marker", all[len(all)-1].ID)
	}
}

// CreatePorts implements network.Client.
func (c *Client) CreatePorts(ctx context.Context, ports []network.Attrs) ([]*network.Port, error) {
	var a struct{ Ports []*network.Port }
	err := c.do(ctx, http.MethodPost, "ports", nil, map[string]any{"ports": ports}, &a)
	return a.Ports, err
}

// UpdatePort implements network.Client.
func (c *Client) UpdatePort(ctx context.Context, id string, change network.Attrs) (*network.Port, error) {
	var a struct{ Port *network.Port }
	err := c.do(ctx, http.MethodPut, "ports/"+escaped(id), nil, map[string]any{"port": change}, &a)
	return present(a.Port, err)
}

// DeletePort implements network.Client.
func (c *Client) DeletePort(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "ports/"+escaped(id), nil, nil, nil)
}

// present refuses an answer that does not hold what it must.
func present[T any](v *T, err error) (*T, error) {
	if err == nil && v == nil {
		err = ferric.Errorf(ferric.CodeInternal, "Neutron's answer does not hold what was asked for; is this URL Neutron?")
	}
	return v, err
}
