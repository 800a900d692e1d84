package conductor_test

import (
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/flow"
	"ferric/rpc"
)

// TestIdleHeartbeats: a heartbeat that tells something new, or that an operation may wait for, is in the database when it is answered; another one
// soon after.
func TestIdleHeartbeats(t *testing.T) {
	b := newBench(t)
	p := b.boot("one", func(*conductor.Config) {})
	m := b.site.node("lab")
	const url, token = "https://192.0.2.7:9999", "a token that is long enough for everybody"
	if err := b.store.BeginAgentSession(b.Context(), m.id); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.ChangeAgentSession(b.Context(), m.id, func(s *ferric.AgentSession) error { s.Token = token; return nil }); err != nil {
		t.Fatal(err)
	}
	session := func() *ferric.AgentSession {
		t.Helper()
		s, err := b.store.AgentSession(b.Context(), m.id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	beat := func(change func(*rpc.HeartbeatArgs)) error {
		a := rpc.HeartbeatArgs{NodeRef: ref(m.id), CallbackURL: url, AgentVersion: "1", AgentToken: token}
		change(&a)
		return p.call(rpc.Heartbeat, a, nil)
	}
	good := func(change func(*rpc.HeartbeatArgs)) {
		t.Helper()
		if err := beat(change); err != nil {
			t.Fatal(err)
		}
	}
	same := func(*rpc.HeartbeatArgs) {}
	began := time.Now().Truncate(time.Microsecond)
	good(same)
	first := session()
	if first.CallbackURL != url || first.LastHeartbeat.Before(began) {
		t.Fatalf("the first heartbeat is not in the database: %+v", first)
	}
	good(same)
	for name, change := range map[string]func(*rpc.HeartbeatArgs){
		"wrong token": func(a *rpc.HeartbeatArgs) { a.AgentToken = "guess" },
		"no token":    func(a *rpc.HeartbeatArgs) { a.AgentToken = "" },
		"other URL":   func(a *rpc.HeartbeatArgs) { a.CallbackURL = "https://192.0.2.8:9999" },
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, beat(change), ferric.CodeInvalid) })
	}
	for deadline := time.Now().Add(patience); !session().LastHeartbeat.After(first.LastHeartbeat); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the second heartbeat never came to the database")
		}
	}
	for _, news := range []struct { // in this order: a version that came with the certificate would be new no more
		name   string
		change func(*rpc.HeartbeatArgs)
	}{
		{"version", func(a *rpc.HeartbeatArgs) { a.AgentVersion = "2" }},
		{"certificate", func(a *rpc.HeartbeatArgs) { a.AgentVersion, a.AgentVerifyCA = "2", "PEM" }},
	} {
		before := time.Now().Truncate(time.Microsecond)
		good(news.change)
		if s := session(); s.LastHeartbeat.Before(before) || s.Version != "2" {
			t.Errorf("a new %s is not in the database: %+v", news.name, s)
		}
	}

	lease, err := b.store.Acquire(b.Context(), m.id, "another", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	op := &flow.Operation{Kind: "deploy", Lane: flow.Provision, Steps: []flow.Step{{Name: "write_image", Repeat: flow.Safe}}}
	if _, err := b.store.Start(b.Context(), lease, op, nil); err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Microsecond)
	good(func(a *rpc.HeartbeatArgs) { a.AgentVersion = "2" })
	if s := session(); s.LastHeartbeat.Before(before) {
		t.Errorf("a heartbeat during an operation is not in the database: %+v", s)
	}
	if now, err := b.store.Operation(b.Context(), op.ID); err != nil || now.Signals != 1 {
		t.Errorf("the operation was not told: %+v, %v", now, err)
	}
}

// TestLateCallOfAnOldAgent: a call that waits to be written does not count for the session that came after.
func TestLateCallOfAnOldAgent(t *testing.T) {
	b := newBench(t)
	m := b.site.node("lab")
	var old, now *ferric.AgentSession
	for _, s := range []**ferric.AgentSession{&old, &now} {
		if err := b.store.BeginAgentSession(b.Context(), m.id); err != nil {
			t.Fatal(err)
		}
		var err error
		if *s, err = b.store.AgentSession(b.Context(), m.id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // sessions are told apart by when they began
	}
	later := time.Now().Add(time.Minute).Truncate(time.Microsecond)
	call := func(s *ferric.AgentSession, at time.Time) time.Time {
		t.Helper()
		c := *s
		c.LastHeartbeat = at
		if err := b.store.AgentsCalled(b.Context(), []ferric.AgentSession{c}); err != nil {
			t.Fatal(err)
		}
		got, err := b.store.AgentSession(b.Context(), m.id)
		if err != nil {
			t.Fatal(err)
		}
		return got.LastHeartbeat
	}
	if got := call(old, later); !got.IsZero() {
		t.Errorf("the new session was given the call of the old one: %v", got)
	}
	if got := call(now, later); !got.Equal(later) {
		t.Errorf("the call was not written: %v, want %v", got, later)
	}
	if got := call(now, later.Add(-time.Second)); !got.Equal(later) {
		t.Errorf("an earlier call came over a later one: %v", got)
	}
}
