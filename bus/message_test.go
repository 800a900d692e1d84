package bus

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"ferric"
)

// Whatever an error says, it must come out of the headers as it went in (up to the limit and invalid UTF-8), and
// whatever the headers hold must be read without a panic.
func FuzzErrorHeader(f *testing.F) {
	f.Add("busy", "all slots are taken")
	f.Add("", "line one\r\nFerric-Error-Code: invalid\r\n\r\nbody")
	f.Add("bad code\n", "\xff\x00ü \u2028")
	f.Add("invalid", "")
	f.Fuzz(func(t *testing.T, code, text string) {
		h := errorHeader(&ferric.Error{Code: ferric.Code(code), Message: text})
		for _, v := range h {
			for _, c := range []byte(v[0]) {
				if c < ' ' || c >= 0x7f {
					t.Fatalf("header %q", v)
				}
			}
		}
		got := errorOf(h)
		if got == nil {
			t.Fatal("the error is gone")
		}
		if len(text) <= maxErrorText && got.Error() != text {
			t.Errorf("got %q, want %q", got.Error(), text)
		}
		wantCode := ferric.Code(code)
		if !cleanID(code) {
			wantCode = ferric.CodeInternal
		}
		if c := ferric.ErrorCode(got); c != wantCode {
			t.Errorf("code %q, want %q", c, wantCode)
		}
		_ = errorOf(nats.Header{headerCode: {code}, headerMessage: {text}})
		if d := timeoutOf(nats.Header{headerTimeout: {text}}, time.Second); d <= 0 {
			t.Errorf("timeout %s", d)
		}
	})
}

func TestErrorOfContext(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want ferric.Code
	}{
		"deadline": {context.DeadlineExceeded, ferric.CodeTimeout},
		"canceled": {context.Canceled, ferric.CodeUnavailable},
		"coded":    {ferric.Errorf(ferric.CodeBusy, "x: %w", context.Canceled), ferric.CodeBusy},
	} {
		if got := ferric.ErrorCode(errorOf(errorHeader(tt.err))); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// A starved watcher must not blame its members: this drives the table with times of our own.
func TestWatchTable(t *testing.T) {
	w := &Watch{b: &Bus{cfg: Config{LostAfter: 2 * time.Second}}, members: map[string]*seen{}}
	var told []Change
	w.fn = func(c Change) { told = append(told, c) }
	start := time.Unix(1000, 0)
	m := Member{Host: "h", BootID: "1", Started: start}
	if c := w.note(beat{Member: m}, start); len(c) != 1 || c[0].Status != StatusAlive {
		t.Fatalf("first beat: %+v", c)
	}
	w.expire(start.Add(2 * time.Second))
	if len(told) != 0 {
		t.Fatalf("lost at the limit: %+v", told)
	}
	w.grace(start.Add(5 * time.Second))
	w.expire(start.Add(7 * time.Second))
	if len(told) != 0 {
		t.Fatalf("lost within the grace: %+v", told)
	}
	w.expire(start.Add(7*time.Second + 1))
	if len(told) != 1 || told[0].Status != StatusLost {
		t.Fatalf("after the grace: %+v", told)
	}
	if c := w.note(beat{Member: m, Goodbye: true}, start); len(c) != 0 {
		t.Errorf("goodbye of a stranger: %+v", c)
	}
}
