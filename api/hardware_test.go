package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/rpc"
)

// hardwareRecords gives the golden node BIOS settings and firmware.
func hardwareRecords(t *testing.T, f *fixture) {
	enumeration, enabled, no := "Enumeration", "Enabled", false
	settings := []ferric.BIOSSetting{{Name: "AssetTag"},
		{Name: "Virtualization", Value: &enabled, AttributeType: &enumeration, AllowableValues: []string{"Enabled", "Disabled"}, ReadOnly: &no}}
	if err := f.store.SetBIOSSettings(t.Context(), nodeID, settings); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"22.0.9", "22.5.0"} {
		err := f.store.SetFirmware(t.Context(), nodeID, []ferric.FirmwareComponent{{Component: "bmc", CurrentVersion: "v1.0.0", Model: "iDRAC 9"},
			{Component: "nic:ABC12345", CurrentVersion: version, Vendor: "Intel Corporation", Model: "XXV710", SerialNumber: "ABC12345"}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestHardwareErrors holds the refusals of what is about a machine's hardware.
func TestHardwareErrors(t *testing.T) {
	f := newFixture(t)
	f.node(m{"name": "one"})
	busy := f.node(m{"name": "busy"})
	f.change(busy, func(n *ferric.Node) { n.ProvisionState, n.TargetProvisionState = ferric.DeployWait, ferric.Active })
	unsupported := func(what string) func(any) (any, error) {
		return func(any) (any, error) {
			return nil, ferric.Errorf(ferric.CodeUnsupported, "Driver ipmi does not support %s (disabled or not implemented).", what)
		}
	}
	f.conductor.on(rpc.SetTargetRAID, unsupported("raid"))
	f.conductor.on(rpc.RAIDProperties, unsupported("raid"))
	f.conductor.on(rpc.SetConsole, unsupported("console"))
	f.conductor.on(rpc.SetBootMode, unsupported("set_boot_mode"))
	f.conductor.on(rpc.SetSecureBoot, unsupported("set_secure_boot_state"))
	f.conductor.on(rpc.AttachVirtualMedia, unsupported("attach_virtual_media"))
	f.conductor.on(rpc.DetachVirtualMedia, unsupported("detach_virtual_media"))
	f.conductor.on(rpc.ListVirtualMedia, unsupported("get_virtual_media"))
	f.conductor.on(rpc.SetIndicator, unsupported("set_indicator_state"))
	const one = "/v1/nodes/one"
	medium := m{"device_type": "cdrom", "image_url": "https://192.0.2.2/boot.iso"}
	with := func(name string, value any) m {
		out := m{}
		for k, v := range medium {
			out[k] = v
		}
		out[name] = value
		return out
	}
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		text         string // part of it
	}{
		"BIOS of no node":          {"GET", "/v1/nodes/nobody/bios", nil, 404, "Node nobody could not be found."},
		"no such setting":          {"GET", one + "/bios/Turbo", nil, 404, "doesn't have a BIOS setting 'Turbo'"},
		"setting's bad name":       {"GET", one + "/bios/a%20b", nil, 400, "Schema error for setting_name"},
		"BIOS detail too early":    {"GET", "1.73 " + one + "/bios?detail=True", nil, 400, "Invalid query parameter ?detail=True received."},
		"BIOS fields too early":    {"GET", "1.73 " + one + "/bios?fields=name", nil, 400, "Invalid query parameter ?fields=name received."},
		"BIOS fields and detail":   {"GET", one + "/bios?fields=name&detail=1", nil, 400, "Can not specify ?detail=True and fields in the same request."},
		"no such BIOS field":       {"GET", one + "/bios?fields=name,bogus,also", nil, 400, `Field(s) "also, bogus" are not valid`},
		"BIOS bad bool":            {"GET", one + "/bios?detail=maybe", nil, 400, "Unrecognized value 'maybe'"},
		"BIOS unknown argument":    {"GET", one + "/bios?limit=1", nil, 400, "Unexpected arguments: limit"},
		"BIOS is not written":      {"PUT", one + "/bios", m{}, 405, ""},
		"firmware identity early":  {"GET", "1.113 " + one + "/firmware?fields=vendor,model", nil, 400, "Fields model, vendor are not allowed in this API version. They require at least API version 1.114."},
		"firmware fields, detail":  {"GET", one + "/firmware?fields=vendor&detail=1", nil, 400, "Can not specify ?detail=True and fields in the same request."},
		"no such firmware field":   {"GET", one + "/firmware?fields=bogus", nil, 400, `Field(s) "bogus" are not valid`},
		"firmware by component":    {"GET", one + "/firmware/bmc", nil, 404, ""},
		"RAID too early":           {"PUT", "1.11 " + one + "/states/raid", m{}, 406, "Request not acceptable."},
		"RAID of no node":          {"PUT", "/v1/nodes/nobody/states/raid", m{}, 404, "Node nobody could not be found."},
		"RAID as a list":           {"PUT", one + "/states/raid", []string{"a"}, 400, "Expected types <class 'dict'> for target_raid_config: ['a']"},
		"no RAID":                  {"PUT", one + "/states/raid", m{"logical_disks": []m{}}, 404, "Driver ipmi does not support raid (disabled or not implemented)."},
		"RAID of a driver, early":  {"GET", "1.11 /v1/drivers/ipmi/raid/logical_disk_properties", nil, 406, "Request not acceptable."},
		"RAID of no driver":        {"GET", "/v1/drivers/none/raid/logical_disk_properties", nil, 404, "Could not find the following driver(s) or hardware type(s): none."},
		"driver without RAID":      {"GET", "/v1/drivers/ipmi/raid/logical_disk_properties", nil, 404, "does not support raid"},
		"console without a word":   {"PUT", one + "/states/console", m{}, 400, "Missing mandatory parameter: enabled"},
		"console maybe":            {"PUT", one + "/states/console", m{"enabled": "maybe"}, 400, "Invalid enabled: Unrecognized value 'maybe'"},
		"no console":               {"PUT", one + "/states/console", m{"enabled": true}, 400, "Driver ipmi does not support console (disabled or not implemented)."},
		"no boot mode":             {"PUT", one + "/states/boot_mode", m{}, 400, "Missing mandatory parameter: target"},
		"boot mode null":           {"PUT", one + "/states/boot_mode", m{"target": nil}, 400, "Allowed boot modes are: bios, uefi"},
		"bad boot mode":            {"PUT", one + "/states/boot_mode", m{"target": "efi"}, 400, "Invalid boot mode efi requested for node. Allowed boot modes are: bios, uefi"},
		"boot mode, type":          {"PUT", one + "/states/boot_mode", m{"target": 1}, 400, "Expected string for target: 1"},
		"boot mode on its way":     {"PUT", "/v1/nodes/busy/states/boot_mode", m{"target": "uefi"}, 409, "Node is in wait call-back state. Since node is transitioning"},
		"boot mode unsupported":    {"PUT", one + "/states/boot_mode", m{"target": "uefi"}, 400, "does not support set_boot_mode"},
		"secure boot null":         {"PUT", one + "/states/secure_boot", m{"target": nil}, 400, "Invalid secure_boot None requested for node."},
		"secure boot maybe":        {"PUT", one + "/states/secure_boot", m{"target": "maybe"}, 400, "Unrecognized value 'maybe'"},
		"secure boot on its way":   {"PUT", "/v1/nodes/busy/states/secure_boot", m{"target": true}, 409, "Node is in wait call-back state."},
		"secure boot unsupported":  {"PUT", one + "/states/secure_boot", m{"target": true}, 400, "does not support set_secure_boot_state"},
		"indicator's bad name":     {"GET", one + "/management/indicators/led", nil, 400, `Malformed indicator name "led"`},
		"indicator without state":  {"PUT", one + "/management/indicators/led@system", m{}, 400, "Missing mandatory parameter: state"},
		"indicator, type":          {"PUT", one + "/management/indicators/led@system", m{"state": 1}, 400, "Expected string for state: 1"},
		"indicator unsupported":    {"PUT", one + "/management/indicators/led@system", m{"state": "ON"}, 400, "does not support set_indicator_state"},
		"media, no body":           {"POST", one + "/vmedia", nil, 400, "'device_type' is a required property"},
		"media, no URL":            {"POST", one + "/vmedia", m{"device_type": "cdrom"}, 400, "'image_url' is a required property"},
		"media, list":              {"POST", one + "/vmedia", []string{}, 400, "Schema error for vmedia"},
		"media, extra":             {"POST", one + "/vmedia", with("username", "x"), 400, "Additional properties are not allowed ('username' was unexpected)"},
		"media, device":            {"POST", one + "/vmedia", with("device_type", "CDROM"), 400, "'CDROM' is not one of ['disk', 'cdrom', 'floppy']"},
		"media, type":              {"POST", one + "/vmedia", with("image_url", 1), 400, "1 is not of type 'string'"},
		"media, source":            {"POST", one + "/vmedia", with("image_download_source", "ftp"), 400, "'ftp' is not one of ['http', 'local', 'swift']"},
		"media, scheme":            {"POST", one + "/vmedia", with("image_url", "ftp://x/y"), 400, "Unsupported or missing URL scheme: ftp"},
		"media, no scheme":         {"POST", one + "/vmedia", with("image_url", "boot.iso"), 400, "Unsupported or missing URL scheme: "},
		"media, no URL at all":     {"POST", one + "/vmedia", with("image_url", "http://[::1"), 400, "Unsupported or missing URL scheme: "},
		"media unsupported":        {"POST", one + "/vmedia", medium, 400, "does not support attach_virtual_media"},
		"media, not there":         {"DELETE", one + "/vmedia?device_types=cdrom,tape", nil, 400, "Invalid device type(s) tape (valid are disk, cdrom, floppy)"},
		"media, not detached":      {"DELETE", one + "/vmedia?device_types=cdrom", nil, 400, "does not support detach_virtual_media"},
		"media, not listed":        {"GET", one + "/vmedia", nil, 400, "does not support get_virtual_media"},
		"vendor without a method":  {"POST", one + "/vendor_passthru", m{}, 400, "Missing mandatory parameter: method"},
		"vendor, empty method":     {"POST", one + "/vendor_passthru?method=", m{}, 400, "Method not specified"},
		"vendor, list":             {"POST", one + "/vendor_passthru?method=x", []string{}, 400, "Schema error for data: [] is not of type 'object'"},
		"vendor, HEAD":             {"HEAD", one + "/vendor_passthru?method=x", nil, 405, ""},
		"vendor of no node":        {"POST", "/v1/nodes/nobody/vendor_passthru?method=x", m{}, 404, "Node nobody could not be found."},
		"methods are not called":   {"POST", one + "/vendor_passthru/methods", m{}, 405, ""},
		"vendor of no driver":      {"POST", "/v1/drivers/none/vendor_passthru?method=x", m{}, 404, "Could not find the following driver(s)"},
		"methods of no driver":     {"GET", "/v1/drivers/none/vendor_passthru/methods", nil, 404, "Could not find the following driver(s)"},
		"driver without a method":  {"GET", "/v1/drivers/ipmi/vendor_passthru", nil, 400, "Missing mandatory parameter: method"},
		"console of no node":       {"GET", "/v1/nodes/nobody/states/console", nil, 404, "Node nobody could not be found."},
		"indicators of no node":    {"GET", "/v1/nodes/nobody/management/indicators", nil, 404, "Node nobody could not be found."},
		"firmware of no node":      {"GET", "/v1/nodes/nobody/firmware", nil, 404, "Node nobody could not be found."},
		"secure boot of no node":   {"PUT", "/v1/nodes/nobody/states/secure_boot", m{"target": true}, 404, "Node nobody could not be found."},
		"virtual media of no node": {"GET", "/v1/nodes/nobody/vmedia", nil, 404, "Node nobody could not be found."},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			r := f.must(c.status, c.method, c.path, c.body)
			if c.text != "" && !strings.Contains(r.text(t), c.text) {
				t.Errorf("text %q does not say %q", r.text(t), c.text)
			}
		})
	}
}

// TestHardwareCalls looks at what reaches the conductor, and at what comes back.
func TestHardwareCalls(t *testing.T) {
	f := newFixture(t)
	id := f.node(m{"name": "one"})
	f.change(id, func(n *ferric.Node) { n.ConsoleEnabled = true })
	const one = "/v1/nodes/one"
	ref := rpc.NodeRef{UUID: id, Caller: administrator()}
	disks := m{"logical_disks": []any{m{"size_gb": 100.0, "raid_level": "1"}}}
	for name, c := range map[string]struct {
		method, path string
		body         any
		call         rpc.Method
		want         any // what the conductor is to be asked
		answer       any // what it answers
		status       int
		location     string
		reply        string // JSON, "" for none
	}{
		"RAID":               {"PUT", one + "/states/raid", disks, rpc.SetTargetRAID, rpc.RAIDArgs{NodeRef: ref, Config: disks}, nil, 204, "", ""},
		"no RAID any more":   {"PUT", one + "/states/raid", nil, rpc.SetTargetRAID, rpc.RAIDArgs{NodeRef: ref, Config: m{}}, nil, 204, "", ""},
		"console on":         {"PUT", one + "/states/console", m{"enabled": true}, rpc.SetConsole, rpc.ConsoleArgs{NodeRef: ref, Enabled: true}, nil, 202, one + "/states/console", ""},
		"console off":        {"PUT", one + "/states/console?enabled=no", nil, rpc.SetConsole, rpc.ConsoleArgs{NodeRef: ref}, nil, 202, one + "/states/console", ""},
		"console":            {"GET", one + "/states/console", nil, rpc.GetConsole, ref, map[string]string{"type": "socat"}, 200, "", `{"console_enabled":true,"console_info":{"type":"socat"}}`},
		"console of nothing": {"GET", one + "/states/console", nil, rpc.GetConsole, ref, map[string]string{}, 200, "", `{"console_enabled":true,"console_info":{}}`},
		"boot mode":          {"PUT", one + "/states/boot_mode", m{"target": "uefi"}, rpc.SetBootMode, rpc.BootModeArgs{NodeRef: ref, Mode: "uefi"}, nil, 202, one + "/states", ""},
		"secure boot":        {"PUT", one + "/states/secure_boot", m{"target": "off"}, rpc.SetSecureBoot, rpc.SecureBootArgs{NodeRef: ref}, nil, 202, one + "/states", ""},
		"light":              {"PUT", one + "/management/indicators/led@system", m{"state": "BLINKING"}, rpc.SetIndicator, rpc.IndicatorArgs{NodeRef: ref, Component: "system", Indicator: "led", State: "BLINKING"}, nil, 204, "", ""},
		"attach": {"POST", one + "/vmedia", m{"device_type": "cdrom", "image_url": "nfs://x/y.iso"}, rpc.AttachVirtualMedia,
			rpc.VirtualMediaArgs{NodeRef: ref, Device: "cdrom", URL: "nfs://x/y.iso", Source: "local"}, nil, 204, "", ""},
		"attach by the BMC": {"POST", one + "/vmedia", m{"device_type": "disk", "image_url": "http://x/y", "image_download_source": "http"}, rpc.AttachVirtualMedia,
			rpc.VirtualMediaArgs{NodeRef: ref, Device: "disk", URL: "http://x/y", Source: "http"}, nil, 204, "", ""},
		"detach all":  {"DELETE", one + "/vmedia", nil, rpc.DetachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: ref}, nil, 204, "", ""},
		"detach some": {"DELETE", one + "/vmedia?device_types=cdrom,disk", nil, rpc.DetachVirtualMedia, rpc.VirtualMediaArgs{NodeRef: ref, Devices: []string{"cdrom", "disk"}}, nil, 204, "", ""},
		"no media":    {"GET", one + "/vmedia", nil, rpc.ListVirtualMedia, ref, nil, 200, "", `[]`},
		"vendor, waits": {"POST", one + "/vendor_passthru?method=x", m{"a": 1.0}, rpc.VendorCall, rpc.VendorArgs{NodeRef: ref, Method: "x", HTTPMethod: "POST", Args: m{"a": 1.0}},
			rpc.VendorReply{Return: json.RawMessage(`{"b":2}`)}, 200, "", `{"b":2}`},
		"vendor, nothing to say": {"GET", one + "/vendor_passthru/x", nil, rpc.VendorCall, rpc.VendorArgs{NodeRef: ref, Method: "x", HTTPMethod: "GET", Args: m{}},
			rpc.VendorReply{Return: json.RawMessage(`null`)}, 200, "", `null`},
		"vendor, begins": {"DELETE", one + "/vendor_passthru/x", nil, rpc.VendorCall, rpc.VendorArgs{NodeRef: ref, Method: "x", HTTPMethod: "DELETE", Args: m{}},
			rpc.VendorReply{Async: true}, 202, "", ""},
		"vendor, as it is": {"PATCH", one + "/vendor_passthru?method=x", m{}, rpc.VendorCall, rpc.VendorArgs{NodeRef: ref, Method: "x", HTTPMethod: "PATCH", Args: m{}},
			rpc.VendorReply{Return: json.RawMessage(`"plain <text>"`), Attach: true}, 200, "", "plain <text>"},
		"driver's vendor": {"PUT", "/v1/drivers/ipmi/vendor_passthru?method=x", m{"a": "b"}, rpc.DriverVendorCall,
			rpc.DriverVendorArgs{DriverRef: rpc.DriverRef{Driver: "ipmi", Caller: administrator()}, Method: "x", HTTPMethod: "PUT", Args: m{"a": "b"}}, rpc.VendorReply{Return: json.RawMessage(`true`)}, 200, "", `true`},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			var asked any
			f.conductor.on(c.call, func(req any) (any, error) { asked = req; return c.answer, nil })
			r := f.must(c.status, c.method, c.path, c.body)
			if diff := cmp.Diff(c.want, asked); diff != "" {
				t.Errorf("what the conductor was asked (-want +got):\n%s", diff)
			}
			want := ""
			if c.location != "" {
				want = f.server.URL + c.location
			}
			if got := r.header.Get("Location"); got != want {
				t.Errorf("location %q, want %q", got, want)
			}
			if got := strings.TrimSpace(string(r.body)); got != c.reply {
				t.Errorf("body %q, want %q", got, c.reply)
			}
		})
	}
}

// TestHardwareFieldsByVersion holds the first microversion of every field of BIOS settings and firmware components, in a list, in a list with
// detail, and in a setting of its own.
func TestHardwareFieldsByVersion(t *testing.T) {
	f := goldenFixture(t)
	always := map[string]int{"created_at": 1, "updated_at": 1}
	bios := map[string]int{"name": 1, "value": 1, "links": 1, "attribute_type": 74, "allowable_values": 74, "lower_bound": 74, "max_length": 74,
		"min_length": 74, "read_only": 74, "reset_required": 74, "unique": 74, "upper_bound": 74}
	brief := map[string]int{"name": 1, "value": 1, "links": 1}
	firmware := map[string]int{"component": 1, "initial_version": 1, "current_version": 1, "last_version_flashed": 1, "vendor": 114, "model": 114,
		"serial_number": 114}
	const node = "/v1/nodes/" + nodeID
	for name, c := range map[string]struct {
		path   string
		first  int
		fields map[string]int
	}{
		"settings":              {node + "/bios", 40, brief},
		"settings, detail":      {node + "/bios?detail=True", 74, bios},
		"setting":               {node + "/bios/Virtualization", 40, bios},
		"components":            {node + "/firmware", 86, firmware},
		"components, no detail": {node + "/firmware?detail=False", 86, firmware},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			for v := c.first; v <= 115; v++ {
				answer := f.must(200, "GET", fmt.Sprintf("1.%d %s", v, c.path), nil).object(t)
				var got map[string]any
				for _, inner := range answer {
					switch inner := inner.(type) {
					case []any:
						got = inner[len(inner)-1].(map[string]any)
					case map[string]any:
						got = inner
					}
				}
				want := maps.Clone(c.fields)
				maps.Copy(want, always)
				for field, first := range want {
					if _, shown := got[field]; shown != (v >= first) {
						t.Errorf("at 1.%d: %s shown: %v; its first version is 1.%d", v, field, shown, first)
					}
				}
				for field := range got {
					if want[field] == 0 {
						t.Errorf("at 1.%d: %s is not in the history of versions", v, field)
					}
				}
			}
		})
	}
}
