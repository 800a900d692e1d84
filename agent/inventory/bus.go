package inventory

import (
	"os"
	"strings"
)

// PCIDevice is one entry of the inspection data's pci_devices.
type PCIDevice struct {
	VendorID   string  `json:"vendor_id"` // hex without 0x
	ProductID  string  `json:"product_id"`
	Class      string  `json:"class"`
	Revision   *string `json:"revision"`
	Bus        string  `json:"bus"` // "0000:00:03.0"
	NUMANodeID *string `json:"numa_node_id"`
}

// USBDevice is one entry of the inspection data's usb_devices.
type USBDevice struct {
	Product string `json:"product"`
	Vendor  string `json:"vendor"`
	Handle  string `json:"handle"` // "USB:001:002"
}

// PCI lists the PCI devices by address.
func (r *Reader) PCI() []PCIDevice {
	out := []PCIDevice{}
	entries, err := os.ReadDir(r.path("sys/bus/pci/devices"))
	if err != nil {
		return out
	}
	for _, e := range entries {
		sys := "sys/bus/pci/devices/" + e.Name() + "/"
		d := PCIDevice{Bus: e.Name(), VendorID: bare(r.text(sys + "vendor")), ProductID: bare(r.text(sys + "device")), Class: bare(r.text(sys + "class"))}
		if d.VendorID == "" || d.ProductID == "" {
			continue
		}
		if rev := bare(r.text(sys + "revision")); rev != "" {
			d.Revision = &rev
		}
		if node := r.text(sys + "numa_node"); node != "" {
			d.NUMANodeID = &node
		}
		out = append(out, d)
	}
	return out
}

func bare(s string) string { return strings.TrimPrefix(s, "0x") }

// USB lists the USB devices that are no hubs.
func (r *Reader) USB() []USBDevice {
	out := []USBDevice{}
	entries, err := os.ReadDir(r.path("sys/bus/usb/devices"))
	if err != nil {
		return out
	}
	for _, e := range entries {
		sys := "sys/bus/usb/devices/" + e.Name() + "/"
		if strings.Contains(e.Name(), ":") || r.text(sys+"bDeviceClass") == "09" {
			continue // interfaces and hubs
		}
		bus, dev := r.text(sys+"busnum"), r.text(sys+"devnum")
		if bus == "" || dev == "" {
			continue
		}
		out = append(out, USBDevice{Product: r.text(sys + "product"), Vendor: r.text(sys + "manufacturer"), Handle: "USB:" + bus + ":" + dev})
	}
	return out
}
