package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/driver"
	"ferric/driver/storage"
	"ferric/flow"

	"github.com/google/go-cmp/cmp"
)

const (
	node     = "6d2f4a94-8f0e-4d7c-a5c8-444444444444"
	instance = "11111111-8f0e-4d7c-a5c8-444444444444"
)

// killed is the panic of a conductor that dies.
type killed struct{}

// world is a Cinder, which keeps to the order that the real one insists on, and the database of a conductor.
type world struct {
	volumes map[string]*storage.Volume
	exports map[string]string // volume → host
	refuse  map[string]error  // by call, or "call volume"
	calls   []string
	lost    int // the answer of this call is lost, counted from 1
	die     int // the conductor dies at this moment, counted from 1; each call has one before and one after it, each write to the database, too
	moments int
	made    int
	state   []byte
	targets []*ferric.VolumeTarget
}

func newWorld(volumes ...string) *world {
	w := &world{volumes: map[string]*storage.Volume{}, exports: map[string]string{}, refuse: map[string]error{}}
	for i, id := range volumes {
		w.volumes[id] = &storage.Volume{ID: id, Status: "available"}
		w.targets = append(w.targets, &ferric.VolumeTarget{UUID: "target-" + id, VolumeID: id, Type: "iscsi", BootIndex: i})
	}
	return w
}

func (w *world) moment() {
	if w.moments++; w.moments == w.die {
		panic(killed{})
	}
}

// call is one request: what the volume must be like for it, and what becomes of it.
func (w *world) call(name, id string, may func(v *storage.Volume) bool, do func(v *storage.Volume)) error {
	w.moment()
	defer w.moment()
	w.calls = append(w.calls, name+" "+id)
	for _, key := range []string{name, name + " " + id} {
		if err := w.refuse[key]; err != nil {
			return err
		}
	}
	v := w.volumes[id]
	if v == nil {
		return ferric.Errorf(ferric.CodeNotFound, "Volume %s could not be found.", id)
	}
	if !may(v) {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid volume: %s of volume %s, whose status is %s", name, id, v.Status)
	}
	do(v)
	if w.made++; w.made == w.lost {
		return ferric.Errorf(ferric.CodeUnavailable, "Cinder is unavailable: no answer in time")
	}
	return nil
}

func is(status string) func(*storage.Volume) bool {
	return func(v *storage.Volume) bool { return v.Status == status }
}

func always(*storage.Volume) bool { return true }

func (w *world) Volume(_ context.Context, id string) (*storage.Volume, error) {
	var out storage.Volume
	err := w.call("get", id, always, func(v *storage.Volume) { out = *v; out.Attachments = slices.Clone(v.Attachments) })
	return &out, err
}

func (w *world) Reserve(_ context.Context, id string) error {
	return w.call("reserve", id, func(v *storage.Volume) bool { return v.Status == "available" || v.Multiattach && v.Status == "in-use" },
		func(v *storage.Volume) { v.Status = "attaching" })
}

func (w *world) Unreserve(_ context.Context, id string) error {
	return w.call("unreserve", id, is("attaching"), func(v *storage.Volume) {
		v.Status = "available"
		if len(v.Attachments) > 0 {
			v.Status = "in-use"
		}
	})
}

func (w *world) Connect(_ context.Context, id string, c storage.Connector) (map[string]any, error) {
	err := w.call("connect", id, is("attaching"), func(*storage.Volume) { w.exports[id] = c.Host })
	return map[string]any{"target_portal": "192.0.2.1:3260", "auth_password": "chap-" + id}, err
}

func (w *world) Disconnect(_ context.Context, id string, c storage.Connector) error {
	return w.call("disconnect", id, always, func(*storage.Volume) { delete(w.exports, id) })
}

func (w *world) Attach(_ context.Context, id, server, mountpoint string) error {
	return w.call("attach", id, is("attaching"), func(v *storage.Volume) {
		v.Status = "in-use"
		v.Attachments = append(v.Attachments, storage.Attachment{ID: fmt.Sprintf("a%d", len(w.calls)), Server: server})
	})
}

func (w *world) BeginDetaching(_ context.Context, id string) error {
	return w.call("begin", id, is("in-use"), func(v *storage.Volume) { v.Status = "detaching" })
}

func (w *world) Detach(_ context.Context, id, attachment string) error {
	return w.call("detach", id, func(v *storage.Volume) bool {
		return slices.ContainsFunc(v.Attachments, func(a storage.Attachment) bool { return a.ID == attachment })
	}, func(v *storage.Volume) {
		v.Attachments = slices.DeleteFunc(v.Attachments, func(a storage.Attachment) bool { return a.ID == attachment })
		if v.Status = "available"; len(v.Attachments) > 0 {
			v.Status = "in-use"
		}
	})
}

func (w *world) Annotate(_ context.Context, id string, m map[string]string) error {
	return w.call("annotate", id, always, func(*storage.Volume) {
		var doc map[string]string
		if err := json.Unmarshal([]byte(m["ironic_node_"+node]), &doc); err != nil || doc["instance_uuid"] != instance {
			panic(fmt.Sprint("metadata ", m))
		}
	})
}

func (w *world) DriverState(context.Context, string, string) ([]byte, error) { return w.state, nil }

func (w *world) SetDriverState(_ context.Context, _, _ string, state []byte) error {
	w.moment()
	w.state = slices.Clone(state)
	w.moment()
	return nil
}

func (w *world) UpdateVolumeTarget(_ context.Context, uuid string, change func(*ferric.VolumeTarget) error) (*ferric.VolumeTarget, error) {
	w.moment()
	defer w.moment()
	for _, v := range w.targets {
		if v.UUID == uuid {
			err := change(v)
			return v.Clone(), err
		}
	}
	return nil, ferric.Errorf(ferric.CodeNotFound, "no volume target %s", uuid)
}

// task is what a conductor works with, read from the database anew.
func (w *world) task(op string, state ferric.ProvisionState) *driver.Task {
	m := &driver.Machine{Node: &ferric.Node{UUID: node, InstanceID: instance, ProvisionState: state},
		Connectors: []*ferric.VolumeConnector{{UUID: "c1", Type: "iqn", ConnectorID: "iqn.2026-11.org.example:one"}}}
	for _, v := range w.targets {
		m.Targets = append(m.Targets, v.Clone())
	}
	f := &flow.Task{Op: &flow.Operation{ID: op}, Step: &flow.Step{Name: op}, Node: m.Node}
	return &driver.Task{Machine: m, Flow: f, States: w, Volumes: w, Log: slog.New(slog.DiscardHandler)}
}

// run does something as the runner does: again after a wait and after a death. It returns the error that the step ends with, and what it waited for.
func (w *world) run(do func() error) (err error, waited []string) {
	for range 100 {
		again := false
		func() {
			defer func() {
				if p := recover(); p != nil {
					if _, ok := p.(killed); !ok {
						panic(p)
					}
					again = true
				}
			}()
			err = do()
		}()
		var p *driver.Pending
		if errors.As(err, &p) {
			waited = append(waited, p.What)
			again = true
		}
		if !again {
			return err, waited
		}
	}
	return errors.New("it never ends"), waited
}

// is describes the volumes: status, attachments, exports, and what the journal says.
func (w *world) String() string {
	var out []string
	for _, v := range w.targets {
		c := w.volumes[v.VolumeID]
		if c == nil {
			continue
		}
		text := v.VolumeID + " " + c.Status
		for _, a := range c.Attachments {
			text += " by " + a.Server[:4]
		}
		if w.exports[v.VolumeID] != "" {
			text += ", exported"
		}
		if v.Properties["auth_password"] == "chap-"+v.VolumeID {
			text += ", known"
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func subject(w *world) *storage.Cinder {
	return &storage.Cinder{Client: w, Retries: 2, RetryInterval: time.Second, Outage: time.Minute}
}

func attach(w *world) func() error {
	return func() error { return subject(w).Attach(context.Background(), w.task("deploy", ferric.Deploying)) }
}

func detach(w *world) func() error {
	return func() error { return subject(w).Detach(context.Background(), w.task("undeploy", ferric.Deleting)) }
}

const (
	attachedBoth = "v1 in-use by 1111, exported, known; v2 in-use by 1111, exported, known"
	detachedBoth = "v1 available, known; v2 available, known"
)

// TestConversation: what Cinder is asked, in which order, is what Ironic asks.
func TestConversation(t *testing.T) {
	w := newWorld("v1")
	if err := attach(w)(); err != nil {
		t.Fatal(err)
	}
	if err := attach(w)(); err != nil {
		t.Fatal(err)
	}
	if err := detach(w)(); err != nil {
		t.Fatal(err)
	}
	want := []string{"get v1", "reserve v1", "connect v1", "attach v1", "annotate v1", "get v1",
		"get v1", "begin v1", "disconnect v1", "detach v1", "annotate v1"}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	want2 := map[string]any{"target_portal": "192.0.2.1:3260", "auth_password": "chap-v1", "volume_id": "v1", "ironic_volume_uuid": "v1"}
	if diff := cmp.Diff(want2, w.targets[0].Properties); diff != "" {
		t.Errorf("properties (-want +have):\n%s", diff)
	}
	if len(w.state) > 0 {
		t.Errorf("the journal keeps %s", w.state)
	}
}

// TestDeaths kills the conductor at every moment of attaching, detaching, and of an attachment that Cinder refuses in the end; and loses every answer. What is
// there in the end is the same each time.
func TestDeaths(t *testing.T) {
	refused := func(w *world) { w.refuse["connect v2"] = ferric.Errorf(ferric.CodeInvalid, "no room") }
	for name, c := range map[string]struct {
		before func(w *world)
		do     func(w *world) func() error
		want   string
		fails  string
	}{
		"attach":                        {func(*world) {}, attach, attachedBoth, ""},
		"detach":                        {func(w *world) { must(t, attach(w)()) }, detach, detachedBoth, ""},
		"attach, the second is refused": {refused, attach, "v1 available, known; v2 available", "Failed to initialize connection for volume v2 to node " + node + ": no room"},
		"attach, one is taken": {func(w *world) {
			w.volumes["v2"].Status = "in-use"
			w.volumes["v2"].Attachments = []storage.Attachment{{ID: "x", Server: "other"}}
		}, attach, "v1 available, known; v2 in-use by othe", "its status is in-use, and must be available"},
		"attach, one is being attached elsewhere": {func(w *world) { w.volumes["v2"].Status = "attaching" }, attach, "v1 available, known; v2 attaching",
			"its status is attaching, and must be available"},
		"attach a shared one": {func(w *world) {
			w.volumes["v1"].Status, w.volumes["v1"].Multiattach = "in-use", true
			w.volumes["v1"].Attachments = []storage.Attachment{{ID: "x", Server: "other"}}
		}, attach, "v1 in-use by othe by 1111, exported, known; v2 in-use by 1111, exported, known", ""},
		"attached by Nova": {func(w *world) {
			w.volumes["v1"].Status, w.exports["v1"] = "in-use", "nova"
			w.volumes["v1"].Attachments = []storage.Attachment{{ID: "x", Server: instance}}
		}, attach, "v1 in-use by 1111, exported; v2 in-use by 1111, exported, known", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []string{"killed", "lost"} {
				for n := 0; ; n++ {
					w := newWorld("v1", "v2")
					c.before(w)
					w.moments, w.made, w.calls = 0, 0, nil
					if kind == "killed" {
						w.die = n
					} else {
						w.lost = n
					}
					err, _ := w.run(c.do(w))
					if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
						t.Fatalf("%s at %d: %v, want %q\n%s", kind, n, err, c.fails, strings.Join(w.calls, "\n"))
					}
					if diff := cmp.Diff(c.want, w.String()); diff != "" {
						t.Fatalf("%s at %d (-want +have):\n%s%s", kind, n, diff, strings.Join(w.calls, "\n"))
					}
					if kind == "killed" && n > w.moments || kind == "lost" && n > w.made {
						if n < 4 {
							t.Fatalf("only %d moments", n)
						}
						break
					}
				}
			}
		})
	}
}

// once runs something until it ends or the conductor dies.
func (w *world) once(do func() error) (err error, waited []string) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return do(), nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestGivenUp: an instance is deleted whose deploy died anywhere: nothing stays attached or reserved.
func TestGivenUp(t *testing.T) {
	reserved := 0
	for n := 1; ; n++ {
		w := newWorld("v1", "v2")
		w.die = n
		if err, _ := w.once(attach(w)); err == nil {
			break
		}
		w.die = 0
		for _, v := range w.volumes {
			if v.Status == "attaching" {
				reserved++
			}
		}
		if err, _ := w.run(detach(w)); err != nil || w.volumes["v1"].Status+w.volumes["v2"].Status != "availableavailable" || len(w.exports)+len(w.state) > 0 {
			t.Fatalf("killed at %d: %v, %s, journal %s\n%s", n, err, w, w.state, strings.Join(w.calls, "\n"))
		}
	}
	if reserved < 10 {
		t.Errorf("only %d deaths left a reservation", reserved)
	}
}

// TestInterruptedDetachment: a machine that is started again after its detachment was cut short gets its volume back.
func TestInterruptedDetachment(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld("v1")
		must(t, attach(w)())
		w.moments, w.die = 0, n
		if err, _ := w.once(detach(w)); err == nil {
			return
		}
		w.die = 0
		if err, _ := w.run(attach(w)); err != nil || w.String() != "v1 in-use by 1111, exported, known" {
			t.Fatalf("killed at %d: %v, %s\n%s", n, err, w, strings.Join(w.calls, "\n"))
		}
	}
}

// TestAway: while Cinder gives no answer steps wait, and say for what; but a machine is powered off all the same.
func TestAway(t *testing.T) {
	away := ferric.Errorf(ferric.CodeUnavailable, "Cinder is unavailable: connection refused")
	for _, call := range []string{"get", "reserve", "connect", "attach"} {
		w := newWorld("v1")
		w.refuse[call] = away
		err := attach(w)()
		var p *driver.Pending
		if !errors.As(err, &p) || p.What != "Cinder to answer again" || p.Timeout != time.Minute || !strings.Contains(p.Error(), "connection refused") {
			t.Errorf("%s: %v", call, err)
		}
		delete(w.refuse, call)
		if err := attach(w)(); err != nil || w.String() != "v1 in-use by 1111, exported, known" {
			t.Errorf("%s: %v, %s", call, err, w)
		}
	}
	for _, call := range []string{"get", "begin", "disconnect", "detach"} {
		w := newWorld("v1")
		must(t, attach(w)())
		w.refuse[call] = away
		var p *driver.Pending
		if err := detach(w)(); !errors.As(err, &p) {
			t.Errorf("%s: %v", call, err)
		}
		must(t, subject(w).Detach(t.Context(), w.task("power", ferric.Active)))
		delete(w.refuse, call)
		if err := detach(w)(); err != nil || w.String() != "v1 available, known" {
			t.Errorf("%s: %v, %s", call, err, w)
		}
	}
}

// TestRetries: what Cinder refuses is tried as often as configured, then the step fails; asked again it is tried anew.
func TestRetries(t *testing.T) {
	for name, c := range map[string]struct{ call, want string }{
		"begin":      {"begin", "Failed to request detach for volume v1 from cinder for node " + node},
		"disconnect": {"disconnect", "Failed to detach volume v1 from node " + node},
		"detach":     {"detach", "Failed to inform cinder that the detachment for volume v1 from node " + node + " has been completed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld("v1")
			must(t, attach(w)())
			w.refuse[c.call] = ferric.Errorf(ferric.CodeBusy, "backend is sick")
			for range 2 {
				err, waited := w.run(detach(w))
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "Error detaching volume for node") {
					t.Errorf("%v, want %q", err, c.want)
				}
				if len(waited) != 2 || waited[0] != "another attempt to detach volume v1" {
					t.Errorf("waited for %q", waited)
				}
			}
			delete(w.refuse, c.call)
			if err, _ := w.run(detach(w)); err != nil || w.String() != "v1 available, known" || len(w.state) > 0 {
				t.Errorf("%v, %s, journal %s", err, w, w.state)
			}
		})
	}
}

// TestTolerated: metadata is not vital, and a volume that is gone need not be detached.
func TestTolerated(t *testing.T) {
	w := newWorld("v1", "v2")
	w.refuse["annotate"] = ferric.Errorf(ferric.CodeInternal, "no")
	must(t, attach(w)())
	delete(w.volumes, "v1")
	must(t, detach(w)())
	if w.String() != "v2 available, known" || len(w.state) > 0 {
		t.Errorf("%s, journal %s", w, w.state)
	}
}

// TestForgottenTarget: a volume whose target somebody removed is detached with the instance, if Ferric attached it.
func TestForgottenTarget(t *testing.T) {
	w := newWorld("v1")
	must(t, attach(w)())
	w.targets = nil
	must(t, detach(w)())
	if got := w.volumes["v1"].Status; got != "available" {
		t.Errorf("v1 is %s", got)
	}
}
