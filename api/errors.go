package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"ferric"
)

// statusOf is the one table from an error's code to the HTTP status.
func statusOf(code ferric.Code) int {
	switch code {
	case ferric.CodeInvalid, ferric.CodeUnsupported, ferric.CodeCorrupt:
		return http.StatusBadRequest
	case ferric.CodeUnauthorized:
		return http.StatusUnauthorized
	case ferric.CodeForbidden:
		return http.StatusForbidden
	case ferric.CodeNotFound:
		return http.StatusNotFound
	case ferric.CodeNotAcceptable:
		return http.StatusNotAcceptable
	case ferric.CodeConflict, ferric.CodeLocked, ferric.CodeStale:
		return http.StatusConflict
	case ferric.CodeBusy, ferric.CodeUnavailable, ferric.CodeElsewhere, ferric.CodeNoSpace: // clients of Ironic try 503 again, and do not know 507
		return http.StatusServiceUnavailable
	case ferric.CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// retryAfter is the number of seconds after which a client should try again, 0 if that makes no sense.
func retryAfter(code ferric.Code) int {
	switch code {
	case ferric.CodeLocked, ferric.CodeBusy, ferric.CodeUnavailable, ferric.CodeElsewhere:
		return 1
	case ferric.CodeNoSpace: // that takes people
		return 10
	}
	return 0
}

// faultCode says whose fault a status is, in Ironic's words.
func faultCode(status int) string {
	if status >= 400 && status < 500 {
		return "Client"
	}
	return "Server"
}

// routeError is an error from before a handler is reached: no such route, wrong method, wrong version. Ironic shows
// those in a form of their own.
type routeError struct {
	status      int
	description string
	header      http.Header
}

func (e *routeError) Error() string { return e.description }

// notHere is the 404 of a path that does not exist (in this version).
func notHere() error { return &routeError{status: http.StatusNotFound} }

func invalid(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeInvalid, format, args...)
}

func conflict(format string, args ...any) error {
	return ferric.Errorf(ferric.CodeConflict, format, args...)
}

// notAcceptable is for something that a newer microversion has.
func notAcceptable() error { return ferric.Errorf(ferric.CodeNotAcceptable, "Request not acceptable.") }

// needVersion is notAcceptable with the microversion that would do.
func needVersion(since int) error {
	return ferric.Errorf(ferric.CodeNotAcceptable,
		"Request not acceptable. The minimal required API version should be 1.%d", since)
}

// named gives "not found" Ironic's text: what is not there, and under which name it was asked for.
func named(err error, what, ident string) error {
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return ferric.Errorf(ferric.CodeNotFound, "%s %s could not be found.", what, clip(ident))
	}
	return err
}

// asBadRequest turns "not found" into "invalid": what a body refers to and does not exist is the body's fault.
func asBadRequest(err error) error {
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return ferric.Errorf(ferric.CodeInvalid, "%w", err)
	}
	return err
}

// writeError answers with an error in Ironic's format: {"error_message": "…"}, where the string is a JSON object.
// requestID stands in for the text of a defect of our own, which is in the log.
func writeError(w http.ResponseWriter, err error, requestID string) (status int) {
	var inner []byte
	var re *routeError
	if errors.As(err, &re) {
		status = re.status
		for k, v := range re.header {
			w.Header()[k] = v
		}
		inner = mustJSON(struct {
			Code        int    `json:"code"`
			Title       string `json:"title"`
			Description string `json:"description"`
		}{status, http.StatusText(status), re.description})
	} else {
		code := ferric.ErrorCode(err)
		status = statusOf(code)
		text := err.Error()
		var known *ferric.Error
		if !errors.As(err, &known) {
			text = fmt.Sprintf("An unknown exception occurred. The log has more under %s.", requestID)
		}
		if s := retryAfter(code); s > 0 {
			w.Header().Set("Retry-After", fmt.Sprint(s))
		}
		inner = mustJSON(struct {
			FaultCode   string  `json:"faultcode"`
			FaultString string  `json:"faultstring"`
			DebugInfo   *string `json:"debuginfo"`
		}{faultCode(status), text, nil})
	}
	writeJSON(w, status, mustJSON(map[string]string{"error_message": string(inner)}))
	return status
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails; the access log has the status
}

// mustJSON is for values of our own that always marshal.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("api: value does not marshal: %v", err))
	}
	return b
}
