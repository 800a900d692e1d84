package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLabCommand(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct {
		args   []string
		status int
		want   string // in what it says
	}{
		"nothing":            {nil, 2, "usage: ferric lab COMMAND"},
		"help":               {[]string{"--help"}, 2, "chassis"},
		"unknown command":    {[]string{"fly"}, 2, `unknown command "fly"`},
		"flags of a command": {[]string{"up", "-h"}, 2, "-firmware"},
		"unknown flag":       {[]string{"up", "--speed", "9"}, 2, "-speed"},
		"bad disk":           {[]string{"up", "--disk", "huge"}, 2, `disk "huge"`},
		"too many arguments": {[]string{"status", "x", "--dir", dir}, 2, "1 arguments given"},
		"no arguments":       {[]string{"start", "--dir", dir}, 2, "usage: ferric lab start"},
		"no lab":             {[]string{"status", "--dir", dir}, 1, "no lab in " + dir},
		"flag at the end":    {[]string{"console", "node-1", "--dir", dir}, 1, "no lab in " + dir},
		"down without a lab": {[]string{"down", "--dir", dir}, 0, "no lab in " + dir},
		"bad name":           {[]string{"status", "--name", "a/b"}, 1, `"a/b"`},
		"bad firmware":       {[]string{"up", "--firmware", "coreboot", "--dir", dir}, 1, `firmware: "coreboot"`},
		"bad image":          {[]string{"image", "--variant", "beos", "--cache", dir}, 1, `variant: "beos"`},
		"packages":           {[]string{"packages"}, 0, "qemu-system-x86\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if status := labCommand(context.Background(), test.args, &out, &out); status != test.status {
				t.Errorf("status %d, want %d", status, test.status)
			}
			if name == "help" {
				if strings.Contains(out.String(), test.want) {
					t.Errorf("the help shows what only the lab itself calls:\n%s", out.String())
				}
			} else if !strings.Contains(out.String(), test.want) {
				t.Errorf("output %q, want %q in it", out.String(), test.want)
			}
		})
	}
}

// TestLabParse holds that flags may follow arguments, but that those of the command of "lab exec" are its own.
func TestLabParse(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string // of the error
	}{
		"exec":            {[]string{"exec", "--dir", "DIR", "--", "ls", "-l"}, "no lab in"},
		"exec without --": {[]string{"exec", "--dir", "DIR", "ls", "--dir", "/other"}, "no lab in"},
		"chassis-control": {[]string{"chassis-control", "--dir", "DIR", "node-1", "0x20", "get", "power"}, "no lab in"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "lab")
			for i, arg := range test.args {
				if arg == "DIR" {
					test.args[i] = dir
				}
			}
			var out bytes.Buffer
			if status := labCommand(context.Background(), test.args, os.Stdout, &out); status != 1 || !strings.Contains(out.String(), test.want+" "+dir) {
				t.Errorf("status %d, output %q; want %q", status, out.String(), test.want+" "+dir)
			}
		})
	}
}
