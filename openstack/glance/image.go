package glance

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
	"ferric/openstack"
)

// Client asks the image service.
type Client struct {
	session *openstack.Session
}

// New makes a client. It asks nobody.
func New(s *openstack.Session) *Client { return &Client{session: s} }

// Image is what Glance knows of an image.
type Image struct {
	ID              string   `json:"id"`
	Name            string   `json:"name"`
	Status          string   `json:"status"` // queued, saving, active, killed, deleted, pending_delete, deactivated, uploading, importing
	Visibility      string   `json:"visibility"`
	Owner           string   `json:"owner"` // a project's id
	DiskFormat      string   `json:"disk_format"`
	ContainerFormat string   `json:"container_format"`
	Checksum        string   `json:"checksum"` // MD5
	HashAlgo        string   `json:"os_hash_algo"`
	HashValue       string   `json:"os_hash_value"`
	Size            int64    `json:"size"`
	Tags            []string `json:"tags"`
	// Properties are those that are not Glance's own: kernel_id, img_type, os_distro and what else its owner noted.
	Properties map[string]any `json:"-"`
}

// own are the fields that Glance itself gives every image; those beside them are its properties.
var own = []string{"id", "name", "status", "visibility", "owner", "disk_format", "container_format", "checksum", "os_hash_algo", "os_hash_value", "size",
	"virtual_size", "tags", "min_disk", "min_ram", "protected", "os_hidden", "created_at", "updated_at", "self", "file", "schema", "direct_url", "locations",
	"stores"}

// UnmarshalJSON reads Glance's flat document.
func (i *Image) UnmarshalJSON(b []byte) error {
	type plain Image
	if err := json.Unmarshal(b, (*plain)(i)); err != nil {
		return err
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for _, name := range own {
		delete(all, name)
	}
	i.Properties = all
	return nil
}

// Property returns a property that is a text, "" for none.
func (i *Image) Property(name string) string {
	s, _ := i.Properties[name].(string)
	return s
}

// Known asks for an image in any state.
func (c *Client) Known(ctx context.Context, id string) (*Image, error) {
	client, err := c.client(ctx)
	if err != nil {
		return nil, err
	}
	var img Image
	_, err = client.Get(ctx, client.ServiceURL("images", id), &img, nil)
	switch {
	case openstack.Is(err, openstack.NotFound):
		return nil, ferric.Errorf(ferric.CodeNotFound, "Image %s could not be found.", id)
	case openstack.Is(err, openstack.Forbidden):
		return nil, ferric.Errorf(ferric.CodeForbidden, "Not authorized for image %s: %w", id, err)
	case err != nil:
		return nil, err
	case img.ID != id:
		return nil, ferric.Errorf(ferric.CodeUnavailable, "Glance was asked for image %s and answered with %q; is its endpoint in the catalogue right?", id, img.ID)
	}
	return &img, nil
}

// Image asks for an image whose data can be had. CodeInvalid for one in another state: it says which.
func (c *Client) Image(ctx context.Context, id string) (*Image, error) {
	img, err := c.Known(ctx, id)
	if err == nil {
		err = img.Usable()
	}
	if err != nil {
		return nil, err
	}
	return img, nil
}

// Usable is CodeInvalid for an image that is in another state than active.
func (i *Image) Usable() error {
	if i.Status == "active" {
		return nil
	}
	return ferric.Errorf(ferric.CodeInvalid, "Image %s is unacceptable: The image is required to be in an active state; it is %s%s.", i.ID, i.Status, advice(i.Status))
}

// advice says what makes an image active.
func advice(status string) string {
	switch status {
	case "queued":
		return ": nobody has uploaded its data yet"
	case "saving", "uploading", "importing":
		return ": its data is being uploaded"
	case "deactivated":
		return ": an administrator has withdrawn it (openstack image set --activate undoes that)"
	case "killed":
		return ": the upload of its data failed; create it anew"
	case "deleted", "pending_delete":
		return ": it has been deleted"
	}
	return ""
}

// VisibleTo reports whether a project may use the image: it is public or the community's, the project's own, or shared with it and accepted
// or pending there. A project without id sees what everybody does.
func (c *Client) VisibleTo(ctx context.Context, img *Image, project string) (bool, error) {
	switch {
	case img.Visibility == "public", img.Visibility == "community":
		return true, nil
	case project == "":
		return false, nil
	case img.Owner == project:
		return true, nil
	case img.Visibility != "shared":
		return false, nil
	}
	client, err := c.client(ctx)
	if err != nil {
		return false, err
	}
	var answer struct {
		Members []struct {
			ID     string `json:"member_id"`
			Status string `json:"status"`
		} `json:"members"`
	}
	_, err = client.Get(ctx, client.ServiceURL("images", img.ID, "members"), &answer, nil)
	if openstack.Is(err, openstack.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, m := range answer.Members {
		if m.ID == project {
			return m.Status != "rejected", nil
		}
	}
	return false, nil
}

// OwnProject is the id of the project that Ferric's own user works in, "" if it works in none.
func (c *Client) OwnProject(ctx context.Context) (string, error) {
	who, err := c.session.Identity(ctx)
	return who.ProjectID, err
}

// Data says where an image's data is read, and with which client.
func (c *Client) Data(ctx context.Context, id string) (url string, client *http.Client, err error) {
	service, err := c.client(ctx)
	if err != nil {
		return "", nil, err
	}
	return service.ServiceURL("images", id, "file"), c.session.HTTPClient("image"), nil
}

func (c *Client) client(ctx context.Context) (*gophercloud.ServiceClient, error) {
	return c.session.Client(ctx, openstack.Service{Type: "image"})
}

// Find returns the images with a name and a container format, the oldest first.
func (c *Client) Find(ctx context.Context, name, container string) ([]*Image, error) {
	client, err := c.client(ctx)
	if err != nil {
		return nil, err
	}
	query := "?" + values("name", name, "container_format", container, "sort", "created_at:asc", "limit", "1000")
	var answer struct {
		Images []*Image `json:"images"`
	}
	if _, err := client.Get(ctx, client.ServiceURL("images")+query, &answer, nil); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.Images, func(i *Image) bool { return i.Name != name }), nil
}
