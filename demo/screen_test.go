package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScreenWithoutTerminal(t *testing.T) {
	var b strings.Builder
	now := time.Unix(0, 0)
	s := &screen{out: &b, now: func() time.Time { return now }}
	s.heading("Clean")
	s.command("openstack baremetal node provide node-1")
	tick := func(seconds int, p progress) {
		now = now.Add(time.Duration(seconds) * time.Second)
		s.show(p)
	}
	p := progress{Node: "node-1", State: "cleaning", Percent: -1}
	tick(0, p)
	tick(1, p) // nothing new
	tick(28, p)
	tick(1, p) // a sign of life
	p.State = "clean wait"
	tick(1, p)
	s.settle()
	s.done(ran{"hostname", "web-1\n"}, ran{"true", ""})
	want := `
== Clean
$ openstack baremetal node provide node-1
  node-1  cleaning        0s
  node-1  cleaning        0s
  node-1  clean wait      0s
$ hostname
  web-1
$ true
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestScreenOnTerminal(t *testing.T) {
	var b strings.Builder
	s := &screen{out: &b, now: time.Now, width: func() int { return 60 }}
	one := progress{Node: "node-1", State: "cleaning", Percent: -1, Console: "\U0001F427 boots"}
	two := progress{Node: "node-2", State: "cleaning", Percent: -1}
	s.show(two)
	s.show(one)
	s.say("above")
	one.State = "available"
	s.show(one)
	s.settle()
	got := rendered(b.String())
	want := []string{"above", "  node-1  available       0s", "  node-2  cleaning        0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// rendered does what a terminal does with the two sequences that a screen uses: up n lines, and clear to the end.
func rendered(text string) []string {
	var lines []string
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			n := 0
			for rest[0] >= '0' && rest[0] <= '9' {
				n, rest = n*10+int(rest[0]-'0'), rest[1:]
			}
			switch rest[0] {
			case 'F':
				lines = lines[:len(lines)-n]
			case 'J': // what is below is gone already: lines were cut off above
			default:
				panic("unexpected sequence " + rest[:1])
			}
			text = rest[1:]
			continue
		}
		line, rest, ok := strings.Cut(text, "\n")
		if !ok {
			panic("a line without an end: " + line)
		}
		lines, text = append(lines, line), rest
	}
	return lines
}
