package api

import (
	"fmt"
	"net/http"
	"strings"
)

// etag is the entity tag of a record's version. Ironic has none; a client that does not know it is not disturbed.
func etag(version int64) string { return fmt.Sprintf(`"%d"`, version) }

// matches refuses a change when the request's If-Match names another version.
func matches(rq *request, version int64) error {
	want := rq.Header.Get("If-Match")
	if want == "" || want == "*" {
		return nil
	}
	for tag := range strings.SplitSeq(want, ",") {
		if strings.TrimSpace(tag) == etag(version) {
			return nil
		}
	}
	return &routeError{status: http.StatusPreconditionFailed,
		description: fmt.Sprintf("The object has changed: its entity tag is %s now.", etag(version))}
}
