package rpc

import "encoding/json"

// The calls about a machine's hardware. A driver that cannot do what is asked for is CodeUnsupported, in Ironic's words, before anything is
// begun. Those marked "begins" answer once the operation is in the ledger; how it ended is in the node's last_error.
const (
	SetBootMode   Method = "set_boot_mode"   // BootModeArgs; begins
	SetSecureBoot Method = "set_secure_boot" // SecureBootArgs; begins

	SetTargetRAID  Method = "set_target_raid" // RAIDArgs → nothing
	RAIDProperties Method = "raid_properties" // DriverRef → map[string]string

	GetConsole Method = "get_console" // NodeRef → map[string]string; CodeNotFound: it is not enabled
	SetConsole Method = "set_console" // ConsoleArgs; begins

	ListIndicators Method = "list_indicators" // NodeRef → []Indicator
	GetIndicator   Method = "get_indicator"   // IndicatorArgs → string
	SetIndicator   Method = "set_indicator"   // IndicatorArgs → nothing

	ListVirtualMedia   Method = "list_virtual_media"   // NodeRef → []map[string]any
	AttachVirtualMedia Method = "attach_virtual_media" // VirtualMediaArgs; begins
	DetachVirtualMedia Method = "detach_virtual_media" // VirtualMediaArgs; begins

	VendorMethods       Method = "vendor_methods"        // NodeRef → map[string]VendorMethod
	VendorCall          Method = "vendor_call"           // VendorArgs → VendorReply; an asynchronous method begins
	DriverVendorMethods Method = "driver_vendor_methods" // DriverRef → map[string]VendorMethod
	DriverVendorCall    Method = "driver_vendor_call"    // DriverVendorArgs → VendorReply
)

// DriverRef names a hardware type and who asks. A conductor that does not have it answers CodeUnavailable, so that another one is asked.
type DriverRef struct {
	Driver string `json:"driver"`
	Caller
}

// BootModeArgs asks for a boot mode: bios or uefi.
type BootModeArgs struct {
	NodeRef
	Mode string `json:"mode"`
}

// SecureBootArgs turns secure boot on or off.
type SecureBootArgs struct {
	NodeRef
	On bool `json:"on"`
}

// RAIDArgs sets the wanted RAID configuration; an empty one is none.
type RAIDArgs struct {
	NodeRef
	Config map[string]any `json:"config"`
}

// ConsoleArgs turns a node's console on or off.
type ConsoleArgs struct {
	NodeRef
	Enabled bool `json:"enabled"`
}

// Indicator is a light on a machine.
type Indicator struct {
	Component string   `json:"component"`
	Name      string   `json:"name"`
	ReadOnly  bool     `json:"readonly"`
	States    []string `json:"states"`
}

// IndicatorArgs names an indicator and, to set it, a state.
type IndicatorArgs struct {
	NodeRef
	Component string `json:"component"`
	Indicator string `json:"indicator"`
	State     string `json:"state,omitempty"`
}

// VirtualMediaArgs attaches an image (Device, URL, Source) or empties drives (Devices; none means all).
type VirtualMediaArgs struct {
	NodeRef
	Device  string   `json:"device,omitempty"`
	URL     string   `json:"url,omitempty"`
	Source  string   `json:"source,omitempty"`
	Devices []string `json:"devices,omitempty"`
}

// VendorMethod describes a vendor's method as the API shows it.
type VendorMethod struct {
	Async       bool     `json:"async"`
	Attach      bool     `json:"attach"`
	Description string   `json:"description"`
	HTTPMethods []string `json:"http_methods"`
	Exclusive   bool     `json:"require_exclusive_lock"`
}

// VendorArgs calls a vendor's method on a node.
type VendorArgs struct {
	NodeRef
	Method     string         `json:"method"`
	HTTPMethod string         `json:"http_method"`
	Args       map[string]any `json:"args"`
}

// DriverVendorArgs calls a vendor's method of a hardware type.
type DriverVendorArgs struct {
	DriverRef
	Method     string         `json:"method"`
	HTTPMethod string         `json:"http_method"`
	Args       map[string]any `json:"args"`
}

// VendorReply is what a vendor's method gave. Return is null for an asynchronous one. Attach: Return is a text, and the body as it is.
type VendorReply struct {
	Return json.RawMessage `json:"return"`
	Async  bool            `json:"async"`
	Attach bool            `json:"attach"`
}
