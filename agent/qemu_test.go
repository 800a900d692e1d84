package agent_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ferric/agentapi"
	"ferric/ramdisk"
)

// needQEMU skips unless machines may be started, and loudly says why.
func needQEMU(t *testing.T) {
	t.Helper()
	if os.Getenv("FERRIC_QEMU") == "" {
		t.Skip("set FERRIC_QEMU=1 to boot the ramdisk in QEMU")
	}
	for _, p := range []string{"qemu-system-x86_64", "qemu-img", "sgdisk", "mkfs.vfat", "mcopy"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("FERRIC_QEMU is set, but %s is not installed", p)
		}
	}
}

// buildRamdisk builds agent and ramdisk as a release does.
func buildRamdisk(t *testing.T) ramdisk.Result {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir+"/agent", "ferric/cmd/ferric-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	res, err := ramdisk.Build(context.Background(), ramdisk.Options{Agent: dir + "/agent", OutputDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel %.1f MB, initramfs %.1f MB (agent %.1f MB, %d modules of %.1f MB before compression)", float64(res.KernelSize)/1e6, float64(res.InitramfsSize)/1e6,
		float64(res.AgentSize)/1e6, res.Modules, float64(res.ModulesSize)/1e6)
	return res
}

// vm is a machine in QEMU, booted directly into the ramdisk.
type vm struct {
	t       *testing.T
	cmd     *exec.Cmd
	serial  string
	forward string // host address that leads to the agent's port
	exited  chan struct{}
	began   time.Time
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func boot(t *testing.T, rd ramdisk.Result, c *conductor, cmdline string, args ...string) *vm {
	t.Helper()
	m := &vm{t: t, serial: filepath.Join(t.TempDir(), "serial.log"), forward: freePort(t), exited: make(chan struct{})}
	_, port, _ := net.SplitHostPort(c.Listener.Addr().String())
	full := []string{"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512", "-smp", "1", "-display", "none", "-no-reboot",
		"-serial", "file:" + m.serial, "-kernel", rd.Kernel, "-initrd", rd.Initramfs,
		"-append", "console=ttyS0 ipa-api-url=http://10.0.2.2:" + port + " ipa-debug=1 " + cmdline,
		"-netdev", "user,id=n0,hostfwd=tcp:" + m.forward + "-:9999", "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56"}
	m.cmd = exec.Command("qemu-system-x86_64", append(full, args...)...)
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	m.cmd.Stderr = &stderr
	m.began = time.Now()
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = m.cmd.Wait(); close(m.exited) }()
	c.mu.Lock()
	c.gone = m.exited
	c.mu.Unlock()
	t.Cleanup(func() {
		_ = m.cmd.Process.Kill()
		if t.Failed() {
			b, _ := os.ReadFile(m.serial)
			t.Logf("QEMU says: %s\nserial console:\n%s", stderr.String(), b)
		}
	})
	return m
}

func (m *vm) waitExit(limit time.Duration) {
	m.t.Helper()
	select {
	case <-m.exited:
	case <-time.After(limit):
		m.t.Fatalf("the machine still runs after %v", limit)
	}
}

func sh(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// diskImage makes a qcow2 image with a GPT and 64 MiB of data that does not compress, 1 GiB in all.
func diskImage(t *testing.T, dir string) (file, sum string, content map[int64][]byte) {
	t.Helper()
	raw := filepath.Join(dir, "i.raw")
	if err := os.WriteFile(raw, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(raw, 1<<30); err != nil {
		t.Fatal(err)
	}
	sh(t, "sgdisk", "-n", "1:2048:+8M", "-t", "1:ef00", "-n", "2:0:0", "-c", "2:root", raw)
	f, err := os.OpenFile(raw, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	content = map[int64][]byte{}
	block := make([]byte, 1<<20)
	for i := range int64(64) {
		seed := sha256.Sum256([]byte(fmt.Sprint(i)))
		for j := 0; j < len(block); j += 32 {
			copy(block[j:], seed[:])
			seed = sha256.Sum256(seed[:])
		}
		at := (20 + i*13) << 20
		if _, err := f.WriteAt(block, at); err != nil {
			t.Fatal(err)
		}
		content[at] = append([]byte(nil), block...)
	}
	f.Close()
	file = filepath.Join(dir, "i.qcow2")
	sh(t, "qemu-img", "convert", "-O", "qcow2", raw, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return file, hex.EncodeToString(s[:]), content
}

func configDrive(t *testing.T) string {
	t.Helper()
	iso := make([]byte, 400<<10)
	copy(iso[32768:], "\x01CD001\x01\x00")
	copy(iso[32768+40:], "config-2                        ")
	copy(iso[100<<10:], "this is the config drive")
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(iso)
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// TestQEMUDeploy boots the real ramdisk, lets it inspect, look up and send heartbeats, erases a disk's metadata, writes an
// image with a config drive, and checks the disk.
func TestQEMUDeploy(t *testing.T) {
	needQEMU(t)
	rd := buildRamdisk(t)
	dir := t.TempDir()
	_, sum, content := diskImage(t, dir)
	disk := filepath.Join(dir, "disk.raw")
	if err := os.WriteFile(disk, bytes.Repeat([]byte("old"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 5<<30); err != nil {
		t.Fatal(err)
	}
	c := newConductor(t, httptest.NewServer)
	images := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer images.Close()
	_, imagePort, _ := net.SplitHostPort(images.Listener.Addr().String())
	_, port, _ := net.SplitHostPort(c.Listener.Addr().String())

	m := boot(t, rd, c, "BOOTIF=01-52-54-00-12-34-56 ipa-inspection-callback-url=http://10.0.2.2:"+port+"/v1/continue_inspection ipa-inspection-collectors=default,logs,pci-devices,usb-devices",
		"-drive", "if=none,id=d0,format=raw,cache=unsafe,file="+disk, "-device", "virtio-blk-pci,drive=d0,serial=disk-one")
	a := c.agent(m.forward)
	c.mu.Lock()
	t.Logf("power-on to inspection data %.1f s, lookup %.1f s, first heartbeat %.1f s", c.seen["inspection"].Sub(m.began).Seconds(), c.seen["lookup"].Sub(m.began).Seconds(), c.seen["heartbeat"].Sub(m.began).Seconds())
	inspection, lookup, first := c.inspection[0], c.lookups[0], c.beats[0]
	c.mu.Unlock()
	if lookup != "52:54:00:12:34:56" || first.CallbackURL != "https://10.0.2.15:9999" || first.Ferric == nil {
		t.Errorf("lookup %q, heartbeat %+v", lookup, first)
	}
	checkInventory(t, inspection.Inventory)
	for _, key := range []string{"boot_interface", "root_disk", "pci_devices", "usb_devices", "logs", "configuration"} {
		if len(inspection.PluginData[key]) < 2 {
			t.Errorf("inspection data: %s is %s", key, inspection.PluginData[key])
		}
	}
	if e := string(inspection.PluginData["error"]); e != "null" {
		t.Errorf("inspection error %s", e)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	do := func(cmd agentapi.Command) agentapi.CommandResult {
		t.Helper()
		began := time.Now()
		res, err := a.Do(ctx, cmd, true)
		if err != nil {
			t.Fatalf("%s: %v", cmd.Name, err)
		}
		t.Logf("%s: %.1f s", cmd.Name, time.Since(began).Seconds())
		return res
	}
	node := map[string]any{"uuid": nodeUUID, "properties": map[string]any{"root_device": map[string]any{"serial": "disk-one"}}}
	steps, err := agentapi.DecodeSteps(agentapi.CleanStep, do(agentapi.GetSteps(agentapi.CleanStep, node, nil)))
	if err != nil || steps.Steps[0].Step != "erase_devices_metadata" || steps.Steps[0].Priority != 99 {
		t.Fatalf("steps %+v %v", steps, err)
	}
	do(agentapi.ExecuteStep(agentapi.CleanStep, steps.Steps[0], node, nil, steps.Versions))

	info := agentapi.ImageInfo{ID: "img", URLs: []string{"http://10.0.2.2:" + imagePort + "/i.qcow2"}, DiskFormat: "qcow2", OSHashAlgo: "sha256", OSHashValue: sum}
	cmd := agentapi.ExecuteStep(agentapi.DeployStep, agentapi.WriteImageStep(info, configDrive(t)), node, nil, nil)
	cmd.ID, cmd.Epoch = "plan/1", 3
	res := do(cmd)
	if again := do(cmd); again.ID != "plan/1" || string(again.CommandResult) != string(res.CommandResult) {
		t.Errorf("the same id again: %+v", again)
	}
	if !strings.Contains(string(res.CommandResult), "written to device /dev/vda") {
		t.Errorf("result %s", res.CommandResult)
	}
	do(agentapi.InstallBootloader("", "", "bios"))
	do(agentapi.Command{Name: agentapi.CmdSync})
	var logs agentapi.Logs
	if err := do(agentapi.Command{Name: agentapi.CmdCollectSystemLogs}).Decode(&logs); err != nil || len(logs.SystemLogs) < 1000 {
		t.Errorf("logs: %d bytes, %v", len(logs.SystemLogs), err)
	}
	do(agentapi.Command{Name: agentapi.CmdPowerOff})
	m.waitExit(2 * time.Minute)

	if out := sh(t, "sgdisk", "-v", disk); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
	if out := sh(t, "sgdisk", "-p", disk); !strings.Contains(out, "config-2") || !strings.Contains(out, "root") {
		t.Errorf("sgdisk -p: %s", out)
	}
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 1<<20)
	for at, want := range content {
		if _, err := f.ReadAt(got, at); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the disk differs from the image at %d MiB (%v)", at>>20, err)
		}
	}
	if _, err := f.ReadAt(got, 1<<20); err != nil || bytes.Contains(got, []byte("old")) {
		t.Error("old content shows through a hole of the image")
	}
	tail := make([]byte, 70<<20)
	if _, err := f.ReadAt(tail, 5<<30-70<<20); err != nil && err != io.EOF || !bytes.Contains(tail, []byte("this is the config drive")) {
		t.Errorf("no config drive at the end of the disk (%v)", err)
	}
}

func checkInventory(t *testing.T, inv agentapi.Inventory) {
	t.Helper()
	b, _ := json.MarshalIndent(inv, "", " ")
	switch {
	case len(inv.Interfaces) != 1, inv.Interfaces[0].MACAddress != "52:54:00:12:34:56", inv.Interfaces[0].IPv4Address != "10.0.2.15", !inv.Interfaces[0].HasCarrier,
		inv.Interfaces[0].Driver != "virtio_net", inv.Interfaces[0].Vendor != "0x1af4":
		t.Errorf("interfaces: %s", b)
	case len(inv.Disks) != 1, inv.Disks[0].Name != "/dev/vda", inv.Disks[0].Size != 5<<30, inv.Disks[0].Serial.First() != "disk-one":
		t.Errorf("disks: %s", b)
	case inv.CPU.Count != 1, inv.CPU.Architecture != "x86_64", len(inv.CPU.Flags) == 0:
		t.Errorf("cpu: %s", b)
	case inv.Memory.PhysicalMB == nil, *inv.Memory.PhysicalMB != 512, inv.Memory.Total < 400<<20:
		t.Errorf("memory: %s", b)
	case inv.SystemVendor.Manufacturer != "QEMU", inv.SystemVendor.Firmware.Vendor == "", inv.Boot.CurrentBootMode != "bios", inv.Boot.PXEInterface != "01-52-54-00-12-34-56":
		t.Errorf("vendor or boot: %s", b)
	}
}

// espImage makes a raw image with an EFI system partition that holds a file of the name.
func espImage(t *testing.T, dir, loader string) (sum string) {
	t.Helper()
	esp, raw := filepath.Join(dir, "esp"), filepath.Join(dir, "esp.raw")
	for f, size := range map[string]int64{esp: 16 << 20, raw: 64 << 20} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(f, size); err != nil {
			t.Fatal(err)
		}
	}
	sh(t, "mkfs.vfat", esp)
	boot := filepath.Join(dir, "boot.efi")
	if err := os.WriteFile(boot, []byte("MZ not really"), 0o644); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(loader, "/")
	for i := 1; i < len(parts); i++ {
		sh(t, "mmd", "-i", esp, "::"+strings.Join(parts[:i], "/"))
	}
	sh(t, "mcopy", "-i", esp, boot, "::"+loader)
	sh(t, "sgdisk", "-n", "1:2048:+16M", "-t", "1:ef00", "-n", "2:0:0", raw)
	sh(t, "dd", "if="+esp, "of="+raw, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestQEMUHardware boots in UEFI mode on hardware of other kinds: e1000e, NVMe, SATA, an IPMI controller. It erases all disks
// (NVMe by its own command), writes an image to the NVMe disk and adds a boot entry to the firmware.
func TestQEMUHardware(t *testing.T) {
	needQEMU(t)
	const code, vars = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
	empty, err := os.ReadFile(vars)
	if err != nil {
		t.Fatalf("FERRIC_QEMU is set, but OVMF is not installed: %v", err)
	}
	rd := buildRamdisk(t)
	dir := t.TempDir()
	sum := espImage(t, dir, "EFI/BOOT/BOOTX64.EFI")
	nvram := filepath.Join(dir, "vars.fd")
	if err := os.WriteFile(nvram, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	fast, slow := filepath.Join(dir, "nvme.raw"), filepath.Join(dir, "sata.raw")
	for f, size := range map[string]int64{fast: 5 << 30, slow: 24 << 20} {
		if err := os.WriteFile(f, bytes.Repeat([]byte("secret.."), 24<<20/8), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(f, size); err != nil {
			t.Fatal(err)
		}
	}
	c := newConductor(t, httptest.NewServer)
	images := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer images.Close()
	_, imagePort, _ := net.SplitHostPort(images.Listener.Addr().String())
	m := boot(t, rd, c, "", "-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+code, "-drive", "if=pflash,unit=1,format=raw,file="+nvram,
		"-nic", "none", "-drive", "if=none,id=d0,format=raw,cache=unsafe,discard=unmap,file="+fast, "-device", "nvme,drive=d0,serial=nvme-one",
		"-drive", "if=none,id=d1,format=raw,cache=unsafe,file="+slow, "-device", "ide-hd,drive=d1,bus=ide.1,serial=sata-one,wwn=0x5000c50015ea71aa,model=DISK",
		"-device", "ipmi-bmc-sim,id=bmc0", "-device", "isa-ipmi-kcs,bmc=bmc0", "-netdev", "user,id=n1,net=10.0.3.0/24", "-device", "e1000e,netdev=n1,mac=52:54:00:12:34:57")
	a := c.agent(m.forward)
	t.Logf("power-on to first heartbeat %.1f s", time.Since(m.began).Seconds())
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	do := func(cmd agentapi.Command) agentapi.CommandResult {
		t.Helper()
		began := time.Now()
		res, err := a.Do(ctx, cmd, true)
		if err != nil {
			t.Fatalf("%s: %v", cmd.Name, err)
		}
		t.Logf("%s: %.1f s", cmd.Name, time.Since(began).Seconds())
		return res
	}
	var inv agentapi.Inventory
	if err := do(agentapi.Command{Name: agentapi.CmdGetHardwareInfo}).Decode(&inv); err != nil {
		t.Fatal(err)
	}
	text, _ := json.MarshalIndent(inv, "", " ")
	disks := map[string]agentapi.BlockDevice{}
	for _, d := range inv.Disks {
		disks[d.Serial.First()] = d
	}
	if n, s := disks["nvme-one"], disks["sata-one"]; len(disks) != 2 || n.Name != "/dev/nvme0n1" || n.Tran != "nvme" || !strings.Contains(string(n.ByPath), "-nvme-1") ||
		s.Name != "/dev/sda" || s.Tran != "sata" || s.WWN.First() != "0x5000c50015ea71aa" || s.HCTL == "" || !strings.Contains(string(s.ByPath), "-ata-") {
		t.Errorf("disks: %s", text)
	}
	if inv.Boot.CurrentBootMode != "uefi" || inv.BMCAddress != "0.0.0.0" || len(inv.Interfaces) != 2 {
		t.Errorf("boot mode, BMC or interfaces: %s", text)
	}

	node := map[string]any{"uuid": nodeUUID, "properties": map[string]any{}, "driver_internal_info": map[string]any{}}
	do(agentapi.ExecuteStep(agentapi.CleanStep, agentapi.Step{Step: "erase_devices"}, node, nil, nil))
	if serial, err := os.ReadFile(m.serial); err != nil || !bytes.Contains(serial, []byte("erased by NVMe format")) || !bytes.Contains(serial, []byte("overwriting")) {
		t.Errorf("the NVMe disk was not erased by its own command, or the other one not overwritten (%v)", err)
	}
	for _, f := range []string{fast, slow} {
		b := make([]byte, 24<<20)
		if err := readHead(f, b); err != nil || !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("%s is not erased (%v)", filepath.Base(f), err)
		}
	}

	info := agentapi.ImageInfo{ID: "esp", URLs: []string{"http://10.0.2.2:" + imagePort + "/esp.raw"}, DiskFormat: "raw", Checksum: sum}
	if res := do(agentapi.PrepareImage(info, configDrive(t))); !strings.Contains(string(res.CommandResult), "/dev/nvme0n1") {
		t.Errorf("result %s", res.CommandResult)
	}
	do(agentapi.InstallBootloader("", "", "uefi"))
	do(agentapi.Command{Name: agentapi.CmdRunImage})
	m.waitExit(2 * time.Minute) // -no-reboot turns the reboot into an exit

	b, err := os.ReadFile(nvram)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, utf16(`\EFI\BOOT\BOOTX64.EFI`)) || !bytes.Contains(b, utf16("ferric")) {
		t.Error("the firmware has no boot entry for the image")
	}
	if out := sh(t, "sgdisk", "-v", fast); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
}

func readHead(file string, b []byte) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	return err
}

func utf16(s string) []byte {
	var out []byte
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return out
}
