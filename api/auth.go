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
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ferric"
	"ferric/policy"
	"ferric/rpc"
)

// Authenticator finds out who sent a request. It is an authentication strategy.
type Authenticator interface {
	// Authenticate returns the caller. It is asked once for every request whose route is not public, before the body is read; it may use
	// the network until the request's context ends. A *Refusal is answered as it says, another error by its code.
	Authenticate(r *http.Request) (policy.Caller, error)
}

// Refusal is the answer to a request whose sender is not known.
type Refusal struct {
	Status int
	Title  string // "" for none
	Text   string
	// Challenge is the WWW-Authenticate header, "" for none.
	Challenge string
	// RetryAfter is a number of seconds, 0 for none.
	RetryAfter int
	// Err is why. It is for the log and not for the client.
	Err error
}

func (e *Refusal) Error() string { return e.Text }

// Unwrap returns why.
func (e *Refusal) Unwrap() error { return e.Err }

// write answers in the form that Ironic gives it.
func (e *Refusal) write(w http.ResponseWriter) {
	if e.Challenge != "" {
		w.Header().Set("WWW-Authenticate", e.Challenge)
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(e.RetryAfter))
	}
	body := map[string]any{"message": e.Text, "code": e.Status}
	if e.Title != "" {
		body["title"] = e.Title
	}
	writeJSON(w, e.Status, mustJSON(map[string]any{"error": body}))
}

// authenticate notes who sent the request.
func (a *API) authenticate(rq *request, auth Authenticator) error {
	who, err := auth.Authenticate(rq.Request)
	if err != nil {
		return err
	}
	if who.ElevatedServiceProject = a.config.ElevatedServiceProject; who.ElevatedServiceProject != "" {
		if err := a.elevated(&who); err != nil {
			return err
		}
	}
	rq.who, rq.caller = who, rpc.Caller{User: who.UserID, Project: who.ProjectID, AllImages: allImages(&who)}
	return nil
}

// elevated refuses a service of a project that has the name of the elevated one and is in another domain. It must not be elevated, for whoever
// administers a domain can make such a project; but if it is really Nova, a list without the nodes would make it forget all of them, so it is told.
func (a *API) elevated(who *policy.Caller) error {
	domain := a.config.ElevatedServiceDomain
	if domain == "" || who.ProjectDomainID == domain || who.ProjectName != who.ElevatedServiceProject || !slices.Contains(who.Roles, "service") {
		return nil
	}
	return ferric.Errorf(ferric.CodeForbidden, "user %s has the role service in a project %s of the domain %s, but services are those of the domain %s; "+
		"if it is a service of this cloud, set api.rbac_service_project_domain_id", who.UserName, who.ProjectName, who.ProjectDomainID, domain)
}

// allImages reports whether the caller may deploy images of every project: administrators, the system's members (they may do so with any URL, too), and
// the services of the cloud. Nova asks with its own user, after Glance has let its user's user have the image.
func allImages(who *policy.Caller) bool {
	service := who.ElevatedServiceProject != "" && who.ProjectName == who.ElevatedServiceProject && slices.Contains(who.Roles, "service")
	return who.IsAdmin || who.SystemScope == "all" || slices.Contains(who.Roles, "admin") || service
}

// noAuth takes everybody for the system's administrator.
type noAuth struct{}

func (noAuth) Authenticate(*http.Request) (policy.Caller, error) { return policy.SystemAdmin(""), nil }

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

func unauthorized(text string) error {
	return &Refusal{Status: http.StatusUnauthorized, Text: text, Challenge: `Basic realm="Baremetal API"`}
}

// Authenticate takes every user of the file for the system's administrator.
func (b *basicAuth) Authenticate(r *http.Request) (policy.Caller, error) {
	user, err := b.check(r)
	if err != nil {
		return policy.Caller{}, err
	}
	return policy.SystemAdmin(user), nil
}

// check returns the name of the user who sent the request.
func (b *basicAuth) check(r *http.Request) (string, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return "", unauthorized("Authorization required")
	}
	kind, token, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok {
		return "", &Refusal{Status: http.StatusBadRequest, Text: "Could not parse Authorization header"}
	}
	if !strings.EqualFold(kind, "basic") {
		return "", &Refusal{Status: http.StatusBadRequest, Text: fmt.Sprintf("Unsupported authorization type %q", clip(kind))}
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(token))
	name, password, found := strings.Cut(string(pair), ":")
	if err != nil || !found {
		return "", &Refusal{Status: http.StatusBadRequest, Text: "Could not decode authorization token"}
	}
	right, err := b.verify(r.Context(), name, password)
	if err != nil {
		return "", err
	}
	if !right {
		return "", unauthorized("Incorrect username or password")
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
