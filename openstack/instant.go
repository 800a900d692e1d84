package openstack

import (
	"encoding/json"
	"fmt"
	"time"
)

// Instant is a time in Keystone's JSON. Most have a zone; the end of a token that an application credential limits has none, and is UTC.
type Instant struct{ time.Time }

// UnmarshalJSON reads both forms.
func (i *Instant) UnmarshalJSON(b []byte) error {
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	if text == nil {
		i.Time = time.Time{}
		return nil
	}
	var err error
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05"} { // fractions of seconds are read, too
		if i.Time, err = time.ParseInLocation(form, *text, time.UTC); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is not a time", clip(*text))
}
