package nova_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/openstack"
	"ferric/openstack/notify"
	"ferric/openstack/nova"
)

// instances are those that the test's Nova has; others answer as the real one does.
const (
	known   = "b186fd2d-6fb8-402c-8623-9751a2d63a12"
	unknown = "08115d7d-d8a2-483b-a66d-574a38bdfbcf"
	nowhere = "4dbb4e69-99a8-4e13-b6e8-dd2ad4a20caf"
)

// fakeNova stands in the place of Nova, to fail at will. What the real one answers is tested in test/openstack.
type fakeNova struct {
	*httptest.Server
	fail int // the next answer, 0 for a good one
	got  []string
}

func (f *fakeNova) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.got = append(f.got, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("OpenStack-API-Version"), body))
	if f.fail != 0 {
		w.WriteHeader(f.fail)
		f.fail = 0
		return
	}
	var doc struct{ Events []map[string]any }
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Events) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e := doc.Events[0]
	status := http.StatusOK
	switch e["server_uuid"] {
	case known:
		e["status"], e["code"] = "completed", 200
	case nowhere:
		e["status"], e["code"], status = "failed", 422, http.StatusMultiStatus
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"itemNotFound": {"code": 404, "message": "No instances found for any event"}}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

func start(t *testing.T) (*fakeNova, *nova.PowerUpdates) {
	t.Helper()
	f := &fakeNova{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f, &nova.PowerUpdates{Session: session{f}, Timeout: time.Minute}
}

// session knows where Nova is.
type session struct{ f *fakeNova }

func (s session) Client(_ context.Context, service openstack.Service) (*gophercloud.ServiceClient, error) {
	if service.Type != "compute" {
		return nil, fmt.Errorf("a client of %s was asked for", service.Type)
	}
	provider := &gophercloud.ProviderClient{RetryFunc: func(_ context.Context, _, _ string, _ *gophercloud.RequestOpts, err error, _ uint) error {
		var code gophercloud.ErrUnexpectedResponseCode
		switch kind := openstack.Unavailable; {
		case errors.As(err, &code) && code.Actual == 404:
			return &openstack.Error{Kind: openstack.NotFound, Status: 404, Service: "Nova", Message: string(code.Body)}
		case errors.As(err, &code) && code.Actual == 400:
			return &openstack.Error{Kind: openstack.Rejected, Status: 400, Service: "Nova"}
		case errors.As(err, &code) && code.Actual == 403:
			return &openstack.Error{Kind: openstack.Forbidden, Status: 403, Service: "Nova"}
		default:
			return &openstack.Error{Kind: kind, Service: "Nova", Err: err}
		}
	}}
	return &gophercloud.ServiceClient{ProviderClient: provider, Type: "compute", Endpoint: s.f.URL + "/v2.1/"}, nil
}

func notice(instance, tag string) ferric.Notice {
	raw, _ := json.Marshal(notify.PowerUpdate{ServerUUID: instance, Tag: tag})
	return ferric.Notice{Topic: ferric.TopicNova, Payload: raw}
}

// TestPowerUpdates: Nova gets what Ironic sends it, one after the other.
func TestPowerUpdates(t *testing.T) {
	f, updates := start(t)
	sent, err := updates.Send(t.Context(), []ferric.Notice{notice(known, "POWER_ON"), notice(known, "POWER_OFF")})
	if sent != 2 || err != nil {
		t.Errorf("%d, %v", sent, err)
	}
	const line = `POST /v2.1/os-server-external-events compute 2.76 {"events":[{"name":"power-update","server_uuid":"` + known + `","tag":"%s"}]}`
	if diff := cmp.Diff([]string{fmt.Sprintf(line, "POWER_ON"), fmt.Sprintf(line, "POWER_OFF")}, f.got); diff != "" {
		t.Errorf("Nova got (-want +have):\n%s", diff)
	}
}

// TestWhatNovaDoesNotWant: what it will never take is passed over, what it cannot take now is tried again.
func TestWhatNovaDoesNotWant(t *testing.T) {
	for name, tt := range map[string]struct {
		instance string
		fail     int
		refused  bool
	}{
		"an instance that is gone":   {unknown, 0, true},
		"an instance without a host": {nowhere, 0, true},
		"a request it does not like": {known, 400, true},
		"Nova fails":                 {known, 500, false},
		"Nova is being started":      {known, 503, false},
		"our user may not do that":   {known, 403, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, updates := start(t)
			f.fail = tt.fail
			sent, err := updates.Send(t.Context(), []ferric.Notice{notice(tt.instance, "POWER_ON")})
			var refused *notify.Refused
			if sent != 0 || err == nil || errors.As(err, &refused) != tt.refused {
				t.Errorf("%d, %v; want refused %t", sent, err, tt.refused)
			}
			if tt.refused && !strings.Contains(err.Error(), tt.instance) {
				t.Errorf("%v does not say which instance", err)
			}
		})
	}
	_, updates := start(t)
	var refused *notify.Refused
	if _, err := updates.Send(t.Context(), []ferric.Notice{{Payload: []byte("{")}}); !errors.As(err, &refused) {
		t.Errorf("a damaged notice: %v", err)
	}
}
