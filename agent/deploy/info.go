package deploy

import (
	"context"
	"encoding/base64"
	"strings"

	"ferric"
	"ferric/agent/command"
	"ferric/agentapi"
	"ferric/image"
)

// Check refuses image information that cannot work, before anything is done.
func Check(info agentapi.ImageInfo) error {
	bad := func(format string, args ...any) error {
		return command.Failf(agentapi.TypeInvalidCommandParams, format, args...)
	}
	switch {
	case info.ID == "":
		return bad("Image is missing 'id' field.")
	case len(info.URLs) == 0:
		return bad("Image 'urls' must be a list with at least one element.")
	case info.ImageType == "partition":
		return bad("partition images are not supported by Ferric's agent; use a whole-disk image")
	case (info.OSHashAlgo == "") != (info.OSHashValue == ""):
		return bad("Image 'os_hash_algo' and 'os_hash_value' must be given together.")
	case info.Checksum == "" && info.OSHashValue == "":
		return bad("Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and 'os_hash_value' fields pair must be set for image verification.")
	case info.ServerAuthStrategy == "http_basic" && (info.ServerUser == "" || info.ServerPassword == ""):
		return bad("the image server wants http_basic; image_server_user and image_server_password must be set")
	case info.ServerAuthStrategy != "" && info.ServerAuthStrategy != "http_basic" && info.ServerAuthStrategy != "noauth":
		return bad("image_server_auth_strategy %q is not known; use http_basic or noauth", info.ServerAuthStrategy)
	}
	for _, u := range info.URLs {
		if !strings.HasPrefix(u, "http://") && !strings.HasPrefix(u, "https://") {
			return bad("the image URL %s is not http:// or https://", image.DisplayURL(u))
		}
	}
	return nil
}

// Settings come from the conductor's lookup answer and the kernel's parameters.
type Settings struct {
	AllowMD5  bool
	Insecure  bool     // do not verify image servers
	Permitted []string // permitted_image_formats; nil means the package's default
	// Inspect false is Ironic's disable_deep_image_inspection. Ferric's agent inspects all the same: it has to know
	// the format to write it.
	CAs []byte
}

// options translates image information for package image.
func (s Settings) options(info agentapi.ImageInfo) (image.Options, error) {
	o := image.Options{Insecure: s.Insecure, CAs: s.CAs, Proxies: info.Proxies, NoProxy: info.NoProxy}
	if info.RequestAuthorization != "" {
		raw, err := base64.StdEncoding.DecodeString(info.RequestAuthorization)
		if err != nil {
			return o, command.Failf(agentapi.TypeInvalidCommandParams, "image_request_authorization is not base64")
		}
		o.Authorization = string(raw)
	}
	if info.ServerAuthStrategy == "http_basic" {
		o.User, o.Password = info.ServerUser, info.ServerPassword
	}
	return o, nil
}

func (s Settings) permitted() []image.Format {
	var out []image.Format
	for _, f := range s.Permitted {
		out = append(out, image.Format(f))
	}
	return out
}

func (s Settings) checksum(ctx context.Context, info agentapi.ImageInfo, url string, o image.Options) (image.Checksum, error) {
	return image.ResolveChecksum(ctx, image.ChecksumRequest{
		ImageURL: url, Checksum: info.Checksum, HashAlgo: info.OSHashAlgo, HashValue: info.OSHashValue, AllowMD5: s.AllowMD5,
	}, o)
}

// failure gives an error of package image the protocol's type.
func failure(err error) error {
	typ := agentapi.TypeImageWrite
	switch ferric.ErrorCode(err) {
	case ferric.CodeCorrupt:
		typ = agentapi.TypeInvalidImage
		if strings.Contains(err.Error(), "checksum mismatch") {
			typ = agentapi.TypeImageChecksum
		}
	case ferric.CodeInvalid:
		typ = agentapi.TypeInvalidCommandParams
	case ferric.CodeNoSpace:
		typ = agentapi.TypeDownloadNoSpace
	case ferric.CodeNotFound, ferric.CodeForbidden, ferric.CodeUnauthorized, ferric.CodeTimeout, ferric.CodeUnavailable:
		typ = agentapi.TypeImageDownload
	}
	return command.Failf(typ, "%w", err)
}
