package openstack

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
)

// TestUploadRamdisk: kernel and ramdisk are put into Glance once; the lines that are printed make Ferric use them.
func TestUploadRamdisk(t *testing.T) {
	c := newCloud(t)
	dir, name := t.TempDir(), unique(t)
	glance := c.service(t, openstack.NewImageV2)
	write := func(file string) {
		t.Helper()
		data := make([]byte, 200<<10)
		_, _ = rand.Read(data)
		check(t, os.WriteFile(filepath.Join(dir, file), data, 0o600))
	}
	write("kernel")
	write("initramfs")
	ids := regexp.MustCompile(`(?m)^deploy_(kernel|ramdisk) = "([0-9a-f-]{36})"$`)
	run := func(flags ...string) (kernel, ramdisk, out string) {
		t.Helper()
		out, err := c.command(t, append([]string{"openstack", "upload-ramdisk", "--dir", dir, "--name", name}, flags...)...)
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		found := ids.FindAllStringSubmatch(out, -1)
		if len(found) != 2 || found[0][1] != "kernel" || found[1][1] != "ramdisk" {
			t.Fatalf("it printed %s", out)
		}
		for _, f := range found {
			later(t, func(ctx context.Context) { images.Delete(ctx, glance, f[2]) })
		}
		return found[0][2], found[1][2], out
	}
	kernel, ramdisk, out := run()
	if strings.Count(out, ": uploaded") != 2 {
		t.Errorf("it printed %s", out)
	}
	for id, format := range map[string]string{kernel: "aki", ramdisk: "ari"} {
		img, err := images.Get(t.Context(), glance, id).Extract()
		check(t, err)
		if img.DiskFormat != format || img.ContainerFormat != format || img.Status != "active" || img.Visibility != "private" || img.SizeBytes != 200<<10 || !strings.HasPrefix(img.Name, name) {
			t.Errorf("image %+v, want the format %s", img, format)
		}
	}
	if k, r, out := run(); k != kernel || r != ramdisk || strings.Contains(out, ": uploaded") {
		t.Errorf("the same files again: %s", out)
	}
	write("kernel")
	if k, r, out := run(); k == kernel || r != ramdisk || strings.Count(out, ": uploaded") != 1 {
		t.Errorf("another kernel: %s", out)
	}
	if k, r, _ := run("--public"); k == kernel || r == ramdisk {
		t.Error("public images are the private ones")
	}
	if out, err := c.command(t, "openstack", "upload-ramdisk", "--dir", filepath.Join(dir, "none")); err == nil || !strings.Contains(out, "no such file") {
		t.Errorf("without files: %v %s", err, out)
	}
}

// TestGlanceRights: a project deploys what is public, its own, or shared with it. Another project's image is not even there; an administrator deploys it.
func TestGlanceRights(t *testing.T) {
	c := newCloud(t)
	p := c.people(t)
	f := c.startWithImages(t, "api.auth_strategy=keystone")
	boss, _ := p.user(t, "administrator")
	p.grant(t, "system", boss, "admin")
	admin := f.with(p.as(t, boss, "system"))
	project := p.project(t, "tenant")
	user, _ := p.user(t, "tenant")
	p.grant(t, "projects/"+project, user, "manager", "member")
	tenant := f.with(p.as(t, user, "projects/"+project))

	glance := c.service(t, openstack.NewImageV2)
	visible := func(v images.ImageVisibility) string {
		id, _ := c.upload(t, images.CreateOpts{Visibility: &v}, 64<<10)
		return id
	}
	shared := visible(images.ImageVisibilityShared)
	_, err := glance.Post(t.Context(), glance.ServiceURL("images", shared, "members"), map[string]any{"member": project}, nil, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}})
	check(t, err)
	own := visible(images.ImageVisibilityPrivate)
	_, err = glance.Patch(t.Context(), glance.ServiceURL("images", own), []any{map[string]any{"op": "replace", "path": "/owner", "value": project}}, nil,
		&gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}, MoreHeaders: map[string]string{"Content-Type": "application/openstack-images-v2.1-json-patch"}})
	check(t, err)
	private := visible(images.ImageVisibilityPrivate)
	for name, tt := range map[string]struct {
		who     *ferric
		image   string
		refused bool
	}{
		"public":           {tenant, visible(images.ImageVisibilityPublic), false},
		"community":        {tenant, visible(images.ImageVisibilityCommunity), false},
		"own":              {tenant, own, false},
		"shared":           {tenant, shared, false},
		"shared by others": {tenant, visible(images.ImageVisibilityShared), true},
		"private":          {tenant, private, true},
		"administrator":    {admin, private, false},
	} {
		t.Run(name, func(t *testing.T) {
			node := admin.node(t, map[string]any{"owner": project, "deploy_interface": "direct", "boot_interface": "fake", "network_interface": "noop",
				"instance_info": map[string]any{"image_source": tt.image}})
			admin.provision(t, node, "manage", "manageable")
			admin.provision(t, node, "provide", "available")
			if tt.refused {
				tt.who.refused(t, node, http.StatusBadRequest, tt.image, "could not be found")
				return
			}
			tt.who.must(t, http.MethodPut, "/v1/nodes/"+node+"/states/provision", map[string]any{"target": "active"})
			admin.until(t, node, "wait call-back")
		})
	}
}
