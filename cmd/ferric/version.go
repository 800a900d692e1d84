package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
)

// version returns the module's version and the commit that the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v, commit, dirty := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	if len(commit) > 12 {
		commit = commit[:12]
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	if commit == "" {
		return v
	}
	return v + " (" + commit + dirty + ")"
}

func versionCommand(_ context.Context, _ []string, stdout, _ io.Writer) int {
	p := program()
	fmt.Fprintf(stdout, "ferric %s, %s, schema %d\n", p.Version, p.Protocol, p.Schema)
	return 0
}
