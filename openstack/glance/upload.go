package glance

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/openstack"
)

func values(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// Upload is a file that is to be in Glance.
type Upload struct {
	Name   string
	Format string // Glance's name of disk and container format: aki for a kernel, ari for a ramdisk
	Path   string
	Public bool // every project may see it; needs an administrator's role in Glance. Otherwise it is private
}

// Put sees to it that the file is in Glance, and says which image it is. An image of that name, format and visibility with the same content is taken as it
// is (made is false); otherwise a new one is made, older ones stay. A failed upload leaves no image behind, as far as Glance can be
// reached; one that was cut off by the end of the process leaves one in the state queued, which is removed by the next Put.
func (c *Client) Put(ctx context.Context, u Upload) (img *Image, made bool, err error) {
	file, err := os.Open(u.Path)
	if err != nil {
		return nil, false, ferric.Errorf(ferric.CodeNotFound, "%w", err)
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, false, ferric.Errorf(ferric.CodeInvalid, "%w", err)
	}
	if !stat.Mode().IsRegular() || stat.Size() == 0 {
		return nil, false, ferric.Errorf(ferric.CodeInvalid, "%s is not a file with something in it", u.Path)
	}
	visibility := "private"
	if u.Public {
		visibility = "public"
	}
	sums, err := sumsOf(file)
	if err != nil {
		return nil, false, ferric.Errorf(ferric.CodeInvalid, "read %s: %w", u.Path, err)
	}
	have, err := c.Find(ctx, u.Name, u.Format)
	if err != nil {
		return nil, false, err
	}
	for _, img := range have {
		if img.Status == "active" && img.Visibility == visibility && img.Size == stat.Size() && sums.match(img) {
			return img, false, nil
		}
	}
	for _, img := range have {
		if img.Status == "queued" && img.Property(marker) == sums.sha256 && img.Visibility == visibility { // of an upload that was killed
			if err := c.remove(ctx, img.ID); err != nil {
				return nil, false, err
			}
		}
	}
	client, err := c.client(ctx)
	if err != nil {
		return nil, false, err
	}
	body := map[string]any{"name": u.Name, "disk_format": u.Format, "container_format": u.Format, "visibility": visibility, marker: sums.sha256}
	img = &Image{}
	if _, err := client.Post(ctx, client.ServiceURL("images"), body, img, &gophercloud.RequestOpts{OkCodes: []int{http.StatusCreated}}); err != nil {
		if u.Public && openstack.Is(err, openstack.Forbidden) {
			return nil, false, ferric.Errorf(ferric.CodeForbidden, "%w. A public image needs an administrator's role in Glance (its rule publicize_image)", err)
		}
		return nil, false, err
	}
	if img, err = c.fill(ctx, client, img.ID, file, stat.Size(), sums); err != nil {
		return nil, false, err
	}
	return img, true, nil
}

// marker is the property that holds the SHA-256 of the file, by which an upload is recognised.
const marker = "ferric_sha256"

// fill sends the data, and takes the image away again if that does not work out.
func (c *Client) fill(ctx context.Context, client *gophercloud.ServiceClient, id string, file *os.File, size int64, sums *sums) (*Image, error) {
	err := func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, client.ServiceURL("images", id, "file"), nil)
		if err != nil {
			return ferric.Errorf(ferric.CodeInternal, "upload: %w", err)
		}
		// The body can be sent again from the beginning when the connection breaks.
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(file, 0, size)), nil }
		request.Body, _ = request.GetBody()
		request.ContentLength = size
		request.Header.Set("Content-Type", "application/octet-stream")
		response, err := c.session.HTTPClient("image").Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		// 409: an earlier attempt had arrived, only its answer had not. What Glance has is compared below.
		if response.StatusCode != http.StatusNoContent && response.StatusCode != http.StatusConflict {
			said, _ := io.ReadAll(io.LimitReader(response.Body, 500))
			return ferric.Errorf(ferric.CodeUnavailable, "Glance answered %s to the data of image %s: %s", response.Status, id, strings.Join(strings.Fields(string(said)), " "))
		}
		return nil
	}()
	var img *Image
	if err == nil {
		img, err = c.Image(ctx, id)
	}
	if err == nil && (img.Size != size || !sums.match(img)) {
		err = ferric.Errorf(ferric.CodeCorrupt, "image %s did not arrive as it was sent: Glance has %d bytes with %s %s", id, img.Size, img.HashAlgo, img.HashValue)
	}
	if err == nil {
		return img, nil
	}
	if gone := c.remove(context.WithoutCancel(ctx), id); gone != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "%w (image %s is left behind in Glance: %s)", err, id, gone.Error())
	}
	return nil, err
}

func (c *Client) remove(ctx context.Context, id string) error {
	client, err := c.client(ctx)
	if err != nil {
		return err
	}
	_, err = client.Delete(ctx, client.ServiceURL("images", id), nil)
	if openstack.Is(err, openstack.NotFound) {
		return nil
	}
	return err
}

// sums are a file's checksums, by all algorithms that Glance may have chosen.
type sums struct{ md5, sha256, sha512 string }

func sumsOf(file io.Reader) (*sums, error) {
	all := []hash.Hash{md5.New(), sha256.New(), sha512.New()}
	if _, err := io.Copy(io.MultiWriter(all[0], all[1], all[2]), file); err != nil {
		return nil, err
	}
	text := func(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
	return &sums{text(all[0]), text(all[1]), text(all[2])}, nil
}

// match reports whether the image's data is the file's.
func (s *sums) match(img *Image) bool {
	switch img.HashAlgo {
	case "sha512":
		return strings.EqualFold(img.HashValue, s.sha512)
	case "sha256":
		return strings.EqualFold(img.HashValue, s.sha256)
	}
	return img.Checksum != "" && strings.EqualFold(img.Checksum, s.md5)
}
