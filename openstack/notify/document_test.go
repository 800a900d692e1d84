package notify_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"ferric/openstack/notify"
)

var update = flag.Bool("update", false, "write the table of docs/notifications.md")

// TestDocument keeps the table of kinds in docs/notifications.md as the code has it.
func TestDocument(t *testing.T) {
	const path, begin, end = "../../docs/notifications.md", "-update -->\n", "<!-- end -->"
	var table strings.Builder
	table.WriteString("| object | action | phases | publisher | payload |\n|---|---|---|---|---|\n")
	for _, k := range notify.Kinds() {
		var phases []string
		for _, p := range k.Phases {
			phases = append(phases, string(p))
		}
		fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s | `%s` %s |\n", k.Object, k.Action, strings.Join(phases, ", "), k.Service, k.Payload, k.Version)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	want := before + begin + table.String() + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("the table in docs/notifications.md is out of date; run go test ./openstack/notify -run TestDocument -update")
	}
}
