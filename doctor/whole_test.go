package doctor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/doctor"
	"ferric/flow"
)

// fleet is a database with conductors, processes and nodes in which all else is well.
type fleet struct {
	conductors []ferric.Conductor
	processes  []ferric.Process
	nodes      int
}

func (f fleet) Conductors(context.Context, time.Duration) ([]ferric.Conductor, error) {
	return f.conductors, nil
}
func (f fleet) Processes(context.Context, time.Duration) ([]ferric.Process, error) {
	return f.processes, nil
}
func (f fleet) EachNodeBrief(_ context.Context, _ ferric.NodeFilter, fn func(*ferric.Node) error) error {
	for i := range f.nodes {
		n := &ferric.Node{UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Driver: "ipmi", ProvisionState: ferric.Available, PowerState: ferric.PowerOff}
		if err := fn(n); err != nil {
			return err
		}
	}
	return nil
}
func (f fleet) UnfinishedOperations(context.Context) ([]*flow.Operation, error) { return nil, nil }
func (f fleet) NodeLeases(context.Context) ([]flow.Lease, error)                { return nil, nil }
func (f fleet) AgentSessions(context.Context) ([]ferric.AgentSession, error)    { return nil, nil }
func (f fleet) Allocations(context.Context, ferric.AllocationFilter) ([]*ferric.Allocation, error) {
	return nil, nil
}
func (f fleet) Sinks(context.Context) ([]ferric.Sink, error) { return nil, nil }

// TestCluster: what is wrong with several conductors together is found, and nothing where all is well.
func TestCluster(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	conductor := func(host string) ferric.Conductor {
		return ferric.Conductor{Host: host, HardwareTypes: []string{"ipmi"}, Alive: true, UpdatedAt: now}
	}
	process := func(host, version string) ferric.Process {
		return ferric.Process{Host: host, Roles: "conductor", Program: ferric.Program{Version: version, Schema: 14, Protocol: ferric.Protocol{Oldest: 1, Newest: 1}}}
	}
	two := []ferric.Conductor{conductor("one"), conductor("two")}
	for name, c := range map[string]struct {
		fleet fleet
		toOne int      // of 10 nodes, how many the first conductor serves
		codes []string // of the findings
		says  string   // in the first
	}{
		"well":           {fleet: fleet{conductors: two, nodes: 1000, processes: []ferric.Process{process("one", "1"), process("two", "1")}}, toOne: 5},
		"unbalanced":     {fleet: fleet{conductors: two, nodes: 1000}, toOne: 9, codes: []string{"ring-unbalanced"}, says: "the conductor one has 900 of 1000 nodes"},
		"few nodes":      {fleet: fleet{conductors: two, nodes: 20}, toOne: 9},
		"one conductor":  {fleet: fleet{conductors: two[:1], nodes: 1000}, toOne: 10},
		"two versions":   {fleet: fleet{conductors: two, processes: []ferric.Process{process("one", "1"), process("two", "2")}}, codes: []string{"versions-differ"}, says: "2 (protocol 1, schema 14) on two"},
		"no conductors":  {codes: []string{"no-conductors"}, says: "there are no conductors"},
		"dead conductor": {fleet: fleet{conductors: []ferric.Conductor{two[0], {Host: "two", UpdatedAt: now.Add(-time.Hour)}}}, codes: []string{"conductor-dead"}, says: "two is not alive"},
		"its clock ahead": {fleet: fleet{conductors: []ferric.Conductor{{Host: "one", HardwareTypes: []string{"ipmi"}, Alive: true, UpdatedAt: now.Add(time.Minute)}}},
			codes: []string{"clock-skew"}, says: "one announced itself 1m0s in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			i := 0
			found, err := doctor.Examine(t.Context(), c.fleet, doctor.Options{Now: func() time.Time { return now }, Owner: func(*ferric.Node) string {
				i++
				if i%10 < c.toOne {
					return "one"
				}
				return "two"
			}})
			if err != nil {
				t.Fatal(err)
			}
			var codes []string
			for _, f := range found.Findings {
				codes = append(codes, f.Code)
				if f.Why == "" || f.Do == "" {
					t.Errorf("a finding does not explain itself: %+v", f)
				}
			}
			if fmt.Sprint(codes) != fmt.Sprint(c.codes) || c.says != "" && !strings.Contains(found.Findings[0].What, c.says) {
				t.Errorf("found %+v, want %v that say %q", found.Findings, c.codes, c.says)
			}
		})
	}
}
