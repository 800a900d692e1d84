package configdrive

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"ferric"
	"ferric/image"
)

// FromRequest turns what a user gave as a config drive into the form in which it travels: a JSON object is built (Build), a JSON string is a URL to
// fetch from or base64 of an image. CodeInvalid says what is wrong with it.
func FromRequest(ctx context.Context, n *ferric.Node, raw []byte, o image.Options) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	var text string
	if json.Unmarshal(raw, &text) != nil {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		var c Content
		if err := d.Decode(&c); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "it must be a string, or an object of meta_data, network_data, user_data and vendor_data: %w", err)
		}
		iso, err := Build(n, c)
		if err != nil {
			return nil, err
		}
		return Encode(iso)
	}
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return fetch(ctx, text, o)
	}
	iso, err := Decode([]byte(text))
	if err != nil {
		return nil, err
	}
	return Encode(iso)
}

// fetch gets a config drive from a URL: an image, gzipped or not, or base64 of one.
func fetch(ctx context.Context, url string, o image.Options) ([]byte, error) {
	o.FileRoots = nil
	b, err := image.Fetch(ctx, url, MaxSize*4/3+4, o)
	if err != nil {
		return nil, err
	}
	iso, err := unpack(b)
	if err != nil {
		var inner error
		if iso, inner = Decode(b); inner != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s: %w", image.DisplayURL(url), err)
		}
	}
	return Encode(iso)
}
