package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const (
	kernelStarts = "[    0.000000] Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org)\r\n"
	ramdiskLog   = "\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2)\r\n" + kernelStarts +
		"    2.11 INFO  looked up node=x\r\n   14.20 INFO  image command=deploy.execute_deploy_step step=write_image percent=10 read=1\r\n   15.20 INFO  image percent=42 read=5\r\n\r\n"
)

func TestConsole(t *testing.T) {
	for name, c := range map[string]struct {
		log     string
		last    string
		prompt  string
		written int
	}{
		"nothing":         {"", "", "", -1},
		"firmware":        {"\x1b[1;1H\x1b[0;37;40mBooting from ROM...\r\n", "Booting from ROM...", "", -1},
		"writing":         {ramdiskLog, "15.20 INFO  image percent=42 read=5", "", 42},
		"kernel boots":    {ramdiskLog + kernelStarts + "half a li", "half a li", "", -1},
		"prompt":          {ramdiskLog + kernelStarts + "\r\nDebian GNU/Linux 12 web-1 ttyS0\r\n\r\nweb-1 login: ", "web-1 login:", "web-1 login:", -1},
		"prompt before":   {"old login: \r\n" + ramdiskLog, "15.20 INFO  image percent=42 read=5", "", 42},
		"later messages":  {kernelStarts + "web-1 login: [   30.1] random: crng init done\r\n", "web-1 login: [   30.1] random: crng init done", "web-1 login:", -1},
		"bytes of others": {"ok \xff\xfe\x00\x07 done\r\n\x1b]0;title\x07", "ok  done", "", -1},
		"beyond all":      {kernelStarts + "image percent=900 \r\n", "image percent=900", "", 100},
	} {
		t.Run(name, func(t *testing.T) {
			l := console(c.log)
			type result struct {
				last, prompt string
				written      int
			}
			got := result{l.last(), l.loginPrompt(), l.written()}
			if diff := cmp.Diff(result{c.last, c.prompt, c.written}, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "serial.log")
	if got := readConsole(path); got != nil {
		t.Errorf("a log that is not there: %q", got)
	}
	text := strings.Repeat("0123456789\n", consoleTail/5) + "the end\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := readConsole(path)
	if len(got) != consoleTail || got.last() != "the end" {
		t.Errorf("%d bytes that end with %q, want the last %d", len(got), got.last(), consoleTail)
	}
}

func FuzzConsole(f *testing.F) {
	f.Add([]byte(ramdiskLog))
	f.Add([]byte("\x1b]0;never ends"))
	f.Add([]byte("\x1b[\x1b[31mx login: image percent=99999999999999999999"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := console(b)
		if s := c.text(); !utf8.ValidString(s) || strings.ContainsAny(s, "\x1b\x00\x07\r") {
			t.Errorf("text %q of %q would do things to a terminal", s, b)
		}
		if n := c.written(); n < -1 || n > 100 {
			t.Errorf("written %d", n)
		}
		c.loginPrompt()
		if strings.Contains(c.last(), "\n") {
			t.Errorf("last line %q", c.last())
		}
	})
}
