package main

import (
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/rpc"
)

// TestDiskFindings: a disk is full, nearly full, or fine.
func TestDiskFindings(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for name, c := range map[string]struct {
		free, total uint64
		want        ferric.Severity
	}{
		"empty":                       {900 * gib, 1000 * gib, ""},
		"small, and half free":        {2 * gib, 4 * gib, ""},
		"large, a twentieth is left":  {60 * gib, 1000 * gib, ""},
		"large, little of it is left": {4 * gib, 1000 * gib, ferric.FindingWarning},
		"full":                        {200 * mib, 1000 * gib, ferric.FindingError},
		"small and full":              {200 * mib, 300 * mib, ferric.FindingError},
	} {
		t.Run(name, func(t *testing.T) {
			f, is := disk{settings: []string{"image.cache_dir", "data_dir"}, free: c.free, total: c.total}.finding()
			if is != (c.want != "") || is && (f.Severity != c.want || f.Code != "disk-full" || !strings.Contains(f.What, "the disk of data_dir, image.cache_dir has ")) {
				t.Errorf("%v: %+v", is, f)
			}
		})
	}
}

// TestClockSkew: a conductor's clock is told apart from the time that the question took.
func TestClockSkew(t *testing.T) {
	asked := time.Now()
	for name, c := range map[string]struct {
		now, took time.Duration // after the question
		want      string
	}{
		"the same":                    {10 * time.Millisecond, 20 * time.Millisecond, ""},
		"a slow answer is no skew":    {9 * time.Second, 10 * time.Second, ""},
		"a little ahead":              {time.Second, 20 * time.Millisecond, ""},
		"ahead":                       {time.Minute, 0, "differ by 1m0s"},
		"behind":                      {-time.Minute, time.Second, "differ by 1m0s"},
		"ahead of a slow answer, too": {70 * time.Second, 10 * time.Second, "differ by 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &ferric.Diagnosis{}
			merge(d, []rpc.Examined{{Host: "there", Asked: asked, Answered: asked.Add(c.took), Examination: &rpc.Examination{Now: asked.Add(c.now)}}})
			if len(d.Findings) > 1 || (len(d.Findings) == 1) != (c.want != "") {
				t.Fatalf("%+v", d.Findings)
			}
			if c.want != "" && (d.Findings[0].Code != "clock-skew" || d.Findings[0].Conductor != "there" || !strings.Contains(d.Findings[0].What, c.want)) {
				t.Errorf("%+v", d.Findings[0])
			}
		})
	}
}
