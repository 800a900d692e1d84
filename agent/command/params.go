package command

import (
	"bytes"
	"encoding/json"
	"sort"
	"strings"

	"ferric/agentapi"
)

// Params are a command's parameters, not yet decoded.
type Params map[string]json.RawMessage

// Has reports whether the parameter is there and not null.
func (p Params) Has(name string) bool {
	raw, ok := p[name]
	return ok && !bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// Decode reads one parameter into v. An absent or null one leaves v alone; one of the wrong type is
// InvalidCommandParamsError naming it.
func (p Params) Decode(name string, v any) error {
	if !p.Has(name) {
		return nil
	}
	if err := json.Unmarshal(p[name], v); err != nil {
		return Failf(agentapi.TypeInvalidCommandParams, "parameter %s: %w", name, err)
	}
	return nil
}

// Require is Decode for a parameter that must be there.
func (p Params) Require(name string, v any) error {
	if !p.Has(name) {
		return Failf(agentapi.TypeInvalidCommandParams, "the parameter %s is missing", name)
	}
	return p.Decode(name, v)
}

// only refuses parameters that the command does not know.
func (p Params) only(names []string) error {
	var unknown []string
next:
	for name := range p {
		for _, known := range names {
			if name == known {
				continue next
			}
		}
		unknown = append(unknown, name)
	}
	if len(unknown) == 0 {
		return nil
	}
	sort.Strings(unknown)
	return Failf(agentapi.TypeInvalidCommandParams, "unknown parameter %s; known are: %s", strings.Join(unknown, ", "), strings.Join(names, ", "))
}
