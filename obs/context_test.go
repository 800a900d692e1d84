package obs_test

import (
	"context"
	"regexp"
	"testing"

	"ferric/obs"
)

func TestContext(t *testing.T) {
	ctx := context.Background()
	if obs.RequestID(ctx) != "" || obs.NodeUUID(ctx) != "" {
		t.Error("an empty context carries something")
	}
	ctx = obs.WithNode(obs.WithRequestID(ctx, "req-1"), "uuid-1")
	ctx = obs.WithNode(obs.WithRequestID(ctx, ""), "")
	if obs.RequestID(ctx) != "req-1" || obs.NodeUUID(ctx) != "uuid-1" {
		t.Errorf("got %q, %q", obs.RequestID(ctx), obs.NodeUUID(ctx))
	}
}

func TestNewRequestID(t *testing.T) {
	form := regexp.MustCompile(`^req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 100 {
		id := obs.NewRequestID()
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("got %q", id)
		}
		seen[id] = true
	}
}
