package pxe_test

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/boot"
	"ferric/boot/pxe"
)

func renderer() pxe.Renderer {
	return pxe.Renderer{Site: boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")}}
}

func config() boot.Config {
	return boot.Config{NodeUUID: "node-1", MACs: []string{"52:54:00:aa:00:01"}, Flavor: boot.FlavorPXE, Mode: boot.ModeRamdisk,
		Kernel: "images/kernel", Initrd: "/images/initrd", Cmdline: "console=ttyS0,115200  x=a;b&c|d<e>(f){g} $h"}
}

const linuxText = `# node node-1
DEFAULT ferric
PROMPT 0
NOESCAPE 1
ONERROR reboot.c32

LABEL ferric
  KERNEL http://192.0.2.1:8080/images/kernel
  INITRD http://192.0.2.1:8080/images/initrd
  APPEND console=ttyS0,115200 x=a;b&c|d<e>(f){g} $h BOOTIF=01-52-54-00-aa-00-01
`

const grubText = `# node node-1
for try in 1 2 3 4 5; do
  echo "Ferric: loading the deploy ramdisk, try $try of 5"
  if linux '(http,192.0.2.1:8080)/images/kernel' 'console=ttyS0,115200' 'x=a;b&c|d<e>(f){g}' '$h' 'BOOTIF=01-52-54-00-aa-00-01'; then
    if initrd '(http,192.0.2.1:8080)/images/initrd'; then
      boot
    fi
  fi
  if linux '(tftp,192.0.2.1)/images/kernel' 'console=ttyS0,115200' 'x=a;b&c|d<e>(f){g}' '$h' 'BOOTIF=01-52-54-00-aa-00-01'; then
    if initrd '(tftp,192.0.2.1)/images/initrd'; then
      boot
    fi
  fi
  sleep 5
done
echo 'Ferric: the deploy ramdisk could not be loaded; restarting in 30 s'
sleep 30
reboot
`

func TestRender(t *testing.T) {
	const linux, grub = "pxelinux.cfg/01-52-54-00-aa-00-01", "grub/grub.cfg-01-52-54-00-aa-00-01"
	local := func(c *boot.Config) { c.Mode = boot.ModeLocal; c.Kernel, c.Initrd, c.Cmdline = "", "", "" }
	tests := map[string]struct {
		change func(*boot.Config)
		want   map[string]string
	}{
		"ramdisk": {func(*boot.Config) {}, map[string]string{linux: linuxText, grub: grubText}},
		"bios":    {func(c *boot.Config) { c.Firmware = boot.FirmwareBIOS }, map[string]string{linux: linuxText}},
		"uefi":    {func(c *boot.Config) { c.Firmware = boot.FirmwareUEFI }, map[string]string{grub: grubText}},
		"two MACs": {func(c *boot.Config) { c.MACs = append(c.MACs, "52:54:00:aa:00:02"); c.Firmware = boot.FirmwareBIOS },
			map[string]string{linux: linuxText, "pxelinux.cfg/01-52-54-00-aa-00-02": strings.ReplaceAll(linuxText, "aa-00-01", "aa-00-02")}},
		"local": {local, map[string]string{
			linux: "# node node-1\nDEFAULT ferric\nPROMPT 0\nNOESCAPE 1\nONERROR reboot.c32\n\nLABEL ferric\n  LOCALBOOT -1\n",
			grub:  "# node node-1\n" + boot.GRUBLocal}},
		"default": {func(c *boot.Config) { c.NodeUUID, c.MACs, c.Cmdline = boot.DefaultID, nil, "quiet" }, map[string]string{
			"pxelinux.cfg/default": "# node default\nDEFAULT ferric\nPROMPT 0\nNOESCAPE 1\nONERROR reboot.c32\n\nLABEL ferric\n" +
				"  KERNEL http://192.0.2.1:8080/images/kernel\n  INITRD http://192.0.2.1:8080/images/initrd\n  SYSAPPEND 2\n  APPEND quiet\n",
			"grub/grub.cfg-default": strings.NewReplacer("node node-1", "node default", "'BOOTIF=01-52-54-00-aa-00-01'", `"BOOTIF=01-$mac"`,
				"'console=ttyS0,115200' 'x=a;b&c|d<e>(f){g}' '$h'", "'quiet'").Replace(grubText)}},
		"no command line": {func(c *boot.Config) { c.Cmdline = ""; c.Firmware = boot.FirmwareBIOS }, map[string]string{
			linux: strings.Replace(linuxText, "console=ttyS0,115200 x=a;b&c|d<e>(f){g} $h ", "", 1)}},
		"from another server": {func(c *boot.Config) { c.Kernel = "http://192.0.2.9/k?a=1"; c.Firmware = boot.FirmwareUEFI }, map[string]string{
			grub: strings.Replace(grubText[:strings.Index(grubText, "  if linux '(tftp")], "(http,192.0.2.1:8080)/images/kernel", "(http,192.0.2.9)/k?a=1", 1) +
				grubText[strings.Index(grubText, "  sleep 5"):]}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := config()
			tt.change(&c)
			files, err := renderer().Render(c)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, f := range files {
				got[f.Path] = string(f.Data)
				if strings.HasPrefix(f.Path, "grub/") {
					checkGRUB(t, f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, f := range renderer().Common() {
		if f.Path != boot.GRUBDispatchPath {
			t.Errorf("unexpected common file %s", f.Path)
		}
		checkGRUB(t, f)
	}
}

// checkGRUB asks GRUB itself whether it can read the file, where it is installed.
func checkGRUB(t *testing.T, f boot.File) {
	t.Helper()
	prog, err := exec.LookPath("grub-script-check")
	if err != nil {
		t.Log("grub-script-check is missing (package grub-common): GRUB's opinion of the file is not asked")
		return
	}
	name := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(name, f.Data, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), prog, name).CombinedOutput(); err != nil {
		t.Errorf("GRUB cannot read %s: %v\n%s\n%s", f.Path, err, out, f.Data)
	}
}

func TestRenderRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*boot.Config)
		site   boot.Site
	}{
		"flavor":  {func(c *boot.Config) { c.Flavor = boot.FlavorIPXE }, renderer().Site},
		"quote":   {func(c *boot.Config) { c.Cmdline = "a'; reboot; '" }, renderer().Site},
		"newline": {func(c *boot.Config) { c.Cmdline = "a\nKERNEL evil" }, renderer().Site},
		"site":    {func(*boot.Config) {}, boot.Site{HTTP: "http://boot.example.org"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := config()
			tt.change(&c)
			if files, err := (pxe.Renderer{Site: tt.site}).Render(c); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("error %v, files %v; want CodeInvalid", err, files)
			}
		})
	}
}
