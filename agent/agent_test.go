package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ferric"
	"ferric/agent"
	"ferric/agent/disk"
	"ferric/agent/inventory"
	"ferric/agent/pid1"
	"ferric/agentapi"
	"ferric/agentapi/shacrypt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hardware is a machine made of files.
type hardware struct {
	agent.Machine
	mu     sync.Mutex
	did    []string
	disks  []inventory.Disk
	uefi   bool
	loader error
	// given is the hash of the rescue password.
	given   string
	noShell bool
}

func (h *hardware) hash() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.given
}

func (h *hardware) note(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, s)
}

func (h *hardware) done() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.did, ", ")
}

func newHardware(t *testing.T) *hardware {
	t.Helper()
	h := &hardware{}
	dir := t.TempDir()
	for i, size := range []int64{6 << 30, 5 << 30, 1 << 20} {
		d := inventory.Disk{Kernel: "sd" + string(rune('a'+i))}
		d.Name, d.Size, d.Serial = filepath.Join(dir, d.Kernel), size, agentapi.Texts{"serial-" + d.Kernel}
		if err := os.WriteFile(d.Name, bytes.Repeat([]byte("old "), 1<<20/4), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(d.Name, size); err != nil {
			t.Fatal(err)
		}
		h.disks = append(h.disks, d)
	}
	h.Machine = agent.Machine{
		Inventory: func() agentapi.Inventory {
			inv := agentapi.Inventory{Hostname: "h", Interfaces: []agentapi.Interface{{Name: "eth0", MACAddress: "52:54:00:00:00:01", IPv4Address: "192.0.2.7"}, {Name: "eth1"}},
				Boot: agentapi.BootInfo{CurrentBootMode: "bios"}}
			if h.uefi {
				inv.Boot.CurrentBootMode = "uefi"
			}
			for _, d := range h.Disks() {
				inv.Disks = append(inv.Disks, d.BlockDevice)
			}
			return inv
		},
		Disks: func() []inventory.Disk { return h.disks },
		BMC: func(context.Context) agent.BMC {
			return agent.BMC{IPv4: "192.0.2.9", IPv6: "::/0", MAC: "52:54:00:00:00:99"}
		},
		LLDP: func(_ context.Context, links []string, _ time.Duration) map[string][][2]any {
			return map[string][][2]any{"eth0": {{1, "0400"}}}
		},
		PCI: func() []inventory.PCIDevice { return nil }, USB: func() []inventory.USBDevice { return nil },
		NUMA: func() (inventory.NUMA, error) { return inventory.NUMA{RAM: []inventory.NUMAMemory{{SizeKiB: 7}}}, nil },
		DMI:  func() (inventory.DMI, error) { return inventory.DMI{BIOS: map[string]any{"Vendor": "ACME"}}, nil },
		Open: disk.Open, Rescan: disk.Rescan, StopArray: func(string) error { return nil },
		ATA:        func(string) (disk.ATA, func() error, error) { return nil, nil, errors.New("no ATA here") },
		NVMe:       func(string) (disk.NVMe, func() error, error) { return nil, nil, errors.New("no NVMe here") },
		Sync:       func(time.Duration) bool { h.note("sync"); return true },
		Loader:     func(_ context.Context, name string) error { h.note("loader " + filepath.Base(name)); return h.loader },
		CleanNVRAM: func(p []string) error { h.note("nvram " + strings.Join(p, " ")); return nil },
		PStore:     filepath.Join(dir, "pstore"),
		Lockdown:   func() error { h.note("lockdown"); return nil },
		Rescue: func(hash string) (func(context.Context) error, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.noShell {
				return nil, errors.New("no shell")
			}
			h.given = hash
			return func(ctx context.Context) error { h.note("rescue runs"); <-ctx.Done(); return nil }, nil
		},
		Log: func() []byte { return []byte("the agent's log") }, KernelLog: func() []byte { return []byte("the kernel's log") },
		Observe: func(time.Time) {}, ClockIsWrong: func() bool { return false },
	}
	return h
}

// life is a running agent.
type life struct {
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}
	how  agent.End
	err  error
}

func run(t *testing.T, h *hardware, cmdline string) *life {
	t.Helper()
	p := agent.ParseParams(cmdline + " ipa-listen-port=0 ipa-insecure=1 ipa-disk-wait-attempts=0")
	a, err := agent.New(agent.Options{Params: p, Machine: h.Machine, Log: slog.New(slog.DiscardHandler), Pause: 10 * time.Millisecond, Linger: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{t: t, stop: cancel, done: make(chan struct{})}
	go func() { l.how, l.err = a.Run(ctx); close(l.done) }()
	t.Cleanup(func() { cancel(); <-l.done })
	return l
}

func (l *life) end() agent.End {
	l.t.Helper()
	select {
	case <-l.done:
	case <-time.After(time.Minute):
		l.t.Fatal("the agent still runs")
	}
	return l.how
}

func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return c
}

func start(t *testing.T) (*conductor, *hardware, *agentapi.Client, *life) {
	t.Helper()
	c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
	l := run(t, h, "ipa-api-url="+c.URL)
	return c, h, c.agent(""), l
}

func TestLookupAndHeartbeats(t *testing.T) {
	for name, ferrics := range map[string]bool{"Ferric": true, "stock Ironic": false} {
		t.Run(name, func(t *testing.T) {
			c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
			c.ferric = ferrics
			run(t, h, "ipa-api-url="+c.URL)
			c.wait(time.Minute, "third heartbeat", func() bool { return len(c.beats) >= 3 })
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.lookups) != 1 || c.lookups[0] != "52:54:00:00:00:01" {
				t.Errorf("lookups %q", c.lookups)
			}
			for _, b := range c.beats {
				if (b.Ferric != nil) != ferrics {
					t.Errorf("Ferric's field is %v", b.Ferric)
				}
				if b.CallbackURL != c.beats[0].CallbackURL || b.AgentVerifyCA != c.beats[0].AgentVerifyCA || b.AgentVersion != agent.Version {
					t.Errorf("heartbeat %+v", b)
				}
			}
		})
	}
}

func TestTokenGivenToSomebodyElse(t *testing.T) {
	c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
	c.masked = true
	run(t, h, "ipa-api-url="+c.URL)
	c.wait(time.Minute, "second lookup", func() bool { return len(c.lookups) >= 2 })
	c.mu.Lock()
	if len(c.beats) != 0 {
		t.Error("a heartbeat without a token")
	}
	c.masked = false // the conductor starts a new session
	c.mu.Unlock()
	c.agent("")
}

func TestTokenFromKernelParameter(t *testing.T) {
	c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
	c.masked = true
	run(t, h, "ipa-agent-token="+token+" ipa-api-url="+c.URL)
	if _, err := c.agent("").Commands(ctx(t)); err != nil {
		t.Error(err)
	}
}

func TestInspection(t *testing.T) {
	c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
	run(t, h, "BOOTIF=01-52-54-00-00-00-01 ipa-collect-lldp=1 ipa-api-url="+c.URL+" ipa-inspection-callback-url="+c.URL+"/v1/continue_inspection ipa-inspection-collectors=default,lldp,pci-devices,extra-hardware,logs,magic")
	c.agent("")
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.inspection) != 1 {
		t.Fatalf("%d inspections", len(c.inspection))
	}
	d := c.inspection[0]
	if d.Inventory.BMCAddress != "192.0.2.9" || d.Inventory.BMCMAC != "52:54:00:00:00:99" || len(d.Inventory.Interfaces[0].LLDP) != 1 || len(d.Inventory.Disks) != 3 {
		t.Errorf("inventory %+v", d.Inventory)
	}
	var keys []string
	for k := range d.PluginData {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	if diff := cmp.Diff([]string{"boot_interface", "configuration", "data", "error", "lldp_raw", "logs", "pci_devices", "root_disk"}, keys); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(d.PluginData["error"]), "magic") {
		t.Errorf("error %s does not name the unknown collector", d.PluginData["error"])
	}
	if !strings.Contains(string(d.PluginData["root_disk"]), "sdb") {
		t.Errorf("root disk %s, want the smallest that is big enough", d.PluginData["root_disk"])
	}
}

// TestCollectors asks for what is not collected by default, once on a machine that has it and once on one that does not.
func TestCollectors(t *testing.T) {
	for name, c := range map[string]struct {
		broken bool
		want   map[string]string // parts of plugin data
	}{
		"there":   {want: map[string]string{"numa_topology": `{"ram":[{"numa_node":0,"size_kb":7}]`, "dmi": `"Vendor":"ACME"`, "usb_devices": "null", "error": "null"}},
		"missing": {broken: true, want: map[string]string{"numa_topology": "", "dmi": "", "error": `collect numa-topology: no nodes\n* collect dmi-decode: no table`}},
	} {
		t.Run(name, func(t *testing.T) {
			api, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
			if c.broken {
				h.NUMA = func() (inventory.NUMA, error) { return inventory.NUMA{}, errors.New("no nodes") }
				h.DMI = func() (inventory.DMI, error) { return inventory.DMI{}, errors.New("no table") }
			}
			run(t, h, "ipa-api-url="+api.URL+" ipa-inspection-callback-url="+api.URL+"/v1/continue_inspection ipa-inspection-collectors=default,numa-topology,dmi-decode,usb-devices")
			api.agent("")
			api.mu.Lock()
			defer api.mu.Unlock()
			for key, part := range c.want {
				got, there := api.inspection[0].PluginData[key]
				if there != (part != "") || !strings.Contains(string(got), part) {
					t.Errorf("%s is %s, want %s", key, got, part)
				}
			}
		})
	}
}

func TestHardwareInfo(t *testing.T) {
	_, _, a, _ := start(t)
	res, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdGetHardwareInfo}, true)
	if err != nil {
		t.Fatal(err)
	}
	var inv agentapi.Inventory
	if err := res.Decode(&inv); err != nil || inv.BMCAddress != "192.0.2.9" || inv.Interfaces[0].MACAddress != "52:54:00:00:00:01" {
		t.Errorf("%+v %v", inv, err)
	}
}

func TestEnds(t *testing.T) {
	for cmd, want := range map[string]agent.End{agentapi.CmdRunImage: pid1.Reboot, agentapi.CmdPowerOff: pid1.PowerOff} {
		t.Run(cmd, func(t *testing.T) {
			_, h, a, l := start(t)
			if _, err := a.Do(ctx(t), agentapi.Command{Name: cmd}, false); err != nil {
				t.Fatal(err)
			}
			if how := l.end(); how != want || l.err != nil {
				t.Errorf("ended with %q %v, want %q", how, l.err, want)
			}
			if h.done() != "sync" {
				t.Errorf("did %s", h.done())
			}
		})
	}
}

func TestLockdown(t *testing.T) {
	c, h, a, l := start(t)
	if _, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdLockdown}, false); err != nil {
		t.Fatal(err)
	}
	for h.done() != "lockdown" {
		time.Sleep(5 * time.Millisecond)
	}
	if _, err := a.Status(ctx(t)); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("the locked agent answers: %v", err)
	}
	c.mu.Lock()
	n := len(c.beats)
	c.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	c.mu.Lock()
	if len(c.beats) != n {
		t.Error("heartbeats after the lockdown")
	}
	c.mu.Unlock()
	select {
	case <-l.done:
		t.Error("the agent ended")
	default:
	}
}

// TestRescue lets the agent end for a rescue environment, which gets the password's hash.
func TestRescue(t *testing.T) {
	for name, params := range map[string]map[string]any{
		"hashed":   {"rescue_password": "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "hashed": true},
		"in clear": {"rescue_password": "Hello world!"}, // as conductors of old send it
	} {
		t.Run(name, func(t *testing.T) {
			c, h, a, l := start(t)
			res, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdFinalizeRescue, Params: params}, true)
			if err != nil || res.CommandStatus != agentapi.StatusSucceeded {
				t.Fatalf("%+v, %v", res, err)
			}
			for !strings.Contains(h.done(), "rescue runs") {
				time.Sleep(5 * time.Millisecond)
			}
			if !shacrypt.Verify(h.hash(), "Hello world!") {
				t.Errorf("the environment got %q", h.hash())
			}
			if _, err := a.Status(ctx(t)); !ferric.IsCode(err, ferric.CodeUnavailable) {
				t.Errorf("the agent answers: %v", err)
			}
			c.mu.Lock()
			n := len(c.beats)
			c.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.beats) != n {
				t.Error("it sends heartbeats")
			}
			select {
			case <-l.done:
				t.Error("the agent ended")
			default:
			}
		})
	}
	_, h, a, _ := start(t)
	h.mu.Lock()
	h.noShell = true
	h.mu.Unlock()
	for what, params := range map[string]map[string]any{
		"no password":       {"rescue_password": " ", "hashed": true},
		"no shell":          {"rescue_password": "$5$x$y", "hashed": true},
		"password, no text": {"rescue_password": 5},
	} {
		res, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdFinalizeRescue, Params: params}, true)
		if err == nil {
			t.Errorf("%s: %+v", what, res)
		}
	}
	if _, err := a.Status(ctx(t)); err != nil {
		t.Errorf("the agent ended: %v", err)
	}
}

// deployment serves an image for the tests of writing.
func deployment(t *testing.T) agentapi.ImageInfo {
	t.Helper()
	if _, err := exec.LookPath("sgdisk"); err != nil {
		t.Skip("sgdisk is not installed")
	}
	file := filepath.Join(t.TempDir(), "i.raw")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 8<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sgdisk", "-n", "1:2048:0", file).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	t.Cleanup(srv.Close)
	return agentapi.ImageInfo{ID: "img", URLs: []string{srv.URL + "/i.raw"}, DiskFormat: "raw", OSHashAlgo: "sha256", OSHashValue: hex.EncodeToString(sum[:])}
}

func (h *hardware) written(t *testing.T) (out []string) {
	t.Helper()
	for _, d := range h.disks {
		f, err := os.Open(d.Name)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 520)
		f.ReadAt(b, 0)
		f.Close()
		if string(b[512:520]) == "EFI PART" {
			out = append(out, d.Kernel)
		}
	}
	return out
}

func TestRootDeviceOfTheWrite(t *testing.T) {
	tests := map[string]struct {
		lookup map[string]any // properties of the node in the lookup
		node   map[string]any // node of the step; nil means standby.prepare_image
		want   string
		code   ferric.Code
		text   string
	}{
		"smallest":           {want: "sdb"},
		"hint of the lookup": {lookup: map[string]any{"root_device": map[string]any{"serial": "serial-sda"}}, want: "sda"},
		"hint of the step":   {node: map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "serial-sda"}}}, want: "sda"},
		"instance's hint wins": {node: map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "serial-sda"}},
			"instance_info": map[string]any{"root_device": map[string]any{"serial": "serial-sdb"}}}, want: "sdb"},
		"skip list":  {node: map[string]any{"properties": map[string]any{"skip_block_devices": []any{map[string]any{"serial": "serial-sdb"}}}}, want: "sda"},
		"no match":   {node: map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "x"}}}, code: ferric.CodeNotFound, text: "no disk matches the root device hints (serial s== x)"},
		"bad hint":   {node: map[string]any{"properties": map[string]any{"root_device": map[string]any{"size": "big"}}}, code: ferric.CodeNotFound, text: "positive whole number"},
		"other node": {node: map[string]any{"uuid": "2be26c0b-03f2-4d2e-ae87-c02d7f33c123"}, code: ferric.CodeInvalid, text: "is not this machine's"},
	}
	info := deployment(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
			if tt.lookup != nil {
				c.node["properties"] = tt.lookup
			}
			run(t, h, "ipa-api-url="+c.URL)
			cmd := agentapi.PrepareImage(info, "")
			if tt.node != nil {
				cmd = agentapi.ExecuteStep(agentapi.DeployStep, agentapi.WriteImageStep(info, ""), tt.node, nil, nil)
			}
			res, err := c.agent("").Do(ctx(t), cmd, true)
			if ferric.ErrorCode(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %s %v, want %q %q", ferric.ErrorCode(err), err, tt.code, tt.text)
			}
			if got := strings.Join(h.written(t), " "); got != tt.want {
				t.Errorf("written to %q, want %q (%s)", got, tt.want, res.CommandResult)
			}
		})
	}
}

func TestHintSetAfterBoot(t *testing.T) {
	info := deployment(t)
	c, h, a, _ := start(t)
	c.mu.Lock()
	c.node["instance_info"] = map[string]any{"root_device": map[string]any{"serial": "serial-sda"}}
	c.mu.Unlock()
	if _, err := a.Do(ctx(t), agentapi.PrepareImage(info, ""), true); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(h.written(t), " "); got != "sda" {
		t.Errorf("written to %q, want sda", got)
	}
	res, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdGetPartitionUUIDs}, true)
	if err != nil || string(res.CommandResult) != `{"root uuid":"0x00000000"}` {
		t.Errorf("uuids %s %v", res.CommandResult, err)
	}
}

func TestInstallBootloader(t *testing.T) {
	for name, tt := range map[string]struct {
		uefi   bool
		err    error
		params map[string]any
		did    string
		code   ferric.Code
	}{
		"BIOS":           {did: ""},
		"UEFI":           {uefi: true, did: "loader sdb"},
		"UEFI fails":     {uefi: true, err: errors.New("no ESP"), did: "loader sdb", code: ferric.CodeInternal},
		"may be ignored": {uefi: true, err: errors.New("no ESP"), params: map[string]any{"ignore_bootloader_failure": true}, did: "loader sdb"},
	} {
		t.Run(name, func(t *testing.T) {
			c, h := newConductor(t, httptest.NewTLSServer), newHardware(t)
			h.uefi, h.loader = tt.uefi, tt.err
			run(t, h, "ipa-api-url="+c.URL)
			cmd := agentapi.InstallBootloader("", "", "uefi")
			for k, v := range tt.params {
				cmd.Params[k] = v
			}
			if _, err := c.agent("").Do(ctx(t), cmd, true); ferric.ErrorCode(err) != tt.code {
				t.Errorf("got %v, want %q", err, tt.code)
			}
			if h.done() != tt.did {
				t.Errorf("did %q, want %q", h.done(), tt.did)
			}
		})
	}
}

func TestSteps(t *testing.T) {
	_, h, a, _ := start(t)
	node := map[string]any{"uuid": nodeUUID, "properties": map[string]any{}, "driver_internal_info": map[string]any{}}
	want := map[agentapi.StepKind]string{
		agentapi.CleanStep:   "erase_devices_metadata:99 erase_devices:10 clean_uefi_nvram:0 erase_devices_express:0 erase_pstore:0",
		agentapi.DeployStep:  "clean_uefi_nvram:0 erase_devices_metadata:0 write_image:0",
		agentapi.ServiceStep: "write_image:0",
	}
	for kind, list := range want {
		res, err := a.Do(ctx(t), agentapi.GetSteps(kind, node, nil), true)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := agentapi.DecodeSteps(kind, res)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range steps.Steps {
			n, _ := json.Marshal(s.Priority)
			got = append(got, s.Step+":"+string(n))
		}
		if strings.Join(got, " ") != list {
			t.Errorf("%s steps: %s, want %s", kind, strings.Join(got, " "), list)
		}
		if kind != agentapi.CleanStep {
			continue
		}
		step := agentapi.Step{Step: "clean_uefi_nvram", Interface: "deploy", Args: map[string]any{"match_patterns": []any{"x.*y"}}}
		res, err = a.Do(ctx(t), agentapi.ExecuteStep(kind, step, node, []any{}, steps.Versions), true)
		if err != nil {
			t.Fatal(err)
		}
		out, err := agentapi.DecodeStepResult(kind, res)
		if err != nil || out.Step.Step != "clean_uefi_nvram" || string(out.Result) != "null" || h.done() != "nvram x.*y" {
			t.Errorf("%+v %v, did %s", out, err, h.done())
		}
		if _, err := a.Do(ctx(t), agentapi.ExecuteStep(kind, agentapi.Step{Step: "erase_devices_metadata"}, node, nil, steps.Versions), true); err != nil {
			t.Error(err)
		}
		b, err := os.ReadFile(h.disks[2].Name)
		if err != nil || bytes.Contains(b, []byte("old")) {
			t.Errorf("metadata of the small disk is not erased (%v)", err)
		}
	}
}

func TestStepFailures(t *testing.T) {
	_, _, a, _ := start(t)
	node := map[string]any{"uuid": nodeUUID}
	for name, tt := range map[string]struct {
		cmd    agentapi.Command
		status agentapi.CommandStatus
		code   ferric.Code
	}{
		"unknown step":  {agentapi.ExecuteStep(agentapi.CleanStep, agentapi.Step{Step: "burnin_cpu"}, node, nil, nil), agentapi.StatusFailed, ferric.CodeInternal},
		"other version": {agentapi.ExecuteStep(agentapi.CleanStep, agentapi.Step{Step: "erase_pstore"}, node, nil, map[string]any{"generic_hardware_manager": "1.2"}), agentapi.StatusVersionMismatch, ferric.CodeConflict},
		"no image":      {agentapi.ExecuteStep(agentapi.DeployStep, agentapi.Step{Step: "write_image"}, node, nil, nil), agentapi.StatusFailed, ferric.CodeInvalid},
		"no step name":  {agentapi.ExecuteStep(agentapi.CleanStep, agentapi.Step{}, node, nil, nil), "", ferric.CodeInvalid},
		"set_node_info": {agentapi.Command{Name: agentapi.CmdSetNodeInfo}, "", ferric.CodeInvalid},
		"rescue":        {agentapi.Command{Name: agentapi.CmdFinalizeRescue}, agentapi.StatusFailed, ferric.CodeInvalid},
		"bad node":      {agentapi.ExecuteStep(agentapi.CleanStep, agentapi.Step{Step: "erase_devices"}, map[string]any{"properties": map[string]any{"skip_block_devices": 5}}, nil, nil), agentapi.StatusFailed, ferric.CodeInvalid},
	} {
		res, err := a.Do(ctx(t), tt.cmd, true)
		if ferric.ErrorCode(err) != tt.code || res.CommandStatus != tt.status {
			t.Errorf("%s: %s %v, status %q; want %s, %q", name, ferric.ErrorCode(err), err, res.CommandStatus, tt.code, tt.status)
		}
	}
}

func TestLogs(t *testing.T) {
	_, _, a, _ := start(t)
	res, err := a.Do(ctx(t), agentapi.Command{Name: agentapi.CmdCollectSystemLogs}, true)
	if err != nil {
		t.Fatal(err)
	}
	var logs agentapi.Logs
	if err := res.Decode(&logs); err != nil {
		t.Fatal(err)
	}
	gz, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(logs.SystemLogs)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(tr)
		files[h.Name] = string(b)
	}
	if files["agent.log"] != "the agent's log" || files["dmesg"] != "the kernel's log" || !strings.Contains(files["inventory.json"], "52:54:00:00:00:01") || files["proc/meminfo"] == "" {
		t.Errorf("files %v", files)
	}
}

func TestNoAPI(t *testing.T) {
	l := run(t, newHardware(t), "")
	select {
	case <-l.done:
		t.Error("the agent ended for want of an API; it should say so and stay")
	case <-time.After(100 * time.Millisecond):
	}
	l.stop()
	l.end()
	if !ferric.IsCode(l.err, ferric.CodeInvalid) {
		t.Errorf("got %v", l.err)
	}
}

func TestMainOutsideARamdisk(t *testing.T) {
	var out, errs bytes.Buffer
	if code := agent.Main([]string{"-inventory"}, &out, &errs); code != 0 || !strings.Contains(out.String(), `"system_vendor"`) {
		t.Errorf("%d %s %s", code, out.String(), errs.String())
	}
	if code := agent.Main(nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), "process 1") {
		t.Errorf("%d %s", code, errs.String())
	}
}
