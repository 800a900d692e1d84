package driver

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"ferric"
)

// RAIDConfig is a checked configuration.
type RAIDConfig struct{ LogicalDisks []LogicalDisk }

// LogicalDisk is one volume.
type LogicalDisk struct {
	Level  string
	SizeGB int // 0: "MAX", whatever is left
	IsRoot bool
	Fields map[string]any // all that was said about it
}

// diskField is one row of the table of what a logical disk may have.
type diskField struct {
	name, description string
	required          bool
	check             func(v any) string // what is wrong, "" if nothing is
}

// diskFields is the table; names, values and descriptions are part of Ironic's API.
func diskFields() []diskField {
	return []diskField{
		{"raid_level", "RAID level for the logical disk. Valid values are 'JBOD', '0', '1', '2', '5', '6', '1+0', '5+0' and '6+0'. Required.",
			true, oneOf("JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0")},
		{"size_gb", "Size in GiB (Integer) for the logical disk. Use 'MAX' as size_gb if this logical disk is supposed to use the rest of the space available. Required.",
			true, func(v any) string {
				if v == "MAX" || whole(v) && number(v) >= 0 {
					return ""
				}
				return show(v) + " is not valid under any of the given schemas"
			}},
		{"volume_name", "Name of the volume to be created. If this is not specified, it will be auto-generated. Optional.", false, isText},
		{"is_root_volume", "Specifies whether this disk is a root volume. By default, this is False. Optional.", false, isFlag},
		{"share_physical_disks", "Specifies whether other logical disks can share physical disks with this logical disk. By default, this is False. Optional.",
			false, isFlag},
		{"disk_type", "The type of disk preferred. Valid values are 'hdd' and 'ssd'. If this is not specified, disk type will not be a selection criterion for choosing backing physical disks. Optional.",
			false, oneOf("hdd", "ssd")},
		{"interface_type", "The interface type of disk. Valid values are 'sata', 'scsi' and 'sas'. If this is not specified, interface type will not be a selection criterion for choosing backing physical disks. Optional.",
			false, oneOf("sata", "scsi", "sas")},
		{"number_of_physical_disks", "Number of physical disks to use for this logical disk. By default, the driver uses the minimum number of disks required for that RAID level. Optional.",
			false, func(v any) string {
				switch {
				case !whole(v):
					return show(v) + " is not of type 'integer'"
				case number(v) <= 0:
					return show(v) + " is less than or equal to the minimum of 0"
				}
				return ""
			}},
		{"controller", "Controller to use for this logical disk. If not specified, the driver will choose a suitable RAID controller on the bare metal node. Optional.",
			false, isText},
		{"physical_disks", "The physical disks to use for this logical disk. If not specified, the driver will choose suitable physical disks to use. Optional.",
			false, isDiskList},
	}
}

// RAIDProperties describes what a logical disk may have.
func RAIDProperties() map[string]string {
	all := map[string]string{}
	for _, f := range diskFields() {
		all[f.name] = f.description
	}
	return all
}

// CheckRAID checks a configuration as every implementation does. CodeInvalid.
func CheckRAID(config map[string]any) error {
	_, err := ReadRAID(config)
	return err
}

// ReadRAID checks and reads a configuration. CodeInvalid.
func ReadRAID(config map[string]any) (RAIDConfig, error) {
	bad := func(format string, args ...any) (RAIDConfig, error) {
		return RAIDConfig{}, ferric.Errorf(ferric.CodeInvalid, "RAID config validation error: "+format, args...)
	}
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if name != "logical_disks" {
			return bad("Additional properties are not allowed (%s was unexpected)", show(name))
		}
	}
	v, given := config["logical_disks"]
	if !given {
		return bad("'logical_disks' is a required property")
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		return bad("%s is not of type 'array'", show(v))
	case len(list) == 0:
		return bad("[] should be non-empty")
	}
	fields := diskFields()
	var out RAIDConfig
	roots := 0
	for _, item := range list {
		disk, ok := item.(map[string]any)
		if !ok {
			return bad("%s is not of type 'object'", show(item))
		}
		for _, name := range slices.Sorted(maps.Keys(disk)) {
			if !slices.ContainsFunc(fields, func(f diskField) bool { return f.name == name }) {
				return bad("Additional properties are not allowed (%s was unexpected)", show(name))
			}
		}
		for _, f := range fields {
			v, given := disk[f.name]
			if !given {
				if f.required {
					return bad("'%s' is a required property", f.name)
				}
				continue
			}
			if wrong := f.check(v); wrong != "" {
				return bad("%s", wrong)
			}
		}
		if _, given := disk["physical_disks"]; given && disk["controller"] == nil {
			return bad("'controller' is a dependency of 'physical_disks'")
		}
		d := LogicalDisk{Level: disk["raid_level"].(string), IsRoot: disk["is_root_volume"] == true, Fields: disk}
		if disk["size_gb"] != "MAX" {
			d.SizeGB = int(number(disk["size_gb"]))
		}
		if d.IsRoot {
			roots++
		}
		out.LogicalDisks = append(out.LogicalDisks, d)
	}
	if roots > 1 {
		return RAIDConfig{}, ferric.Errorf(ferric.CodeInvalid, "Raid config cannot have more than one root volume. %d root volumes were specified", roots)
	}
	return out, nil
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	return 0
}

// whole reports whether a JSON value is an integer of a size that computers have.
func whole(v any) bool {
	if _, ok := v.(int); ok {
		return true
	}
	f, ok := v.(float64)
	return ok && f == math.Trunc(f) && math.Abs(f) < 1<<53
}

func isText(v any) string {
	if _, ok := v.(string); ok {
		return ""
	}
	return show(v) + " is not of type 'string'"
}

func isFlag(v any) string {
	if _, ok := v.(bool); ok {
		return ""
	}
	return show(v) + " is not of type 'boolean'"
}

func oneOf(values ...string) func(any) string {
	return func(v any) string {
		if s, ok := v.(string); ok && slices.Contains(values, s) {
			return ""
		}
		return show(v) + " is not one of ['" + strings.Join(values, "', '") + "']"
	}
}

// isDiskList takes names of disks, or at least two descriptions of disks.
func isDiskList(v any) string {
	list, ok := v.([]any)
	texts, objects := 0, 0
	for _, item := range list {
		switch item.(type) {
		case string:
			texts++
		case map[string]any:
			objects++
		}
	}
	if ok && (texts == len(list) || objects == len(list) && objects >= 2) {
		return ""
	}
	return show(v) + " is not valid under any of the given schemas"
}

// show puts a value into a message, shortened.
func show(v any) string {
	if s, ok := v.(string); ok {
		return "'" + shorten(s) + "'"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("a %T", v)
	}
	return shorten(string(b))
}

func shorten(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// withCapability sets one of a node's capabilities, which are "a:b,c:d" or an object.
func withCapability(v any, name, value string) any {
	if object, ok := v.(map[string]any); ok {
		object = maps.Clone(object)
		object[name] = value
		return object
	}
	text, _ := v.(string)
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if key, _, _ := strings.Cut(part, ":"); strings.TrimSpace(key) != name && strings.TrimSpace(part) != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(append(parts, name+":"+value), ",")
}
