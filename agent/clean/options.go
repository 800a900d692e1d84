package clean

import (
	"encoding/json"
	"fmt"
	"strings"

	"ferric"
	"ferric/agentapi"
)

// Options are what a node says about erasing, in its properties and its driver_internal_info (where the conductor
// puts its configuration).
type Options struct {
	Skip            []agentapi.Hints // properties.skip_block_devices
	KeepRAID        bool             // the node has a software RAID by target_raid_config: members stay
	Concurrency     int              // disks at once
	Passes          int              // of random data
	Zeroize         bool             // and zeros after them
	SkipReadOnly    bool             // a read-only disk is passed over, not an error
	ATA, NVMe       bool             // the drives' own erase commands may be used
	OverwriteIfFail bool             // overwrite a drive whose own erase failed
	Guard           bool             // refuse disks with shared file systems
}

// ParseOptions reads a node as the API shows it. Absent values are Ironic's defaults.
func ParseOptions(node json.RawMessage) (Options, error) {
	var n struct {
		Properties struct {
			Skip []map[string]any `json:"skip_block_devices"`
		} `json:"properties"`
		TargetRAID struct {
			Disks []struct {
				Controller string `json:"controller"`
			} `json:"logical_disks"`
		} `json:"target_raid_config"`
		Info struct {
			Concurrency *int  `json:"disk_erasure_concurrency"`
			Passes      *int  `json:"agent_erase_devices_iterations"`
			Zeroize     *bool `json:"agent_erase_devices_zeroize"`
			ReadOnly    bool  `json:"agent_erase_skip_read_only"`
			ATA         *bool `json:"agent_enable_ata_secure_erase"`
			NVMe        *bool `json:"agent_enable_nvme_secure_erase"`
			Continue    *bool `json:"agent_continue_if_secure_erase_failed"`
			ContinueATA bool  `json:"agent_continue_if_ata_erase_failed"`
			Special     *bool `json:"wipe_special_filesystems"`
		} `json:"driver_internal_info"`
		DriverInfo struct {
			Special any `json:"wipe_special_filesystems"`
		} `json:"driver_info"`
	}
	if len(node) > 0 {
		if err := json.Unmarshal(node, &n); err != nil {
			return Options{}, ferric.Errorf(ferric.CodeInvalid, "parameter node: %w", err)
		}
	}
	or := func(p *bool, def bool) bool {
		if p == nil {
			return def
		}
		return *p
	}
	o := Options{
		Concurrency: 4, Passes: 1, Zeroize: or(n.Info.Zeroize, true), SkipReadOnly: n.Info.ReadOnly, ATA: or(n.Info.ATA, true), NVMe: or(n.Info.NVMe, true),
		OverwriteIfFail: or(n.Info.Continue, n.Info.ContinueATA),
		// The operator allows it with true in driver_info; what ironic-python-agent's code looks at is false in
		// driver_internal_info.
		Guard: or(n.Info.Special, true) && !strings.EqualFold(fmt.Sprint(n.DriverInfo.Special), "true"),
	}
	if n.Info.Concurrency != nil {
		o.Concurrency = max(1, *n.Info.Concurrency)
	}
	if n.Info.Passes != nil {
		o.Passes = *n.Info.Passes
	}
	for _, d := range n.TargetRAID.Disks {
		o.KeepRAID = o.KeepRAID || d.Controller == "software"
	}
	for _, m := range n.Properties.Skip {
		if _, ok := m["volume_name"]; ok { // names an array, not a disk
			continue
		}
		h, err := agentapi.ParseHints(m)
		if err != nil {
			return Options{}, ferric.Errorf(ferric.CodeInvalid, "properties.skip_block_devices: %w", err)
		}
		if h.Empty() { // would match every disk
			return Options{}, ferric.Errorf(ferric.CodeInvalid, "properties.skip_block_devices: an entry has no hint")
		}
		o.Skip = append(o.Skip, h)
	}
	return o, nil
}

// Skips reports whether the disk is on the skip list.
func (o Options) Skips(d agentapi.BlockDevice) bool {
	for _, h := range o.Skip {
		if h.Match(d) {
			return true
		}
	}
	return false
}
