package agent_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/driver/agent"

	"github.com/google/go-cmp/cmp"
)

// glance has the images that a test puts into it.
type glance struct {
	images    map[string]*agent.GlanceImage
	operators map[string]bool
}

func (g glance) Image(_ context.Context, id string, who driver.Asker) (*agent.GlanceImage, error) {
	img := g.images[id]
	if img == nil || img.Properties["owner"] != nil && !who.Any && img.Properties["owner"] != who.Project {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Image %s could not be found.", id)
	}
	return img, nil
}

func (g glance) Operators(_ context.Context, id string) (bool, error) {
	if is, known := g.operators[id]; known {
		return is, nil
	}
	return false, ferric.Errorf(ferric.CodeNotFound, "Image %s could not be found.", id)
}

const (
	imageID = "6d2f4a94-8f0e-4d7c-a5c8-555555555555"
	kernel  = "6d2f4a94-8f0e-4d7c-a5c8-666666666666"
	initrd  = "6d2f4a94-8f0e-4d7c-a5c8-777777777777"
)

func TestResolveImage(t *testing.T) {
	note := func(kv ...any) map[string]any {
		out := map[string]any{"glance_image": map[string]any{"id": imageID, "image_type": "whole-disk"}}
		for i := 0; i < len(kv); i += 2 {
			out[kv[i].(string)] = kv[i+1]
		}
		return out
	}
	for name, tt := range map[string]struct {
		properties map[string]any
		info       map[string]any // beside image_source
		internal   map[string]any
		who        driver.Asker
		code       ferric.Code
		words      []string
		want       map[string]any // driver_internal_info
	}{
		"plain":           {want: note()},
		"whole disk":      {properties: map[string]any{"img_type": "whole-disk", "kernel_id": kernel}, want: note()},
		"partition":       {properties: map[string]any{"img_type": "partition"}, code: ferric.CodeUnsupported, words: []string{"partition", "img_type"}},
		"kernel":          {properties: map[string]any{"kernel_id": kernel}, code: ferric.CodeUnsupported, words: []string{"partition", "kernel_id"}},
		"the node wins":   {properties: map[string]any{"img_type": "partition"}, info: map[string]any{"image_type": "whole-disk"}, want: note()},
		"noted last time": {properties: map[string]any{"img_type": "partition"}, info: map[string]any{"image_type": "whole-disk"}, internal: note(), code: ferric.CodeUnsupported},
		"deploy ramdisk": {properties: map[string]any{"deploy_kernel_id": kernel, "deploy_ramdisk_id": "glance://" + initrd},
			want: note("image_deploy_kernel", kernel, "image_deploy_ramdisk", initrd)},
		"deploy ramdisk as in Juno": {properties: map[string]any{"baremetal:deploy_kernel_id": kernel, "baremetal:deploy_ramdisk_id": initrd},
			want: note("image_deploy_kernel", kernel, "image_deploy_ramdisk", initrd)},
		"an earlier one is forgotten": {internal: map[string]any{"image_deploy_kernel": kernel, "image_deploy_ramdisk": initrd, "x": 1}, want: note("x", 1)},
		"half a ramdisk":              {properties: map[string]any{"deploy_kernel_id": kernel}, code: ferric.CodeInvalid, words: []string{"deploy_ramdisk_id", `""`}},
		"ramdisk by URL": {properties: map[string]any{"deploy_kernel_id": "http://evil/k", "deploy_ramdisk_id": "http://evil/r"}, code: ferric.CodeInvalid,
			words: []string{"deploy_kernel_id", "http://evil/k"}},
		"a user's ramdisk": {properties: map[string]any{"deploy_kernel_id": imageID, "deploy_ramdisk_id": initrd}, code: ferric.CodeForbidden, words: []string{"operators", imageID}},
		"somebody else's":  {properties: map[string]any{"owner": "p1"}, who: driver.Asker{Project: "p2"}, code: ferric.CodeNotFound, words: []string{"image_source", imageID}},
		"one's own":        {properties: map[string]any{"owner": "p1"}, who: driver.Asker{Project: "p1"}, want: note()},
		"an administrator": {properties: map[string]any{"owner": "p1"}, who: driver.Asker{Any: true}, want: note()},
		"not there":        {info: map[string]any{"image_source": kernel}, code: ferric.CodeNotFound, words: []string{kernel}},
		"not in Glance":    {info: map[string]any{"image_source": "http://images/a"}, internal: note(), want: map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &agent.Direct{Glance: glance{map[string]*agent.GlanceImage{imageID: {DiskFormat: "qcow2", ContainerFormat: "bare", HashAlgo: "sha512", HashValue: "abc",
				Tags: []string{"a"}, Properties: tt.properties}}, map[string]bool{kernel: true, initrd: true, imageID: false}}}
			info := map[string]any{"image_source": "glance://" + imageID}
			maps.Copy(info, tt.info)
			n := &ferric.Node{UUID: "n", InstanceInfo: info, InternalInfo: maps.Clone(tt.internal)}
			note, err := d.ResolveImage(t.Context(), &driver.Machine{Node: n}, tt.who)
			if tt.code != "" {
				if !ferric.IsCode(err, tt.code) {
					t.Fatalf("error %v, want %s", err, tt.code)
				}
				for _, w := range tt.words {
					if !strings.Contains(err.Error(), w) {
						t.Errorf("%q does not say %q", err, w)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			note(n)
			if diff := cmp.Diff(tt.want, n.InternalInfo); diff != "" {
				t.Errorf("driver_internal_info (-want +have):\n%s", diff)
			}
			if _, ok := tt.want["glance_image"]; ok && (n.InstanceInfo["image_os_hash_value"] != "abc" || n.InstanceInfo["image_checksum"] != nil ||
				n.InstanceInfo["image_disk_format"] != "qcow2" || n.InstanceInfo["image_type"] != "whole-disk") {
				t.Errorf("instance_info %v", n.InstanceInfo)
			}
		})
	}
}

// published notes what it is asked for.
type published struct{ last agent.ImageRequest }

func (p *published) Publish(_ context.Context, _ string, r agent.ImageRequest) (agentapi.ImageInfo, error) {
	p.last = r
	return agentapi.ImageInfo{}, nil
}
func (p *published) Withdraw(context.Context, string) error { return nil }

// TestOnlyTheAcceptedImage: an image that was put in place of the one that a deploy was accepted with is not fetched: nobody has looked whether it may be.
func TestOnlyTheAcceptedImage(t *testing.T) {
	images := &published{}
	d := &agent.Direct{Images: images, Glance: glance{map[string]*agent.GlanceImage{imageID: {HashAlgo: "sha512", HashValue: "abc"}}, nil}}
	n := &ferric.Node{UUID: "n", InstanceInfo: map[string]any{"image_source": imageID}}
	note, err := d.ResolveImage(t.Context(), &driver.Machine{Node: n}, driver.Asker{})
	if err != nil {
		t.Fatal(err)
	}
	note(n)
	tk := taskWith(t, d, n)
	if err := d.Prepare(t.Context(), tk); err != nil {
		t.Fatal(err)
	}
	if images.last.Source != "glance://"+imageID || images.last.OSHashValue != "abc" {
		t.Errorf("asked for %+v", images.last)
	}
	n.InstanceInfo["image_source"] = kernel
	images.last = agent.ImageRequest{}
	if err := d.Prepare(t.Context(), tk); !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), "changed to image "+kernel) {
		t.Errorf("error %v", err)
	}
	if images.last.Source != "" {
		t.Errorf("asked for %+v", images.last)
	}
}

// taskWith makes a task of a node with the deploy interface.
func taskWith(t *testing.T, d *agent.Direct, n *ferric.Node) *driver.Task {
	t.Helper()
	r := &driver.Registry{Implementations: map[ferric.InterfaceKind]map[string]driver.Interface{}}
	supports := map[ferric.InterfaceKind][]string{}
	for _, kind := range ferric.InterfaceKinds() {
		r.Implementations[kind], supports[kind] = map[string]driver.Interface{"it": absent{}}, []string{"it"}
	}
	r.Implementations[ferric.KindDeploy]["it"] = d
	r.Implementations[ferric.KindStorage]["it"] = storage{}
	r.Types = []driver.HardwareType{{Name: "test", Supports: supports}}
	n.Driver = "test"
	set, err := r.Compose(n)
	if err != nil {
		t.Fatal(err)
	}
	return &driver.Task{Set: set, Machine: &driver.Machine{Node: n}}
}

type absent struct{}

func (absent) Properties() map[string]string                   { return nil }
func (absent) Validate(context.Context, *driver.Machine) error { return nil }

type storage struct{ absent }

func (storage) WritesImage(*driver.Machine) bool           { return true }
func (storage) Attach(context.Context, *driver.Task) error { return nil }
func (storage) Detach(context.Context, *driver.Task) error { return nil }
