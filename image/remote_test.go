package image_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/image"
)

// keeper is a service that keeps an image, as Glance does: its web server sends nothing that tells one content from another.
type keeper struct {
	*webServer

	mu       sync.Mutex
	location image.Location
	err      error // Locate's answer
	asked    int
}

func newKeeper(t *testing.T, content []byte) *keeper {
	k := &keeper{webServer: newWebServer(t, content)}
	k.etag, k.modified = "", time.Time{}
	sum := sha512.Sum512(content)
	k.location = image.Location{URL: k.url(), Client: &http.Client{}, Size: int64(len(content)), Checksum: image.Checksum{Algorithm: "sha512", Value: hex.EncodeToString(sum[:])}}
	return k
}

func (k *keeper) Locate(context.Context, *url.URL) (image.Location, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked++
	return k.location, k.err
}

func (k *keeper) with(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

const kept = "glance://6d2f4a94-8f0e-4d7c-a5c8-333333333333"

func (k *keeper) cache(t *testing.T) *image.Cache {
	return openCache(t, func(c *image.CacheConfig) {
		c.Options.Remotes = map[string]image.Remote{"glance": k}
		c.Options.RemoteFor = -1
	})
}

// TestRemoteArrives: what breaks on the way is mended, with ranges and without; what arrives is what the service says.
func TestRemoteArrives(t *testing.T) {
	content := noise(5<<20, 3)
	for name, change := range map[string]func(*keeper){
		"at once":             func(*keeper) {},
		"cut":                 func(k *keeper) { k.cutEvery = 1 << 20 },
		"without ranges":      func(k *keeper) { k.noRanges = true },
		"cut, without ranges": func(k *keeper) { k.noRanges, k.cutOnce = true, 3<<20 },
		"size not known":      func(k *keeper) { k.noRanges, k.chunked = true, true },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, content)
			change(k)
			c := k.cache(t)
			entry, _ := get(t, c, image.Request{URL: kept})
			wantContent(t, entry, content)
			asked, requests := k.asked, k.count()
			again, _ := get(t, c, image.Request{URL: kept})
			if !again.Hit || k.asked != asked+1 || k.count() > requests+1 {
				t.Errorf("the second time: %+v, %d questions and %d requests more", again, k.asked-asked, k.count()-requests)
			}
			k.with(func() { k.err = ferric.Errorf(ferric.CodeUnavailable, "the service is away") })
			if third, _ := get(t, c, image.Request{URL: kept}); !third.Hit {
				t.Error("while the service is away, the image is not taken from the cache")
			}
			k.with(func() { k.err = ferric.Errorf(ferric.CodeInvalid, "the image has been withdrawn") })
			_, _, err := c.Get(t.Context(), image.Request{URL: kept})
			wantError(t, err, ferric.CodeInvalid, "withdrawn")
		})
	}
}

// TestRemoteWithChecksum: an image that is known by its checksum is taken from the cache without a question.
func TestRemoteWithChecksum(t *testing.T) {
	content := noise(1<<20, 4)
	k := newKeeper(t, content)
	c := k.cache(t)
	r := image.Request{URL: kept, Checksum: k.location.Checksum}
	get(t, c, r)
	k.with(func() { k.err = ferric.Errorf(ferric.CodeInvalid, "nobody is to ask") })
	if entry, _ := get(t, c, r); !entry.Hit {
		t.Error("the image was fetched again")
	}
}

// TestRemoteRefused: what is not the image is not handed out, and leaves nothing behind.
func TestRemoteRefused(t *testing.T) {
	content := noise(1<<20, 5)
	for name, tt := range map[string]struct {
		change func(*keeper)
		code   ferric.Code
		words  []string
	}{
		"damaged":          {func(k *keeper) { k.content = bytes.ReplaceAll(content, content[:8], make([]byte, 8)) }, ferric.CodeCorrupt, []string{"checksum mismatch", kept, "sha512"}},
		"shorter":          {func(k *keeper) { k.content = content[:1<<19] }, ferric.CodeCorrupt, []string{"1048576 bytes", "sends 524288"}},
		"no such image":    {func(k *keeper) { k.err = ferric.Errorf(ferric.CodeNotFound, "no such image") }, ferric.CodeNotFound, []string{kept, "no such image"}},
		"service is away":  {func(k *keeper) { k.err = ferric.Errorf(ferric.CodeUnavailable, "no answer") }, ferric.CodeUnavailable, []string{kept, "no answer"}},
		"nothing verified": {func(k *keeper) { k.location.Checksum = image.Checksum{} }, ferric.CodeInternal, []string{"hashes to"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, content)
			tt.change(k)
			_, _, err := k.cache(t).Get(t.Context(), image.Request{URL: kept})
			wantError(t, err, tt.code, tt.words...)
		})
	}
	_, err := image.Open(t.Context(), kept, quick())
	wantError(t, err, ferric.CodeInvalid, "glance", "not supported")
}
