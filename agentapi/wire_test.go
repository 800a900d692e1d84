package agentapi_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
	"ferric/agentapi"
)

// inventoryJSON has every key that ironic-python-agent sends, with nulls where it sends nulls.
const inventoryJSON = `{
 "interfaces": [{"name": "eth0", "mac_address": "52:54:00:12:34:56", "ipv4_address": "10.0.2.15", "ipv6_address": null, "has_carrier": true,
   "lldp": null, "vendor": "0x1af4", "product": "0x0001", "client_id": null, "biosdevname": null, "speed_mbps": null,
   "pci_address": "0000:00:03.0", "driver": "virtio_net"}],
 "cpu": {"model_name": "QEMU", "frequency": "2399.998", "count": 2, "architecture": "x86_64", "flags": ["fpu"], "socket_count": 1},
 "disks": [{"name": "/dev/sda", "model": "QEMU HARDDISK", "size": 10737418240, "rotational": true, "wwn": null, "serial": "QM00001", "vendor": "ATA",
   "wwn_with_extension": ["0x1", "0x2"], "wwn_vendor_extension": null, "hctl": "0:0:0:0", "by_path": null,
   "logical_sectors": 512, "physical_sectors": null, "tran": "sata"}],
 "memory": {"total": 508000000, "physical_mb": 512},
 "bmc_address": "192.0.2.9", "bmc_v6address": "::/0",
 "system_vendor": {"product_name": "Standard PC", "serial_number": "", "manufacturer": "QEMU",
   "firmware": {"vendor": "SeaBIOS", "version": "1.16", "build_date": "04/01/2014"}},
 "boot": {"current_boot_mode": "bios", "pxe_interface": null},
 "hostname": "localhost"}`

func TestInventoryRoundTrip(t *testing.T) {
	var inv agentapi.Inventory
	if err := json.Unmarshal([]byte(inventoryJSON), &inv); err != nil {
		t.Fatal(err)
	}
	if inv.BMCV6Address != "::/0" || inv.Disks[0].Serial.First() != "QM00001" || len(inv.Disks[0].WWNWithExtension) != 2 || inv.Interfaces[0].Driver != "virtio_net" {
		t.Errorf("read wrong: %+v", inv)
	}
	out, err := json.Marshal(inv)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(inventoryJSON), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON differs (-want +got):\n%s", diff)
	}
}

func TestInventorySectorsAsText(t *testing.T) {
	var d agentapi.BlockDevice
	if err := json.Unmarshal([]byte(`{"name": "/dev/sda", "logical_sectors": "4096"}`), &d); err != nil {
		t.Fatal(err)
	}
	if d.LogicalSectors == nil || *d.LogicalSectors != "4096" {
		t.Errorf("got %v", d.LogicalSectors)
	}
}

func TestInspectionData(t *testing.T) {
	body := `{"inventory": ` + inventoryJSON + `, "boot_interface": "52:54:00:12:34:56", "error": null, "pci_devices": [{"vendor_id": "1af4"}]}`
	var d agentapi.InspectionData
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.PluginData) != 3 || string(d.PluginData["boot_interface"]) != `"52:54:00:12:34:56"` {
		t.Errorf("plugin data: %v", d.PluginData)
	}
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	_ = json.Unmarshal(out, &got)
	_ = json.Unmarshal([]byte(body), &want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON differs (-want +got):\n%s", diff)
	}
}

func TestInspectionDataRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"no inventory":  `{"error": null}`,
		"no interfaces": `{"inventory": {"interfaces": []}}`,
		"no mac":        `{"inventory": {"interfaces": [{"name": "eth0"}]}}`,
		"wrong type":    `{"inventory": {"interfaces": "eth0"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var d agentapi.InspectionData
			if err := json.Unmarshal([]byte(body), &d); !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Errorf("got %v, want CodeInvalid", err)
			}
		})
	}
}

func TestCommandErrorForms(t *testing.T) {
	tests := map[string]struct {
		json, text string
		code       ferric.Code
	}{
		"full":      {`{"type": "ImageChecksumError", "code": 500, "message": "Error verifying image checksum", "details": "wanted a, got b"}`, "wanted a, got b", ferric.CodeCorrupt},
		"no detail": {`{"type": "DeviceNotFound", "code": 404, "message": "no disk"}`, "no disk", ferric.CodeNotFound},
		"error key": {`{"error": "boom"}`, "boom", ferric.CodeInternal},
		"text":      {`"boom"`, "boom", ferric.CodeInternal},
		"odd types": {`{"type": null, "code": "x", "message": 5, "details": null}`, "5", ferric.CodeInternal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var e agentapi.CommandError
			if err := json.Unmarshal([]byte(tt.json), &e); err != nil {
				t.Fatal(err)
			}
			if e.Text() != tt.text || e.FerricCode() != tt.code {
				t.Errorf("got %q %s, want %q %s", e.Text(), e.FerricCode(), tt.text, tt.code)
			}
		})
	}
}

func TestDecodeSteps(t *testing.T) {
	r := agentapi.CommandResult{CommandName: "get_clean_steps", CommandResult: json.RawMessage(`{
		"clean_steps": {"generic_hardware_manager": [
			{"step": "erase_devices", "priority": 10, "interface": "deploy", "reboot_requested": false, "abortable": true},
			{"step": "erase_devices_metadata", "priority": 99, "interface": "deploy", "reboot_requested": false}],
			"vendor": [{"step": "burn", "priority": 10, "interface": "deploy", "reboot_requested": true,
				"argsinfo": {"hours": {"description": "how long", "required": true}}}]},
		"hardware_manager_version": {"generic_hardware_manager": "1.2", "vendor": 3}}`)}
	got, err := agentapi.DecodeSteps(agentapi.CleanStep, r)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range got.Steps {
		names = append(names, s.Step)
	}
	if diff := cmp.Diff([]string{"erase_devices_metadata", "burn", "erase_devices"}, names); diff != "" {
		t.Error(diff)
	}
	if got.Versions["generic_hardware_manager"] != "1.2" || !got.Steps[1].ArgsInfo["hours"].Required {
		t.Errorf("got %+v", got)
	}
	if _, err := agentapi.DecodeSteps(agentapi.DeployStep, r); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("clean steps read as deploy steps: %v", err)
	}
}

func TestProgressPercent(t *testing.T) {
	for _, tt := range []struct {
		p    agentapi.Progress
		want int
	}{{agentapi.Progress{Done: 5}, -1}, {agentapi.Progress{Done: 1, Total: 3}, 33}, {agentapi.Progress{Done: 9, Total: 3}, 100},
		{agentapi.Progress{Done: 1 << 62, Total: 1<<63 - 1}, 50}} {
		if got := tt.p.Percent(); got != tt.want {
			t.Errorf("%+v: got %d, want %d", tt.p, got, tt.want)
		}
	}
}

func FuzzInspectionData(f *testing.F) {
	f.Add([]byte(`{"inventory": ` + inventoryJSON + `}`))
	f.Add([]byte(`{"inventory": {"interfaces": [{"mac_address": "x", "lldp": [[1, "aa"]]}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var d agentapi.InspectionData
		if json.Unmarshal(b, &d) != nil {
			return
		}
		out, err := json.Marshal(d)
		if err != nil {
			t.Fatalf("read but cannot be written: %v", err)
		}
		var again agentapi.InspectionData
		if err := json.Unmarshal(out, &again); err != nil {
			t.Fatalf("written but cannot be read: %v", err)
		}
	})
}

func FuzzCommandResult(f *testing.F) {
	f.Add([]byte(`{"id": "1", "command_status": "FAILED", "command_error": {"type": "X", "details": []}, "command_result": null}`))
	f.Add([]byte(`{"command_error": "text", "command_result": {"clean_steps": {"m": []}, "hardware_manager_version": {}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r agentapi.CommandResult
		if json.Unmarshal(b, &r) != nil {
			return
		}
		_ = (&agentapi.CommandFailed{Result: r}).Error()
		_, _ = agentapi.DecodeSteps(agentapi.CleanStep, r)
		_, _ = agentapi.DecodeStepResult(agentapi.CleanStep, r)
	})
}
