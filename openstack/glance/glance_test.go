package glance_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ferric"
	"ferric/openstack"
	"ferric/openstack/glance"

	"github.com/google/go-cmp/cmp"
)

const id = "6d2f4a94-8f0e-4d7c-a5c8-333333333333"

// service is Keystone and Glance as far as the client needs them.
type service struct {
	mu      sync.Mutex
	images  map[string]map[string]any
	members map[string]any // of every image
	lossy   bool           // of uploads only the first byte arrives
	deaf    int            // so many uploads are answered with 500
	calls   []string
}

func newService(t *testing.T) (*service, *glance.Client) {
	t.Helper()
	s := &service{images: map[string]map[string]any{}, members: map[string]any{"members": []any{}}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	session, err := openstack.New(openstack.Credentials{AuthURL: server.URL, Username: "u", Password: "p", ProjectName: "service"},
		openstack.Options{Retries: -1, Endpoints: map[string]string{"image": server.URL + "/"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Close)
	return s, glance.New(session)
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.URL.Path == "/v3/auth/tokens" {
		w.Header().Set("X-Subject-Token", "token")
		now := time.Now().UTC()
		reply(http.StatusCreated, map[string]any{"token": map[string]any{"issued_at": now, "expires_at": now.Add(time.Hour), "project": map[string]any{"id": "own"}}})
		return
	}
	s.calls = append(s.calls, r.Method+" "+r.URL.Path)
	if len(parts) == 2 {
		switch r.Method {
		case http.MethodGet:
			reply(http.StatusOK, map[string]any{"images": slices.Collect(maps.Values(s.images))})
		case http.MethodPost:
			img := map[string]any{"id": id, "status": "queued"}
			_ = json.NewDecoder(r.Body).Decode(&img)
			s.images[id] = img
			reply(http.StatusCreated, img)
		}
		return
	}
	img := s.images[parts[2]]
	switch {
	case img == nil:
		reply(http.StatusNotFound, map[string]any{})
	case r.Method == http.MethodDelete:
		delete(s.images, parts[2])
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(r.URL.Path, "/members"):
		reply(http.StatusOK, s.members)
	case strings.HasSuffix(r.URL.Path, "/file"):
		data, _ := io.ReadAll(r.Body)
		if s.deaf > 0 {
			s.deaf--
			http.Error(w, "the store is full", http.StatusInternalServerError)
			return
		}
		if s.lossy {
			data = data[:1]
		}
		maps.Copy(img, map[string]any{"status": "active", "size": len(data), "os_hash_algo": "sha512", "os_hash_value": sha512Of(data)})
		w.WriteHeader(http.StatusNoContent)
	default:
		reply(http.StatusOK, img)
	}
}

func TestImage(t *testing.T) {
	s, c := newService(t)
	for name, tt := range map[string]struct {
		document map[string]any
		code     ferric.Code
		words    []string
	}{
		"active":      {map[string]any{"status": "active", "size": 7, "img_type": "partition", "min_disk": 0}, "", nil},
		"queued":      {map[string]any{"status": "queued"}, ferric.CodeInvalid, []string{id, "active state", "queued", "nobody has uploaded"}},
		"saving":      {map[string]any{"status": "saving"}, ferric.CodeInvalid, []string{"being uploaded"}},
		"deactivated": {map[string]any{"status": "deactivated"}, ferric.CodeInvalid, []string{"--activate"}},
		"killed":      {map[string]any{"status": "killed"}, ferric.CodeInvalid, []string{"failed"}},
		"nonsense":    {map[string]any{"status": "boiling"}, ferric.CodeInvalid, []string{"boiling"}},
		"not there":   {nil, ferric.CodeNotFound, []string{"Image " + id + " could not be found"}},
		"another one": {map[string]any{"id": "x", "status": "active"}, ferric.CodeUnavailable, []string{id, `"x"`, "endpoint"}},
	} {
		t.Run(name, func(t *testing.T) {
			delete(s.images, id)
			if tt.document != nil {
				s.images[id] = map[string]any{"id": id}
				maps.Copy(s.images[id], tt.document)
			}
			img, err := c.Image(t.Context(), id)
			if tt.code == "" {
				if err != nil || img.Size != 7 || img.Property("img_type") != "partition" || img.Property("size") != "" {
					t.Errorf("%+v, %v", img, err)
				}
				if diff := cmp.Diff(map[string]any{"img_type": "partition"}, img.Properties); diff != "" {
					t.Error(diff)
				}
				return
			}
			if !ferric.IsCode(err, tt.code) {
				t.Fatalf("error %v, want %s", err, tt.code)
			}
			for _, w := range tt.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestVisibleTo(t *testing.T) {
	s, c := newService(t)
	s.members = map[string]any{"members": []any{map[string]any{"member_id": "friend", "status": "pending"}, map[string]any{"member_id": "foe", "status": "rejected"}}}
	for name, tt := range map[string]struct {
		visibility, project string
		want                bool
	}{
		"public": {"public", "any", true}, "public, nobody": {"public", "", true}, "community": {"community", "any", true}, "private": {"private", "any", false},
		"own": {"private", "owner", true}, "own shared": {"shared", "owner", true}, "shared with": {"shared", "friend", true}, "rejected": {"shared", "foe", false},
		"shared with others": {"shared", "any", false}, "private, a member of old": {"private", "friend", false}, "private, nobody": {"private", "", false},
		"unknown visibility": {"", "friend", false},
	} {
		t.Run(name, func(t *testing.T) {
			s.images[id] = map[string]any{"id": id}
			got, err := c.VisibleTo(t.Context(), &glance.Image{ID: id, Owner: "owner", Visibility: tt.visibility}, tt.project)
			if err != nil || got != tt.want {
				t.Errorf("%v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

// TestPut: the same file is put once; what did not arrive as it was leaves nothing behind; the rest of an upload that was killed is taken away.
func TestPut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, bytes.Repeat([]byte("kernel"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	u := glance.Upload{Name: "k", Format: "aki", Path: path}
	s, c := newService(t)
	for _, want := range []bool{true, false} {
		img, made, err := c.Put(t.Context(), u)
		if err != nil || made != want || img.ID != id || img.Status != "active" {
			t.Fatalf("%+v, made %v, %v", img, made, err)
		}
	}
	s.images[id]["status"] = "queued" // as if it had been killed before the data was sent
	if _, made, err := c.Put(t.Context(), u); err != nil || !made || !slices.Contains(s.calls, "DELETE /v2/images/"+id) {
		t.Errorf("made %v, %v; calls %v", made, err, s.calls)
	}
	for name, change := range map[string]func(){"lossy": func() { s.lossy = true }, "refused": func() { s.lossy, s.deaf = false, 1 }} {
		t.Run(name, func(t *testing.T) {
			delete(s.images, id)
			change()
			if _, _, err := c.Put(t.Context(), u); err == nil {
				t.Error("no error")
			}
			if len(s.images) > 0 {
				t.Errorf("left behind: %v", s.images)
			}
		})
	}
	if _, _, err := c.Put(t.Context(), glance.Upload{Name: "k", Format: "aki", Path: path + "x"}); !ferric.IsCode(err, ferric.CodeNotFound) {
		t.Errorf("without a file: %v", err)
	}
}

// FuzzImage: whatever Glance answers is read or refused.
func FuzzImage(f *testing.F) {
	f.Add([]byte(`{"id": "x", "status": "active", "size": 1, "tags": ["a"], "img_type": "partition", "stores": "fs"}`))
	f.Add([]byte(`{"size": null, "os_hash_value": null, "properties": {"a": 1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var img glance.Image
		if err := json.Unmarshal(b, &img); err == nil {
			for _, own := range []string{"id", "status", "owner", "os_hash_value", "stores"} {
				if _, ok := img.Properties[own]; ok {
					t.Errorf("%s is Glance's own and no property", own)
				}
			}
		}
	})
}

func sha512Of(data []byte) string {
	sum := sha512.Sum512(data)
	return hex.EncodeToString(sum[:])
}
