package openstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// upload makes an image of random data in Glance; it is deleted when the test ends.
func (c *cloud) upload(t *testing.T, opts images.CreateOpts, size int) (id string, data []byte) {
	t.Helper()
	data = make([]byte, size)
	_, _ = rand.Read(data)
	return c.uploadData(t, c.service(t, openstack.NewImageV2), opts, data), data
}

func (c *cloud) uploadData(t *testing.T, glance *gophercloud.ServiceClient, opts images.CreateOpts, data []byte) string {
	t.Helper()
	if opts.Name == "" {
		opts.Name = unique(t)
	}
	if opts.DiskFormat == "" {
		opts.DiskFormat, opts.ContainerFormat = "raw", "bare"
	}
	img, err := images.Create(t.Context(), glance, opts).Extract()
	check(t, err)
	later(t, func(ctx context.Context) { images.Delete(ctx, glance, img.ID) })
	if data != nil {
		check(t, imagedata.Upload(t.Context(), glance, img.ID, bytes.NewReader(data)).ExtractErr())
	}
	return img.ID
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// startWithImages starts Ferric with an image server on loopback, as boot services have one.
func (c *cloud) startWithImages(t *testing.T, settings ...string) *ferric {
	t.Helper()
	_, port, _ := strings.Cut(freeAddress(t), ":")
	return c.start(t, append([]string{"roles=api,conductor,boot", "boot.interface=lo", "boot.address=127.0.0.1", "boot.dhcp=off", "boot.tftp=false", "boot.http_port=" + port,
		"agent.require_tls=false", "conductor.automated_clean=false"}, settings...)...)
}

// bareMetal makes an available node that is deployed with the interface direct, and its agent.
func (f *ferric) bareMetal(t *testing.T, name, mac string, fields map[string]any) (node string, a *agent) {
	t.Helper()
	body := map[string]any{"name": name, "deploy_interface": "direct", "boot_interface": "fake", "network_interface": "noop"}
	for k, v := range fields {
		body[k] = v
	}
	node = f.node(t, body)
	f.must(t, http.MethodPost, "/v1/ports", map[string]any{"node_uuid": node, "address": mac})
	f.provision(t, node, "manage", "manageable")
	f.provision(t, node, "provide", "available")
	return node, startAgent(t, f, node, mac)
}

// instance sets fields of a node's instance_info.
func (f *ferric) instance(t *testing.T, node string, fields map[string]any) {
	t.Helper()
	var patch []any
	for k, v := range fields {
		patch = append(patch, map[string]any{"op": "add", "path": "/instance_info/" + k, "value": v})
	}
	f.must(t, http.MethodPatch, "/v1/nodes/"+node, patch)
}

// refused asks for a deploy that must be refused with the status, and checks what is said.
func (f *ferric) refused(t *testing.T, node string, status int, words ...string) {
	t.Helper()
	got, answer, err := f.call(t.Context(), http.MethodPut, "/v1/nodes/"+node+"/states/provision", map[string]any{"target": "active"})
	check(t, err)
	text, _ := answer["error_message"].(string)
	if got != status {
		t.Errorf("status %d (%s), want %d", got, text, status)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("the answer %q does not say %q", text, w)
		}
	}
	if n := f.must(t, http.MethodGet, "/v1/nodes/"+node, nil); n["provision_state"] != "available" {
		t.Errorf("the node is %v", n["provision_state"])
	}
}

// TestGlanceDeploy: an image is named by its id, or by a glance:// URL; its data reaches the machine; what Glance knows of it stands in the node; a new
// deploy of the same image asks for its data no more.
func TestGlanceDeploy(t *testing.T) {
	c := newCloud(t)
	f := c.startWithImages(t)
	id, data := c.upload(t, images.CreateOpts{Tags: []string{"gold"}, Properties: map[string]string{"os_distro": "debian", "img_type": "whole-disk"}}, 3<<20)
	node, a := f.bareMetal(t, "glance-deploy", "52:54:00:6c:00:01", nil)
	for n, source := range []string{id, "glance://" + id} {
		f.instance(t, node, map[string]any{"image_source": source})
		valid := f.must(t, http.MethodGet, "/v1/nodes/"+node+"/validate", nil)
		if deploy, _ := valid["deploy"].(map[string]any); deploy["result"] != true {
			t.Fatalf("validation of %s: %v", source, deploy)
		}
		done := f.provision(t, node, "active", "active")
		if got := a.images(); len(got) != n+1 || got[n] != sum(data) {
			t.Fatalf("after the deploy of %s the machine has %v, want %s", source, got, sum(data))
		}
		info, _ := done["instance_info"].(map[string]any)
		properties, _ := info["image_properties"].(map[string]any)
		if info["image_disk_format"] != "raw" || info["image_container_format"] != "bare" || info["image_type"] != "whole-disk" || properties["os_distro"] != "debian" ||
			info["image_os_hash_algo"] != "sha512" || len(info["image_os_hash_value"].(string)) != 128 || info["image_source"] != source {
			t.Errorf("instance_info: %v", info)
		}
		if tags, _ := info["image_tags"].([]any); len(tags) != 1 || tags[0] != "gold" {
			t.Errorf("image_tags: %v", info["image_tags"])
		}
		f.provision(t, node, "deleted", "available")
	}
}

// TestGlanceUnusable: what cannot be deployed is refused by validation and by the request, before the machine is touched, and the answer says why.
func TestGlanceUnusable(t *testing.T) {
	c := newCloud(t)
	f := c.startWithImages(t)
	glance := c.service(t, openstack.NewImageV2)
	node, _ := f.bareMetal(t, "glance-unusable", "52:54:00:6c:00:02", nil)
	active, _ := c.upload(t, images.CreateOpts{}, 64<<10)
	deactivated, _ := c.upload(t, images.CreateOpts{}, 64<<10)
	_, err := glance.Post(t.Context(), glance.ServiceURL("images", deactivated, "actions", "deactivate"), nil, nil, &gophercloud.RequestOpts{OkCodes: []int{204}})
	check(t, err)
	partition, _ := c.upload(t, images.CreateOpts{Properties: map[string]string{"kernel_id": active, "ramdisk_id": active}}, 64<<10)
	typed, _ := c.upload(t, images.CreateOpts{Properties: map[string]string{"img_type": "partition"}}, 64<<10)
	private, _ := c.upload(t, images.CreateOpts{}, 64<<10)
	hostile, _ := c.upload(t, images.CreateOpts{Properties: map[string]string{"deploy_kernel_id": private, "deploy_ramdisk_id": private}}, 64<<10)
	for name, tt := range map[string]struct {
		source string
		words  []string
	}{
		"not there":        {"6d2f4a94-8f0e-4d7c-a5c8-333333333333", []string{"6d2f4a94-8f0e-4d7c-a5c8-333333333333", "could not be found"}},
		"queued":           {c.uploadData(t, glance, images.CreateOpts{}, nil), []string{"active state", "queued", "nobody has uploaded"}},
		"deactivated":      {deactivated, []string{"active state", "deactivated", "--activate"}},
		"partition":        {partition, []string{"partition", "not supported"}},
		"type partition":   {typed, []string{"partition", "not supported"}},
		"own ramdisk":      {hostile, []string{"deploy_kernel_id", private, "operators"}},
		"name":             {"debian", []string{"debian", "UUID"}},
		"URL with a name":  {"glance://debian", []string{"glance://debian", "UUID"}},
		"rather more than": {"glance://" + active + "0", []string{"UUID"}},
	} {
		t.Run(name, func(t *testing.T) {
			f.instance(t, node, map[string]any{"image_source": tt.source})
			if name == "name" {
				tt.words = []string{"debian", "Glance"}
			}
			valid := f.must(t, http.MethodGet, "/v1/nodes/"+node+"/validate", nil)
			deploy, _ := valid["deploy"].(map[string]any)
			reason, _ := deploy["reason"].(string)
			if deploy["result"] != false {
				t.Errorf("validation: %v", deploy)
			}
			for _, w := range tt.words {
				if !strings.Contains(reason, w) {
					t.Errorf("validation says %q and not %q", reason, w)
				}
			}
			f.refused(t, node, http.StatusBadRequest, tt.words...)
		})
	}
}

// TestGlanceRamdisk: the deploy ramdisk comes from Glance: as the node says, as its image says, as the configuration says, in this order.
func TestGlanceRamdisk(t *testing.T) {
	c := newCloud(t)
	public := func(format string) (id, content string) {
		visibility := images.ImageVisibilityPublic
		id, data := c.upload(t, images.CreateOpts{DiskFormat: format, ContainerFormat: format, Visibility: &visibility}, 128<<10)
		return id, sum(data)
	}
	kernel, kernelSum := public("aki")
	ramdisk, ramdiskSum := public("ari")
	kernel2, kernel2Sum := public("aki")
	ramdisk2, ramdisk2Sum := public("ari")
	kernel3, kernel3Sum := public("aki")
	ramdisk3, ramdisk3Sum := public("ari")
	f := c.startWithImages(t, "boot.deploy_kernel="+kernel, "boot.deploy_ramdisk=glance://"+ramdisk)
	plain, _ := c.upload(t, images.CreateOpts{}, 64<<10)
	special, _ := c.upload(t, images.CreateOpts{Properties: map[string]string{"baremetal:deploy_kernel_id": kernel2, "baremetal:deploy_ramdisk_id": ramdisk2}}, 64<<10)
	for name, tt := range map[string]struct {
		mac        string
		image      string
		driverInfo map[string]any
		kernel     string
		ramdisk    string
	}{
		"configuration": {"52:54:00:6c:00:11", plain, nil, kernelSum, ramdiskSum},
		"image":         {"52:54:00:6c:00:12", special, nil, kernel2Sum, ramdisk2Sum},
		"node":          {"52:54:00:6c:00:13", special, map[string]any{"deploy_kernel": kernel3, "deploy_ramdisk": "glance://" + ramdisk3}, kernel3Sum, ramdisk3Sum},
	} {
		t.Run(name, func(t *testing.T) {
			node := f.node(t, map[string]any{"name": name, "deploy_interface": "direct", "boot_interface": "ipxe", "network_interface": "noop", "driver_info": tt.driverInfo,
				"instance_info": map[string]any{"image_source": tt.image}})
			f.must(t, http.MethodPost, "/v1/ports", map[string]any{"node_uuid": node, "address": tt.mac})
			f.provision(t, node, "manage", "manageable")
			f.provision(t, node, "provide", "available")
			f.provision(t, node, "active", "wait call-back")
			for what, want := range map[string]string{"kernel": tt.kernel, "ramdisk": tt.ramdisk} {
				found, err := filepath.Glob(filepath.Join(f.Data, "images", "shared", node+"_"+what+"_*"))
				check(t, err)
				if len(found) != 1 {
					t.Fatalf("%d files are served as %s: %v", len(found), what, found)
				}
				data, err := os.ReadFile(found[0])
				check(t, err)
				if sum(data) != want {
					t.Errorf("the %s that is served is not the image in Glance", what)
				}
			}
			startAgent(t, f, node, tt.mac)
			f.until(t, node, "active")
		})
	}
}
