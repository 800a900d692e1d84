package dhcp_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"ferric/boot"
	"ferric/boot/dhcp"
)

// What clients say of themselves; the texts are as firmware sends them.
var (
	biosPXE  = []mod{withClass("PXEClient:Arch:00000:UNDI:002001"), withArch(iana.INTEL_X86PC)}
	uefiPXE  = []mod{withClass("PXEClient:Arch:00007:UNDI:003000"), withArch(iana.EFI_X86_64)}
	uefiHTTP = []mod{withClass("HTTPClient:Arch:00016:UNDI:003001"), withArch(iana.EFI_X86_64_HTTP)}
	// The iPXE of QEMU's network cards: user class as plain text, features with HTTP (19).
	biosIPXE = append(biosPXE[:2:2], withBytes(77, []byte("iPXE")...), withBytes(175, 177, 5, 1, 0x1a, 0xf4, 0x10, 0, 19, 1, 1, 235, 3, 1, 0, 0, 23, 1, 1))
	uefiIPXE = append(uefiPXE[:2:2], withBytes(77, []byte("iPXE")...), withBytes(175, 19, 1, 1))
)

func TestBootFile(t *testing.T) {
	script := func(mac string) string {
		return "http://192.0.2.1:8080/ipxe/" + strings.ReplaceAll(mac, ":", "-") + "/boot.ipxe"
	}
	pxeDiscovery := func(o *dhcp.Options) { o.Discovery = boot.FlavorPXE }
	ipxeDiscovery := func(o *dhcp.Options) { o.Discovery = boot.FlavorIPXE }
	tests := map[string]struct {
		mac    string
		client []mod
		change func(*dhcp.Options)
		want   string
	}{
		"operating system":         {macPXE, nil, nil, ""},
		"operating system, ipxe":   {macIPXE, nil, nil, ""},
		"not to netboot":           {macKnown, biosPXE, nil, ""},
		"not to netboot, iPXE":     {macKnown, biosIPXE, nil, ""},
		"bios":                     {macPXE, biosPXE, nil, "lpxelinux.0"},
		"bios without option 93":   {macPXE, []mod{withClass("PXEClient")}, nil, "lpxelinux.0"},
		"uefi":                     {macPXE, uefiPXE, nil, "shimx64.efi"},
		"uefi by class alone":      {macPXE, uefiPXE[:1], nil, "shimx64.efi"},
		"uefi, arch 6":             {macPXE, []mod{withClass("PXEClient"), withArch(iana.EFI_IA32)}, nil, "shimx64.efi"},
		"uefi, arch 9":             {macPXE, []mod{withClass("PXEClient"), withArch(iana.EFI_BC)}, nil, "shimx64.efi"},
		"uefi arm64":               {macPXE, []mod{withClass("PXEClient"), withArch(iana.EFI_ARM64)}, nil, "shimaa64.efi"},
		"uefi arm32 is not served": {macPXE, []mod{withClass("PXEClient"), withArch(iana.EFI_ARM32)}, nil, ""},
		"uefi http":                {macPXE, uefiHTTP, nil, ""},
		"bios, iPXE rom":           {macPXE, biosIPXE, nil, "lpxelinux.0"},
		"uefi, iPXE rom":           {macPXE, uefiIPXE, nil, "grubx64.efi"},
		"ipxe bios":                {macIPXE, biosPXE, nil, "undionly.kpxe"},
		"ipxe uefi":                {macIPXE, uefiPXE, nil, "snponly.efi"},
		"ipxe uefi arm64":          {macIPXE, []mod{withClass("PXEClient"), withArch(iana.EFI_ARM64)}, nil, "snponly-arm64.efi"},
		"ipxe uefi http":           {macIPXE, uefiHTTP, nil, "http://192.0.2.1:8080/snponly.efi"},
		"ipxe uefi http arm64":     {macIPXE, []mod{withClass("HTTPClient"), withArch(iana.EFI_ARM64_HTTP)}, nil, "http://192.0.2.1:8080/snponly-arm64.efi"},
		"ipxe bios by iPXE":        {macIPXE, biosIPXE, nil, script(macIPXE)},
		"ipxe uefi by iPXE":        {macIPXE, uefiIPXE, nil, script(macIPXE)},
		"iPXE by user class alone": {macIPXE, append(biosPXE[:2:2], withBytes(77, []byte("iPXE")...)), nil, script(macIPXE)},
		"iPXE by user class list":  {macIPXE, append(biosPXE[:2:2], withBytes(77, []byte("\x03foo\x04iPXE")...)), nil, script(macIPXE)},
		"iPXE by option 175 alone": {macIPXE, append(biosPXE[:2:2], withBytes(175, 19, 1, 1)), nil, script(macIPXE)},
		"other user class":         {macIPXE, append(biosPXE[:2:2], withBytes(77, []byte("\x04gPXE")...)), nil, "undionly.kpxe"},
		"iPXE without HTTP":        {macIPXE, append(biosIPXE[:3:3], withBytes(175, 23, 1, 1, 19, 1, 0)), nil, "undionly.kpxe"},
		"iPXE, broken option 175":  {macIPXE, append(biosIPXE[:3:3], withBytes(175, 23, 200, 1)), nil, "undionly.kpxe"},
		"file of its own":          {macFile, uefiPXE, nil, "special.efi"},
		"file of its own, http":    {macFile, uefiHTTP, nil, "http://192.0.2.1:8080/special.efi"},
		"file of its own, iPXE":    {macScript, uefiPXE, nil, "my-ipxe.efi"},
		"script of its own":        {macScript, uefiIPXE, nil, "http://192.0.2.9/my.ipxe"},
		"discovery, bios":          {macUnknown, biosPXE, pxeDiscovery, "lpxelinux.0"},
		"discovery, iPXE":          {macUnknown, biosIPXE, ipxeDiscovery, "http://192.0.2.1:8080/ipxe/default/boot.ipxe"},
		"discovery, known machine": {macIPXE, biosIPXE, pxeDiscovery, script(macIPXE)},
		"discovery, no netboot":    {macKnown, biosIPXE, ipxeDiscovery, ""},
		"loader changed":           {macPXE, biosPXE, func(o *dhcp.Options) { o.BootFiles = map[boot.Flavor]map[uint16]string{boot.FlavorPXE: {0: "mine.0"}} }, "mine.0"},
		"loader of another arch":   {macPXE, uefiPXE, func(o *dhcp.Options) { o.BootFiles = map[boot.Flavor]map[uint16]string{boot.FlavorPXE: {0: "mine.0"}} }, "shimx64.efi"},
		"loader taken away":        {macPXE, biosPXE, func(o *dhcp.Options) { o.BootFiles = map[boot.Flavor]map[uint16]string{boot.FlavorPXE: {0: ""}} }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := newRig(t, tt.change).handle(tt.mac, dhcpv4.MessageTypeDiscover, tt.client...)
			if res.Outcome != dhcp.OutcomeAnswered {
				t.Fatalf("%s: %v", res.Outcome, res.Err)
			}
			p := res.Reply.Packet
			if res.BootFile != tt.want || p.BootFileName != tt.want || string(p.Options[67]) != tt.want {
				t.Errorf("boot file %q, in the packet %q and %q; want %q", res.BootFile, p.BootFileName, p.Options[67], tt.want)
			}
			isHTTP := string(p.Options[60]) == "HTTPClient"
			wantServer := "192.0.2.1"
			if tt.want == "" || isHTTP {
				wantServer = "0.0.0.0"
			}
			got := "0.0.0.0"
			if p.ServerIPAddr != nil {
				got = p.ServerIPAddr.String()
			}
			if got != wantServer {
				t.Errorf("next server is %s, want %s", got, wantServer)
			}
		})
	}
}

func TestBootOptions(t *testing.T) {
	tests := map[string]struct {
		mac    string
		client []mod
		want   map[uint8][]byte // nil: must be absent
	}{
		"PXE":         {macPXE, biosPXE, map[uint8][]byte{66: []byte("192.0.2.1"), 60: nil, 43: nil, 175: nil}},
		"iPXE":        {macIPXE, biosIPXE, map[uint8][]byte{66: []byte("192.0.2.1"), 175: {176, 1, 1}}},
		"iPXE to PXE": {macPXE, biosIPXE, map[uint8][]byte{175: {176, 1, 1}}},
		// Somebody else may be there who boots it: let it wait for a proxyDHCP.
		"iPXE with nothing to boot": {macKnown, biosIPXE, map[uint8][]byte{66: nil, 175: nil}},
		"HTTP":                      {macIPXE, uefiHTTP, map[uint8][]byte{60: []byte("HTTPClient"), 66: nil}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := newRig(t, nil).handle(tt.mac, dhcpv4.MessageTypeDiscover, tt.client...).Reply.Packet.Options
			for code, want := range tt.want {
				if diff := cmp.Diff(want, got[code]); diff != "" {
					t.Errorf("option %d (-want +got):\n%s", code, diff)
				}
			}
		})
	}
}

func TestLongBootFile(t *testing.T) {
	long := "http://192.0.2.1/" + strings.Repeat("x", 200)
	r := newRig(t, func(o *dhcp.Options) { o.BootFiles = map[boot.Flavor]map[uint16]string{boot.FlavorPXE: {0: long}} })
	p := r.handle(macPXE, dhcpv4.MessageTypeDiscover, biosPXE...).Reply.Packet
	if string(p.Options[67]) != long || p.BootFileName != "" {
		t.Errorf("option 67 %q, field %q; want the name in option 67 only", p.Options[67], p.BootFileName)
	}
}

func TestProxy(t *testing.T) {
	proxy := func(o *dhcp.Options) { o.Proxy = true }
	tests := map[string]struct {
		port    int
		mac     string
		kind    dhcpv4.MessageType
		mods    []mod
		outcome dhcp.Outcome
		file    string
		to      string
		reply   dhcpv4.MessageType
	}{
		"discover":              {67, macPXE, dhcpv4.MessageTypeDiscover, biosPXE, dhcp.OutcomeAnswered, "lpxelinux.0", broadcast, dhcpv4.MessageTypeOffer},
		"discover by iPXE":      {67, macIPXE, dhcpv4.MessageTypeDiscover, biosIPXE, dhcp.OutcomeAnswered, "http://192.0.2.1:8080/ipxe/52-54-00-00-00-03/boot.ipxe", broadcast, dhcpv4.MessageTypeOffer},
		"discover by HTTP":      {67, macIPXE, dhcpv4.MessageTypeDiscover, uefiHTTP, dhcp.OutcomeAnswered, "http://192.0.2.1:8080/snponly.efi", broadcast, dhcpv4.MessageTypeOffer},
		"relayed":               {67, macPXE, dhcpv4.MessageTypeDiscover, append(biosPXE[:2:2], dhcpv4.WithRelay(ip("198.51.100.1"))), dhcp.OutcomeAnswered, "lpxelinux.0", "198.51.100.1:67", dhcpv4.MessageTypeOffer},
		"operating system":      {67, macPXE, dhcpv4.MessageTypeDiscover, nil, dhcp.OutcomeIgnored, "", "", 0},
		"unknown":               {67, macUnknown, dhcpv4.MessageTypeDiscover, biosPXE, dhcp.OutcomeUnknown, "", "", 0},
		"not to netboot":        {67, macKnown, dhcpv4.MessageTypeDiscover, biosPXE, dhcp.OutcomeIgnored, "", "", 0},
		"request to port 67":    {67, macPXE, dhcpv4.MessageTypeRequest, biosPXE, dhcp.OutcomeIgnored, "", "", 0},
		"request to port 4011":  {4011, macPXE, dhcpv4.MessageTypeRequest, append(uefiPXE[:2:2], from("192.0.2.77")), dhcp.OutcomeAnswered, "grubsitex64.efi", "192.0.2.77:4711", dhcpv4.MessageTypeAck},
		"inform to port 4011":   {4011, macPXE, dhcpv4.MessageTypeInform, append(uefiPXE[:2:2], from("192.0.2.77")), dhcp.OutcomeAnswered, "grubsitex64.efi", "192.0.2.77:4711", dhcpv4.MessageTypeAck},
		"discover to port 4011": {4011, macPXE, dhcpv4.MessageTypeDiscover, biosPXE, dhcp.OutcomeIgnored, "", "", 0},
		"for another server":    {4011, macPXE, dhcpv4.MessageTypeRequest, append(uefiPXE[:2:2], chosen("192.0.2.9")), dhcp.OutcomeIgnored, "", "", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, proxy)
			res := r.handleOn(tt.port, tt.mac, tt.kind, tt.mods...)
			if res.Outcome != tt.outcome || res.BootFile != tt.file {
				t.Fatalf("outcome %s (%v), boot file %q; want %s, %q", res.Outcome, res.Err, res.BootFile, tt.outcome, tt.file)
			}
			if res.Reply == nil {
				return
			}
			p := res.Reply.Packet
			if p.MessageType() != tt.reply || res.Reply.To.String() != tt.to {
				t.Errorf("%s goes to %s, want %s to %s", p.MessageType(), res.Reply.To, tt.reply, tt.to)
			}
			if p.YourIPAddr != nil || p.Options.Has(dhcpv4.OptionIPAddressLeaseTime) || p.Options.Has(dhcpv4.OptionSubnetMask) || p.Options.Has(dhcpv4.OptionEtherboot) {
				t.Errorf("a proxy must give no address:\n%s", p.Summary())
			}
			wantClass := "PXEClient"
			if strings.HasPrefix(tt.file, "http") && strings.HasSuffix(tt.file, ".efi") {
				wantClass = "HTTPClient"
			}
			if got := string(p.Options[60]); got != wantClass {
				t.Errorf("option 60 is %q, want %q", got, wantClass)
			}
			if _, err := r.leases.ByMAC(t.Context(), tt.mac); err == nil {
				t.Error("a proxy stored a lease")
			}
		})
	}
}

func TestInform(t *testing.T) {
	res := newRig(t, nil).handle(macPXE, dhcpv4.MessageTypeInform, append(biosPXE[:2:2], from("192.0.2.77"))...)
	p := res.Reply.Packet
	if p.MessageType() != dhcpv4.MessageTypeAck || res.Reply.To.String() != "192.0.2.77:68" || p.BootFileName != "lpxelinux.0" {
		t.Errorf("answer to %s:\n%s", res.Reply.To, p.Summary())
	}
	if p.YourIPAddr != nil || p.Options.Has(dhcpv4.OptionIPAddressLeaseTime) {
		t.Errorf("an INFORM must not be given an address:\n%s", p.Summary())
	}
}
