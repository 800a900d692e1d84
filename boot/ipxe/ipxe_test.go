package ipxe_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/boot"
	"ferric/boot/ipxe"
)

func renderer() ipxe.Renderer {
	return ipxe.Renderer{Site: boot.Site{HTTP: "http://192.0.2.1:8080", TFTP: netip.MustParseAddr("192.0.2.1")}}
}

func config() boot.Config {
	return boot.Config{NodeUUID: "node-1", MACs: []string{"52:54:00:aa:00:01"}, Flavor: boot.FlavorIPXE, Mode: boot.ModeRamdisk,
		Kernel: "images/kernel", Initrd: "http://192.0.2.9/initrd", Cmdline: "console=ttyS0,115200 quiet"}
}

const script = `#!ipxe
# node node-1
set try:int32 0

:try
inc try
echo Ferric: loading the deploy ramdisk, try ${try} of 5
imgfree
kernel --name kernel http://192.0.2.1:8080/images/kernel initrd=initrd console=ttyS0,115200 quiet BOOTIF=01-52-54-00-aa-00-01 || goto failed
initrd --name initrd http://192.0.2.9/initrd || goto failed
boot

:failed
echo Ferric: the deploy ramdisk could not be loaded or started
iseq ${try} 5 && goto giveup ||
sleep 5
goto try

:giveup
echo Ferric: giving up; press s within 30 seconds for a shell, or the machine restarts
prompt --key s --timeout 30000 && shell ||
reboot
`

const localScript = `#!ipxe
# node node-1
iseq ${platform} efi && goto efi ||
sanboot --no-describe --drive 0x80 || goto failed

:efi
set base tftp://192.0.2.1
iseq ${buildarch} arm64 && set loader grubaa64.efi || set loader grubx64.efi
chain --autofree ${base}/grubsitex64.efi ||
chain --autofree ${base}/${loader} ||
exit 1

:failed
echo Ferric: the first disk could not be started; restarting in 30 seconds
sleep 30
reboot
`

func TestRender(t *testing.T) {
	const path = "ipxe/52-54-00-aa-00-01/boot.ipxe"
	local := func(c *boot.Config) { c.Mode = boot.ModeLocal; c.Kernel, c.Initrd, c.Cmdline = "", "", "" }
	tests := map[string]struct {
		change func(*boot.Config)
		want   map[string]string
	}{
		"ramdisk": {func(*boot.Config) {}, map[string]string{path: script}},
		"two MACs": {func(c *boot.Config) { c.MACs = append(c.MACs, "52:54:00:aa:00:02") },
			map[string]string{path: script, "ipxe/52-54-00-aa-00-02/boot.ipxe": strings.ReplaceAll(script, "aa-00-01", "aa-00-02")}},
		"default": {func(c *boot.Config) { c.NodeUUID, c.MACs = boot.DefaultID, nil },
			map[string]string{"ipxe/default/boot.ipxe": strings.NewReplacer("node node-1", "node default", "01-52-54-00-aa-00-01", "01-${netX/mac:hexhyp}").Replace(script)}},
		"local":      {local, map[string]string{path: localScript, "grub/grub.cfg-01-52-54-00-aa-00-01": "# node node-1\n" + boot.GRUBLocal}},
		"local bios": {func(c *boot.Config) { local(c); c.Firmware = boot.FirmwareBIOS }, map[string]string{path: localScript}},
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
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommon(t *testing.T) {
	got := map[string]string{}
	for _, f := range renderer().Common() {
		got[f.Path] = string(f.Data)
	}
	want := map[string]string{boot.GRUBDispatchPath: boot.GRUBDispatch, "ipxe/boot.ipxe": `#!ipxe
chain --autofree http://192.0.2.1:8080/ipxe/${netX/mac:hexhyp}/boot.ipxe ||
chain --autofree http://192.0.2.1:8080/ipxe/default/boot.ipxe ||
echo Ferric: there is nothing to boot for ${netX/mac}; going on with the next boot device in 5 seconds
sleep 5
exit 1
`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRenderRefused(t *testing.T) {
	tests := map[string]struct {
		change func(*boot.Config)
		site   boot.Site
	}{
		"flavor":   {func(c *boot.Config) { c.Flavor = boot.FlavorPXE }, renderer().Site},
		"setting":  {func(c *boot.Config) { c.Cmdline = "a=${username}" }, renderer().Site},
		"operator": {func(c *boot.Config) { c.Cmdline = "a || shell" }, renderer().Site},
		"newline":  {func(c *boot.Config) { c.Kernel = "images/k\nshell" }, renderer().Site},
		"site":     {func(*boot.Config) {}, boot.Site{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := config()
			tt.change(&c)
			if files, err := (ipxe.Renderer{Site: tt.site}).Render(c); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("error %v, files %v; want CodeInvalid", err, files)
			}
		})
	}
}
