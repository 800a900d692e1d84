package boot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	diskfs "github.com/diskfs/go-diskfs"
	"github.com/diskfs/go-diskfs/disk"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/partition/gpt"

	"ferric/boot"
	"ferric/boot/dhcp"
)

const localMark = "FERRIC-LOCAL-DISK"

// TestQEMULocal boots a machine over the network with a configuration of mode local: it must end up on its own disk.
func TestQEMULocal(t *testing.T) {
	tests := map[string]struct {
		boot  boot.Flavor // what DHCP offers; none = an address only
		qemu  qemuOptions
		proxy bool // beside another DHCP server
		core  bool
	}{
		"bios pxe":            {boot: boot.FlavorPXE},
		"bios ipxe":           {boot: boot.FlavorIPXE, core: true},
		"bios nothing":        {},
		"uefi pxe":            {boot: boot.FlavorPXE, qemu: qemuOptions{uefi: true, noROM: true}, core: true},
		"uefi ipxe rom":       {boot: boot.FlavorIPXE, qemu: qemuOptions{uefi: true}},
		"uefi ipxe rom proxy": {boot: boot.FlavorIPXE, qemu: qemuOptions{uefi: true}, proxy: true},
		"uefi ipxe chained":   {boot: boot.FlavorIPXE, qemu: qemuOptions{uefi: true, noROM: true}},
		"uefi nothing":        {qemu: qemuOptions{uefi: true}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			needQEMU(t, tt.core)
			s := newStack(t, stackOptions{proxy: tt.proxy, machine: func() dhcp.Machine {
				return dhcp.Machine{NodeUUID: nodeUUID, Boot: tt.boot}
			}})
			flavor := tt.boot
			if flavor == "" {
				flavor = boot.FlavorIPXE
			}
			cfg := boot.Config{NodeUUID: nodeUUID, MACs: []string{nodeMAC}, Flavor: flavor, Mode: boot.ModeLocal}
			if err := s.pub.Publish(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			img := biosDisk(t)
			if tt.qemu.uefi {
				img = uefiDisk(t)
			}
			tt.qemu.extra = []string{"-drive", "if=none,id=d0,format=raw,file=" + img, "-device", "virtio-blk-pci,drive=d0,bootindex=2"}
			s.start(t, tt.qemu, localMark, 15*time.Minute)
			t.Logf("timeline:\n%s", s.tl)
		})
	}
}

// biosDisk makes a disk whose boot sector writes the mark to the first serial port and stops.
func biosDisk(t *testing.T) string {
	t.Helper()
	sector := make([]byte, 1<<20)
	code := []byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xfc,             // cld
		0xbe, 0x16, 0x7c, // mov si, 0x7c16 (the text)
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x03, // jz stop
		0xee,       // out dx, al
		0xeb, 0xf8, // jmp next
		0xf4,       // stop: hlt
		0xeb, 0xfd, // jmp stop
	}
	copy(sector[copy(sector, code):], "\r\n"+localMark+"\r\n\x00")
	sector[510], sector[511] = 0x55, 0xaa
	name := filepath.Join(t.TempDir(), "bios.img")
	if err := os.WriteFile(name, sector, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// uefiDisk makes a disk with an EFI system partition whose loader is a GRUB that prints the mark.
func uefiDisk(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("grub-mkimage"); err != nil {
		t.Skip("SKIPPED: grub-mkimage is missing; install the packages grub-common and grub-efi-amd64-bin")
	}
	dir := t.TempDir()
	conf, loader := filepath.Join(dir, "grub.cfg"), filepath.Join(dir, "grub.efi")
	if err := os.WriteFile(conf, []byte("echo "+localMark+"\nsleep 600\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "grub-mkimage", "-O", "x86_64-efi", "-p", "/", "-c", conf, "-o", loader, "echo", "sleep").CombinedOutput()
	if err != nil {
		t.Fatalf("grub-mkimage: %v\n%s", err, out)
	}
	data, err := os.ReadFile(loader)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "uefi.img")
	const size = 96 << 20
	d, err := diskfs.Create(name, size, diskfs.SectorSizeDefault)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const start, sectors = 2048, 80 << 20 / 512
	table := &gpt.Table{ProtectiveMBR: true, LogicalSectorSize: 512, PhysicalSectorSize: 512,
		Partitions: []*gpt.Partition{{Index: 1, Start: start, End: start + sectors - 1, Type: gpt.EFISystemPartition, Name: "esp"}}}
	if err := d.Partition(table); err != nil {
		t.Fatal(err)
	}
	fsys, err := d.CreateFilesystem(disk.FilesystemSpec{Partition: 1, FSType: filesystem.TypeFat32, VolumeLabel: "ESP"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/EFI", "/EFI/BOOT"} {
		if err := fsys.Mkdir(p); err != nil {
			t.Fatal(err)
		}
	}
	f, err := fsys.OpenFile("/EFI/BOOT/BOOTX64.EFI", os.O_CREATE|os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}
