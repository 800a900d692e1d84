package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ferric"
)

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Key   string // full name, "" when it is not about a key
	Where string // "file.toml:12", an environment variable, a flag, "default"; "" for a value set by code
	Text  string // what is wrong and what would be right

	line int // in the file, 0 elsewhere: for sorting
}

// String is "where: key: text".
func (p Problem) String() string {
	var parts []string
	for _, s := range []string{p.Where, p.Key, p.Text} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems is all that is wrong. As an error it has one line per problem.
type Problems []Problem

// Error joins the problems.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	if len(lines) == 1 {
		return "configuration: " + lines[0]
	}
	return fmt.Sprintf("configuration: %d problems:\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// err is nil without problems, else a *ferric.Error with CodeInvalid that wraps the Problems.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Where, b.Where))
	})
	return ferric.Errorf(ferric.CodeInvalid, "%w", p)
}

// nearest returns the candidate most like s, "" if none is much like it.
func nearest(s string, candidates []string) string {
	best, bestDistance := "", max(2, len(s)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(s), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is Levenshtein's: how many characters to put in, take out or change. Long texts are not compared.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 100
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
