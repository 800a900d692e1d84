package ipxe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric/boot"
)

const volumeScript = `#!ipxe
# node node-1
set try:int32 0
set initiator-iqn iqn.2026-11.org.example:one

:try
inc try
echo Ferric: attaching the volumes, try ${try}
imgfree
set username user
set password secret
sanhook --drive 0x80 iscsi:192.0.2.7::3260:1:iqn.a iscsi:192.0.2.8::3260:1:iqn.a || goto failed
clear username
clear password
sanhook --drive 0x81 iscsi:192.0.2.7:::b:iqn.b || goto failed
set username user
set password secret
sanboot --no-describe --drive 0x80 || goto failed

:failed
sanunhook --drive 0x80 ||
sanunhook --drive 0x81 ||
echo Ferric: a volume could not be attached or started; trying again in 10 seconds
sleep 10
goto try
`

// TestVolumes: a machine boots from the first of its volumes, and has the others; what fails is tried again.
func TestVolumes(t *testing.T) {
	files, err := renderer().Render(boot.Config{NodeUUID: "node-1", MACs: []string{"52:54:00:aa:00:01"}, Flavor: boot.FlavorIPXE, Mode: boot.ModeVolume,
		Initiator: "iqn.2026-11.org.example:one", Volumes: []boot.Volume{
			{URLs: []string{"iscsi:192.0.2.7::3260:1:iqn.a", "iscsi:192.0.2.8::3260:1:iqn.a"}, Username: "user", Password: "secret"},
			{URLs: []string{"iscsi:192.0.2.7:::b:iqn.b"}}}})
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if diff := cmp.Diff(volumeScript, string(files[0].Data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
