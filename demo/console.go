package main

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// consoleTail is how much of a console's log is looked at.
const consoleTail = 256 << 10

// console is the end of a machine's serial console log.
type console []byte

// readConsole reads the end of a log. One that is not there yet is empty.
func readConsole(path string) console {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	b := make([]byte, min(info.Size(), consoleTail))
	n, _ := f.ReadAt(b, info.Size()-int64(len(b)))
	return b[:n]
}

// lastBoot is the part after the kernel's first line at its last start.
func (c console) lastBoot() console {
	return c[max(0, bytes.LastIndex(c, []byte("Linux version "))):]
}

var (
	escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()#][0-9A-Za-z]|[=>78cDEHMNO])`)
	prompt  = regexp.MustCompile(`(?m)^([A-Za-z0-9.-]+) login: `)
	percent = regexp.MustCompile(`\bimage [^\n]*\bpercent=(\d+)`)
)

// text is the console without control sequences.
func (c console) text() string {
	s := escapes.ReplaceAllString(string(c), "")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && r != '\uFFFD' {
			return r
		}
		return -1
	}, s)
}

// lines are the last lines that say something, oldest first.
func (c console) lines(n int) []string {
	var out []string
	for line := range strings.SplitSeq(c.text(), "\n") {
		if line = strings.TrimRight(line, " \t"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out[max(0, len(out)-n):]
}

// last is the last line that says something.
func (c console) last() string {
	// Control sequences may make lines long; 4 KiB hold a few of them.
	if lines := c[max(0, len(c)-4096):].lines(1); len(lines) == 1 {
		return strings.TrimSpace(lines[0])
	}
	return ""
}

// loginPrompt returns the login prompt that the system wrote after its last start, "" before that.
func (c console) loginPrompt() string {
	m := prompt.FindAllString(c.lastBoot().text(), -1)
	if len(m) == 0 {
		return ""
	}
	return strings.TrimSpace(m[len(m)-1])
}

// written is how much of the image the agent has written, in percent; -1 before it says so.
func (c console) written() int {
	m := percent.FindAllSubmatch(c.lastBoot(), -1)
	if len(m) == 0 {
		return -1
	}
	n, err := strconv.Atoi(string(m[len(m)-1][1]))
	if err != nil {
		return -1
	}
	return min(n, 100)
}
