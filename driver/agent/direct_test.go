package agent_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"ferric"
	"ferric/driver"
	"ferric/driver/agent"

	"github.com/google/go-cmp/cmp"
)

func TestDirectValidate(t *testing.T) {
	good := map[string]any{"image_source": "https://images/debian.qcow2", "image_checksum": "abc"}
	with := func(kv ...any) map[string]any {
		out := maps.Clone(good)
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
			if kv[i+1] == nil {
				delete(out, kv[i].(string))
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		info       map[string]any
		properties map[string]any
		driverInfo map[string]any
		code       ferric.Code
		words      []string
	}{
		"good":                      {info: good},
		"http":                      {info: with("image_source", "http://images/a")},
		"file without checksum":     {info: with("image_source", "file:///images/a", "image_checksum", nil)},
		"hash":                      {info: with("image_checksum", nil, "image_os_hash_algo", "sha512", "image_os_hash_value", "abc")},
		"whole disk":                {info: with("image_type", "whole-disk")},
		"download source":           {info: with("image_download_source", "http")},
		"download source of driver": {info: good, driverInfo: map[string]any{"image_download_source": "local"}},
		"hints":                     {info: with("root_device", map[string]any{"size": ">= 10"}), properties: map[string]any{"root_device": map[string]any{"serial": "1"}}},
		"nothing":                   {code: ferric.CodeInvalid, words: []string{"image_source is missing", "http://"}},
		"blank source":              {info: with("image_source", "  "), code: ferric.CodeInvalid, words: []string{"image_source is missing"}},
		"source is a number":        {info: with("image_source", 7.0), code: ferric.CodeInvalid, words: []string{"image_source is missing"}},
		"glance id":                 {info: with("image_source", "6d2f4a94-8f0e-4d7c-a5c8-333333333333"), code: ferric.CodeInvalid, words: []string{"image_source", "6d2f4a94", "file://"}},
		"ftp":                       {info: with("image_source", "ftp://images/a"), code: ferric.CodeInvalid, words: []string{"ftp://images/a"}},
		"no checksum":               {info: with("image_checksum", nil), code: ferric.CodeInvalid, words: []string{"image_checksum", "must be verified"}},
		"algorithm alone":           {info: with("image_os_hash_algo", "sha256"), code: ferric.CodeInvalid, words: []string{"belong together"}},
		"value alone":               {info: with("image_os_hash_value", "abc"), code: ferric.CodeInvalid, words: []string{"belong together"}},
		"bad download source":       {info: with("image_download_source", "swift"), code: ferric.CodeInvalid, words: []string{"image_download_source", "swift", "local or http"}},
		"bad download of driver":    {info: good, driverInfo: map[string]any{"image_download_source": "tape"}, code: ferric.CodeInvalid, words: []string{"tape"}},
		"partition image":           {info: with("image_type", "partition"), code: ferric.CodeUnsupported, words: []string{"partition", "whole-disk"}},
		"hints are a string":        {info: good, properties: map[string]any{"root_device": "sda"}, code: ferric.CodeInvalid, words: []string{"properties", "root_device", "object"}},
		"unknown hint":              {info: good, properties: map[string]any{"root_device": map[string]any{"colour": "red"}}, code: ferric.CodeInvalid, words: []string{"properties", "colour"}},
		"bad hint of the instance":  {info: with("root_device", map[string]any{"size": "big"}), code: ferric.CodeInvalid, words: []string{"instance_info", "root_device", "size"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &driver.Machine{Node: &ferric.Node{InstanceInfo: c.info, Properties: c.properties, DriverInfo: c.driverInfo}}
			err := (&agent.Direct{}).Validate(context.Background(), m)
			if ferric.ErrorCode(err) != c.code {
				t.Fatalf("error %v, want code %q", err, c.code)
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestRequest(t *testing.T) {
	n := &ferric.Node{DriverInfo: map[string]any{"image_download_source": "local"}, InstanceInfo: map[string]any{
		"image_source": " https://i/a ", "image_disk_format": "qcow2", "image_checksum": "c", "image_os_hash_algo": "sha256", "image_os_hash_value": "v"}}
	want := agent.ImageRequest{Source: "https://i/a", DiskFormat: "qcow2", Checksum: "c", OSHashAlgo: "sha256", OSHashValue: "v", DownloadSource: "local"}
	if diff := cmp.Diff(want, agent.Request(n)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	n.InstanceInfo["image_download_source"] = "http"
	if got := agent.Request(n).DownloadSource; got != "http" {
		t.Errorf("the instance's download source is %q", got)
	}
}

func TestInspect(t *testing.T) {
	var i agent.Inspect
	m := &driver.Machine{Node: &ferric.Node{}}
	if err := i.Validate(context.Background(), m); !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "no port") {
		t.Errorf("without a port: %v", err)
	}
	m.Ports = []*ferric.Port{{Address: "52:54:00:00:00:01"}}
	if err := i.Validate(context.Background(), m); err != nil || !i.InBand(m) {
		t.Errorf("%v, in band %v", err, i.InBand(m))
	}
	if _, err := i.Run(context.Background(), &driver.Task{Machine: m}); !ferric.IsCode(err, ferric.CodeUnsupported) {
		t.Errorf("run: %v", err)
	}
}
