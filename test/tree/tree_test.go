// Package tree holds the rules of the source tree that a compiler does not check: who may import whom, package comments, go.mod.
package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "ferric"

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// packages lists the module's packages.
func packages(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Imports,Deps,GoFiles"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// The layers, the lowest first. A package may import its own layer where allowed says so, and every layer below.
var layers = [][]string{
	{""}, // the domain
	{"state", "flow", "driver", "agentapi", "config", "obs", "rpc", "policy", "inspection", "doctor"},
	{"store", "bus", "driver/", "boot", "image", "network", "openstack", "console", "agent", "ramdisk", "lab"},
	{"conductor", "api"},
	{"cmd", "demo", "test", "bench"},
}

// allowed are imports within a layer, with the reason.
var allowed = map[string]string{
	"driver -> flow":         "a step of a driver is a step of the ledger",
	"driver -> agentapi":     "a step of a driver speaks to the agent",
	"inspection -> agentapi": "hooks read the agent's inventory",
	"doctor -> flow":         "the doctor looks at operations and leases",
	"doctor -> state":        "the doctor knows which states nodes pass through",
	"agent -> image":         "the agent writes images",
	"openstack -> network":   "the client of Neutron speaks the network interfaces' language",
	"openstack -> driver/":   "the client of Cinder speaks the storage interface's language",
}

// area is the folder that a package belongs to, with the drivers' implementations apart from the contract.
func area(path string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
	if strings.HasPrefix(rel, "driver/") {
		return "driver/"
	}
	return strings.SplitN(rel, "/", 2)[0]
}

func layer(a string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, a) })
}

// TestImportsGoDownwards holds the rule of docs/architecture.md.
func TestImportsGoDownwards(t *testing.T) {
	for _, p := range packages(t, "./...") {
		from := area(p.ImportPath)
		if layer(from) < 0 {
			t.Errorf("%s belongs to no layer; enter it in this test and in docs/architecture.md", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if i != module && !strings.HasPrefix(i, module+"/") {
				continue
			}
			to := area(i)
			switch {
			case from == "driver/" && to == "driver/":
				if i != p.ImportPath && !strings.HasPrefix(i, p.ImportPath+"/") {
					t.Errorf("%s imports %s: drivers do not know one another; share through the contract in driver", p.ImportPath, i)
				}
			case from == to:
			case layer(to) > layer(from):
				t.Errorf("%s imports %s: imports go downwards only; declare a small interface where it is used", p.ImportPath, i)
			case layer(to) == layer(from) && layer(from) < len(layers)-1 && allowed[from+" -> "+to] == "":
				t.Errorf("%s imports %s: packages of one layer do not know one another; wire them together in cmd/ferric", p.ImportPath, i)
			}
		}
	}
}

// TestUseCasesKnowNoAdapters: conductor and api work with the interfaces that they declare.
func TestUseCasesKnowNoAdapters(t *testing.T) {
	for _, p := range packages(t, "./conductor/...", "./api/...") {
		for _, i := range p.Imports {
			if rel, ours := strings.CutPrefix(i, module+"/"); ours && layer(area(module+"/"+rel)) == 2 {
				t.Errorf("%s imports %s: use cases declare what they need and get it from cmd/ferric", p.ImportPath, i)
			}
		}
	}
}

// TestDomainNeedsTheStandardLibraryOnly keeps the domain free of everything.
func TestDomainNeedsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t, ".") {
		for _, i := range p.Imports {
			if strings.Contains(strings.SplitN(i, "/", 2)[0], ".") || strings.HasPrefix(i, module+"/") {
				t.Errorf("the domain imports %s", i)
			}
		}
	}
}

// TestEveryPackageHasOneComment: a newcomer reads `go doc` first.
func TestEveryPackageHasOneComment(t *testing.T) {
	for _, p := range packages(t, "./...") {
		var with []string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				with = append(with, name)
			}
		}
		if len(with) != 1 && len(p.GoFiles) > 0 {
			t.Errorf("%s has %d package comments %v, want one", p.ImportPath, len(with), with)
		}
	}
}

// TestNothingSpeaksOfOneMachine keeps paths of somebody's machine and registry hosts out of the tree.
func TestNothingSpeaksOfOneMachine(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	for _, name := range strings.Fields(string(out)) {
		if strings.HasPrefix(name, "test/tree/") || name == "go.sum" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			continue // removed, not yet committed
		}
		for _, bad := range []string{"/work/", "/farm/", "deb.debian.org", "proxy.golang.org", "registry.npmjs.org"} {
			if bytes.Contains(text, []byte(bad)) {
				t.Errorf("%s contains %q", name, bad)
			}
		}
	}
}
