package configdrive

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"ferric"
	"ferric/image"
)

// maxWire bounds the encoded form: base64 of data that does not compress, with line ends.
const maxWire = MaxSize/3*4 + 4<<20

// Encode returns the wire form of the image: gzip in base64.
func Encode(drive []byte) (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(drive)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInternal, "compress a config drive: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// Decode returns the image in a wire form: base64, line ends allowed, of the image or of its gzip. What is damaged, empty or too large fails
// with CodeCorrupt. An image in gzip, which agents write as it is, may be any file system; one that is not packed must be one that Check knows,
// because otherwise nothing tells it from a mistake.
func Decode(value string) ([]byte, error) {
	if len(value) > maxWire {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "configdrive: %d characters are too many, the limit is %d", len(value), maxWire)
	}
	text := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, value)
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "configdrive: it is not valid base64: %w", err)
	}
	return unpack(b)
}

// unpack decompresses if need be and checks.
func unpack(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		return b, Check(b)
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(r, MaxSize+1))
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "configdrive: its gzip data is damaged: %w", err)
	}
	if len(b) == 0 {
		return nil, ferric.Errorf(ferric.CodeCorrupt, "configdrive: it is empty")
	}
	return b, whole(b)
}

// Resolve returns the image of a node's configdrive value: the wire form, or the URL of the wire form or of the
// image itself.
func Resolve(ctx context.Context, value string, options image.Options) ([]byte, error) {
	if !IsURL(value) {
		return Decode(value)
	}
	options.FileRoots = nil
	b, err := image.Fetch(ctx, value, maxWire, options)
	if err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "fetch the config drive: %w", err)
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) || Check(b) == nil {
		b, err = unpack(b)
	} else {
		b, err = Decode(string(b))
	}
	if err != nil {
		return nil, ferric.Errorf(ferric.ErrorCode(err), "%s: %w", image.DisplayURL(value), err)
	}
	return b, nil
}

// Check refuses, with CodeCorrupt, what is neither an ISO 9660 nor a FAT file system, or is cut off or too large.
func Check(b []byte) error {
	if _, known := size(b); !known && len(b) <= MaxSize {
		return ferric.Errorf(ferric.CodeCorrupt, "configdrive: it is neither gzip nor an ISO 9660 or FAT file system")
	}
	return whole(b)
}

// size is what the file system says of its size, if it is one of those that are known.
func size(b []byte) (n int64, known bool) {
	n, err := isoSize(b)
	if err != nil {
		n, err = fatSize(b)
	}
	return n, err == nil
}

// whole refuses what is too large, or a file system that is cut off.
func whole(b []byte) error {
	if len(b) > MaxSize {
		return ferric.Errorf(ferric.CodeCorrupt, "configdrive: it is larger than %d MiB", MaxSize>>20)
	}
	if need, known := size(b); known && need > int64(len(b)) {
		return ferric.Errorf(ferric.CodeCorrupt, "configdrive: the file system has %d bytes, but only %d are there", need, len(b))
	}
	return nil
}

var errOther = errors.New("another file system")

// isoSize reads the size from the primary volume descriptor (ECMA-119, 8.4).
func isoSize(b []byte) (int64, error) {
	const at = 16 * sectorSize
	if len(b) < at+sectorSize || string(b[at:at+7]) != "\x01CD001\x01" {
		return 0, errOther
	}
	block := int64(binary.LittleEndian.Uint16(b[at+128:]))
	return int64(binary.LittleEndian.Uint32(b[at+80:])) * block, nil
}

// fatSize reads the size from the boot sector.
func fatSize(b []byte) (int64, error) {
	if len(b) < 512 || b[510] != 0x55 || b[511] != 0xaa || (b[0] != 0xeb && b[0] != 0xe9) {
		return 0, errOther
	}
	if string(b[54:57]) != "FAT" && string(b[82:87]) != "FAT32" {
		return 0, errOther
	}
	sector := int64(binary.LittleEndian.Uint16(b[11:]))
	count := int64(binary.LittleEndian.Uint16(b[19:]))
	if count == 0 {
		count = int64(binary.LittleEndian.Uint32(b[32:]))
	}
	return sector * count, nil
}
