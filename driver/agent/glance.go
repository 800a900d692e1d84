package agent

import (
	"cmp"
	"context"

	"ferric"
	"ferric/driver"
)

// Glance is the image service.
type Glance interface {
	// Image returns what is known of an image that is active, can be verified, and may be used by the asker. CodeInvalid, CodeNotFound, CodeForbidden, CodeUnavailable.
	Image(ctx context.Context, id string, who driver.Asker) (*GlanceImage, error)
	// Operators reports whether an image is public or belongs to the project that Ferric's own user works in: nobody but an operator
	// can have put it there.
	Operators(ctx context.Context, id string) (bool, error)
}

// GlanceImage is an image that is in Glance.
type GlanceImage struct {
	DiskFormat, ContainerFormat   string
	Checksum, HashAlgo, HashValue string // Checksum is MD5
	Tags                          []string
	Properties                    map[string]any
}

func (i *GlanceImage) property(names ...string) string {
	for _, name := range names {
		if s, ok := i.Properties[name].(string); ok && s != "" {
			return s
		}
	}
	return ""
}

// glanceKey is where driver_internal_info notes which image of Glance a deploy was accepted with.
const glanceKey = "glance_image"

// accepted is the image that the deploy was accepted with, and the image_type that was noted with it then.
func accepted(n *ferric.Node) (id, kind string) {
	note, _ := n.InternalInfo[glanceKey].(map[string]any)
	id, _ = note["id"].(string)
	kind, _ = note["image_type"].(string)
	return id, kind
}

// The image types.
const (
	wholeDisk = "whole-disk"
	partition = "partition"
)

// imageType finds out what an image is: what instance_info says wins, then the property img_type; an image with a kernel or ramdisk of its own is
// that of a partition.
func imageType(n *ferric.Node, img *GlanceImage) string {
	_, derived := accepted(n)
	said, _ := n.InstanceInfo["image_type"].(string)
	if said == derived { // by ourselves, of an earlier image perhaps
		said = ""
	}
	switch kind := cmp.Or(said, img.property("img_type")); {
	case kind == partition:
		return partition
	case kind == "" && (img.property("kernel_id") != "" || img.property("ramdisk_id") != ""):
		return partition
	}
	return wholeDisk
}

// ResolveImage implements driver.ImageResolver: an image in Glance is looked up, and what Ironic notes of it in instance_info is noted.
func (d *Direct) ResolveImage(ctx context.Context, m *driver.Machine, who driver.Asker) (func(*ferric.Node), error) {
	id, ok := ferric.GlanceImage(Request(m.Node).Source)
	if !ok {
		return forget, nil
	}
	if d.Glance == nil {
		return nil, withoutGlance(id)
	}
	img, err := d.Glance.Image(ctx, id, who)
	if err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "instance_info: image_source: %w", err)
	}
	kind := imageType(m.Node, img)
	if kind != wholeDisk {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "instance_info: image_source: image %s is that of a partition (its property img_type, or kernel_id and ramdisk_id, "+
			"say so), which is not supported; whole-disk images are", id)
	}
	ramdisk, err := d.imageRamdisk(ctx, id, img)
	if err != nil {
		return nil, err
	}
	return func(n *ferric.Node) {
		forget(n)
		if n.InstanceInfo == nil {
			n.InstanceInfo = map[string]any{}
		}
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		tags := []any{}
		for _, t := range img.Tags {
			tags = append(tags, t)
		}
		n.InternalInfo[glanceKey] = map[string]any{"id": id, "image_type": kind}
		for key, v := range ramdisk {
			n.InternalInfo[key] = v
		}
		for key, v := range map[string]any{"image_checksum": text(img.Checksum), "image_os_hash_algo": text(img.HashAlgo), "image_os_hash_value": text(img.HashValue),
			"image_disk_format": text(img.DiskFormat), "image_container_format": text(img.ContainerFormat), "image_tags": tags,
			"image_properties": img.Properties, "image_type": kind} {
			n.InstanceInfo[key] = v
		}
	}, nil
}

// text is JSON's form of a text that may be missing.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// forget drops what was noted of the image of an earlier deploy.
func forget(n *ferric.Node) {
	for _, key := range []string{glanceKey, driver.ImageDeployKernel, driver.ImageDeployRamdisk} {
		delete(n.InternalInfo, key)
	}
}

// imageRamdisk is the deploy ramdisk that the image names in its properties, none if it names none. What runs as the deploy ramdisk speaks to Ferric
// and stands in the provisioning network, so an image may name only what an operator has put into Glance.
func (d *Direct) imageRamdisk(ctx context.Context, id string, img *GlanceImage) (map[string]any, error) {
	kernel := img.property("deploy_kernel_id", "deploy_kernel", "baremetal:deploy_kernel_id")
	ramdisk := img.property("deploy_ramdisk_id", "deploy_ramdisk", "baremetal:deploy_ramdisk_id")
	if kernel == "" && ramdisk == "" {
		return nil, nil
	}
	out := map[string]any{}
	for _, part := range []struct{ what, key, ref string }{
		{"deploy_kernel_id", driver.ImageDeployKernel, kernel}, {"deploy_ramdisk_id", driver.ImageDeployRamdisk, ramdisk},
	} {
		named, ok := ferric.GlanceImage(part.ref)
		if !ok {
			return nil, ferric.Errorf(ferric.CodeInvalid, "image %s: its property %s must name an image in Glance by its UUID, and is %q", id, part.what, part.ref)
		}
		theirs, err := d.Glance.Operators(ctx, named)
		if err != nil {
			return nil, ferric.Errorf(ferric.ErrorCode(err), "image %s: its property %s: %w", id, part.what, err)
		}
		if !theirs {
			return nil, ferric.Errorf(ferric.CodeForbidden, "image %s: its property %s names image %s, which is neither public nor in the project of Ferric's own user: "+
				"what machines are deployed with is for operators to choose", id, part.what, named)
		}
		out[part.key] = named
	}
	return out, nil
}

// withoutGlance is the error for an image in Glance when nothing says where that is.
func withoutGlance(id string) error {
	return ferric.Errorf(ferric.CodeInvalid, "instance_info: image_source %q is an image in Glance, and Ferric has no cloud to ask: set the section [openstack] of the "+
		"configuration, or give the URL of an image (http://, https:// or file://)", id)
}
