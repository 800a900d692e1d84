package image_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ferric"
	"ferric/image"
)

func TestResolveChecksum(t *testing.T) {
	var (
		md5    = strings.Repeat("0123456789abcdef", 2)
		sha256 = strings.Repeat("0123456789ABCDEF", 4)
		sha512 = strings.Repeat("fedcba9876543210", 8)
		other  = strings.Repeat("a", 64)
	)
	files := map[string]string{
		"/sums":   "# comment disk.img\n" + other + "  other.img\n" + sha256 + "  disk.img\n",
		"/binary": other + " *xdisk.img\n" + sha512 + " *disk.img\r\n",
		"/dotted": other + "  ./sub/disk.img\n" + sha256 + "\t./disk.img\n",
		"/bsd":    "SHA256 (disk.img.sig) = " + other + "\nSHA256 (disk.img) = " + sha256 + "\n",
		"/only":   "\n" + sha512 + "\n",
		"/signed": "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + sha256 + "  disk.img\n-----BEGIN PGP SIGNATURE-----\n",
		"/md5":    md5 + "  disk.img\n",
		"/none":   other + "  other.img\n",
		"/empty":  " \n\n",
		"/words":  "hello disk.img\n",
		"/name":   "disk.img\n",
		"/big":    strings.Repeat("x", 2<<20),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, text)
	}))
	defer server.Close()
	type request = image.ChecksumRequest
	tests := map[string]struct {
		request request
		want    string
		code    ferric.Code // instead
		text    string
	}{
		"nothing":              {request{}, "", "", ""},
		"sha256":               {request{Checksum: sha256}, "sha256:" + strings.ToLower(sha256), "", ""},
		"sha512":               {request{Checksum: sha512}, "sha512:" + sha512, "", ""},
		"prefixed":             {request{Checksum: "sha256:" + other}, "sha256:" + other, "", ""},
		"prefix, no value":     {request{Checksum: "sha256:"}, "", ferric.CodeInvalid, "64 hexadecimal digits"},
		"md5 refused":          {request{Checksum: md5}, "", ferric.CodeInvalid, "MD5 is not allowed"},
		"md5 allowed":          {request{Checksum: md5, AllowMD5: true}, "md5:" + md5, "", ""},
		"hash value wins":      {request{Checksum: other, HashAlgo: "SHA512", HashValue: sha512}, "sha512:" + sha512, "", ""},
		"hash without algo":    {request{HashValue: other}, "sha256:" + other, "", ""},
		"algo without hash":    {request{HashAlgo: "sha512", Checksum: other}, "sha256:" + other, "", ""},
		"algo mismatch":        {request{HashAlgo: "sha512", HashValue: other}, "", ferric.CodeInvalid, "image_os_hash_value"},
		"hash md5 refused":     {request{HashAlgo: "md5", HashValue: md5}, "", ferric.CodeInvalid, "MD5 is not allowed"},
		"unknown algorithm":    {request{HashAlgo: "crc32", HashValue: "12345678"}, "", ferric.CodeInvalid, "crc32"},
		"odd length":           {request{Checksum: "abc"}, "", ferric.CodeInvalid, "image_checksum"},
		"not hexadecimal":      {request{Checksum: strings.Repeat("z", 64)}, "", ferric.CodeInvalid, "hexadecimal"},
		"file":                 {request{Checksum: server.URL + "/sums"}, "sha256:" + strings.ToLower(sha256), "", ""},
		"file, binary mark":    {request{Checksum: server.URL + "/binary"}, "sha512:" + sha512, "", ""},
		"file, dotted":         {request{Checksum: server.URL + "/dotted"}, "sha256:" + strings.ToLower(sha256), "", ""},
		"file, BSD":            {request{Checksum: server.URL + "/bsd"}, "sha256:" + strings.ToLower(sha256), "", ""},
		"file, one value":      {request{Checksum: server.URL + "/only"}, "sha512:" + sha512, "", ""},
		"file, signed":         {request{Checksum: server.URL + "/signed"}, "sha256:" + strings.ToLower(sha256), "", ""},
		"file, md5":            {request{Checksum: server.URL + "/md5"}, "", ferric.CodeInvalid, "MD5"},
		"file by hash value":   {request{HashAlgo: "sha256", HashValue: server.URL + "/sums"}, "sha256:" + strings.ToLower(sha256), "", ""},
		"file, algo mismatch":  {request{HashAlgo: "sha512", HashValue: server.URL + "/sums"}, "", ferric.CodeInvalid, "128 hexadecimal"},
		"file, no such name":   {request{Checksum: server.URL + "/none"}, "", ferric.CodeCorrupt, `no line for the name "disk.img"`},
		"file, empty":          {request{Checksum: server.URL + "/empty"}, "", ferric.CodeCorrupt, "is empty"},
		"file, words":          {request{Checksum: server.URL + "/words"}, "", ferric.CodeCorrupt, "no line"},
		"file, just the name":  {request{Checksum: server.URL + "/name"}, "", ferric.CodeCorrupt, "no line"},
		"file, too long":       {request{Checksum: server.URL + "/big"}, "", ferric.CodeCorrupt, "longer than"},
		"file, missing":        {request{Checksum: server.URL + "/missing"}, "", ferric.CodeNotFound, "404"},
		"file, switched off":   {request{Checksum: server.URL + "/sums", RefuseURLs: true}, "", ferric.CodeInvalid, "switched off"},
		"file of local system": {request{Checksum: "file:///etc/passwd"}, "", ferric.CodeInvalid, "image_checksum"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.request.ImageURL = "https://images.example/path/disk.img?token=1"
			got, err := image.ResolveChecksum(t.Context(), test.request, quick())
			if test.code != "" {
				wantError(t, err, test.code, test.text)
				return
			}
			if err != nil || got.String() != test.want {
				t.Fatalf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
}
