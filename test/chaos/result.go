package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ferric/test/cluster"
)

// result is what came of a run.
type result struct {
	Nodes     []*cluster.Node
	Took      time.Duration
	Faults    map[string]int
	Errors    []error // one per node whose work did not end well
	Client    cluster.Stats
	Takeovers []time.Duration // sorted
	Late      int             // take-overs that never came
	Deaths    []string        // of processes that ended by themselves
	Proof     *cluster.Proof  // nil if there is none
}

// Good reports whether nothing was lost and nothing ran twice.
func (r *result) Good() bool {
	return r != nil && len(r.Errors) == 0 && r.Late == 0 && r.Proof != nil && len(r.Proof.Problems) == 0 && r.Proof.Twice == 0
}

// particulars are what differs between errors that are the same: UUIDs, addresses.
var particulars = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|10\.79\.\d+\.\d+(:\d+)?`)

// String is the table.
func (r *result) String() string {
	var deploys, cleans []time.Duration
	for _, n := range r.Nodes {
		deploys, cleans = append(deploys, n.Took.Deploys...), append(cleans, n.Took.Cleans...)
	}
	stuck := 0
	for _, err := range r.Errors {
		if errors.Is(err, cluster.ErrStuck) {
			stuck++
		}
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("deploys", len(deploys))
	row("cleans", len(cleans))
	row("in", r.Took.Round(time.Millisecond))
	row("deploys with their cleans per minute", int(float64(len(deploys))/r.Took.Minutes()))
	row("deploy p50, p99", percentiles(deploys))
	row("clean p50, p99", percentiles(cleans))
	for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
		row(name, r.Faults[name])
	}
	row("take-overs of a step under way, p50, p99, longest", fmt.Sprintf("%d, %s, %s", len(r.Takeovers), percentiles(r.Takeovers), longest(r.Takeovers)))
	row("requests", r.Client.Requests)
	row("  that got 5xx", r.Client.ServerErrors())
	row("  connection refused, broken", fmt.Sprintf("%d, %d", r.Client.Refused, r.Client.Broken))
	row("processes that ended by themselves", len(r.Deaths))
	row("failed", len(r.Errors)-stuck)
	row("stuck", stuck+r.Late)
	if p := r.Proof; p != nil {
		row("destructive steps that machines carried out", p.Executions)
		row("  asked for again, and not carried out again", p.Repeats)
		row("  that ran twice", p.Twice)
		row("steps carried on after an interruption (ledger)", p.Takeovers)
		row("differences between users, machines and ledger", len(p.Problems))
	}
	table.Flush()
	for _, err := range r.Errors {
		fmt.Fprintln(&text, err)
	}
	if r.Proof != nil {
		for _, problem := range r.Proof.Problems {
			fmt.Fprintln(&text, problem)
		}
	}
	for _, death := range r.Deaths {
		fmt.Fprintln(&text, death)
	}
	texts := map[string]int{}
	for e, n := range r.Client.Errors {
		texts[particulars.ReplaceAllString(e, "…")] += n
	}
	for _, e := range slices.Sorted(maps.Keys(texts)) {
		fmt.Fprintf(&text, "%d × %s\n", texts[e], e)
	}
	return text.String()
}

func percentiles(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	all = slices.Sorted(slices.Values(all))
	at := func(p int) time.Duration { return all[(len(all)-1)*p/100].Round(time.Millisecond) }
	return fmt.Sprintf("%s, %s", at(50), at(99))
}

func longest(all []time.Duration) string {
	if len(all) == 0 {
		return "-"
	}
	return slices.Max(all).Round(time.Millisecond).String()
}
