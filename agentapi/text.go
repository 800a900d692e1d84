package agentapi

import (
	"bytes"
	"encoding/json"

	"ferric"
)

// Text is a string that is null in JSON when it is empty, as the agent's inventory has it.
type Text string

// MarshalJSON writes null for the empty string.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// UnmarshalJSON reads a string or null.
func (t *Text) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		*t = ""
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// Texts is null, one string or a list of strings in JSON. Disks with several paths have more than one serial
// number or WWN.
type Texts []string

// MarshalJSON writes null for no value, a string for one, a list for more.
func (t Texts) MarshalJSON() ([]byte, error) {
	switch len(t) {
	case 0:
		return []byte("null"), nil
	case 1:
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// UnmarshalJSON reads null, a string, or a list of strings and nulls (nulls are dropped).
func (t *Texts) UnmarshalJSON(b []byte) error {
	*t = nil
	var one *string
	if err := json.Unmarshal(b, &one); err == nil {
		if one != nil {
			*t = Texts{*one}
		}
		return nil
	}
	var many []*string
	if err := json.Unmarshal(b, &many); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "want a string, a list of strings or null: %w", err)
	}
	for _, s := range many {
		if s != nil {
			*t = append(*t, *s)
		}
	}
	return nil
}

// First returns the first value, or "".
func (t Texts) First() string {
	if len(t) == 0 {
		return ""
	}
	return t[0]
}
