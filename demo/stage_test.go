package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/lab"
	"ferric/state"
)

func TestBegin(t *testing.T) {
	type given struct {
		at                ferric.ProvisionState
		maintenance, done bool
	}
	for name, c := range map[string]struct {
		given
		want start
	}{
		"nothing there":             {given{"", false, false}, start{stage: enrol}},
		"nothing there, but done":   {given{"", false, true}, start{stage: enrol}},
		"created, perhaps no port":  {given{ferric.Enroll, false, false}, start{stage: enrol}},
		"verifying":                 {given{ferric.Verifying, false, false}, start{stage: manage, waiting: true}},
		"managed":                   {given{ferric.Manageable, false, false}, start{stage: inspect}},
		"inspecting":                {given{ferric.InspectWait, false, false}, start{stage: inspect, waiting: true}},
		"inspect failed":            {given{ferric.InspectFailed, false, false}, start{stage: inspect}},
		"cleaning":                  {given{ferric.CleanWait, false, false}, start{stage: provide, waiting: true}},
		"clean failed":              {given{ferric.CleanFailed, true, false}, start{stage: provide, unset: true, verbs: []string{"manage"}}},
		"available":                 {given{ferric.Available, false, false}, start{stage: deploy}},
		"available at the end":      {given{ferric.Available, false, true}, start{stage: enrol, remove: true}},
		"deploying":                 {given{ferric.DeployWait, false, false}, start{stage: deploy, waiting: true}},
		"deploy failed":             {given{ferric.DeployFailed, false, false}, start{stage: deploy}},
		"deployed":                  {given{ferric.Active, false, false}, start{stage: login}},
		"deployed after the end":    {given{ferric.Active, false, true}, start{stage: enrol, remove: true, force: true}},
		"failed after the end":      {given{ferric.CleanFailed, true, true}, start{stage: enrol, remove: true}},
		"rescued after the end":     {given{ferric.Rescue, false, true}, start{stage: enrol, remove: true, force: true}},
		"undeploying":               {given{ferric.Deleting, false, false}, start{stage: provide, waiting: true}},
		"undeploy failed":           {given{ferric.ErrorState, false, false}, start{stage: undeploy}},
		"maintenance after the end": {given{ferric.Manageable, true, true}, start{stage: enrol, remove: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := begin(c.at, c.maintenance, c.done)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(start{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := begin(ferric.Rescue, false, false); err == nil {
		t.Error("a node in rescue was taken on")
	}
}

// TestBeginAgreesWithTheStateMachine: where an earlier run left off, the next verb must be allowed.
func TestBeginAgreesWithTheStateMachine(t *testing.T) {
	machine := state.New()
	for _, at := range state.All() {
		s, err := begin(at, false, false)
		if err != nil || s.waiting || s.stage == enrol || s.stage == login {
			continue
		}
		verb := s.stage.info().verb
		if len(s.verbs) > 0 {
			verb = s.verbs[0]
		}
		target := map[string]string{"deploy": "active", "undeploy": "deleted"}[verb]
		if target == "" {
			target = verb
		}
		event, ok := state.EventFor(target)
		if !ok || !machine.Can(at, event) {
			t.Errorf("from %q the demo says %q, which is not allowed", at, verb)
		}
	}
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		stage stage
		at    ferric.ProvisionState
		want  verdict
	}{
		"verifying":       {manage, ferric.Verifying, goesOn},
		"verified":        {manage, ferric.Manageable, reached},
		"wrong password":  {manage, ferric.Enroll, failed},
		"inspecting":      {inspect, ferric.InspectWait, goesOn},
		"inspected":       {inspect, ferric.Manageable, reached},
		"inspect failed":  {inspect, ferric.InspectFailed, failed},
		"clean failed":    {provide, ferric.CleanFailed, failed},
		"written":         {deploy, ferric.DeployWait, goesOn},
		"deployed":        {deploy, ferric.Active, reached},
		"deploy failed":   {deploy, ferric.DeployFailed, failed},
		"undeploying":     {undeploy, ferric.Deleting, goesOn},
		"wiping":          {undeploy, ferric.CleanWait, goesOn},
		"wiped":           {undeploy, ferric.Available, reached},
		"undeploy failed": {undeploy, ferric.ErrorState, failed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.stage.judge(node{ProvisionState: string(c.at)}); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestCommands(t *testing.T) {
	d := &demo{image: "/srv/debian.qcow2", key: "ssh-ed25519 AAAA demo"}
	for name, c := range map[string]struct {
		stage stage
		start start
		want  []string
	}{
		"verb":          {inspect, start{stage: enrol}, []string{"inspect node-1"}},
		"first verb":    {inspect, start{stage: inspect}, []string{"inspect node-1"}},
		"under way":     {inspect, start{stage: inspect, waiting: true}, nil},
		"clean failed":  {provide, start{stage: provide, unset: true, verbs: []string{"manage"}}, []string{"maintenance unset node-1", "manage node-1", "provide node-1"}},
		"recovered":     {undeploy, start{stage: provide, unset: true, verbs: []string{"manage"}}, []string{"undeploy node-1"}},
		"was under way": {undeploy, start{stage: deploy, waiting: true}, []string{"undeploy node-1"}},
		"deploy": {deploy, start{stage: enrol}, []string{"set node-1 --instance-info image_source=file:///srv/debian.qcow2",
			`deploy node-1 --config-drive {"meta_data":{"hostname":"web-1","public_keys":{"demo":"ssh-ed25519 AAAA demo"}}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			n := &server{m: &lab.Machine{MachineConfig: lab.MachineConfig{Name: "node-1"}}, hostname: "web-1", start: c.start}
			all, err := d.commands(n, c.stage)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, args := range all {
				text, ok := strings.CutPrefix(strings.Join(args, " "), "openstack baremetal node ")
				if !ok {
					t.Errorf("unexpected command %q", args)
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
