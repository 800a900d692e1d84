package agentapi

import "encoding/json"

// Inventory is the hardware as the agent sees it: the result of poll.get_hardware_info and the "inventory" of
// inspection data.
type Inventory struct {
	Interfaces   []Interface   `json:"interfaces"`
	CPU          CPU           `json:"cpu"`
	Disks        []BlockDevice `json:"disks"`
	Memory       Memory        `json:"memory"`
	BMCAddress   Text          `json:"bmc_address"`   // IPv4; "0.0.0.0" when there is a BMC without an address
	BMCV6Address Text          `json:"bmc_v6address"` // IPv6; "::/0" when there is a BMC without an address
	BMCMAC       string        `json:"bmc_mac,omitempty"`
	SystemVendor SystemVendor  `json:"system_vendor"`
	Boot         BootInfo      `json:"boot"`
	Hostname     string        `json:"hostname"`
}

// Interface is one network interface.
type Interface struct {
	Name        string   `json:"name"`
	MACAddress  string   `json:"mac_address"` // lower case with colons; for InfiniBand the Ethernet form
	IPv4Address Text     `json:"ipv4_address"`
	IPv6Address Text     `json:"ipv6_address"`
	HasCarrier  bool     `json:"has_carrier"`
	LLDP        [][2]any `json:"lldp"`    // pairs of TLV type (number) and value (hex), null when not collected
	Vendor      Text     `json:"vendor"`  // PCI vendor id, "0x1af4"
	Product     Text     `json:"product"` // PCI device id, "0x0001"
	ClientID    Text     `json:"client_id"`
	BIOSDevName Text     `json:"biosdevname"`
	SpeedMbps   *int     `json:"speed_mbps"`
	PCIAddress  Text     `json:"pci_address"` // "0000:00:03.0"
	Driver      Text     `json:"driver"`
}

// CPU describes the processors.
type CPU struct {
	ModelName    string   `json:"model_name"`
	Frequency    string   `json:"frequency"` // MHz as text, as ironic-python-agent sends it
	Count        int      `json:"count"`     // logical processors
	Architecture string   `json:"architecture"`
	Flags        []string `json:"flags"`
	SocketCount  int      `json:"socket_count"`
}

// Memory describes main memory.
type Memory struct {
	Total      int64 `json:"total"`       // bytes usable by the kernel
	PhysicalMB *int  `json:"physical_mb"` // MiB of modules installed, null when unknown
}

// BlockDevice is one disk.
type BlockDevice struct {
	Name               string `json:"name"` // "/dev/sda"
	Model              string `json:"model"`
	Size               int64  `json:"size"` // bytes
	Rotational         bool   `json:"rotational"`
	WWN                Texts  `json:"wwn"`
	Serial             Texts  `json:"serial"`
	Vendor             Text   `json:"vendor"`
	WWNWithExtension   Texts  `json:"wwn_with_extension"`
	WWNVendorExtension Texts  `json:"wwn_vendor_extension"`
	HCTL               Text   `json:"hctl"`    // SCSI "host:channel:target:lun"
	ByPath             Text   `json:"by_path"` // "/dev/disk/by-path/…"
	// LogicalSectors and PhysicalSectors are sector sizes in bytes. Some agents send them as text.
	LogicalSectors  *json.Number `json:"logical_sectors"`
	PhysicalSectors *json.Number `json:"physical_sectors"`
	Tran            Text         `json:"tran"` // transport: sata, sas, nvme, usb, virtio …
}

// SystemVendor is what SMBIOS says about the machine.
type SystemVendor struct {
	ProductName  string         `json:"product_name"`
	SerialNumber string         `json:"serial_number"`
	Manufacturer string         `json:"manufacturer"`
	Firmware     SystemFirmware `json:"firmware"`
}

// SystemFirmware is what SMBIOS says about the firmware.
type SystemFirmware struct {
	Vendor    string `json:"vendor"`
	Version   string `json:"version"`
	BuildDate string `json:"build_date"`
}

// BootInfo says how the ramdisk was started.
type BootInfo struct {
	CurrentBootMode string `json:"current_boot_mode"` // "bios" or "uefi"
	PXEInterface    Text   `json:"pxe_interface"`     // MAC address of the NIC that booted
}
