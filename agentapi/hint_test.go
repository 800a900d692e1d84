package agentapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ferric"
	"ferric/agentapi"
)

func disk() agentapi.BlockDevice {
	return agentapi.BlockDevice{
		Name: "/dev/sda", Model: "Samsung SSD 870", Size: 10 << 30, Rotational: false, Vendor: "ATA",
		Serial: agentapi.Texts{"S6PNNX0R", "alias-serial"}, WWN: agentapi.Texts{"0x5002538f"},
		WWNWithExtension: agentapi.Texts{"0x5002538f0x01"}, WWNVendorExtension: agentapi.Texts{"0x01"},
		HCTL: "1:0:0:0", ByPath: "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", Tran: "sata",
	}
}

func TestHintsMatch(t *testing.T) {
	tests := map[string]struct {
		hints string
		want  bool
	}{
		"none":                                   {`{}`, true},
		"size number":                            {`{"size": 10}`, true},
		"size other":                             {`{"size": 11}`, false},
		"size text":                              {`{"size": "10"}`, true},
		"size ==":                                {`{"size": "== 10"}`, true},
		"size >=":                                {`{"size": ">= 10"}`, true},
		"size >= without space":                  {`{"size": ">=11"}`, false},
		"size =, which is >=":                    {`{"size": "= 9"}`, true},
		"size <=":                                {`{"size": "<= 9"}`, false},
		"size <":                                 {`{"size": "< 11"}`, true},
		"size >":                                 {`{"size": "> 10"}`, false},
		"size !=":                                {`{"size": "!= 10"}`, false},
		"size or":                                {`{"size": "<or> 5 <or> 10"}`, true},
		"size or, none":                          {`{"size": "<or> 5 <or> 6"}`, false},
		"rotational false":                       {`{"rotational": false}`, true},
		"rotational text":                        {`{"rotational": "yes"}`, false},
		"rotational 0":                           {`{"rotational": 0}`, true},
		"name":                                   {`{"name": "/dev/sda"}`, true},
		"name s!=":                               {`{"name": "s!= /dev/sda"}`, false},
		"model with spaces, any case":            {`{"model": "SAMSUNG ssd 870"}`, true},
		"model s==":                              {`{"model": "s== samsung ssd 870"}`, true},
		"model part is not equal":                {`{"model": "samsung"}`, false},
		"model in":                               {`{"model": "<in> ssd"}`, true},
		"model in, with a space":                 {`{"model": "<in> ssd 870"}`, true},
		"model in, not there":                    {`{"model": "<in> hdd"}`, false},
		"model all-in":                           {`{"model": "<all-in> 870 samsung"}`, true},
		"model all-in, one missing":              {`{"model": "<all-in> 870 intel"}`, false},
		"vendor or":                              {`{"vendor": "<or> fujitsu <or> ata"}`, true},
		"vendor or with spaces":                  {`{"model": "<or> some disk <or> samsung ssd 870"}`, true},
		"serial second value":                    {`{"serial": "alias-serial"}`, true},
		"serial none":                            {`{"serial": "x"}`, false},
		"wwn":                                    {`{"wwn": "0x5002538F"}`, true},
		"wwn with extension":                     {`{"wwn_with_extension": "<in> 0x01"}`, true},
		"wwn vendor extension":                   {`{"wwn_vendor_extension": "0x01"}`, true},
		"hctl":                                   {`{"hctl": "1:0:0:0"}`, true},
		"hctl text order":                        {`{"hctl": "s< 2"}`, true},
		"hctl text order, >=":                    {`{"hctl": "s>= 2"}`, false},
		"by_path":                                {`{"by_path": "<in> ata-1"}`, true},
		"tran":                                   {`{"tran": "nvme"}`, false},
		"number operator on text":                {`{"model": ">= 5"}`, false},
		"number operator on a number":            {`{"wwn_vendor_extension": "== 1"}`, false},
		"all must match":                         {`{"size": 10, "rotational": true}`, false},
		"all match":                              {`{"size": ">= 4", "rotational": false, "tran": "sata"}`, true},
		"word that begins with s is no operator": {`{"model": "samsung ssd 870"}`, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var m map[string]any
			if err := json.Unmarshal([]byte(tt.hints), &m); err != nil {
				t.Fatal(err)
			}
			h, err := agentapi.ParseHints(m)
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Match(disk()); got != tt.want {
				t.Errorf("%s (%s) = %t, want %t", tt.hints, h, got, tt.want)
			}
		})
	}
}

func TestHintMissingAttribute(t *testing.T) {
	h, err := agentapi.ParseHints(map[string]any{"serial": "s!= x"})
	if err != nil {
		t.Fatal(err)
	}
	if h.Match(agentapi.BlockDevice{Name: "/dev/vda"}) {
		t.Error("a disk without the attribute must not match, whatever the operator")
	}
}

func TestParseHintsRefuses(t *testing.T) {
	tests := map[string]struct {
		hints map[string]any
		names string
	}{
		"unknown":            {map[string]any{"colour": "red"}, "colour"},
		"size zero":          {map[string]any{"size": 0.0}, "size"},
		"size negative":      {map[string]any{"size": "-5"}, "size"},
		"size fraction":      {map[string]any{"size": 10.5}, "size"},
		"size word":          {map[string]any{"size": "big"}, "size"},
		"size list":          {map[string]any{"size": []any{1}}, "size"},
		"size text operator": {map[string]any{"size": "s== 10"}, "s=="},
		"size in":            {map[string]any{"size": "<in> 10"}, "<in>"},
		"rotational":         {map[string]any{"rotational": "perhaps"}, "rotational"},
		"empty text":         {map[string]any{"model": "  "}, "model"},
		"operator only":      {map[string]any{"model": "s=="}, "no value"},
		"or without values":  {map[string]any{"model": "<or> <or>"}, "no value"},
		"text number":        {map[string]any{"model": 5.0}, "model"},
		"range":              {map[string]any{"model": "<range-in> [ 1 2 ]"}, "range-in"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := agentapi.ParseHints(tt.hints)
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Fatalf("got %v, want CodeInvalid", err)
			}
			if !strings.Contains(err.Error(), tt.names) {
				t.Errorf("the message %q does not name %q", err, tt.names)
			}
		})
	}
}

func TestRootDevice(t *testing.T) {
	disks := []agentapi.BlockDevice{
		{Name: "/dev/sdc", Size: 100 << 30, Serial: agentapi.Texts{"c"}},
		{Name: "/dev/sda", Size: 1 << 30},
		{Name: "/dev/sdd", Size: 8 << 30},
		{Name: "/dev/sdb", Size: 8 << 30},
	}
	tests := map[string]struct {
		disks []agentapi.BlockDevice
		hints map[string]any
		want  string
		err   string
	}{
		"smallest that is big enough":   {disks: disks, want: "/dev/sdb"},
		"by hint":                       {disks: disks, hints: map[string]any{"serial": "c"}, want: "/dev/sdc"},
		"a hint may choose a small one": {disks: disks, hints: map[string]any{"name": "/dev/sda"}, want: "/dev/sda"},
		"first match":                   {disks: disks, hints: map[string]any{"size": "<= 8"}, want: "/dev/sda"},
		"no match":                      {disks: disks, hints: map[string]any{"serial": "zz"}, err: "serial s== zz"},
		"none big enough":               {disks: disks[1:2], err: "at least 4 GiB"},
		"no disks":                      {err: "the disks are: none"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, err := agentapi.ParseHints(tt.hints)
			if err != nil {
				t.Fatal(err)
			}
			got, err := agentapi.RootDevice(tt.disks, h)
			if tt.err != "" {
				if !ferric.IsCode(err, ferric.CodeNotFound) || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want CodeNotFound with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != tt.want {
				t.Errorf("got %s, want %s", got.Name, tt.want)
			}
		})
	}
}

func FuzzHints(f *testing.F) {
	for _, s := range []string{">= 10", "s== a b", "<or> a <or> b", "<in>", "<all-in> a b", "=", "s", "\x00"} {
		f.Add("model", s)
		f.Add("size", s)
	}
	f.Fuzz(func(t *testing.T, name, expr string) {
		h, err := agentapi.ParseHints(map[string]any{name: expr})
		if err != nil {
			if !ferric.IsCode(err, ferric.CodeInvalid) {
				t.Fatalf("error without CodeInvalid: %v", err)
			}
			return
		}
		h.Match(disk())
		if h.String() == "" {
			t.Fatal("hints without text")
		}
	})
}
