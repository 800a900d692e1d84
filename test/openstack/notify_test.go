package openstack

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// broker is a RabbitMQ of a test's own, from Debian's packages.
type broker struct {
	dir, port, dist, epmd string
	cmd                   *exec.Cmd
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	port := func() string { _, p, err := net.SplitHostPort(freeAddress(t)); check(t, err); return p }
	b := &broker{dir: t.TempDir(), port: port(), dist: port(), epmd: port()}
	names := exec.Command("epmd", "-address", "127.0.0.1", "-port", b.epmd)
	check(t, names.Start())
	t.Cleanup(func() { _ = names.Process.Kill(); _ = names.Wait() })
	b.start(t)
	t.Cleanup(func() { b.kill() })
	return b
}

func (b *broker) url() string { return "rabbit://guest:guest@127.0.0.1:" + b.port + "/" }

// start starts the broker with what it had when it was killed.
func (b *broker) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(b.dir, "out"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(t, err)
	defer log.Close()
	b.cmd = exec.Command("/usr/lib/rabbitmq/bin/rabbitmq-server")
	b.cmd.Env = append(os.Environ(), "HOME="+b.dir, "ERL_EPMD_PORT="+b.epmd, "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_NODENAME=ferric-"+b.port+"@localhost",
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT="+b.port, "RABBITMQ_DIST_PORT="+b.dist, "RABBITMQ_MNESIA_BASE="+b.dir+"/mnesia",
		"RABBITMQ_LOG_BASE="+b.dir+"/log", "RABBITMQ_CONF_ENV_FILE=/dev/null", "RABBITMQ_ENABLED_PLUGINS_FILE="+b.dir+"/plugins",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}")
	b.cmd.Stdout, b.cmd.Stderr, b.cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setpgid: true}
	check(t, b.cmd.Start())
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+b.port, time.Second)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(filepath.Join(b.dir, "out"))
			t.Fatalf("RabbitMQ does not listen:\n%s", said)
		}
	}
}

func (b *broker) kill() {
	if b.cmd != nil {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

// ear is an oslo.messaging listener.
type ear struct {
	mu    sync.Mutex
	heard []told
	ids   map[string]int
}

type told struct {
	Level     string         `json:"level"`
	Publisher string         `json:"publisher_id"`
	Event     string         `json:"event_type"`
	Payload   map[string]any `json:"payload"`
	ID        string         `json:"message_id"`
}

func listen(t *testing.T, url, topic string) *ear {
	t.Helper()
	cmd := exec.Command("/usr/bin/python3", "testdata/listen.py", url, topic)
	cmd.Stderr = &locked{}
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	e := &ear{ids: map[string]int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var v told
			if err := json.Unmarshal(s.Bytes(), &v); err != nil {
				t.Errorf("%s: %v", s.Text(), err)
			}
			e.mu.Lock()
			if e.ids[v.ID]++; e.ids[v.ID] == 1 && v.ID != "" {
				e.heard = append(e.heard, v)
			}
			e.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the listener said:\n%s", cmd.Stderr)
		}
	})
	return e
}

// until waits until so many were heard, each counted once.
func (e *ear) until(t *testing.T, count int) []told {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		e.mu.Lock()
		heard := append([]told{}, e.heard...)
		e.mu.Unlock()
		if len(heard) >= count {
			return heard
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d notifications were heard, want %d", len(heard), count)
		}
	}
}

// TestNotificationsToRabbitMQ: an oslo.messaging listener hears of everything, in the order in which it happened: what came before it listened, and what
// happened while the broker was away, although Ferric was killed meanwhile; and nobody waited for the broker.
func TestNotificationsToRabbitMQ(t *testing.T) {
	if os.Getenv("FERRIC_OPENSTACK") == "" {
		t.Skip("FERRIC_OPENSTACK is not set: this test needs Debian's rabbitmq-server and python3-oslo.messaging")
	}
	b := newBroker(t)
	f := (&cloud{}).start(t, "notifications.drivers=rabbitmq", "notifications.transport_url="+b.url(), "notifications.amqp_durable_queues=true")
	var want []string
	step := 0
	change := func() {
		t.Helper()
		step++
		f.must(t, http.MethodPatch, "/v1/nodes/n", []map[string]any{{"op": "add", "path": "/description", "value": fmt.Sprint(step)}})
		want = append(want, fmt.Sprintf("info node.update.start %d", step), fmt.Sprintf("info node.update.end %d", step))
	}
	f.must(t, http.MethodPost, "/v1/nodes", map[string]any{"name": "n", "driver": "fake-hardware", "description": "0"})
	want = append(want, "info node.create.start 0", "info node.create.end 0")
	for range 5 {
		change()
	}
	ears := listen(t, b.url(), "ironic_versioned_notifications")
	ears.until(t, len(want))

	b.kill()
	began := time.Now()
	for time.Since(began) < 10*time.Second {
		change()
	}
	f.kill()
	f.run(t)
	for time.Since(began) < 60*time.Second {
		change()
		time.Sleep(200 * time.Millisecond)
	}
	b.start(t)
	heard := ears.until(t, len(want))
	var have []string
	for _, v := range heard {
		data, _ := v.Payload["ironic_object.data"].(map[string]any)
		have = append(have, fmt.Sprintf("%s %s %v", v.Level, strings.TrimPrefix(v.Event, "baremetal."), data["description"]))
		if !strings.HasPrefix(v.Publisher, "ironic-api.") || v.Payload["ironic_object.name"] != "NodeCRUDPayload" {
			t.Errorf("%s from %s: %v", v.Event, v.Publisher, v.Payload["ironic_object.name"])
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("heard (-want +have):\n%s", diff)
	}
	t.Logf("%d notifications, %d of them while the broker was away", len(heard), len(heard)-12)
}
