package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"ferric"
	"ferric/policy"
	"ferric/rpc"
)

// request is one request on its way through a handler.
type request struct {
	*http.Request
	client   context.Context // ends when the client goes, and not after the request's time
	version  int             // minor number of the microversion
	base     string          // what links begin with, without a slash at the end
	vars     map[string]string
	query    url.Values
	bodyArgs map[string]any // body of an argsBody route
	doc      any            // body of a docBody route
	rawBody  []byte
	args     args
	caller   rpc.Caller    // who, for conductors
	who      policy.Caller // who, for rules
	rules    *policy.Rules
	only     string          // the project that a list is limited to, "" for none
	open     bool            // the route needs no credentials
	asked    bool            // a rule was asked by require
	decided  map[string]bool // see always
	header   http.Header     // of the answer
	status   int             // of the answer, where the route does not say; 0: the route's
	noBody   bool            // the request had none
	stamped  *ferric.Node    // see API.stamp
	// jsonSuffix: the path ended in .json, which was taken away.
	jsonSuffix bool
	// change is what the request is about to do, once nothing speaks against it any more.
	change ferric.Occurrence
}

// changes says what the request is about to do, to which object as it will be then: other programs are told of it, and of its failure.
func (rq *request) changes(action ferric.Action, subject any) {
	rq.change = ferric.Occurrence{Object: ferric.ObjectOf(subject), News: ferric.News{Action: action}, Subject: subject}
	rq.Request = rq.WithContext(ferric.AskedFor(rq.Context(), rq.change.Object, action))
}

// rawJSON is an answer that is JSON already.
type rawJSON []byte

// location sets the Location of what was made or may be watched.
func (rq *request) location(parts ...string) {
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	rq.header.Set("Location", rq.base+"/v1/"+strings.Join(parts, "/"))
}

// link is an API link.
type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
	Type string `json:"type,omitempty"`
}

// links are the two that an object has: self and bookmark.
func (rq *request) links(path string) []link {
	return []link{{Href: rq.base + "/v1/" + path, Rel: "self"}, {Href: rq.base + "/" + path, Rel: "bookmark"}}
}

// tooLarge and tooDeep are refused before anything is parsed; Ironic's newest answers with a bare object there.
type bodyRefused struct {
	status int
	text   string
}

func (e *bodyRefused) Error() string { return e.text }

// readBody reads at most limit bytes and checks the nesting.
func readBody(r *http.Request, limit int64, maxDepth int) ([]byte, error) {
	tooLarge := &bodyRefused{http.StatusRequestEntityTooLarge, "Request body is too large. Please contact the service administrator."}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, invalid("the request's body could not be read: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, tooLarge
	}
	if !shallow(b, maxDepth) {
		return nil, &bodyRefused{http.StatusBadRequest, "Request body JSON is nested too deeply. Please contact the service administrator."}
	}
	return b, nil
}

// shallow reports whether JSON nests at most max deep, by counting brackets outside of strings.
func shallow(b []byte, max int) bool {
	depth, inString, escaped := 0, false, false
	for _, c := range b {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			if depth++; depth > max {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// parseBody fills in the request's body as the route wants it.
func (rq *request) parseBody(kind bodyKind) error {
	if kind == noBody {
		return nil
	}
	rq.noBody = len(bytes.TrimSpace(rq.rawBody)) == 0
	var v any = map[string]any{}
	if !rq.noBody {
		if !utf8.Valid(rq.rawBody) {
			return invalid("Malformed request body: it is not UTF-8")
		}
		if err := json.Unmarshal(rq.rawBody, &v); err != nil {
			return invalid("Malformed JSON in the request body: %w", err)
		}
	}
	if kind == docBody {
		rq.doc = v
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		return invalid("The request body must be a JSON object")
	}
	rq.bodyArgs = object
	return nil
}

// publicURL is what links begin with: the configured endpoint, or the Host that the client used.
func (a *API) publicURL(r *http.Request) string {
	if a.config.PublicEndpoint != "" {
		return strings.TrimSuffix(a.config.PublicEndpoint, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
