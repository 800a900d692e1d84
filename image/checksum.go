package image

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"net/url"
	"path"
	"strings"

	"ferric"
)

// Checksum is what the content of an image must hash to. The zero value means that nothing is expected.
type Checksum struct {
	Algorithm string // "md5", "sha256", "sha384", "sha512"
	Value     string // lower-case hexadecimal
}

// IsZero reports whether nothing is expected.
func (c Checksum) IsZero() bool { return c == Checksum{} }

func (c Checksum) String() string {
	if c.IsZero() {
		return ""
	}
	return c.Algorithm + ":" + c.Value
}

// algorithms by name, with the length of their value in hexadecimal digits.
var algorithms = map[string]struct {
	digits int
	make   func() hash.Hash
}{
	"md5":    {2 * md5.Size, md5.New},
	"sha256": {2 * sha256.Size, sha256.New},
	"sha384": {2 * sha512.Size384, sha512.New384},
	"sha512": {2 * sha512.Size, sha512.New},
}

// MakeChecksum checks an algorithm and a value. An empty algorithm is found by the length of the value (md5,
// sha256, sha512). MD5 needs allowMD5, since it can be forged.
func MakeChecksum(algorithm, value string, allowMD5 bool) (Checksum, error) {
	algorithm, value = strings.ToLower(strings.TrimSpace(algorithm)), strings.ToLower(strings.TrimSpace(value))
	if algorithm == "" {
		switch len(value) {
		case 32:
			algorithm = "md5"
		case 64:
			algorithm = "sha256"
		case 128:
			algorithm = "sha512"
		default:
			return Checksum{}, ferric.Errorf(ferric.CodeInvalid, "image checksum: %d characters fit no algorithm; give the algorithm, or 64 (sha256) or 128 (sha512) hexadecimal digits", len(value))
		}
	}
	a, known := algorithms[algorithm]
	if !known {
		return Checksum{}, ferric.Errorf(ferric.CodeInvalid, "image checksum: the algorithm %.40q is not known; use sha256 or sha512", algorithm)
	}
	if _, err := hex.DecodeString(value); err != nil || len(value) != a.digits {
		return Checksum{}, ferric.Errorf(ferric.CodeInvalid, "image checksum: a value of %s has %d hexadecimal digits, this one is %.140q", algorithm, a.digits, value)
	}
	if algorithm == "md5" && !allowMD5 {
		return Checksum{}, ferric.Errorf(ferric.CodeInvalid, "image checksum: MD5 is not allowed; use sha256 or sha512, or allow MD5 in the configuration")
	}
	return Checksum{algorithm, value}, nil
}

// newHash makes the hash of the checksum, of SHA-256 if nothing is expected.
func (c Checksum) newHash() (string, hash.Hash, error) {
	if c.IsZero() {
		return "sha256", sha256.New(), nil
	}
	a, known := algorithms[c.Algorithm]
	if !known {
		return "", nil, ferric.Errorf(ferric.CodeInvalid, "image checksum: the algorithm %.40q is not known; use sha256 or sha512", c.Algorithm)
	}
	return c.Algorithm, a.make(), nil
}

// verify compares the expectation with what was computed.
func (c Checksum) verify(what, got string) error {
	if c.IsZero() || strings.EqualFold(c.Value, got) {
		return nil
	}
	return ferric.Errorf(ferric.CodeCorrupt, "checksum mismatch of %s: expected %s %s, got %s", what, c.Algorithm, c.Value, got)
}

// ChecksumRequest holds the fields of a node's instance_info that speak of the image's checksum.
type ChecksumRequest struct {
	ImageURL string // image_source
	Checksum string // image_checksum: a value, "algorithm:value", or the URL of a checksum file
	// HashAlgo and HashValue are image_os_hash_algo and image_os_hash_value; they win over Checksum.
	HashAlgo, HashValue string

	AllowMD5   bool
	RefuseURLs bool // checksum files are not fetched
}

// ResolveChecksum finds the expected checksum by Ironic's rules: image_os_hash_value with its algorithm wins;
// else image_checksum, whose algorithm is told by its length; a URL in either is fetched and searched for the
// image's file name. If neither is set, the result is zero; whether that is acceptable the caller decides.
func ResolveChecksum(ctx context.Context, request ChecksumRequest, options Options) (Checksum, error) {
	field, algorithm, value := "image_os_hash_value", request.HashAlgo, strings.TrimSpace(request.HashValue)
	if value == "" {
		field, algorithm, value = "image_checksum", "", strings.TrimSpace(request.Checksum)
	}
	if value == "" {
		return Checksum{}, nil
	}
	if strings.HasPrefix(value, "http://") || strings.HasPrefix(value, "https://") {
		if request.RefuseURLs {
			return Checksum{}, ferric.Errorf(ferric.CodeInvalid, "%s: checksum files are switched off in the configuration; give the checksum itself", field)
		}
		found, err := fetchChecksum(ctx, value, request.ImageURL, options)
		if err != nil {
			return Checksum{}, ferric.Errorf(ferric.ErrorCode(err), "%s: %w", field, err)
		}
		value = found
	} else if name, rest, ok := strings.Cut(value, ":"); ok {
		algorithm, value = name, rest
	}
	checksum, err := MakeChecksum(algorithm, value, request.AllowMD5)
	if err != nil {
		return Checksum{}, ferric.Errorf(ferric.ErrorCode(err), "%s: %w", field, err)
	}
	return checksum, nil
}

// maxChecksumFile bounds a checksum file in bytes.
const maxChecksumFile = 1 << 20

func fetchChecksum(ctx context.Context, checksumURL, imageURL string, options Options) (string, error) {
	options.FileRoots = nil
	b, err := Fetch(ctx, checksumURL, maxChecksumFile, options)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(imageURL)
	if err != nil {
		return "", ferric.Errorf(ferric.CodeInvalid, "the image's URL cannot be parsed")
	}
	return findChecksum(string(b), path.Base(u.Path), DisplayURL(checksumURL))
}

// Fetch reads a whole small file, and fails with CodeCorrupt if it has more than limit bytes.
func Fetch(ctx context.Context, rawURL string, limit int64, options Options) ([]byte, error) {
	source, err := Open(ctx, rawURL, options)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	tooLong := ferric.Errorf(ferric.CodeCorrupt, "%s is longer than %d bytes", source.Info().URL, limit)
	if source.Info().Size > limit {
		return nil, tooLong
	}
	reader, err := source.Reader(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	b, err := io.ReadAll(io.LimitReader(reader, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, tooLong
	}
	return b, nil
}

// findChecksum searches a checksum file for the name. Known are the lines of the sha256sum family ("value
// name", "value *name"), BSD's ("SHA256 (name) = value"), and a file that holds one value and nothing else.
func findChecksum(text, name, shown string) (string, error) {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "", ferric.Errorf(ferric.CodeCorrupt, "the checksum file %s is empty", shown)
	}
	if len(lines) == 1 && isDigest(lines[0]) {
		return lines[0], nil
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if open, end := strings.Index(line, "("), strings.LastIndex(line, ")"); open >= 0 && end > open && line[open+1:end] == name {
			if fields := strings.Fields(line[end+1:]); len(fields) == 2 && fields[0] == "=" && isDigest(fields[1]) {
				return fields[1], nil
			}
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 || !isDigest(line[:end]) {
			continue
		}
		if file := strings.TrimPrefix(strings.TrimSpace(line[end:]), "*"); strings.TrimPrefix(file, "./") == name {
			return line[:end], nil
		}
	}
	return "", ferric.Errorf(ferric.CodeCorrupt, "the checksum file %s has no line for the name %.200q", shown, name)
}

// isDigest reports whether s looks like an MD5, SHA-256 or SHA-512 value.
func isDigest(s string) bool {
	if len(s) != 32 && len(s) != 64 && len(s) != 128 {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}
