package lldp_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ferric/agent/lldp"
)

func frame(payload string) []byte {
	return append([]byte("\x01\x80\xc2\x00\x00\x0e\x52\x54\x00\x12\x34\x56\x88\xcc"), payload...)
}

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		frame []byte
		want  [][2]any
	}{
		"chassis, port, ttl": {frame("\x02\x03\x07sw\x04\x02\x05p\x06\x02\x00\x78\x00\x00"), [][2]any{{1, "077377"}, {2, "0570"}, {3, "0078"}}},
		"long value":         {frame("\xff\x01" + string(make([]byte, 257))), [][2]any{{127, string(zeros(514))}}},
		"cut off":            {frame("\x02\x03\x07sw\x04\x09\x05"), [][2]any{{1, "077377"}}},
		"empty":              {frame(""), [][2]any{}},
		"other protocol":     {[]byte("\x01\x80\xc2\x00\x00\x0e\x52\x54\x00\x12\x34\x56\x08\x00xx"), nil},
		"too short":          {[]byte("\x01\x80"), nil},
	} {
		if diff := cmp.Diff(tt.want, lldp.Parse(tt.frame)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func zeros(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0'
	}
	return b
}

func TestListenWithoutLink(t *testing.T) {
	if got := lldp.Listen(context.Background(), slog.New(slog.DiscardHandler), []string{"no-such-link"}, time.Minute); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(frame("\x02\x03\x07sw"))
	f.Fuzz(func(t *testing.T, b []byte) { lldp.Parse(b) })
}
