package openstack

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	domain "ferric"
	"ferric/driver"
	"ferric/driver/storage"
	"ferric/flow"
	session "ferric/openstack"
	"ferric/openstack/cinder"
)

// cinderNode is what a conductor has of a node with volumes.
type cinderNode struct {
	c       *storage.Cinder
	node    *domain.Node
	targets []*domain.VolumeTarget
	state   []byte
}

func (n *cinderNode) DriverState(context.Context, string, string) ([]byte, error) {
	return n.state, nil
}

func (n *cinderNode) SetDriverState(_ context.Context, _, _ string, state []byte) error {
	n.state = slices.Clone(state)
	return nil
}

func (n *cinderNode) UpdateVolumeTarget(_ context.Context, uuid string, change func(*domain.VolumeTarget) error) (*domain.VolumeTarget, error) {
	for _, v := range n.targets {
		if v.UUID == uuid {
			return v, change(v)
		}
	}
	return nil, errors.New("no target")
}

func (n *cinderNode) task(op string) *driver.Task {
	m := &driver.Machine{Node: n.node, Connectors: []*domain.VolumeConnector{{Type: "iqn", ConnectorID: "iqn.2026-11.org.example:" + n.node.UUID}}}
	for _, v := range n.targets {
		m.Targets = append(m.Targets, v.Clone())
	}
	return &driver.Task{Machine: m, States: n, Volumes: n, Log: slog.New(slog.DiscardHandler),
		Flow: &flow.Task{Op: &flow.Operation{ID: op}, Step: &flow.Step{Name: op}, Node: n.node}}
}

// volume makes a volume that is deleted with the test.
func (c *cloud) volume(t *testing.T, api *gophercloud.ServiceClient) string {
	t.Helper()
	var made struct{ Volume struct{ ID string } }
	_, err := api.Post(t.Context(), api.ServiceURL("volumes"), map[string]any{"volume": map[string]any{"size": 1, "name": unique(t)}}, &made,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted}})
	check(t, err)
	later(t, func(ctx context.Context) {
		_, _ = api.Post(ctx, api.ServiceURL("volumes", made.Volume.ID, "action"), map[string]any{"os-force_delete": nil}, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted}})
	})
	for range 600 {
		if status, _, _ := inCinder(t, api, made.Volume.ID); status == "available" {
			return made.Volume.ID
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the volume does not become available; is cinder-volume up?")
	return ""
}

// inCinder is what Cinder says of a volume: its status, whose it is, and its metadata.
func inCinder(t *testing.T, api *gophercloud.ServiceClient, id string) (status, server string, metadata map[string]string) {
	t.Helper()
	var got struct {
		Volume struct {
			Status      string
			Metadata    map[string]string
			Attachments []struct {
				Server string `json:"server_id"`
			}
		}
	}
	_, err := api.Get(t.Context(), api.ServiceURL("volumes", id), &got, nil)
	check(t, err)
	if len(got.Volume.Attachments) > 1 {
		t.Errorf("volume %s is attached %d times", id, len(got.Volume.Attachments))
	}
	for _, a := range got.Volume.Attachments {
		server = a.Server
	}
	return got.Volume.Status, server, got.Volume.Metadata
}

// TestCinder attaches and detaches volumes of the real Cinder, finds them attached when asked again, and undoes what it did when one cannot be had.
func TestCinder(t *testing.T) {
	c := newCloud(t)
	api := c.service(t, openstack.NewBlockStorageV3)
	s, err := session.New(session.Credentials{AuthURL: c.AuthURL, Username: c.Service.User, Password: c.Service.Password, UserDomainName: c.Service.Domain,
		ProjectName: c.Service.Project, ProjectDomainName: c.Service.Domain, Region: c.Region, Source: "the test"}, session.Options{})
	check(t, err)
	t.Cleanup(s.Close)
	one, two := c.volume(t, api), c.volume(t, api)
	const id = "5f0c6c3e-6a0b-4b1e-9d55-0000000000c1"
	n := &cinderNode{c: &storage.Cinder{Client: &cinder.Client{Session: s, Timeout: time.Minute}}, node: &domain.Node{UUID: id, ProvisionState: domain.Deploying},
		targets: []*domain.VolumeTarget{{UUID: "t1", Type: "iscsi", VolumeID: one}}}
	want := func(volume, status, server, action string) {
		t.Helper()
		gotStatus, gotServer, metadata := inCinder(t, api, volume)
		if gotStatus != status || gotServer != server || !strings.Contains(metadata["ironic_node_"+id], action) {
			t.Errorf("volume %s is %q by %q with %v, want %q by %q, %s", volume, gotStatus, gotServer, metadata, status, server, action)
		}
	}
	for range 2 { // the second time it is found attached
		check(t, n.c.Attach(t.Context(), n.task("deploy")))
		want(one, "in-use", id, `"last_action":"attached"`)
	}
	if n.targets[0].Properties["ironic_volume_uuid"] != one || n.targets[0].Properties["volume_id"] != one {
		t.Errorf("the target's properties are %v", n.targets[0].Properties)
	}
	n.node.ProvisionState = domain.Deleting
	for range 2 {
		check(t, n.c.Detach(t.Context(), n.task("undeploy")))
		want(one, "available", "", `"last_action":"detached"`)
	}

	// The second volume is somebody else's: the first is given back.
	_, err = api.Post(t.Context(), api.ServiceURL("volumes", two, "action"), map[string]any{"os-reserve": nil}, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted}})
	check(t, err)
	n.targets = append(n.targets, &domain.VolumeTarget{UUID: "t2", Type: "iscsi", VolumeID: two, BootIndex: 1})
	err = n.c.Attach(t.Context(), n.task("deploy 2"))
	if err == nil || !strings.Contains(err.Error(), "Failed to reserve volume "+two) {
		t.Errorf("with a volume that is taken: %v", err)
	}
	want(one, "available", "", `"last_action":"detached"`)
	want(two, "attaching", "", "")

	// A conductor died after it had reserved one: the reservation is given back with the instance.
	_, err = api.Post(t.Context(), api.ServiceURL("volumes", one, "action"), map[string]any{"os-reserve": nil}, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusAccepted}})
	check(t, err)
	n.state = []byte(`{"volumes":{"` + one + `":"reserving"}}`)
	check(t, n.c.Detach(t.Context(), n.task("undeploy 2")))
	want(one, "available", "", "")
	want(two, "attaching", "", "")

	n.targets = []*domain.VolumeTarget{{UUID: "t3", Type: "iscsi", VolumeID: "5f0c6c3e-6a0b-4b1e-9d55-0000000000ff"}}
	if err := n.c.Attach(t.Context(), n.task("deploy 3")); err == nil || !strings.Contains(err.Error(), "Failed to get volume 5f0c6c3e-6a0b-4b1e-9d55-0000000000ff from cinder") {
		t.Errorf("with a volume that is not there: %v", err)
	}
}
