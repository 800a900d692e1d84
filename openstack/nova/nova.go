// Package nova tells Nova of the power states of its instances' machines, as Ironic does: the external event power-update. So Nova follows when a machine is
// switched on or off by somebody else than Nova.
//
// # Concurrency
//
// A PowerUpdates belongs to the goroutine that sends with it.
package nova

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/openstack"
	"ferric/openstack/notify"
)

// Session makes clients of services; *openstack.Session is one.
type Session interface {
	Client(ctx context.Context, service openstack.Service) (*gophercloud.ServiceClient, error)
}

// PowerUpdates is a sink of notices about power states. It sends one after the other: Nova takes the last one for the truth.
type PowerUpdates struct {
	Session Session
	Timeout time.Duration // of each request, with its repetitions
}

var _ notify.Sink = (*PowerUpdates)(nil)

// microversion is the first one that knows power-update.
const microversion = "2.76"

// event is an external event, and in an answer what Nova did about it.
type event struct {
	Name string `json:"name"`
	notify.PowerUpdate
	Status string `json:"status,omitempty"`
	Code   int    `json:"code,omitempty"`
}

// Send implements notify.Sink.
func (p *PowerUpdates) Send(ctx context.Context, list []ferric.Notice) (sent int, err error) {
	for i := range list {
		var update notify.PowerUpdate
		if err := json.Unmarshal(list[i].Payload, &update); err != nil {
			return i, &notify.Refused{Why: "the notice is damaged: " + err.Error()}
		}
		if err := p.send(ctx, update); err != nil {
			return i, err
		}
	}
	return len(list), nil
}

func (p *PowerUpdates) send(ctx context.Context, update notify.PowerUpdate) error {
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	client, err := p.Session.Client(ctx, openstack.Service{Type: "compute"})
	if err != nil {
		return err
	}
	client.Microversion = microversion
	var answer struct{ Events []event }
	_, err = client.Post(ctx, client.ServiceURL("os-server-external-events"), map[string]any{"events": []event{{Name: "power-update", PowerUpdate: update}}}, &answer,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusOK, http.StatusMultiStatus}})
	switch {
	case openstack.Is(err, openstack.NotFound), openstack.Is(err, openstack.Rejected), openstack.Is(err, openstack.Conflict):
		return &notify.Refused{Why: fmt.Sprintf("instance %s, %s: %v", update.ServerUUID, update.Tag, err)}
	case err != nil:
		return err
	}
	for _, e := range answer.Events {
		if e.Code >= http.StatusBadRequest { // Nova does not have the instance, or it is nowhere
			return &notify.Refused{Why: fmt.Sprintf("Nova answers %d (%s) to %s of the instance %s", e.Code, e.Status, update.Tag, update.ServerUUID)}
		}
	}
	return nil
}

// Close implements notify.Sink. The session is shared.
func (*PowerUpdates) Close() error { return nil }
