package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"time"

	"ferric"
	"ferric/driver"
	agentdriver "ferric/driver/agent"
	"ferric/image"
	"ferric/openstack/glance"
)

// glanceImages lets the deploy interface and the image cache use Glance.
type glanceImages struct {
	client *glance.Client
	md5    bool // whether MD5 may be the checksum
}

// catalogue returns what the deploy interface asks about images in Glance, nil without OpenStack.
func (i *images) catalogue() agentdriver.Glance {
	if i == nil || i.glance == nil {
		return nil
	}
	return i.glance
}

// How long a step asks a Glance that does not answer before it waits, which occupies nobody, and how long it waits.
const (
	glancePatience = 20 * time.Second
	glanceAway     = time.Hour
)

// whileAway makes a wait of the failure to fetch an image from Glance that another attempt may cure: what has arrived of it is used then. Failures of our own
// disk stay what they are.
func whileAway(source string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	if !ferric.IsGlanceURL(source) || errors.As(err, &path) || errors.As(err, &link) ||
		!ferric.IsCode(err, ferric.CodeUnavailable) && !ferric.IsCode(err, ferric.CodeTimeout) {
		return err
	}
	return &driver.Pending{What: "Glance to hand an image out", Timeout: glanceAway, Err: err}
}

// Image implements agentdriver.Glance.
func (g *glanceImages) Image(ctx context.Context, id string, who driver.Asker) (*agentdriver.GlanceImage, error) {
	img, err := g.client.Known(ctx, id)
	if err != nil {
		return nil, err
	}
	if !who.Any {
		visible, err := g.client.VisibleTo(ctx, img, who.Project)
		if err != nil {
			return nil, err
		}
		if !visible { // not even that it is there is theirs to know
			return nil, ferric.Errorf(ferric.CodeNotFound, "Image %s could not be found.", id)
		}
	}
	if err := img.Usable(); err != nil {
		return nil, err
	}
	if _, err := g.checksum(img); err != nil {
		return nil, err
	}
	return &agentdriver.GlanceImage{DiskFormat: img.DiskFormat, ContainerFormat: img.ContainerFormat, Checksum: img.Checksum, HashAlgo: img.HashAlgo,
		HashValue: img.HashValue, Tags: img.Tags, Properties: img.Properties}, nil
}

// Operators implements agentdriver.Glance.
func (g *glanceImages) Operators(ctx context.Context, id string) (bool, error) {
	img, err := g.client.Image(ctx, id)
	if err != nil {
		return false, err
	}
	own, err := g.client.OwnProject(ctx)
	if err != nil {
		return false, err
	}
	return img.Visibility == "public" || own != "" && img.Owner == own, nil
}

// Locate implements image.Remote.
func (g *glanceImages) Locate(ctx context.Context, u *url.URL) (image.Location, error) {
	id, ok := ferric.GlanceImage(u.String())
	if !ok {
		return image.Location{}, ferric.Errorf(ferric.CodeInvalid, "%s is not glance:// with the UUID of an image", u.Redacted())
	}
	img, err := g.client.Image(ctx, id)
	if err != nil {
		return image.Location{}, err
	}
	sum, err := g.checksum(img)
	if err != nil {
		return image.Location{}, err
	}
	at := image.Location{Size: img.Size, Checksum: sum}
	at.URL, at.Client, err = g.client.Data(ctx, id)
	return at, err
}

// checksum is what the image's data must hash to.
func (g *glanceImages) checksum(img *glance.Image) (image.Checksum, error) {
	algorithm, value := img.HashAlgo, img.HashValue
	if value == "" {
		algorithm, value = "md5", img.Checksum
	}
	if value == "" {
		return image.Checksum{}, ferric.Errorf(ferric.CodeInvalid, "Glance knows no checksum of image %s, and an image from the network must be verified: "+
			"upload its data to Glance, instead of a location", img.ID)
	}
	sum, err := image.MakeChecksum(algorithm, value, g.md5)
	if err != nil {
		return sum, ferric.Errorf(ferric.ErrorCode(err), "image %s in Glance: %w", img.ID, err)
	}
	return sum, nil
}
