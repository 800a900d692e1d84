package ipxe

import (
	"fmt"
	"strings"

	"ferric/boot"
)

// volumes is the script that boots from remote volumes: it hooks them as drives from 0x80 on and starts the first. What fails is tried again for ever, with a
// pause: the machine has nothing else to boot.
func volumes(cfg boot.Config) string {
	var b strings.Builder
	b.WriteString("set try:int32 0\n")
	if cfg.Initiator != "" {
		b.WriteString("set initiator-iqn " + cfg.Initiator + "\n")
	}
	b.WriteString("\n:try\ninc try\necho Ferric: attaching the volumes, try ${try}\nimgfree\n")
	login := func(v boot.Volume) {
		if v.Username == "" {
			b.WriteString("clear username\nclear password\n")
			return
		}
		b.WriteString("set username " + v.Username + "\nset password " + v.Password + "\n")
	}
	for i, v := range cfg.Volumes {
		login(v)
		fmt.Fprintf(&b, "sanhook --drive %#x %s || goto failed\n", firstDrive+i, strings.Join(v.URLs, " "))
	}
	if len(cfg.Volumes) > 1 { // what the system finds in its table of boot firmware is for the first
		login(cfg.Volumes[0])
	}
	fmt.Fprintf(&b, "sanboot --no-describe --drive %#x || goto failed\n\n:failed\n", firstDrive)
	for i := range cfg.Volumes {
		fmt.Fprintf(&b, "sanunhook --drive %#x ||\n", firstDrive+i)
	}
	b.WriteString("echo Ferric: a volume could not be attached or started; trying again in 10 seconds\nsleep 10\ngoto try\n")
	return b.String()
}

const firstDrive = 0x80
