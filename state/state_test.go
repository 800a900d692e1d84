package state_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"ferric"
	"ferric/state"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestTransitions compares the machine with testdata/transitions.txt, all of Ironic's transitions as "from | event | to".
func TestTransitions(t *testing.T) {
	text, err := os.ReadFile("testdata/transitions.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(text)), "\n")
	var have []string
	for _, tr := range state.Transitions() {
		have = append(have, string(tr.From)+" | "+string(tr.Event)+" | "+string(tr.To))
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("transitions (-Ironic +ours):\n%s", diff)
	}
	if len(have) != 93 {
		t.Errorf("%d transitions, want 93", len(have))
	}
}

func TestNext(t *testing.T) {
	m := state.New()
	for name, tt := range map[string]struct {
		from, target ferric.ProvisionState
		event        state.Event
		want         ferric.ProvisionState
		to, then     ferric.ProvisionState
	}{
		"a verb sets the usual target":             {from: ferric.Available, event: state.Deploy, to: ferric.Deploying, then: ferric.Active},
		"a verb with a target of its own":          {from: ferric.Manageable, event: state.Clean, want: ferric.Manageable, to: ferric.Cleaning, then: ferric.Manageable},
		"the conductor keeps the target":           {from: ferric.Cleaning, target: ferric.Manageable, event: state.Wait, to: ferric.CleanWait, then: ferric.Manageable},
		"a failure keeps the target":               {from: ferric.CleanWait, target: ferric.Manageable, event: state.Fail, to: ferric.CleanFailed, then: ferric.Manageable},
		"a stable state has no target":             {from: ferric.Deploying, target: ferric.Active, event: state.Done, to: ferric.Active},
		"verify failed goes back to enroll":        {from: ferric.Verifying, target: ferric.Manageable, event: state.Fail, to: ferric.Enroll},
		"undeploy moves on to cleaning":            {from: ferric.Deleting, target: ferric.Available, event: state.Clean, want: ferric.Available, to: ferric.Cleaning, then: ferric.Available},
		"abort keeps the target of what it aborts": {from: ferric.CleanWait, target: ferric.Manageable, event: state.Abort, to: ferric.CleanFailed, then: ferric.Manageable},
	} {
		t.Run(name, func(t *testing.T) {
			to, then, err := m.Next(tt.from, tt.target, tt.event, tt.want)
			if err != nil || to != tt.to || then != tt.then {
				t.Errorf("Next(%q, %q, %q, %q) = %q, %q, %v; want %q, %q", tt.from, tt.target, tt.event, tt.want, to, then, err, tt.to, tt.then)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	m := state.New()
	_, _, err := m.Next(ferric.Active, "", state.Provide, "")
	if !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Fatalf("providing an active node: %v, want CodeInvalid", err)
	}
	text := m.RefuseTarget("provide", "n1", ferric.Active).Error()
	for _, want := range []string{`The requested action "provide" can not be performed on node "n1" while it is in state "active".`, "rebuild", "deleted", "rescue"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not contain %q", text, want)
		}
	}
}

func TestTargets(t *testing.T) {
	m := state.New()
	for from, want := range map[ferric.ProvisionState][]string{
		ferric.Enroll:     {"manage"},
		ferric.Available:  {"active", "deploy", "manage"},
		ferric.Manageable: {"provide", "inspect", "clean", "adopt"},
		ferric.CleanWait:  {"abort"},
		ferric.Cleaning:   {"manage"},
		ferric.DeployHold: {"abort", "unhold"},
	} {
		if diff := cmp.Diff(want, m.Targets(from)); diff != "" {
			t.Errorf("targets in %q (-want +have):\n%s", from, diff)
		}
	}
}

func TestEventFor(t *testing.T) {
	for name, want := range map[string]state.Event{"active": state.Deploy, "deploy": state.Deploy, "deleted": state.Delete,
		"undeploy": state.Delete, "unhold": state.Unhold} {
		if e, ok := state.EventFor(name); !ok || e != want {
			t.Errorf("EventFor(%q) = %q, %v; want %q", name, e, ok, want)
		}
	}
	if e, ok := state.EventFor("wait"); ok {
		t.Errorf("EventFor(wait) = %q: events of the conductor are no verbs", e)
	}
}

// TestEveryWayEnds walks at random from enroll: no state is a trap, every state is of exactly one kind, and a target is stable.
func TestEveryWayEnds(t *testing.T) {
	m := state.New()
	all := state.Transitions()
	rapid.Check(t, func(t *rapid.T) {
		n := &ferric.Node{ProvisionState: ferric.Enroll}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			var out []state.Event
			for _, tr := range all {
				if tr.From == n.ProvisionState {
					out = append(out, tr.Event)
				}
			}
			if len(out) == 0 {
				t.Fatalf("nothing leads out of %q", n.ProvisionState)
			}
			if err := m.Apply(n, rapid.SampledFrom(out).Draw(t, "event"), ""); err != nil {
				t.Fatal(err)
			}
			kinds := 0
			for _, is := range []bool{state.Stable(n.ProvisionState), state.Failed(n.ProvisionState), state.Held(n.ProvisionState), state.Transient(n.ProvisionState)} {
				if is {
					kinds++
				}
			}
			if kinds != 1 {
				t.Fatalf("%q is of %d kinds", n.ProvisionState, kinds)
			}
			if state.Stable(n.ProvisionState) != (n.TargetProvisionState == "") {
				t.Fatalf("%q has the target %q", n.ProvisionState, n.TargetProvisionState)
			}
			if n.TargetProvisionState != "" && !state.Stable(n.TargetProvisionState) {
				t.Fatalf("the target %q of %q is not stable", n.TargetProvisionState, n.ProvisionState)
			}
		}
	})
}
