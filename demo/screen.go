package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is how long nothing is printed about a node that does not change, where lines cannot be rewritten.
const quiet = 30 * time.Second

// screen is where the demo writes. On a terminal it keeps a block of lines at the bottom that are rewritten; elsewhere
// a line is printed when it says something new. All methods may be called from any goroutine.
type screen struct {
	out   io.Writer
	width func() int // of the terminal, in characters; nil: no terminal
	now   func() time.Time

	mu    sync.Mutex
	names []string // of the lines of the block
	block map[string]progress
	drawn int // lines of the block on the terminal now
	told  map[string]told
}

// told is what was printed last about a node.
type told struct {
	key string
	at  time.Time
}

// newScreen makes a screen of a file, which may be a terminal.
func newScreen(f *os.File) *screen {
	s := &screen{out: f, now: time.Now}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil && os.Getenv("TERM") != "dumb" {
		s.width = func() int {
			size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
			if err != nil || size.Col < 20 {
				return 80
			}
			return int(size.Col)
		}
	}
	return s
}

// say prints lines above the block.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintf(s.out, format+"\n", args...)
	s.draw()
}

// heading begins a part of the story.
func (s *screen) heading(text string) { s.say("\n%s", s.style("1", "== "+text)) }

// command shows a command that is run.
func (s *screen) command(line string) { s.say("%s", s.style("36", "$ "+line)) }

// output shows what a command wrote, indented.
func (s *screen) output(text string) {
	text = strings.TrimRight(text, " \n")
	if text != "" {
		s.say("%s", indent(text))
	}
}

// ran is a command that has run.
type ran struct{ line, output string }

// done shows commands together with what they wrote, with nothing in between.
func (s *screen) done(all ...ran) {
	var parts []string
	for _, r := range all {
		parts = append(parts, s.style("36", "$ "+r.line))
		if text := strings.TrimRight(r.output, " \n"); text != "" {
			parts = append(parts, indent(text))
		}
	}
	s.say("%s", strings.Join(parts, "\n"))
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// style sets text in a colour or bold (ECMA-48, SGR), on a terminal only.
func (s *screen) style(code, text string) string {
	if s.width == nil {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// show shows how a node is doing.
func (s *screen) show(p progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.width == nil {
		last, now := s.told[p.Node], s.now()
		if last.key != p.key() || now.Sub(last.at) >= quiet {
			if s.told == nil {
				s.told = map[string]told{}
			}
			s.told[p.Node] = told{p.key(), now}
			fmt.Fprintln(s.out, p.plain())
		}
		return
	}
	if s.block == nil {
		s.block = map[string]progress{}
	}
	if _, ok := s.block[p.Node]; !ok {
		s.names = append(s.names, p.Node)
		slices.Sort(s.names)
	}
	s.block[p.Node] = p
	s.erase()
	s.draw()
}

// settle leaves the block as it is, without what was passing, and begins a new one.
func (s *screen) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	for _, name := range s.names {
		fmt.Fprintln(s.out, s.block[name].line())
	}
	s.names, s.block, s.told = nil, nil, nil
}

// erase removes the block from the terminal: up to its first line, then clear to the end (ECMA-48, CPL and ED).
func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.out, "\x1b[%dF\x1b[J", s.drawn)
	}
	s.drawn = 0
}

func (s *screen) draw() {
	for _, name := range s.names {
		fmt.Fprintln(s.out, s.block[name].live(s.width()-1))
	}
	s.drawn = len(s.names)
}
