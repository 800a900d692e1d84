package driver

import (
	"context"

	"ferric"
)

// Asker is in whose name an image is fetched.
type Asker struct {
	Project string // its id, "" for none
	Any     bool   // an administrator, or a service that has asked for its user already: every image
}

// ImageResolver is an optional part of Deploy, of those whose images may be in an image service. It is asked when a deploy is requested and when
// a node is validated, before the machine is touched, and may use the network until the context ends.
type ImageResolver interface {
	// ResolveImage looks the node's image up and returns what of it is to be noted in the node when the deploy begins; nil is nothing.
	// CodeInvalid and CodeNotFound for an image that cannot be used, or not by this asker; CodeUnavailable while the service is away.
	ResolveImage(ctx context.Context, m *Machine, who Asker) (func(*ferric.Node), error)
}

// Keys of a node's driver_internal_info: the ramdisk that the node's image asks to be deployed with.
const (
	ImageDeployKernel  = "image_deploy_kernel"
	ImageDeployRamdisk = "image_deploy_ramdisk"
)
