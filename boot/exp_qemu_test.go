package boot_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ferric/boot"
	"ferric/boot/dhcp"
)

func TestExpGrubHTTP(t *testing.T) {
	needQEMU(t)
	kernel, initrd := kernel(t), initramfs(t)
	for name, port := range map[string]uint16{"8080": 8080, "80": 80} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t, stackOptions{port: port, ra: true, files: os.DirFS("/usr/lib"), machine: func() dhcp.Machine {
				f := ""
				if os.Getenv("EXP_FILE") != "" {
					f = os.Getenv("EXP_FILE")
				}
				return dhcp.Machine{NodeUUID: nodeUUID, Boot: "pxe", BootFile: f}
			}})
			s.add(t, "images", "kernel", kernel)
			s.add(t, "images", "initrd", initrd)
			cfg := boot.Config{NodeUUID: nodeUUID, MACs: []string{nodeMAC}, Flavor: "pxe", Mode: boot.ModeRamdisk,
				Kernel: "images/kernel", Initrd: "images/initrd", Cmdline: "console=ttyS0 ferric.test=one,two;three&four quiet"}
			if err := s.pub.Publish(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			if os.Getenv("EXP_TFTP") != "" {
				p := filepath.Join(s.dir, "state/files", boot.GRUBPath(nodeMAC))
				d, _ := os.ReadFile(p)
				d = bytes.ReplaceAll(d, []byte("(http,10.77.0.1:8080)/images/"), []byte("(tftp,10.77.0.1)/extra-"))
				os.WriteFile(p, d, 0o644)
				p = filepath.Join(s.dir, "state/files", boot.PXELinuxPath(nodeMAC))
				d, _ = os.ReadFile(p)
				d = bytes.ReplaceAll(d, []byte("http://10.77.0.1:8080/images/"), []byte("extra-"))
				os.WriteFile(p, d, 0o644)
				s.add(t, "extra", "extra-kernel", kernel)
				s.add(t, "extra", "extra-initrd", initrd)
			}
			s.start(t, qemuOptions{uefi: os.Getenv("EXP_BIOS") == "", noROM: os.Getenv("EXP_ROM") == "" && os.Getenv("EXP_BIOS") == ""}, "FERRIC-INIT", 60*time.Second)
			t.Logf("timeline:\n%s", s.tl)
		})
	}
}
