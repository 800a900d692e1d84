package driver_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ferric"
	"ferric/driver"

	"github.com/google/go-cmp/cmp"
)

func TestCheckRAID(t *testing.T) {
	disk := func(fields string) string {
		return `{"logical_disks": [{"size_gb": 1, "raid_level": "1"` + fields + `}]}`
	}
	for name, c := range map[string]struct{ config, wrong string }{
		"least":            {disk(""), ""},
		"all":              {disk(`, "volume_name": "v", "is_root_volume": true, "share_physical_disks": false, "disk_type": "ssd", "interface_type": "sas", "number_of_physical_disks": 2, "controller": "c", "physical_disks": ["a", "b"]`), ""},
		"MAX":              {`{"logical_disks": [{"size_gb": "MAX", "raid_level": "JBOD"}]}`, ""},
		"described disks":  {disk(`, "controller": "software", "physical_disks": [{"size": "> 100"}, {"size": "> 100"}]`), ""},
		"empty":            {`{}`, "'logical_disks' is a required property"},
		"more":             {`{"logical_disks": [], "x": 1}`, "Additional properties are not allowed ('x' was unexpected)"},
		"no list":          {`{"logical_disks": {}}`, "is not of type 'array'"},
		"no disks":         {`{"logical_disks": []}`, "[] should be non-empty"},
		"no object":        {`{"logical_disks": [1]}`, "1 is not of type 'object'"},
		"no size":          {`{"logical_disks": [{"raid_level": "1"}]}`, "'size_gb' is a required property"},
		"no level":         {`{"logical_disks": [{"size_gb": 1}]}`, "'raid_level' is a required property"},
		"level":            {`{"logical_disks": [{"size_gb": 1, "raid_level": "7"}]}`, "'7' is not one of ['JBOD', '0', '1', '2', '5', '6', '1+0', '5+0', '6+0']"},
		"level, type":      {`{"logical_disks": [{"size_gb": 1, "raid_level": 1}]}`, "1 is not one of ['JBOD'"},
		"negative size":    {`{"logical_disks": [{"size_gb": -1, "raid_level": "1"}]}`, "-1 is not valid under any of the given schemas"},
		"broken size":      {`{"logical_disks": [{"size_gb": 1.5, "raid_level": "1"}]}`, "1.5 is not valid under any of the given schemas"},
		"size, text":       {`{"logical_disks": [{"size_gb": "10", "raid_level": "1"}]}`, "'10' is not valid under any of the given schemas"},
		"huge size":        {`{"logical_disks": [{"size_gb": 1e300, "raid_level": "1"}]}`, "is not valid under any of the given schemas"},
		"unknown field":    {disk(`, "colour": "red"`), "('colour' was unexpected)"},
		"name":             {disk(`, "volume_name": 1`), "1 is not of type 'string'"},
		"root":             {disk(`, "is_root_volume": "yes"`), "'yes' is not of type 'boolean'"},
		"disk type":        {disk(`, "disk_type": "nvme"`), "'nvme' is not one of ['hdd', 'ssd']"},
		"interface":        {disk(`, "interface_type": "ide"`), "'ide' is not one of ['sata', 'scsi', 'sas']"},
		"number":           {disk(`, "number_of_physical_disks": 0`), "0 is less than or equal to the minimum of 0"},
		"number, type":     {disk(`, "number_of_physical_disks": "2"`), "'2' is not of type 'integer'"},
		"no controller":    {disk(`, "physical_disks": ["a"]`), "'controller' is a dependency of 'physical_disks'"},
		"mixed disks":      {disk(`, "controller": "c", "physical_disks": ["a", {}]`), "is not valid under any of the given schemas"},
		"one described":    {disk(`, "controller": "c", "physical_disks": [{}]`), "is not valid under any of the given schemas"},
		"two root volumes": {`{"logical_disks": [{"size_gb": 1, "raid_level": "1", "is_root_volume": true}, {"size_gb": 1, "raid_level": "1", "is_root_volume": true}]}`, "Raid config cannot have more than one root volume. 2 root volumes were specified"},
	} {
		t.Run(name, func(t *testing.T) {
			var config map[string]any
			if err := json.Unmarshal([]byte(c.config), &config); err != nil {
				t.Fatal(err)
			}
			err := driver.CheckRAID(config)
			if c.wrong == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v does not say %q", err, c.wrong)
			}
		})
	}
	if n := len(driver.RAIDProperties()); n != 10 {
		t.Errorf("%d properties", n)
	}
}

func TestRecordRAID(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 11, 12, 345678000, time.UTC)
	config := driver.RAIDConfig{LogicalDisks: []driver.LogicalDisk{{Level: "5", Fields: map[string]any{"raid_level": "5"}},
		{Level: "1+0", SizeGB: 50, IsRoot: true, Fields: map[string]any{"raid_level": "1+0", "root_device_hint": map[string]any{"wwn": "0x1"}}}}}
	for name, c := range map[string]struct{ before, after any }{
		"none":   {nil, "raid_level:1+0"},
		"others": {"a:b, raid_level:0 ,c:d", "a:b,c:d,raid_level:1+0"},
		"object": {map[string]any{"a": "b"}, map[string]any{"a": "b", "raid_level": "1+0"}},
	} {
		n := &ferric.Node{Properties: map[string]any{"capabilities": c.before}}
		driver.RecordRAID(n, config, at)
		want := map[string]any{"capabilities": c.after, "local_gb": 50, "root_device": map[string]any{"wwn": "0x1"}}
		if diff := cmp.Diff(want, n.Properties); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got := n.RAIDConfig.(map[string]any)["last_updated"]; got != "2026-11-22 10:11:12.345678" {
			t.Errorf("last updated %v", got)
		}
	}
	n := &ferric.Node{}
	driver.RecordRAID(n, driver.RAIDConfig{LogicalDisks: []driver.LogicalDisk{{Level: "1", IsRoot: true}}}, at)
	if _, ok := n.Properties["local_gb"]; ok || n.Properties["capabilities"] != "raid_level:1" {
		t.Errorf("properties of a disk of any size: %v", n.Properties)
	}
}

// FuzzReadRAID: whatever is taken reads the same after a round trip.
func FuzzReadRAID(f *testing.F) {
	f.Add([]byte(`{"logical_disks": [{"size_gb": 1, "raid_level": "1", "physical_disks": [{}, {}], "controller": "c"}]}`))
	f.Add([]byte(`{"logical_disks": [{"size_gb": "MAX", "raid_level": "1+0", "is_root_volume": true, "number_of_physical_disks": 1e2}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var config map[string]any
		if json.Unmarshal(text, &config) != nil {
			return
		}
		read, err := driver.ReadRAID(config)
		if err != nil {
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Fatal(err)
			}
			return
		}
		n := &ferric.Node{}
		driver.RecordRAID(n, read, time.Now())
		again, err := driver.ReadRAID(map[string]any{"logical_disks": n.RAIDConfig.(map[string]any)["logical_disks"]})
		if err != nil || !cmp.Equal(read, again) {
			t.Fatalf("%v, %s", err, cmp.Diff(read, again))
		}
	})
}
