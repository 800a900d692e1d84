package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// report gathers differences. The same difference of the same kind of request is told once, with the first request.
type report struct {
	requests int
	found    []*finding
	byKey    map[string]*finding
	listed   []*listed
	rows     bool // tell what each row matched
}

// finding is a difference and where it was seen.
type finding struct {
	where      string // "scenario: request" of the first
	difference string
	count      int
}

// listed is a difference that docs/differences.md names.
type listed struct {
	line       int
	request    *regexp.Regexp
	difference *regexp.Regexp
	seen       int
	kinds      map[string]bool
	matched    []string // the first of each kind
}

func (r *report) add(scenario string, rq request, difference string) {
	where := scenario + ": " + rq.String()
	for _, l := range r.listed {
		if l.request.MatchString(where) && l.difference.MatchString(difference) {
			l.note(where, rq, difference)
			return
		}
	}
	if r.byKey == nil {
		r.byKey = map[string]*finding{}
	}
	key := kindOf(rq, difference)
	f := r.byKey[key]
	if f == nil {
		f = &finding{where: where, difference: difference}
		r.byKey[key] = f
		r.found = append(r.found, f)
	}
	f.count++
}

// note counts a difference that the row explains, and keeps the first of each kind.
func (l *listed) note(where string, rq request, difference string) {
	l.seen++
	if l.kinds == nil {
		l.kinds = map[string]bool{}
	}
	if k := kindOf(rq, difference); !l.kinds[k] {
		l.kinds[k] = true
		l.matched = append(l.matched, where+"\n        "+difference)
	}
}

// kindOf is the same for differences that are told once.
func kindOf(rq request, difference string) string {
	path, _, _ := strings.Cut(rq.path, "?")
	return rq.method + " " + pattern(path) + "\n" + difference
}

// pattern makes paths of different objects alike.
func pattern(path string) string {
	return uuidText.ReplaceAllString(path, "U")
}

// print tells everything and returns whether all is well. complete: the whole set of conversations was played, so that every
// listed difference should have been seen.
func (r *report) print(w io.Writer, complete bool) bool {
	for _, f := range r.found {
		fmt.Fprintf(w, "%s\n    %s\n", f.where, f.difference)
		if f.count > 1 {
			fmt.Fprintf(w, "    … and %d more like it\n", f.count-1)
		}
	}
	gone := 0
	seen := 0
	for _, l := range r.listed {
		seen += l.seen
		if r.rows && l.seen > 0 {
			fmt.Fprintf(w, "%s:%d: %d times\n", listFile, l.line, l.seen)
			for _, m := range l.matched {
				fmt.Fprintf(w, "    %s\n", m)
			}
		}
		if l.seen == 0 && complete {
			gone++
			fmt.Fprintf(w, "%s:%d: this difference is listed and does not occur\n", listFile, l.line)
		}
	}
	fmt.Fprintf(w, "%d requests to each, %d differences, %d that are listed", r.requests, len(r.found), seen)
	if gone > 0 {
		fmt.Fprintf(w, ", %d listed that do not occur", gone)
	}
	fmt.Fprintln(w)
	return len(r.found) == 0 && gone == 0
}

// listFile is the list of differences, from the module's root.
const listFile = "docs/differences.md"

// readList reads the rows "| `request` | `difference` | reason |" of the list: both are regular expressions.
func readList(path string) ([]*listed, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []*listed
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		row := listRow.FindStringSubmatch(lines.Text())
		if row == nil {
			continue
		}
		if strings.TrimSpace(row[3]) == "" {
			return nil, fmt.Errorf("%s:%d: no reason is given", path, n)
		}
		l := &listed{line: n}
		for i, to := range []**regexp.Regexp{&l.request, &l.difference} {
			// A | cannot stand in a table's cell.
			if *to, err = regexp.Compile(strings.ReplaceAll(row[i+1], `\|`, `|`)); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, n, err)
			}
		}
		out = append(out, l)
	}
	return out, lines.Err()
}

var listRow = regexp.MustCompile("^\\| `((?:[^`|]|\\\\\\|)+)` \\| `((?:[^`|]|\\\\\\|)+)` \\|(.*)\\|$")
