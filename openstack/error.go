package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"ferric"
)

// Kind is what a caller does about a failure.
type Kind string

// The kinds of failures.
const (
	NotFound     Kind = "not found"    // 404: what was asked for is not there
	Unauthorized Kind = "unauthorized" // 401: the service or Keystone does not accept our credentials; an operator must look
	Forbidden    Kind = "forbidden"    // 403: our user lacks a role there, or a quota is used up
	Conflict     Kind = "conflict"     // 409
	Rejected     Kind = "rejected"     // another 4xx: what was sent is wrong
	Unavailable  Kind = "unavailable"  // no connection, no answer in time, 5xx, 429: may be well later
	NoEndpoint   Kind = "no endpoint"  // the catalogue has no such service in this region and on this interface
)

// Error is the failure of a request to a service. errors.As gives a *ferric.Error of it as well.
type Error struct {
	Kind    Kind
	Service string // "Keystone", "Glance", ... or the service's type
	Method  string
	URL     string // without query and credentials
	Status  int    // of the answer, 0 for none
	Message string // in the service's words, or what failed
	Err     error  // the cause: a gophercloud.ErrUnexpectedResponseCode when there was an answer
}

// Error says which service, what was asked, and what it said.
func (e *Error) Error() string {
	switch {
	case e.Kind == NoEndpoint:
		return e.Message
	case e.Status != 0:
		return fmt.Sprintf("%s answered %d to %s %s: %s", e.Service, e.Status, e.Method, e.URL, e.Message)
	}
	return fmt.Sprintf("%s is unavailable: %s %s: %s", e.Service, e.Method, e.URL, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// As gives errors.As a *ferric.Error. Refusals of our own user are CodeUnavailable: a client of ours is not to blame for them.
func (e *Error) As(target any) bool {
	t, ok := target.(**ferric.Error)
	if ok {
		*t = &ferric.Error{Code: e.code(), Message: e.Error(), Err: e.Err}
	}
	return ok
}

func (e *Error) code() ferric.Code {
	switch e.Kind {
	case NotFound:
		return ferric.CodeNotFound
	case Conflict:
		return ferric.CodeConflict
	case Rejected:
		return ferric.CodeInvalid
	}
	return ferric.CodeUnavailable
}

// KindOf returns the kind of the first *Error in err's chain, "" if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Is reports whether err is a failure of this kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// kindOf is the kind of an answer.
func kindOf(status int) Kind {
	switch {
	case status == http.StatusNotFound:
		return NotFound
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusForbidden:
		return Forbidden
	case status == http.StatusConflict:
		return Conflict
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return Unavailable
	}
	return Rejected
}

// failure makes an *Error of what went wrong with a request, unless it is one.
func failure(service, method, address string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	out := &Error{Kind: Unavailable, Service: service, Method: method, URL: bareURL(address), Message: reason(err), Err: err}
	var answer gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &answer) {
		out.Kind, out.Status, out.Message = kindOf(answer.Actual), answer.Actual, said(answer.Body)
		if out.Message == "" {
			out.Message = http.StatusText(answer.Actual)
		}
	}
	return out
}

// reason is an error of the network without the URL, which is said already and whose query may hold secrets.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "given up: the work that it was for has ended"
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return "the answer is not JSON (" + syntax.Error() + "); is this URL the service?"
	}
	return err.Error()
}

// said is the message in a service's answer: each has its own form of JSON, and proxies answer with HTML.
func said(body []byte) string {
	var doc any
	if json.Unmarshal(body, &doc) == nil {
		if text := message(doc, 3); text != "" {
			return clip(text)
		}
	}
	text := string(body)
	if at := strings.Index(strings.ToLower(text), "<body"); at >= 0 {
		text = text[at:]
	}
	var out strings.Builder
	tag := false
	for _, r := range text {
		switch {
		case r == '<':
			tag = true
		case r == '>':
			tag = false
			out.WriteByte(' ')
		case !tag:
			out.WriteRune(r)
		}
	}
	return clip(strings.Join(strings.Fields(out.String()), " "))
}

func message(doc any, depth int) string {
	object, ok := doc.(map[string]any)
	if !ok || depth == 0 {
		list, _ := doc.([]any)
		if len(list) > 0 && depth > 0 {
			return message(list[0], depth-1)
		}
		return ""
	}
	for _, key := range []string{"message", "faultstring", "detail"} {
		if text, ok := object[key].(string); ok && text != "" {
			return text
		}
	}
	for _, v := range object {
		if text := message(v, depth-1); text != "" {
			return text
		}
	}
	return ""
}

// clip keeps messages of strangers short and on one line.
func clip(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if r := []rune(text); len(r) > 500 {
		text = string(r[:500]) + "..."
	}
	return text
}

// bareURL is a URL without credentials, query and fragment.
func bareURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "******"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
