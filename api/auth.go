package api

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ferric"
)

// basicAuth checks HTTP basic credentials against an htpasswd file with bcrypt hashes.
type basicAuth struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	read  time.Time // modification time of what is in users
	size  int64
	users map[string][]byte
	decoy []byte // compared when the user is unknown, so that it takes as long as for a known one
	salt  []byte
	// slots bounds how many passwords are checked at once: bcrypt is meant to be slow, and anybody may send wrong ones.
	slots   chan struct{}
	checked map[[sha256.Size]byte]time.Time // credentials that were right, until when they need not be checked again
}

// checkedFor is how long right credentials are remembered, so that bcrypt does not cost every request its time.
const checkedFor = 5 * time.Minute

// maxChecks is how many passwords are checked at once.
const maxChecks = 2

// maxChecked bounds the memory of right credentials.
const maxChecked = 1024

// authError is a refusal in the form that Ironic gives it.
type authError struct {
	status int
	text   string
}

func (e *authError) Error() string { return e.text }

func (e *authError) write(w http.ResponseWriter) {
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Baremetal API"`)
	}
	writeJSON(w, e.status, mustJSON(map[string]any{"error": map[string]any{"message": e.text, "code": e.status}}))
}

func newBasicAuth(path string, now func() time.Time) (*basicAuth, error) {
	b := &basicAuth{path: path, now: now, salt: make([]byte, 32), slots: make(chan struct{}, maxChecks), checked: map[[sha256.Size]byte]time.Time{}}
	_, _ = rand.Read(b.salt) // never fails
	b.mu.Lock()
	defer b.mu.Unlock()
	return b, b.load()
}

// load reads the file if it has changed. b.mu is held.
func (b *basicAuth) load() error {
	info, err := os.Stat(b.path)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "Problem reading auth user file: %w", err)
	}
	if b.users != nil && info.ModTime().Equal(b.read) && info.Size() == b.size {
		return nil
	}
	f, err := os.Open(b.path)
	if err != nil {
		return ferric.Errorf(ferric.CodeInternal, "Problem reading auth user file: %w", err)
	}
	defer f.Close()
	users, decoy := map[string][]byte{}, []byte(nil)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		name, hash, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if !ok {
			continue
		}
		if !strings.HasPrefix(hash, "$2y$") && !strings.HasPrefix(hash, "$2a$") && !strings.HasPrefix(hash, "$2b$") {
			return ferric.Errorf(ferric.CodeInvalid, "%s line %d: Only bcrypt digested passwords are supported for %s", b.path, n, name)
		}
		if _, again := users[name]; !again { // the first line counts, as in Ironic
			users[name] = []byte(hash)
		}
		if decoy == nil {
			decoy = users[name]
		}
	}
	if err := lines.Err(); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "Problem reading auth user file: %w", err)
	}
	b.users, b.decoy, b.read, b.size = users, decoy, info.ModTime(), info.Size()
	clear(b.checked)
	return nil
}

// check returns the name of the user who sent the request.
func (b *basicAuth) check(r *http.Request) (string, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", &authError{http.StatusUnauthorized, "Authorization required"}
	}
	kind, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok {
		return "", &authError{http.StatusBadRequest, "Could not parse Authorization header"}
	}
	if !strings.EqualFold(kind, "basic") {
		return "", &authError{http.StatusBadRequest, fmt.Sprintf("Unsupported authorization type %q", clip(kind))}
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	name, password, found := strings.Cut(string(pair), ":")
	if err != nil || !found {
		return "", &authError{http.StatusBadRequest, "Could not decode authorization token"}
	}
	right, err := b.verify(r.Context(), name, password)
	if err != nil {
		return "", err
	}
	if !right {
		return "", &authError{http.StatusUnauthorized, "Incorrect username or password"}
	}
	return name, nil
}

// verify compares a password with the file's hash. The comparison itself is done outside of the lock. While the file
// cannot be read nobody gets in; what is wrong with it is for the log and not for the client, so the error has no code.
func (b *basicAuth) verify(ctx context.Context, name, password string) (bool, error) {
	b.mu.Lock()
	if err := b.load(); err != nil {
		b.mu.Unlock()
		return false, errors.New(err.Error())
	}
	hash, known := b.users[name]
	decoy := b.decoy
	key := sha256.Sum256(append(append(append([]byte{}, b.salt...), hash...), name+"\x00"+password...))
	until, seen := b.checked[key]
	b.mu.Unlock()
	if known && seen && b.now().Before(until) {
		return true, nil
	}
	if !known {
		hash = decoy
	}
	select {
	case b.slots <- struct{}{}:
		defer func() { <-b.slots }()
	case <-ctx.Done():
		return false, ferric.Errorf(ferric.CodeBusy, "too many passwords are being checked: %w", ctx.Err())
	}
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil
	if !known || !right {
		return false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.checked) >= maxChecked {
		clear(b.checked)
	}
	b.checked[key] = b.now().Add(checkedFor)
	return true, nil
}
