// Package cinder is the client of Cinder that the storage interface "cinder" uses.
//
// # Concurrency
//
// A Client may be used by many goroutines. It starts none.
package cinder

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/driver/storage"
	"ferric/openstack"
)

// Session makes clients of services; *openstack.Session is one.
type Session interface {
	Client(ctx context.Context, service openstack.Service) (*gophercloud.ServiceClient, error)
}

// Client is a client of Cinder's API, version 3.
type Client struct {
	Session Session
	Timeout time.Duration // of each request, with its repetitions
}

var _ storage.Client = (*Client)(nil)

// do sends a request about a volume. body and answer are JSON and may be nil.
func (c *Client) do(ctx context.Context, method, id, part string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	client, err := c.Session.Client(ctx, openstack.Service{Type: "block-storage"})
	if err != nil {
		return told(err)
	}
	path := []string{"volumes", url.PathEscape(id)}
	if part != "" {
		path = append(path, part)
	}
	resp, err := client.Request(ctx, method, client.ServiceURL(path...), &gophercloud.RequestOpts{JSONBody: body, JSONResponse: answer,
		OkCodes: []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent}, KeepResponseBody: answer == nil})
	if err != nil {
		return told(err)
	}
	if answer == nil {
		resp.Body.Close()
	}
	return nil
}

// told gives an error the code that storage.Client promises: that our own user may not do something, or that there is no Cinder, does not pass by itself.
func told(err error) error {
	var e *openstack.Error
	if !errors.As(err, &e) {
		return ferric.Errorf(ferric.CodeUnavailable, "%w", err)
	}
	code := ferric.ErrorCode(err)
	switch {
	case e.Kind == openstack.Unauthorized, e.Kind == openstack.Forbidden, e.Kind == openstack.NoEndpoint:
		code = ferric.CodeInternal
	case e.Status == http.StatusInternalServerError || e.Status == http.StatusNotImplemented: // a backend that failed
		code = ferric.CodeBusy
	}
	return ferric.Errorf(code, "%w", err)
}

// act asks for one of the actions on a volume.
func (c *Client) act(ctx context.Context, id, action string, args, answer any) error {
	return c.do(ctx, http.MethodPost, id, "action", map[string]any{action: args}, answer)
}

// Volume implements storage.Client.
func (c *Client) Volume(ctx context.Context, id string) (*storage.Volume, error) {
	var a struct {
		Volume *struct {
			ID          string `json:"id"`
			Status      string `json:"status"`
			Multiattach bool   `json:"multiattach"`
			Attachments []struct {
				ID     string `json:"attachment_id"`
				Server string `json:"server_id"`
			} `json:"attachments"`
		} `json:"volume"`
	}
	if err := c.do(ctx, http.MethodGet, id, "", nil, &a); err != nil {
		return nil, err
	}
	if a.Volume == nil || a.Volume.Status == "" {
		return nil, ferric.Errorf(ferric.CodeInternal, "Cinder's answer does not hold a volume; is this URL Cinder?")
	}
	v := &storage.Volume{ID: a.Volume.ID, Status: a.Volume.Status, Multiattach: a.Volume.Multiattach}
	for _, at := range a.Volume.Attachments {
		v.Attachments = append(v.Attachments, storage.Attachment{ID: at.ID, Server: at.Server})
	}
	return v, nil
}

// Reserve implements storage.Client.
func (c *Client) Reserve(ctx context.Context, id string) error {
	return c.act(ctx, id, "os-reserve", nil, nil)
}

// Unreserve implements storage.Client.
func (c *Client) Unreserve(ctx context.Context, id string) error {
	return c.act(ctx, id, "os-unreserve", nil, nil)
}

// Connect implements storage.Client.
func (c *Client) Connect(ctx context.Context, id string, to storage.Connector) (map[string]any, error) {
	var a struct {
		Info struct {
			Data map[string]any `json:"data"`
		} `json:"connection_info"`
	}
	err := c.act(ctx, id, "os-initialize_connection", map[string]any{"connector": to}, &a)
	if err == nil && a.Info.Data == nil {
		err = ferric.Errorf(ferric.CodeInternal, "Cinder's answer does not say how the volume is reached")
	}
	return a.Info.Data, err
}

// Disconnect implements storage.Client.
func (c *Client) Disconnect(ctx context.Context, id string, from storage.Connector) error {
	return c.act(ctx, id, "os-terminate_connection", map[string]any{"connector": from}, nil)
}

// Attach implements storage.Client.
func (c *Client) Attach(ctx context.Context, id, instance, mountpoint string) error {
	return c.act(ctx, id, "os-attach", map[string]any{"mountpoint": mountpoint, "mode": "rw", "instance_uuid": instance}, nil)
}

// BeginDetaching implements storage.Client.
func (c *Client) BeginDetaching(ctx context.Context, id string) error {
	return c.act(ctx, id, "os-begin_detaching", nil, nil)
}

// Detach implements storage.Client.
func (c *Client) Detach(ctx context.Context, id, attachment string) error {
	return c.act(ctx, id, "os-detach", map[string]any{"attachment_id": attachment}, nil)
}

// Annotate implements storage.Client.
func (c *Client) Annotate(ctx context.Context, id string, metadata map[string]string) error {
	return c.do(ctx, http.MethodPost, id, "metadata", map[string]any{"metadata": metadata}, nil)
}
