package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestQuote(t *testing.T) {
	for name, c := range map[string]struct{ arg, want string }{
		"plain":        {"openstack", "openstack"},
		"assignment":   {"ipmi_address=10.78.0.1", "ipmi_address=10.78.0.1"},
		"empty":        {"", "''"},
		"space":        {"cat /etc/os-release", "'cat /etc/os-release'"},
		"JSON":         {`{"a": "b"}`, `'{"a": "b"}'`},
		"single quote": {"it's", `'it'\''s'`},
		"here":         {"/home/me/ferric/build/demo", `"$PWD/build/demo"`},
		"URL of here":  {"image_source=file:///home/me/ferric/x.qcow2", `"image_source=file://$PWD/x.qcow2"`},
		"awkward here": {`/home/me/ferric/a$b"c`, `"$PWD/a\$b\"c"`},
		"sibling":      {"/home/me/ferric2/x", "/home/me/ferric2/x"},
		"inside":       {"/mnt/home/me/ferric/x", "/mnt/home/me/ferric/x"},
		"dollar":       {"$HOME", "'$HOME'"},
		"newline":      {"a\nb", "'a\nb'"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := quote("/home/me/ferric", c.arg); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestCommandLineMeansTheSame lets a shell read what is printed: it must see the arguments that were run.
func TestCommandLineMeansTheSame(t *testing.T) {
	cwd := t.TempDir()
	for name, args := range map[string][]string{
		"short": {"openstack", "baremetal", "node", "list"},
		"long": {"openstack", "baremetal", "node", "create", "--driver", "ipmi", "--name", "node-1", "--driver-info", "ipmi_address=10.78.0.1",
			"--driver-info", "ipmi_username=admin", "--driver-info", "ipmi_password=it's $secret", "--format", "value"},
		"JSON": {"openstack", "baremetal", "node", "deploy", "node-1", "--config-drive",
			`{"meta_data":{"hostname":"web-1","public_keys":{"demo":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBx ferric-demo"}}}`},
		"here": {"x", cwd + "/a b", "image_source=file://" + cwd + "/`c`", "", "*"},
	} {
		t.Run(name, func(t *testing.T) {
			line := commandLine(cwd, args)
			cmd := exec.Command("sh", "-c", `printf '%s\0' `+line)
			cmd.Dir = cwd
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got, want := string(out), strings.Join(args, "\x00")+"\x00"; got != want {
				t.Errorf("the shell reads %q as %q, want %q", line, got, want)
			}
		})
	}
}

func TestCommandLineBreaksBeforeOptions(t *testing.T) {
	args := []string{"openstack", "baremetal"}
	for range 8 {
		args = append(args, "--driver-info", "ipmi_something=value")
	}
	lines := strings.Split(commandLine("/", args), " \\\n    ")
	if len(lines) < 3 {
		t.Fatalf("%d lines, want at least 3: %q", len(lines), lines)
	}
	for i, line := range lines {
		if len(line) > maxCommand {
			t.Errorf("line %q has %d characters, want at most %d", line, len(line), maxCommand)
		}
		if i > 0 && !strings.HasPrefix(line, "--driver-info ") {
			t.Errorf("line %q does not begin with an option", line)
		}
	}
}
