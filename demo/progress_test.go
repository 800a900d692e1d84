package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgressLine(t *testing.T) {
	for name, c := range map[string]struct {
		p                 progress
		line, plain, live string
	}{
		"state only": {
			p:    progress{Node: "node-1", State: "enroll", Percent: -1, Elapsed: 900 * time.Millisecond},
			line: "  node-1  enroll          0s", plain: "  node-1  enroll          0s", live: "  node-1  enroll          0s",
		},
		"writing": {
			p:     progress{Node: "node-1", State: "wait call-back", Step: "write_image", Waits: "the agent", Percent: 42, Elapsed: 72 * time.Second, Console: "INFO  image percent=42"},
			line:  "  node-1  wait call-back  write_image 42%  1m12s",
			plain: "  node-1  wait call-back  write_image 42%  1m12s",
			live:  "  node-1  wait call-back  write_image 42%  1m12s  · INFO  image perce…",
		},
		"waiting": {
			p:     progress{Node: "node-2", State: "clean wait", Step: "prepare", Waits: "the agent", Percent: -1, Elapsed: time.Hour + 62*time.Second},
			line:  "  node-2  clean wait      prepare  1h01m02s",
			plain: "  node-2  clean wait      prepare  1h01m02s  (waits for the agent)",
			live:  "  node-2  clean wait      prepare  1h01m02s  · waits for the agent",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := []string{c.p.line(), c.p.plain(), c.p.live(70)}
			if diff := cmp.Diff([]string{c.line, c.plain, c.live}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProgressKey(t *testing.T) {
	was := progress{State: "deploying", Step: "write_image", Percent: 30, Elapsed: time.Second, Console: "a"}
	for name, c := range map[string]struct {
		change func(*progress)
		news   bool
	}{
		"time":        {func(p *progress) { p.Elapsed = time.Minute }, false},
		"console":     {func(p *progress) { p.Console = "b" }, false},
		"few percent": {func(p *progress) { p.Percent = 49 }, false},
		"a quarter":   {func(p *progress) { p.Percent = 50 }, true},
		"state":       {func(p *progress) { p.State = "active" }, true},
		"step":        {func(p *progress) { p.Step = "sync" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := was
			c.change(&now)
			if got := now.key() != was.key(); got != c.news {
				t.Errorf("worth a line: %v, want %v", got, c.news)
			}
		})
	}
}
