package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"ferric/store/pgtest"
)

// postgres is the PostgreSQL server that the tests share.
var postgres pgtest.Server

func TestMain(m *testing.M) {
	if os.Getenv(asFerric) != "" {
		main()
		return
	}
	code := m.Run()
	postgres.Stop()
	os.Exit(code)
}

// TestRoles splits the service: an API and two conductors that share only PostgreSQL, NATS and the key. The conductor that works on a node
// goes away in the middle of a cleaning, and the other one finishes it.
func TestRoles(t *testing.T) {
	nats, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() { nats.Shutdown(); nats.WaitForShutdown() })
	if !nats.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server does not start")
	}
	dir := t.TempDir()
	shared := []string{"--set", "database.url=" + postgres.Fresh(t), "--set", "database.key_file=" + filepath.Join(dir, "key"), "--set", "bus.url=" + nats.ClientURL()}
	process := func(name, role string, more ...string) (url string, stop func()) {
		args := append([]string{"--host", name, "--roles", role}, shared...)
		return ferricd(t, filepath.Join(dir, name), append(args, more...)...)
	}
	stops := map[any]func(){}
	for _, name := range []string{"conductor-1", "conductor-2"} {
		_, stops[name] = process(name, "conductor", "--set", "fake.clean_delay=2s")
	}
	url, _ := process("api-1", "api")
	node := url + "/v1/nodes/first"
	call(t, "POST", url+"/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "first", "driver_info": map[string]any{"fake_password": "hunter2"}})
	call(t, "PUT", node+"/states/provision", map[string]any{"target": "manage"})
	awaitState(t, node, "manageable")
	call(t, "PUT", node+"/states/provision", map[string]any{"target": "provide"})
	awaitState(t, node, "cleaning")
	worker := call(t, "GET", node, nil)["conductor"]
	stop := stops[worker]
	if stop == nil {
		t.Fatalf("the node's conductor is %v", worker)
	}
	stop()
	awaitState(t, node, "available")
	call(t, "PUT", node+"/states/provision", map[string]any{"target": "active"})
	awaitState(t, node, "active")
	if now := call(t, "GET", node, nil)["conductor"]; now == worker || stops[now] == nil {
		t.Errorf("the node's conductor is %v, as before it went away", now)
	}
}
