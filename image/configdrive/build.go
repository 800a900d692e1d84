// Package configdrive makes and reads config drives: the small ISO 9660 image, labelled config-2, from which cloud-init and its kin learn host
// name, keys and network. Layout: OpenStack's, openstack/latest and openstack/2012-08-10.
//
// # Concurrency
//
// Functions only; Build makes its files in a directory of its own.
package configdrive

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ferric"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// Label is the volume label that readers look for.
const Label = "config-2"

// MaxSize is the largest config drive that is taken, in bytes: what the partition on the machine has room for.
const MaxSize = 64 << 20

// Content is a config drive in the form of the API. All fields are optional.
type Content struct {
	MetaData    map[string]any `json:"meta_data"`
	NetworkData map[string]any `json:"network_data"`
	VendorData  map[string]any `json:"vendor_data"`
	// UserData is text, or JSON that is written as it is.
	UserData json.RawMessage `json:"user_data"`
}

// Build makes the ISO 9660 image (Rock Ridge and Joliet) of the content. Missing uuid and name in the metadata are the node's.
func Build(n *ferric.Node, c Content) ([]byte, error) {
	meta := maps.Clone(c.MetaData)
	if meta == nil {
		meta = map[string]any{}
	}
	if _, ok := meta["uuid"]; !ok {
		meta["uuid"] = n.UUID
	}
	if _, ok := meta["name"]; !ok && n.Name != "" {
		meta["name"] = n.Name
	}
	files := map[string][]byte{}
	for name, v := range map[string]map[string]any{"meta_data.json": meta, "network_data.json": c.NetworkData, "vendor_data.json": c.VendorData} {
		if v == nil {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "%s: %w", strings.TrimSuffix(name, ".json"), err)
		}
		files[name] = b
	}
	if len(c.UserData) > 0 && string(c.UserData) != "null" {
		files["user_data"] = userData(c.UserData)
	}
	all := map[string][]byte{}
	for _, version := range []string{"2012-08-10", "latest"} {
		for name, b := range files {
			all["openstack/"+version+"/"+name] = b
		}
	}
	return makeISO(all)
}

// userData is the text of a JSON string, or the JSON itself.
func userData(raw json.RawMessage) []byte {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []byte(text)
	}
	return raw
}

// makeISO writes files, by slash-separated path, into an image.
func makeISO(files map[string][]byte) ([]byte, error) {
	dir, err := os.MkdirTemp("", "ferric-configdrive-")
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "make config drive: %w", err)
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "tree")
	total := 1 << 20
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(tree, filepath.FromSlash(name)), files[name]); err != nil {
			return nil, err
		}
		total += len(files[name]) + 8192
	}
	if total > MaxSize {
		return nil, ferric.Errorf(ferric.CodeInvalid, "the config drive has about %d MiB; at most %d MiB fit", total>>20, MaxSize>>20)
	}
	path := filepath.Join(dir, "image.iso")
	image, err := os.Create(path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "make config drive: %w", err)
	}
	defer image.Close()
	fs, err := iso9660.Create(file.New(image, false), 0, 0, 2048, tree)
	if err == nil {
		err = fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: Label})
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "make config drive: %w", err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "make config drive: %w", err)
	}
	return b, nil
}

func writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "make config drive: %w", err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "make config drive: %w", err)
	}
	return nil
}

// Encode puts an image into the form in which it travels: base64 of gzip.
func Encode(image []byte) ([]byte, error) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(image)
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "compress config drive: %w", err)
	}
	return base64.StdEncoding.AppendEncode(nil, zipped.Bytes()), nil
}

// Decode reads base64 of an image, gzipped or not, and checks that it is one. CodeInvalid says what is wrong.
func Decode(text []byte) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "it is neither a URL nor base64: %w", err)
	}
	return unpack(raw)
}

// unpack takes an image, gzipped or not.
func unpack(raw []byte) ([]byte, error) {
	if len(raw) > 2 && raw[0] == 0x1f && raw[1] == 0x8b {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err == nil {
			raw, err = io.ReadAll(io.LimitReader(z, MaxSize+1))
		}
		if err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "its gzip data are damaged: %w", err)
		}
	}
	if len(raw) > MaxSize {
		return nil, ferric.Errorf(ferric.CodeInvalid, "it is larger than %d MiB", MaxSize>>20)
	}
	if !isISO(raw) && !isFAT(raw) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "it is neither an ISO 9660 nor a VFAT image")
	}
	return raw, nil
}

// isISO looks for the primary volume descriptor (ECMA-119, 8.4).
func isISO(b []byte) bool { return len(b) >= 17*2048 && string(b[16*2048+1:16*2048+6]) == "CD001" }

// isFAT looks for the boot sector's signature and a FAT type string.
func isFAT(b []byte) bool {
	return len(b) >= 512 && b[510] == 0x55 && b[511] == 0xaa && (bytes.HasPrefix(b[54:], []byte("FAT")) || bytes.HasPrefix(b[82:], []byte("FAT32")))
}
