package fake_test

import (
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/driver/fake"
)

// TestInspect finds what the node says, and nothing without that.
func TestInspect(t *testing.T) {
	i := (&fake.Hardware{}).Implementations()[ferric.KindInspect].(driver.Inspect)
	for name, c := range map[string]struct {
		info map[string]any
		want string
	}{
		"nothing":      {nil, ""},
		"an inventory": {map[string]any{"fake_inventory": map[string]any{"cpu": map[string]any{"count": 2.0}}}, `{"cpu":{"count":2}}`},
	} {
		got, err := i.Run(t.Context(), &driver.Task{Machine: &driver.Machine{Node: &ferric.Node{DriverInfo: c.info}}})
		if err != nil || (got == nil) != (c.want == "") || got != nil && string(got.Inventory) != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
