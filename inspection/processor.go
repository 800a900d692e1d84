package inspection

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"

	"ferric"
)

// Settings are what the hooks go by. Package config documents the keys.
type Settings struct {
	Hooks               []string
	AddPorts            string // all, active, pxe, disabled
	KeepPorts           string // all, present, added
	UpdatePXEEnabled    bool
	DiskSpacing         bool              // 1 GiB of the root disk is left out of local_gb
	CPUCapabilities     map[string]string // capability by CPU flag
	ExtraHardwareStrict bool
	PCIAliases          []string // JSON objects with vendor_id, product_id and name
	PhysicalNetworks    []string // "CIDR:physical network"
	Accelerators        []byte   // YAML with pci_devices; nil: the known ones
}

// Processor runs hooks.
type Processor struct {
	settings Settings
	hooks    []hook
	aliases  map[pciID]string
	networks []network
	known    map[pciID]map[string]any
}

// pciID is a device by vendor and product, in hex without 0x.
type pciID struct{ vendor, product string }

type network struct {
	prefix netip.Prefix
	name   string
}

// New makes a processor. CodeInvalid names the setting that is wrong.
func New(s Settings) (*Processor, error) {
	p := &Processor{settings: s, aliases: map[pciID]string{}, known: map[pciID]map[string]any{}}
	var err error
	if p.hooks, err = selectHooks(s.Hooks); err != nil {
		return nil, err
	}
	for _, alias := range s.PCIAliases {
		var m map[string]string
		if err := json.Unmarshal([]byte(alias), &m); err != nil || len(m) != 3 || m["vendor_id"] == "" || m["product_id"] == "" || m["name"] == "" {
			return nil, ferric.Errorf(ferric.CodeInvalid, `inspection pci_device_alias: %q must be a JSON object with exactly the keys "vendor_id", "product_id" and "name"`, alias)
		}
		p.aliases[pciID{m["vendor_id"], m["product_id"]}] = m["name"]
	}
	for _, entry := range s.PhysicalNetworks {
		i := strings.LastIndexByte(entry, ':')
		var prefix netip.Prefix
		err := error(nil)
		if i > 0 {
			prefix, err = netip.ParsePrefix(entry[:i])
		}
		if i <= 0 || err != nil || entry[i+1:] == "" {
			return nil, ferric.Errorf(ferric.CodeInvalid, "inspection physical_network_cidr_map: %q must be a network and a name, as 192.0.2.0/24:physnet1", entry)
		}
		p.networks = append(p.networks, network{prefix.Masked(), entry[i+1:]})
	}
	return p, p.readAccelerators(s.Accelerators)
}

func (p *Processor) readAccelerators(file []byte) error {
	if file == nil {
		file = []byte(knownAccelerators)
	}
	var known struct {
		Devices []map[string]any `yaml:"pci_devices"`
	}
	if err := yaml.Unmarshal(file, &known); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "inspection known_accelerators: %w", err)
	}
	if len(known.Devices) == 0 {
		return ferric.Errorf(ferric.CodeInvalid, "inspection known_accelerators: the file has no list pci_devices")
	}
	for _, d := range known.Devices {
		vendor, product := str(d, "vendor_id"), str(d, "device_id")
		if vendor == "" || product == "" {
			return ferric.Errorf(ferric.CodeInvalid, "inspection known_accelerators: one of pci_devices is missing vendor_id or device_id, which must be texts")
		}
		p.known[pciID{vendor, product}] = d
	}
	return nil
}

// Run processes what was found. CodeInvalid for an inventory that cannot be right, or that says of itself that it failed. What was changed in
// f until then is to be thrown away.
func (p *Processor) Run(ctx context.Context, f *Facts) error {
	f.pxeMAC = pxeMAC(f.Inventory)
	var failures []string
	code := ferric.CodeInvalid
	for _, h := range p.hooks {
		if h.before == nil {
			continue
		}
		if err := h.before(p, f); err != nil {
			failures = append(failures, "inspection hook "+h.name+": "+err.Error())
			code = ferric.ErrorCode(err)
		}
	}
	if len(failures) > 0 {
		return ferric.Errorf(code, "%s", strings.Join(failures, "; "))
	}
	for _, h := range p.hooks {
		if err := ctx.Err(); err != nil {
			return ferric.Errorf(ferric.CodeTimeout, "inspection hook %s: %w", h.name, err)
		}
		if h.run == nil {
			continue
		}
		if err := h.run(p, f); err != nil {
			return ferric.Errorf(ferric.ErrorCode(err), "inspection hook %s: %w", h.name, err)
		}
	}
	return nil
}
