package ring_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"ferric"
	"ferric/conductor/ring"

	"github.com/google/uuid"
)

func member(host, group string, types ...string) ferric.Conductor {
	return ferric.Conductor{Host: host, Group: group, HardwareTypes: types, Alive: true}
}

func members(n int) []ferric.Conductor {
	var all []ferric.Conductor
	for i := range n {
		all = append(all, member(fmt.Sprintf("host-%d", i), "", "ipmi"))
	}
	return all
}

// nodes are the same ones in every run.
func nodes(n int) []string {
	var all []string
	for i := range n {
		all = append(all, uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String())
	}
	return all
}

func owner(t *testing.T, r *ring.Ring, node string) string {
	t.Helper()
	host, err := r.Owner(node, "", "ipmi")
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// TestOnlyItsOwnNodesMove takes each member away in turn, and adds one.
func TestOnlyItsOwnNodesMove(t *testing.T) {
	all := members(5)
	before := ring.New(all)
	for i, gone := range all {
		after := ring.New(slices.Delete(slices.Clone(all), i, i+1))
		for _, n := range nodes(2000) {
			was, is := owner(t, before, n), owner(t, after, n)
			if was != gone.Host && is != was {
				t.Fatalf("%s moved from %s to %s when %s left", n, was, is, gone.Host)
			}
			if is == gone.Host {
				t.Fatalf("%s is still with %s", n, is)
			}
		}
	}
	more := ring.New(append(slices.Clone(all), member("new", "", "ipmi")))
	for _, n := range nodes(2000) {
		if was, is := owner(t, before, n), owner(t, more, n); is != was && is != "new" {
			t.Fatalf("%s moved from %s to %s when another one came", n, was, is)
		}
	}
}

func TestBalance(t *testing.T) {
	const n, hosts = 10000, 8
	r := ring.New(members(hosts))
	count := map[string]int{}
	for _, node := range nodes(n) {
		count[owner(t, r, node)]++
	}
	for host, c := range count {
		if off := math.Abs(float64(c)/(n/hosts) - 1); off > 0.15 {
			t.Errorf("%s has %d nodes, %.0f %% off its part", host, c, off*100)
		}
	}
	if len(count) != hosts {
		t.Errorf("%d of %d members have nodes", len(count), hosts)
	}
}

// TestOrderDoesNotMatter: every process computes the same, however the list came.
func TestOrderDoesNotMatter(t *testing.T) {
	all := members(5)
	back := slices.Clone(all)
	slices.Reverse(back)
	a, b := ring.New(all), ring.New(back)
	for _, n := range nodes(500) {
		if owner(t, a, n) != owner(t, b, n) {
			t.Fatalf("%s: %s or %s", n, owner(t, a, n), owner(t, b, n))
		}
	}
	if !slices.Equal(a.Hosts(), b.Hosts()) || !slices.IsSorted(a.Hosts()) {
		t.Errorf("hosts %v and %v", a.Hosts(), b.Hosts())
	}
}

func TestWhoMayServe(t *testing.T) {
	dead := member("dead", "", "ipmi", "redfish", "snmp")
	dead.Alive = false
	r := ring.New([]ferric.Conductor{member("a", "", "ipmi"), member("b", "", "redfish"), member("c", "rack-1", "ipmi", "redfish"), dead})
	for name, c := range map[string]struct {
		group, driver string
		want          []string // any of them; none: an error
	}{
		"type":            {"", "redfish", []string{"b"}},
		"other type":      {"", "ipmi", []string{"a"}},
		"any type":        {"", "", []string{"a", "b"}},
		"group":           {"rack-1", "redfish", []string{"c"}},
		"unknown group":   {"rack-2", "ipmi", nil},
		"unknown type":    {"", "idrac", nil},
		"only a dead one": {"", "snmp", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range nodes(100) {
				host, err := r.Owner(n, c.group, c.driver)
				if len(c.want) == 0 {
					if !ferric.IsCode(err, ferric.CodeUnavailable) {
						t.Fatalf("%q, %v; want CodeUnavailable", host, err)
					}
					continue
				}
				if err != nil || !slices.Contains(c.want, host) {
					t.Fatalf("%q, %v; want one of %v", host, err, c.want)
				}
			}
		})
	}
	if _, err := ring.New(nil).Owner(nodes(1)[0], "", "ipmi"); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("of nobody: %v", err)
	}
	if got := r.Hosts(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("hosts %v", got)
	}
}
