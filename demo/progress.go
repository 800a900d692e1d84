package main

import (
	"fmt"
	"strings"
	"time"
)

// progress is what is known about a node while something is under way.
type progress struct {
	Node    string
	State   string        // provision state, or what the demo itself does ("booting")
	Step    string        // step of the operation under way, "" if there is none
	Waits   string        // what the step waits for, in words
	Percent int           // of the image that is written, -1 when nothing is
	Elapsed time.Duration // since the stage began
	Console string        // last line on the machine's serial console
}

const (
	nodeWidth  = 7
	stateWidth = 14
)

// line is one line for people: node, state, step and how long it has been going on.
func (p progress) line() string {
	return strings.TrimRight(fmt.Sprintf("  %-*s %-*s  %s", nodeWidth, p.Node, stateWidth, p.State, strings.Join(p.parts(), "  ")), " ")
}

func (p progress) parts() []string {
	var parts []string
	if p.Step != "" {
		step := p.Step
		if p.Percent >= 0 {
			step += fmt.Sprintf(" %d%%", p.Percent)
		}
		parts = append(parts, step)
	}
	return append(parts, clock(p.Elapsed))
}

// live is line for a terminal, with what the machine says on its console if there is room.
func (p progress) live(width int) string {
	text := p.line()
	hint := p.Console
	if hint == "" && p.Waits != "" {
		hint = "waits for " + p.Waits
	}
	if hint != "" {
		text += "  · " + hint
	}
	return cut(text, width)
}

// key changes when something happened that is worth a line of its own where lines cannot be rewritten.
func (p progress) key() string {
	return fmt.Sprint(p.State, "|", p.Step, "|", max(p.Percent, 0)/25)
}

// plain is line for a log: with what is being waited for, since no console is shown.
func (p progress) plain() string {
	text := p.line()
	if p.Waits != "" && p.Percent < 0 {
		text += "  (waits for " + p.Waits + ")"
	}
	return text
}

// clock is a duration in the form 7s, 1m12s, 1h02m03s.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm%02ds", s/3600, s/60%60, s%60)
}

// cut shortens a line to a width in characters.
func cut(s string, width int) string {
	if width <= 0 {
		return s
	}
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}
