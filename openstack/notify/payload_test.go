package notify_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/openstack/notify"
)

// ironicPayloads reads testdata/ironic_payloads.txt, which lists Ironic's payload classes (ironic/objects) with their versions, and each one's fields with their
// types; a question mark means that null is allowed.
func ironicPayloads(t *testing.T) (versions map[string]string, fields map[string]map[string]string) {
	t.Helper()
	f, err := os.Open("testdata/ironic_payloads.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	versions, fields = map[string]string{}, map[string]map[string]string{}
	name := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		line, inner := strings.CutPrefix(s.Text(), "\t")
		first, second, _ := strings.Cut(line, " ")
		if inner {
			fields[name][first] = second
			continue
		}
		name = first
		versions[name], fields[name] = second, map[string]string{}
	}
	return versions, fields
}

// subjects returns an object of a kind with nothing in it, and one with everything.
func subjects(object string) (empty, full any) {
	const id, other = "1910f669-ce8b-43c2-b1d8-cf3d65be815e", "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"
	at := time.Date(2026, 11, 23, 1, 2, 3, 456789000, time.FixedZone("", 3600))
	docs := map[string]any{"a": 1.0}
	yes := true
	steps := []ferric.StepRequest{{Interface: "bios", Step: "apply_configuration", Args: map[string]any{"password": "s3cret", "n": 1.0}, Priority: 150, Order: 3}}
	switch object {
	case ferric.ObjectAllocation:
		return &ferric.Allocation{}, &ferric.Allocation{UUID: id, Name: "a", ResourceClass: "gold", Traits: []string{"T"}, CandidateNodes: []string{other},
			Owner: "p", Extra: docs, State: ferric.AllocationFailed, LastError: "e", NodeUUID: other, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectChassis:
		return &ferric.Chassis{UUID: id}, &ferric.Chassis{UUID: id, Description: "d", Extra: docs, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectDeployTemplate:
		return &ferric.DeployTemplate{UUID: id, Name: "n"}, &ferric.DeployTemplate{UUID: id, Name: "n", Steps: steps, Extra: docs, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectInspectionRule:
		ops := []ferric.RuleOperation{{Op: "set-attribute", Args: map[string]any{"path": "/x", "password": "s3cret"}, Loop: []any{"i"}, Multiple: "any"}}
		return &ferric.InspectionRule{UUID: id, Sensitive: true, Actions: ops},
			&ferric.InspectionRule{UUID: id, Description: "d", Phase: "main", Priority: 5, Conditions: ops, Actions: ops, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectNode:
		n := &ferric.Node{UUID: id, Name: "n", InstanceID: other, Driver: "ipmi",
			DriverInfo: map[string]any{"ipmi_address": "192.0.2.1", "ipmi_password": "s3cret"}, Interfaces: ferric.Interfaces{}, Properties: docs,
			InstanceInfo: map[string]any{"image_url": "http://s3cret", "image_source": "http://u:s3cret@h/i", "configdrive": "s3cret", "root_gb": 10.0}, Extra: docs,
			InternalInfo: map[string]any{"agent_secret_token": "s3cret", "is_whole_disk_image": true},
			ChassisUUID:  other, ResourceClass: "gold", ConductorGroup: "g", Owner: "o", Lessee: "l", Description: "d", Traits: []string{"T"},
			PowerState: ferric.PowerOn, TargetPowerState: ferric.PowerOff, ProvisionState: ferric.Deploying, TargetProvisionState: ferric.Active, ProvisionUpdatedAt: at,
			LastError: "e", Maintenance: true, MaintenanceReason: "m", Fault: ferric.FaultPower, Protected: true, ProtectedReason: "p", Retired: true, RetiredReason: "r",
			DisablePowerOff: true, ConsoleEnabled: true, BootMode: "uefi", SecureBoot: &yes, CleanStep: docs, DeployStep: docs,
			InspectionStartedAt: at, InspectionFinishedAt: at, CreatedAt: at, UpdatedAt: at}
		for _, kind := range ferric.InterfaceKinds() {
			n.Interfaces[kind] = "fake"
		}
		return &ferric.Node{UUID: id}, n
	case ferric.ObjectPort:
		return &ferric.Port{UUID: id, NodeUUID: other}, &ferric.Port{UUID: id, NodeUUID: other, Address: "11:22:33:44:55:66", Name: "n", Description: "d", Extra: docs,
			LocalLinkConnection: docs, PXEEnabled: true, PortgroupUUID: other, PhysicalNetwork: "p", IsSmartNIC: true, Vendor: "v", Category: "c",
			NotForDynamicPortgroup: true, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectPortgroup:
		return &ferric.Portgroup{UUID: id, NodeUUID: other}, &ferric.Portgroup{UUID: id, NodeUUID: other, Address: "11:22:33:44:55:66", Name: "n", Mode: "802.3ad",
			Properties: docs, StandalonePorts: true, PhysicalNetwork: "p", Category: "c", Dynamic: true, Extra: docs, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectRunbook:
		return &ferric.Runbook{UUID: id, Name: "n"}, &ferric.Runbook{UUID: id, Name: "n", Description: "d", Owner: "o", Public: true, DisableRamdisk: true,
			Traits: []string{"T"}, Steps: steps, Extra: docs, CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectVolumeConnector:
		return &ferric.VolumeConnector{UUID: id, NodeUUID: other}, &ferric.VolumeConnector{UUID: id, NodeUUID: other, Type: "iqn", ConnectorID: "c", Extra: docs,
			CreatedAt: at, UpdatedAt: at}
	case ferric.ObjectVolumeTarget:
		return &ferric.VolumeTarget{UUID: id, NodeUUID: other}, &ferric.VolumeTarget{UUID: id, NodeUUID: other, Type: "iscsi", VolumeID: "v", BootIndex: 0,
			Properties: map[string]any{"auth_password": "s3cret", "target_lun": 1.0}, Extra: docs, CreatedAt: at, UpdatedAt: at}
	}
	return nil, nil
}

// fits reports whether a JSON value has a type of Ironic's.
func fits(kind string, v any) bool {
	kind, nullable := strings.CutSuffix(kind, "?")
	ok := false
	switch kind {
	case "String", "UUID", "MACAddress":
		_, ok = v.(string)
	case "DateTime":
		var s string
		if s, ok = v.(string); ok {
			_, err := time.Parse("2006-01-02T15:04:05Z", s)
			ok = err == nil
		}
	case "Boolean":
		_, ok = v.(bool)
	case "Integer":
		_, ok = v.(float64)
	case "FlexibleDict":
		_, ok = v.(map[string]any)
	case "ListOfStrings":
		var l []any
		l, ok = v.([]any)
		ok = ok && !slices.ContainsFunc(l, func(e any) bool { _, is := e.(string); return !is })
	case "ListOfFlexibleDicts":
		var l []any
		l, ok = v.([]any)
		ok = ok && !slices.ContainsFunc(l, func(e any) bool { _, is := e.(map[string]any); return !is })
	}
	return ok || v == nil && nullable
}

func composer() *notify.Composer {
	return &notify.Composer{Host: "host1", Level: "debug", Nova: true, Log: slog.New(slog.DiscardHandler)}
}

// TestPayloadsAreIronics compares every kind of notification with Ironic's definition of its payload, field by field, for an object with nothing in
// it and for one with everything.
func TestPayloadsAreIronics(t *testing.T) {
	versions, fields := ironicPayloads(t)
	used := map[string]bool{}
	for _, kind := range notify.Kinds() {
		for _, phase := range kind.Phases {
			empty, full := subjects(kind.Object)
			for what, subject := range map[string]any{"empty": empty, "full": full} {
				t.Run(fmt.Sprintf("%s.%s.%s, %s", kind.Object, kind.Action, phase, what), func(t *testing.T) {
					news := ferric.News{Action: kind.Action, Phase: phase}
					if what == "full" {
						news.Power, news.Event, news.From, news.FromTarget, news.To, news.ToTarget = ferric.PowerOn, "deploy", ferric.Available, "x", ferric.Deploying, ferric.Active
					}
					list := composer().Notices(ferric.Occurrence{Object: kind.Object, News: news, Subject: subject})
					if len(list) != 1 {
						t.Fatalf("%d notices", len(list))
					}
					n := list[0]
					var p struct {
						Name      string         `json:"ironic_object.name"`
						Namespace string         `json:"ironic_object.namespace"`
						Version   string         `json:"ironic_object.version"`
						Data      map[string]any `json:"ironic_object.data"`
					}
					if err := json.Unmarshal(n.Payload, &p); err != nil {
						t.Fatal(err)
					}
					used[p.Name] = true
					if p.Namespace != "ironic" || p.Version == "" || p.Version != versions[p.Name] {
						t.Errorf("payload %s %s %s, Ironic has version %q", p.Namespace, p.Name, p.Version, versions[p.Name])
					}
					for name, is := range fields[p.Name] {
						v, given := p.Data[name]
						if !given {
							t.Errorf("%s lacks %s", p.Name, name)
						} else if !fits(is, v) {
							t.Errorf("%s.%s is %#v, which is no %s", p.Name, name, v, is)
						} else if v == nil && what == "full" && name != "scope" {
							t.Errorf("%s.%s is null though the object has it", p.Name, name)
						}
					}
					for name := range p.Data {
						if fields[p.Name][name] == "" {
							t.Errorf("%s has %s, which Ironic's has not", p.Name, name)
						}
					}
					if strings.Contains(string(n.Payload), "s3cret") {
						t.Errorf("it shows a secret: %s", n.Payload)
					}
					level, service := "info", "ironic-conductor"
					if phase == ferric.PhaseError {
						level = "error"
					}
					if kind.OfClients {
						service = "ironic-api"
					}
					if n.EventType != fmt.Sprintf("baremetal.%s.%s.%s", kind.Object, kind.Action, phase) || n.Level != level || n.Publisher != service+".host1" ||
						n.Topic != ferric.TopicNotifications {
						t.Errorf("%s, %s, %s, %s", n.EventType, n.Level, n.Publisher, n.Topic)
					}
				})
			}
		}
	}
	for name := range versions {
		if !used[name] {
			t.Errorf("Ironic's payload %s is in no kind of notification", name)
		}
	}
}

// TestAMoveIsToldWithItsOwnStates: a change that makes two moves tells of each with the state that it led to.
func TestAMoveIsToldWithItsOwnStates(t *testing.T) {
	_, full := subjects(ferric.ObjectNode)
	n := composer().Notices(ferric.Occurrence{Object: ferric.ObjectNode, Subject: full, News: ferric.News{Action: ferric.ActionProvisionSet,
		Phase: ferric.PhaseSuccess, Event: "resume", From: ferric.CleanWait, FromTarget: ferric.Available, To: ferric.Cleaning, ToTarget: ferric.Available}})
	var p struct {
		Data map[string]any `json:"ironic_object.data"`
	}
	if err := json.Unmarshal(n[0].Payload, &p); err != nil {
		t.Fatal(err)
	}
	have := map[string]any{}
	for _, name := range []string{"event", "previous_provision_state", "previous_target_provision_state", "provision_state", "target_provision_state", "driver_internal_info", "instance_info"} {
		have[name] = p.Data[name]
	}
	want := map[string]any{"event": "resume", "previous_provision_state": "clean wait", "previous_target_provision_state": "available",
		"provision_state": "cleaning", "target_provision_state": "available",
		"driver_internal_info": map[string]any{"agent_secret_token": "******", "is_whole_disk_image": true},
		"instance_info":        map[string]any{"image_url": "******", "image_source": "http://u:******@h/i", "configdrive": "******", "root_gb": 10.0}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

func TestLevels(t *testing.T) {
	_, full := subjects(ferric.ObjectPort)
	for level, want := range map[string][2]int{"": {0, 0}, "debug": {1, 1}, "info": {1, 1}, "warning": {0, 1}, "error": {0, 1}, "critical": {0, 0}} {
		c := composer()
		c.Level = level
		end := c.Notices(ferric.Occurrence{Object: ferric.ObjectPort, Subject: full, News: ferric.News{Action: ferric.ActionUpdate, Phase: ferric.PhaseEnd}})
		failed := c.Notices(ferric.Occurrence{Object: ferric.ObjectPort, Subject: full, News: ferric.News{Action: ferric.ActionUpdate, Phase: ferric.PhaseError}})
		if have := [2]int{len(end), len(failed)}; have != want {
			t.Errorf("level %q: %v notices of info and error, want %v", level, have, want)
		}
	}
}

func TestPowerStatesForNova(t *testing.T) {
	const instance = "d6ea00c1-1f94-4e95-90b3-3462d7031678"
	for name, tt := range map[string]struct {
		node ferric.Node
		nova bool
		want string
	}{
		"on":                 {ferric.Node{InstanceID: instance, PowerState: ferric.PowerOn}, true, `{"server_uuid":"` + instance + `","tag":"POWER_ON"}`},
		"off":                {ferric.Node{InstanceID: instance, PowerState: ferric.PowerOff}, true, `{"server_uuid":"` + instance + `","tag":"POWER_OFF"}`},
		"nobody knows":       {ferric.Node{InstanceID: instance}, true, ""},
		"no instance":        {ferric.Node{PowerState: ferric.PowerOn}, true, ""},
		"nobody asks for it": {ferric.Node{InstanceID: instance, PowerState: ferric.PowerOn}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := composer()
			c.Nova, c.Level = tt.nova, ""
			have := ""
			for _, n := range c.Notices(ferric.Occurrence{Object: ferric.ObjectNode, Subject: &tt.node, News: ferric.News{Action: ferric.ActionPowerChanged}}) {
				have += string(n.Payload)
				if n.Topic != ferric.TopicNova {
					t.Errorf("topic %s", n.Topic)
				}
			}
			if have != tt.want {
				t.Errorf("%s, want %s", have, tt.want)
			}
		})
	}
}
