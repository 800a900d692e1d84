package api_test

import (
	"context"
	"testing"

	"ferric"
	"ferric/api"
)

func TestDoctor(t *testing.T) {
	var asked []string
	healthy := true
	f := newFixture(t, func(_ *api.Config, d *api.Deps) {
		d.Doctor = func(_ context.Context, nodes []string, hardware bool) (*ferric.Diagnosis, error) {
			asked = nodes
			if !healthy {
				return nil, ferric.Errorf(ferric.CodeUnavailable, "the database is away")
			}
			return &ferric.Diagnosis{Nodes: 7}, nil
		}
	})
	one := f.node(m{"name": "one", "driver": "fake-hardware"})
	two := f.node(m{"name": "two", "driver": "fake-hardware"})
	body := f.must(200, "GET", "/ferric/v1/doctor?node=one,"+two, nil).object(t)
	if len(asked) != 2 || asked[0] != one || asked[1] != two {
		t.Errorf("the doctor was asked for %v", asked)
	}
	if body["healthy"] != true || body["nodes_examined"] != 7.0 || len(body["findings"].([]any)) != 0 || len(body["unseen"].([]any)) != 0 {
		t.Errorf("all is well: %v", body)
	}
	f.must(404, "GET", "/ferric/v1/doctor?node=nobody", nil)
	f.must(400, "GET", "/ferric/v1/doctor?hardware=perhaps", nil)
	f.must(400, "GET", "/ferric/v1/doctor?cure=all", nil)
	healthy = false
	f.must(503, "GET", "/ferric/v1/doctor", nil)
	none := newFixture(t, func(_ *api.Config, d *api.Deps) { d.Doctor = nil })
	none.must(503, "GET", "/ferric/v1/doctor", nil)
}
