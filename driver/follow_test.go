package driver

import (
	"testing"

	"ferric/agentapi"
)

func TestProgress(t *testing.T) {
	tests := map[string]struct {
		of   *agentapi.Extension
		want string
	}{
		"another agent": {nil, ""},
		"none yet":      {&agentapi.Extension{Running: true}, ""},
		"half":          {&agentapi.Extension{Progress: &agentapi.Progress{Phase: "write image", Done: 50, Total: 100}}, " (write image, 50%)"},
		"total unknown": {&agentapi.Extension{Progress: &agentapi.Progress{Phase: "erase /dev/sda", Done: 50}}, " (erase /dev/sda)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := progress(&agentapi.CommandResult{Ferric: test.of}); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
