package conductor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/conductor"
	"ferric/driver"
	"ferric/flow"
	"ferric/inspection"
	"ferric/rpc"
	"ferric/state"
	"ferric/store"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

// TestMain looks for goroutines that are left over, but for the one that keeps a test's PostgreSQL alive.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come. It is only ever used up by a test that fails.
const patience = 60 * time.Second

// bench is a store, machines, and the conductors that a test starts over them.
type bench struct {
	*testing.T
	store *store.Store
	site  *site

	mu    sync.Mutex
	procs []*proc
}

// proc is one conductor process.
type proc struct {
	*conductor.Conductor
	mortal  *mortal
	metrics *metrics
	bench   *bench
	once    sync.Once
	halt    func()
}

type metrics struct {
	mu    sync.Mutex
	steps []string
	syncs int
}

func (m *metrics) StepEnded(kind, step, status string, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps = append(m.steps, kind+" "+step+" "+status)
}

func (m *metrics) PowerPass(int, time.Duration) {}

func (m *metrics) PowerSynced(ferric.Code, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs++
}

func (m *metrics) Heartbeat() {}

func (m *metrics) TookOver(string) {}

func (m *metrics) LeasesRenewed(int, int, time.Duration, error) {}

func (m *metrics) Ring(int, int) {}

func (m *metrics) synced() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// drives is the builder of config drives: what it makes tells what it was made of.
type drives struct{}

func (drives) Build(_ context.Context, _ *ferric.Node, raw []byte) ([]byte, error) {
	if strings.Contains(string(raw), "broken") {
		return nil, ferric.Errorf(ferric.CodeInvalid, "configdrive: user_data is broken")
	}
	return append([]byte("drive of "), raw...), nil
}

func newBench(t *testing.T) *bench {
	t.Helper()
	c := store.Defaults()
	c.DataDir = memory(t)
	s, err := store.Open(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{T: t, store: s}
	b.site = newSite(b)
	return b
}

// memory returns a folder in memory where there is one: the tests that kill conductors make hundreds of databases, and it is not the disk
// that they are about.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "conductor-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func quiet() *slog.Logger {
	if os.Getenv("CONDUCTOR_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// settings are those of every test: all of it fast, nothing periodic.
func (b *bench) settings(host string) conductor.Config {
	return conductor.Config{
		Host: host, BootID: uuid.NewString(), Workers: 8, ReservedWorkers: 1, LeaseTTL: 30 * time.Second,
		HeartbeatInterval: time.Hour, HeartbeatTimeout: 2 * time.Hour, PowerSyncWorkers: 2, PowerSyncMaxRetries: 2,
		PowerTimeout: 10 * time.Second, SoftPowerTimeout: 10 * time.Second,
		DeployCallbackTimeout: patience, CleanCallbackTimeout: patience, InspectCallbackTimeout: patience,
		AgentTimeout: patience, AgentPoll: 10 * time.Millisecond, AgentRequestTimeout: 10 * time.Second,
		AutomatedClean: true, CleanInMaintenance: true, DeleteAvailable: true, LockWait: 5 * time.Second, PowerOffAfterFail: true,
		DeployKernel: "file:///kernel", DeployRamdisk: "file:///ramdisk", RamdiskAPIURL: "http://192.0.2.1:6385",
		AgentHeartbeatTimeout: time.Minute, LogsDir: b.TempDir(), CollectLogs: "on_failure", HistoryPerNode: 300,
		Inspection: conductor.Inspection{PowerOff: true, Keep: true, Settings: inspection.Settings{Hooks: inspection.HookNames(), AddPorts: "all",
			KeepPorts: "all", UpdatePXEEnabled: true, DiskSpacing: true, CPUCapabilities: map[string]string{"vmx": "cpu_vt"}}},
	}
}

// boot makes a conductor and starts it; it runs until the test ends, or stop or kill.
func (b *bench) boot(host string, change ...func(*conductor.Config)) *proc {
	b.Helper()
	return b.bootOn(&mortal{Store: b.store}, host, change...)
}

func (b *bench) bootOn(m *mortal, host string, change ...func(*conductor.Config)) *proc {
	b.Helper()
	c := b.settings(host)
	for _, f := range change {
		f(&c)
	}
	return b.bootWith(m, c, b.site.registry())
}

func (b *bench) bootWith(m *mortal, c conductor.Config, drivers *driver.Registry) *proc {
	b.Helper()
	p := &proc{mortal: m, metrics: &metrics{}, bench: b}
	var err error
	p.Conductor, err = conductor.New(c, conductor.Deps{Store: m, Drivers: drivers, ConfigDrives: drives{}, Log: quiet().With("host", c.Host), Metrics: p.metrics})
	if err != nil {
		b.Fatal(err)
	}
	if err := p.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	p.halt = func() { cancel(); <-ended }
	b.mu.Lock()
	b.procs = append(b.procs, p)
	b.mu.Unlock()
	b.Cleanup(p.stop)
	return p
}

// stop ends a conductor in order.
func (p *proc) stop() { p.once.Do(p.halt) }

// kill ends a conductor as kill -9 does: nothing that it still wants to write gets through.
func (p *proc) kill() {
	p.mortal.die()
	p.stop()
}

// living returns a conductor that still runs, the newest first.
func (b *bench) living() *proc {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.procs) - 1; i >= 0; i-- {
		if !b.procs[i].mortal.isDead() {
			return b.procs[i]
		}
	}
	return nil
}

// call calls a conductor and decodes its answer into out, which may be nil.
func (p *proc) call(method rpc.Method, args, out any) error {
	raw, err := json.Marshal(args)
	if err != nil {
		p.bench.Error(err)
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := p.Call(ctx, method, raw)
	if err != nil || out == nil {
		return err
	}
	if raw, err = json.Marshal(answer); err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// call calls any living conductor, as the API does.
func (b *bench) call(method rpc.Method, args, out any) error {
	p := b.living()
	if p == nil {
		return ferric.Errorf(ferric.CodeUnavailable, "no conductor is alive")
	}
	return p.call(method, args, out)
}

func ref(id string) rpc.NodeRef {
	return rpc.NodeRef{UUID: id, Caller: rpc.Caller{User: "ada"}}
}

// verb asks for a provision verb, and must get it.
func (b *bench) verb(id, target string, change ...func(*rpc.ProvisionArgs)) {
	b.Helper()
	if err := b.try(id, target, change...); err != nil {
		b.Fatalf("%s: %v", target, err)
	}
}

func (b *bench) try(id, target string, change ...func(*rpc.ProvisionArgs)) error {
	a := rpc.ProvisionArgs{NodeRef: ref(id), Target: target}
	for _, f := range change {
		f(&a)
	}
	return b.call(rpc.Provision, a, nil)
}

func (b *bench) node(id string) *ferric.Node {
	b.Helper()
	n, err := b.store.Node(context.Background(), id)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// change sets fields of a node behind the conductor's back.
func (b *bench) change(id string, f func(*ferric.Node)) {
	b.Helper()
	if _, err := b.store.ForceNode(b.Context(), id, 0, func(n *ferric.Node) error { f(n); return nil }); err != nil {
		b.Fatal(err)
	}
}

// until waits for a node to be as ok wants it.
func (b *bench) until(id, what string, ok func(*ferric.Node) bool) *ferric.Node {
	b.Helper()
	pause := 2 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		pause = min(pause*3/2, 40*time.Millisecond) // looking costs the machine time that the conductor needs
		n := b.node(id)
		if ok(n) {
			return n
		}
		if time.Now().After(deadline) {
			doing := "nothing"
			if op, err := b.store.Unfinished(context.Background(), id, flow.Provision); err == nil {
				doing = fmt.Sprintf("%s %s, step %+v, waits for %q", op.Kind, op.Status, op.Current(), op.WaitWhat)
			}
			b.Fatalf("not %s; the node is %q → %q, power %q, error %q, maintenance %v %q; under way: %s", what, n.ProvisionState,
				n.TargetProvisionState, n.PowerState, n.LastError, n.Maintenance, n.MaintenanceReason, doing)
		}
	}
}

// reaches waits for a provision state in which nobody holds the node.
func (b *bench) reaches(id string, want ferric.ProvisionState) *ferric.Node {
	b.Helper()
	return b.until(id, string(want), func(n *ferric.Node) bool {
		if state.Failed(n.ProvisionState) && n.ProvisionState != want && n.Reservation == "" {
			b.Fatalf("the node is %q and not %q: %s", n.ProvisionState, want, n.LastError)
		}
		return n.ProvisionState == want && n.Reservation == ""
	})
}

// waits waits until the node's operation waits for something that says what.
func (b *bench) waits(id, what string) *flow.Operation {
	b.Helper()
	var op *flow.Operation
	b.until(id, "waiting for "+what, func(*ferric.Node) bool {
		var err error
		op, err = b.store.Unfinished(context.Background(), id, flow.Provision)
		return err == nil && op.Status == flow.Waiting && strings.Contains(op.WaitWhat, what)
	})
	return op
}

// operation returns a node's newest operation.
func (b *bench) operation(id string) *flow.Operation {
	b.Helper()
	ops, err := b.store.Operations(context.Background(), id, 1)
	if err != nil || len(ops) == 0 {
		b.Fatalf("operations of the node: %d, %v", len(ops), err)
	}
	return ops[0]
}

// ran returns the steps of an operation that succeeded, as interface.name.
func ran(op *flow.Operation) []string {
	var out []string
	for _, s := range op.Steps {
		if s.Status == flow.Succeeded {
			out = append(out, s.Interface+"."+s.Name)
		}
	}
	return out
}

// wantCode fails unless err has the code and its text has all words.
func wantCode(t testing.TB, err error, code ferric.Code, words ...string) {
	t.Helper()
	if !ferric.IsCode(err, code) {
		t.Errorf("error %v (%q), want code %q", err, ferric.ErrorCode(err), code)
		return
	}
	wantWords(t, err.Error(), words...)
}

func wantWords(t testing.TB, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q does not say %q", text, w)
		}
	}
}
