package ring_test

import (
	"slices"
	"testing"

	"ferric"
	"ferric/conductor/ring"
)

// TestVersions: what is for a version of the protocol goes to those who speak it, and all the rest to where it was.
func TestVersions(t *testing.T) {
	all := members(4)
	for i, p := range []ferric.Protocol{{}, {Oldest: 1, Newest: 2}, {Oldest: 2, Newest: 3}, {Oldest: 1, Newest: 3}} {
		all[i].Protocol = p
	}
	r := ring.New(all)
	if got := r.Spoken(); got != 1 {
		t.Errorf("all speak %d", got)
	}
	for version, want := range map[int][]string{0: {"host-0", "host-1", "host-2", "host-3"}, 1: {"host-0", "host-1", "host-2", "host-3"},
		2: {"host-1", "host-2", "host-3"}, 3: {"host-2", "host-3"}, 4: nil} {
		if got := r.Speaking(version).Hosts(); !slices.Equal(got, want) {
			t.Errorf("protocol %d is spoken by %v, want %v", version, got, want)
		}
	}
	for name, c := range map[string]struct {
		p    ferric.Protocol
		want []string
	}{
		"the first version": {ferric.Protocol{Oldest: 1, Newest: 1}, []string{"host-0", "host-1", "host-3"}},
		"the third only":    {ferric.Protocol{Oldest: 3, Newest: 3}, []string{"host-2", "host-3"}},
		"all":               {ferric.Protocol{Oldest: 1, Newest: 3}, []string{"host-0", "host-1", "host-2", "host-3"}},
	} {
		if got := r.Meeting(c.p).Hosts(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	able := r.Speaking(2)
	for _, n := range nodes(200) {
		was, is := owner(t, r, n), owner(t, able, n)
		if was != "host-0" && was != is {
			t.Fatalf("the node %s moved from %s, which speaks the protocol, to %s", n, was, is)
		}
		if is == "host-0" {
			t.Fatalf("the node %s went to one that does not understand", n)
		}
	}
	if got := ring.New(nil).Spoken(); got != 1 {
		t.Errorf("nobody speaks %d", got)
	}
}
