package bench

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"ferric"
)

var sizes = flag.String("sizes", "100,1000,10000,100000", "BenchmarkSizes: how many nodes there are, one fleet after the other")

// BenchmarkSizes measures the API over fleets of several sizes, on SQLite and on PostgreSQL, and prints the tables of README.md. What a request
// takes must depend on the answer and not on the fleet.
func BenchmarkSizes(b *testing.B) {
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		var all [][]figures
		var heads, memory []string
		b.Run(engine, func(b *testing.B) {
			for _, text := range strings.Split(*sizes, ",") {
				nodes, err := strconv.Atoi(text)
				if err != nil || nodes < 1 {
					b.Fatalf("-sizes: %q is no number of nodes", text)
				}
				b.Run(text, func(b *testing.B) {
					s := ownService(b, nodes, ferric.Enroll, engine == "PostgreSQL")
					all = append(all, s.all(b, nodes, 2))
					heads = append(heads, text+" nodes")
					memory = append(memory, short(residentMiB(b, s.pid)))
				})
			}
		})
		if len(heads) == 0 {
			continue
		}
		table := func(title string, cell func(figures) string) {
			fmt.Printf("\n%s: %s\n\n", engine, title)
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
			fmt.Fprintf(w, "| \t| %s\t|\n|---\t%s|\n", strings.Join(heads, "\t| "), strings.Repeat("|---\t", len(heads)))
			for i, f := range all[0] {
				fmt.Fprintf(w, "| %s\t", f.name)
				for _, column := range all {
					fmt.Fprintf(w, "| %s\t", cell(column[i]))
				}
				fmt.Fprintln(w, "|")
			}
			w.Flush()
		}
		table("requests a second (processor time of the service for one, in ms)", func(f figures) string { return short(f.rate) + " (" + short(f.cpu) + ")" })
		table("median and 99th percentile, in ms", figures.latency)
		table("allocations for a request; answers in MB/s", func(f figures) string { return short(f.allocs) + "; " + short(f.bytes/1e6) })
		fmt.Printf("\nResident after that, in MiB: %s\n", strings.Join(memory, ", "))
	}
}
