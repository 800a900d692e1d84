package clean_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"ferric"
	"ferric/agent/clean"
	"ferric/agent/disk"
	"ferric/agent/inventory"
	"ferric/agentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// lab is a machine whose disks are files of 24 MiB full of "secret".
type lab struct {
	t     *testing.T
	dir   string
	disks []inventory.Disk

	mu       sync.Mutex
	log      []string // what was done, in order where it matters
	ataErr   error
	nvmeOff  bool
	progress agentapi.Progress
}

func newLab(t *testing.T, disks ...inventory.Disk) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir()}
	for _, d := range disks {
		d.Name = filepath.Join(l.dir, d.Kernel)
		if err := os.WriteFile(d.Name, bytes.Repeat([]byte("secret.."), 24*mib/8), 0o600); err != nil {
			t.Fatal(err)
		}
		l.disks = append(l.disks, d)
	}
	return l
}

func (l *lab) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, fmt.Sprintf(format, args...))
}

func (l *lab) cleaner() *clean.Cleaner {
	return &clean.Cleaner{
		Disks: func() []inventory.Disk { return l.disks },
		Open: func(name string) (disk.Device, error) {
			if strings.HasSuffix(name, "broken") {
				return nil, errors.New("input/output error")
			}
			return disk.Open(name)
		},
		Rescan:    func(_ context.Context, name string) error { l.note("rescan %s", filepath.Base(name)); return nil },
		StopArray: func(name string) error { l.note("stop %s", filepath.Base(name)); return nil },
		ATA: func(name string) (disk.ATA, func() error, error) {
			return ata{l, filepath.Base(name)}, func() error { return nil }, nil
		},
		NVMe: func(name string) (disk.NVMe, func() error, error) {
			return nvme{l, filepath.Base(name)}, func() error { return nil }, nil
		},
	}
}

// ata offers secure erase when the disk's name begins with "sda", and then fails if the lab says so.
type ata struct {
	l    *lab
	name string
}

func (a ata) Exec(cmd byte, out, in []byte, _ time.Duration) error {
	switch {
	case !strings.HasPrefix(a.name, "sda"):
		return errors.New("no ATA")
	case cmd == 0xec:
		in[2*82], in[2*128] = 2, 1
	case cmd == 0xf4:
		a.l.note("ATA erase %s", a.name)
		return a.l.ataErr
	}
	return nil
}

type nvme struct {
	l    *lab
	name string
}

func (n nvme) Namespace() (uint32, error) { return 1, nil }
func (n nvme) Admin(op byte, _, _ uint32, data []byte, _ time.Duration) error {
	if op == 6 && !n.l.nvmeOff {
		data[256] = 2
	}
	if op == 0x80 {
		n.l.note("NVMe format %s", n.name)
	}
	return nil
}

// state says what is left of each disk: "untouched", "ends" (metadata erased) or "zero".
func (l *lab) state() map[string]string {
	out := map[string]string{}
	for _, d := range l.disks {
		b, err := os.ReadFile(d.Name)
		if err != nil {
			l.t.Fatal(err)
		}
		zero := make([]byte, 4*mib)
		ends := bytes.Equal(b[:4*mib], zero) && bytes.Equal(b[20*mib:], zero)
		switch n := bytes.Count(b, []byte("secret")); {
		case n == 3*mib:
			out[d.Kernel] = "untouched"
		case n == 0 && ends:
			out[d.Kernel] = "zero"
		case ends && n == 2*mib:
			out[d.Kernel] = "ends"
		default:
			out[d.Kernel] = fmt.Sprintf("%d secrets", n)
		}
	}
	return out
}

func (l *lab) run(node string) clean.Run {
	l.t.Helper()
	o, err := clean.ParseOptions(json.RawMessage(node))
	if err != nil {
		l.t.Fatal(err)
	}
	return clean.Run{Options: o, Log: slog.New(slog.DiscardHandler), Progress: func(p agentapi.Progress) { l.mu.Lock(); l.progress = p; l.mu.Unlock() }}
}

func named(kernel string) inventory.Disk {
	return inventory.Disk{Kernel: kernel, BlockDevice: agentapi.BlockDevice{Serial: agentapi.Texts{"serial-" + kernel}}}
}

func with(d inventory.Disk, change func(*inventory.Disk)) inventory.Disk { change(&d); return d }

// machine has a disk of every kind.
func machine(t *testing.T) *lab {
	return newLab(t, named("sda"), named("sdb"), named("nvme0n1"), named("vda"),
		with(named("sdc"), func(d *inventory.Disk) { d.Removable = true }),
		with(named("sdd"), func(d *inventory.Disk) { d.ReadOnly = true }),
		with(named("sde"), func(d *inventory.Disk) { d.Model = "keep me" }))
}

const keepSDE = `"properties": {"skip_block_devices": [{"model": "keep me"}, {"volume_name": "large"}]}`

func TestMetadata(t *testing.T) {
	l := machine(t)
	for range 2 {
		if err := l.cleaner().Metadata(context.Background(), l.run(`{`+keepSDE+`}`)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"sda": "ends", "sdb": "ends", "nvme0n1": "ends", "vda": "ends", "sdc": "untouched", "sdd": "untouched", "sde": "untouched"}
	if diff := cmp.Diff(want, l.state()); diff != "" {
		t.Error(diff)
	}
	if l.progress.Message != "4 of 4 disks done" || l.progress.Phase != "erase metadata" {
		t.Errorf("progress %+v", l.progress)
	}
}

func TestAll(t *testing.T) {
	tests := map[string]struct {
		node    string
		ataErr  error
		nvmeOff bool
		want    map[string]string // of sda, sdb, nvme0n1, vda
		log     string
		err     string
	}{
		"drives erase themselves": {node: ``, want: map[string]string{"sda": "untouched", "sdb": "zero", "nvme0n1": "untouched", "vda": "zero"}, log: "ATA erase sda, NVMe format nvme0n1"},
		"switched off": {node: `"agent_enable_ata_secure_erase": false, "agent_enable_nvme_secure_erase": false`,
			want: map[string]string{"sda": "zero", "sdb": "zero", "nvme0n1": "zero", "vda": "zero"}},
		"not offered": {nvmeOff: true, want: map[string]string{"sda": "untouched", "sdb": "zero", "nvme0n1": "zero", "vda": "zero"}, log: "ATA erase sda"},
		"fails": {ataErr: errors.New("aborted"), want: map[string]string{"sda": "untouched", "sdb": "zero", "nvme0n1": "untouched", "vda": "zero"}, log: "ATA erase sda, NVMe format nvme0n1",
			err: "1 of 4 disks failed"},
		"fails, overwritten": {node: `"agent_continue_if_secure_erase_failed": true`, ataErr: errors.New("aborted"),
			want: map[string]string{"sda": "zero", "sdb": "zero", "nvme0n1": "untouched", "vda": "zero"}, log: "ATA erase sda, NVMe format nvme0n1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := machine(t)
			l.ataErr, l.nvmeOff = tt.ataErr, tt.nvmeOff
			node := `"agent_erase_skip_read_only": true`
			if tt.node != "" {
				node += ", " + tt.node
			}
			err := l.cleaner().All(context.Background(), l.run(`{`+keepSDE+`, "driver_internal_info": {`+node+`}}`))
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			for k, v := range map[string]string{"sdc": "untouched", "sdd": "untouched", "sde": "untouched"} {
				tt.want[k] = v
			}
			if diff := cmp.Diff(tt.want, l.state()); diff != "" {
				t.Error(diff)
			}
			var done []string
			for _, line := range l.log {
				if !strings.HasPrefix(line, "rescan") {
					done = append(done, line)
				}
			}
			sort.Strings(done)
			if got := strings.Join(done, ", "); got != tt.log {
				t.Errorf("done: %s, want %s", got, tt.log)
			}
		})
	}
}

func TestReadOnlyDiskStopsEverything(t *testing.T) {
	l := machine(t)
	err := l.cleaner().All(context.Background(), l.run(`{}`))
	if err == nil || !strings.Contains(err.Error(), "sdd is read-only") {
		t.Errorf("got %v", err)
	}
	for name, state := range l.state() {
		if state != "untouched" {
			t.Errorf("%s is %s", name, state)
		}
	}
}

func TestExpress(t *testing.T) {
	l := machine(t)
	if err := l.cleaner().Express(context.Background(), l.run(`{`+keepSDE+`}`)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sda": "ends", "sdb": "ends", "nvme0n1": "untouched", "vda": "ends", "sdc": "untouched", "sdd": "untouched", "sde": "untouched"}
	if diff := cmp.Diff(want, l.state()); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenDiskDoesNotKeepTheOthers(t *testing.T) {
	l := newLab(t, named("sda"), named("sdbroken"), named("sdc"))
	r := l.run(`{"driver_internal_info": {"wipe_special_filesystems": false}}`)
	err := l.cleaner().Metadata(context.Background(), r)
	if err == nil || !strings.Contains(err.Error(), "1 of 3 disks failed") || !strings.Contains(err.Error(), "sdbroken: input/output error") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(map[string]string{"sda": "ends", "sdbroken": "untouched", "sdc": "ends"}, l.state()); diff != "" {
		t.Error(diff)
	}
}

func TestProtectedDiskStopsEverything(t *testing.T) {
	for name, tt := range map[string]struct {
		node    string
		refused bool
	}{
		"by default":              {`{}`, true},
		"allowed":                 {`{"driver_info": {"wipe_special_filesystems": "True"}}`, false},
		"allowed, by IPA's field": {`{"driver_internal_info": {"wipe_special_filesystems": false}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, named("sda"), named("sdb"))
			f, err := os.OpenFile(l.disks[1].Name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteAt([]byte{0x01, 0x16, 0x19, 0x70}, 65536)
			f.Close()
			err = l.cleaner().Metadata(context.Background(), l.run(tt.node))
			if tt.refused != (err != nil) || tt.refused && !ferric.IsCode(err, ferric.CodeConflict) {
				t.Errorf("got %v", err)
			}
			if got := l.state()["sda"]; (got == "untouched") != tt.refused {
				t.Errorf("sda is %s", got)
			}
		})
	}
}

func TestArrays(t *testing.T) {
	disks := []inventory.Disk{
		with(named("sda"), func(d *inventory.Disk) {
			d.Partitions = []inventory.Partition{{Kernel: "sda1", Number: 1, Start: mib, Size: 8 * mib}}
		}),
		named("sdb"),
		with(named("md127"), func(d *inventory.Disk) { d.MD, d.Members = true, []string{"sda1", "sdb"} }),
	}
	l := newLab(t, disks...)
	if err := l.cleaner().Metadata(context.Background(), l.run(`{}`)); err != nil {
		t.Fatal(err)
	}
	if l.log[0] != "stop md127" || len(l.log) != 3 {
		t.Errorf("order: %v", l.log)
	}
	if got := l.state(); got["md127"] != "ends" || got["sdb"] != "ends" || strings.Contains("untouched ends", got["sda"]) {
		t.Errorf("state %v", got)
	}

	l = newLab(t, disks...)
	if err := l.cleaner().Metadata(context.Background(), l.run(`{"target_raid_config": {"logical_disks": [{"controller": "software"}]}}`)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"md127": "ends", "sda": "untouched", "sdb": "untouched"}, l.state()); diff != "" || len(l.log) != 0 {
		t.Errorf("with a RAID to keep: %s %v", diff, l.log)
	}
}

func TestCancel(t *testing.T) {
	l := newLab(t, named("sdb"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.cleaner().All(ctx, l.run(`{}`)); err == nil {
		t.Error("a cancelled step succeeded")
	}
}

func TestParseOptions(t *testing.T) {
	def := clean.Options{Concurrency: 4, Passes: 1, Zeroize: true, ATA: true, NVMe: true, Guard: true}
	for name, tt := range map[string]struct {
		node string
		want clean.Options
		bad  string
	}{
		"nothing": {``, def, ""},
		"all": {`{"driver_internal_info": {"disk_erasure_concurrency": 0, "agent_erase_devices_iterations": 3, "agent_erase_devices_zeroize": false, "agent_erase_skip_read_only": true,
			"agent_enable_ata_secure_erase": false, "agent_enable_nvme_secure_erase": false, "agent_continue_if_ata_erase_failed": true}}`,
			clean.Options{Concurrency: 1, Passes: 3, SkipReadOnly: true, OverwriteIfFail: true, Guard: true}, ""},
		"bad hint":   {`{"properties": {"skip_block_devices": [{"colour": "red"}]}}`, clean.Options{}, "skip_block_devices"},
		"empty hint": {`{"properties": {"skip_block_devices": [{}]}}`, clean.Options{}, "no hint"},
		"wrong type": {`{"properties": {"skip_block_devices": "sda"}}`, clean.Options{}, "node"},
	} {
		got, err := clean.ParseOptions(json.RawMessage(tt.node))
		if tt.bad != "" {
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(agentapi.Hints{})); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func TestErasePStore(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(dir+"/dmesg-efi-1", []byte("crash"), 0o600)
	os.Mkdir(dir+"/sub", 0o700)
	for _, d := range []string{dir, dir + "/nowhere"} {
		if err := clean.ErasePStore(d); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}
