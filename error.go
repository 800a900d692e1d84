package ferric

import (
	"errors"
	"fmt"
)

// Code classifies an error for machines. One table in package api turns a code into an HTTP status, and the
// bus carries it between processes unchanged.
type Code string

// The codes. The comment gives the HTTP status that the API answers with.
const (
	CodeInvalid       Code = "invalid"        // 400: a value, an argument or a transition that is not allowed
	CodeUnauthorized  Code = "unauthorized"   // 401: no or wrong credentials
	CodeForbidden     Code = "forbidden"      // 403: known caller, not allowed (also: protected nodes)
	CodeNotFound      Code = "not_found"      // 404
	CodeNotAcceptable Code = "not_acceptable" // 406: microversion too old for what was asked
	CodeConflict      Code = "conflict"       // 409: duplicate, associated, in use
	CodeLocked        Code = "locked"         // 409: the node is reserved by a conductor
	CodeStale         Code = "stale"          // 409: the writer's lease was taken over (fencing epoch too old)
	CodeUnsupported   Code = "unsupported"    // 400: the driver or interface cannot do that
	CodeBusy          Code = "busy"           // 503: no free worker; try again
	CodeUnavailable   Code = "unavailable"    // 503: a conductor, BMC, agent or server cannot be reached
	CodeElsewhere     Code = "elsewhere"      // 503: nothing was done here, another conductor will do it; callers on the bus ask again
	CodeTimeout       Code = "timeout"        // 504 towards clients: a deadline passed
	CodeCorrupt       Code = "corrupt"        // 400: foreign data is damaged or unsafe (image, checksum, packet)
	CodeNoSpace       Code = "no_space"       // 503: a disk or cache is full
	CodeInternal      Code = "internal"       // 500: a defect in Ferric
)

// ErrOutage is in the chain of an error that says nothing about what was asked: what Ferric itself stands on, its database, gave no answer. Whether
// it was carried out is not known. The same can be asked again, and work in the ledger goes on once the answer comes.
var ErrOutage = errors.New("outage")

// Error is an error with a code for machines and a message for people. The message says what failed and, for
// CodeInvalid, names the field and the fix. It must never contain a secret.
type Error struct {
	Code    Code
	Message string
	Err     error // the cause, if there is one
}

// Error returns the message; a cause given with %w is part of it.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an *Error with the same code and no message: errors.Is(err, &Error{Code: c}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Code == e.Code
}

// Errorf makes an *Error. The format may hold one %w, whose operand becomes the cause.
func Errorf(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// ErrorCode returns the code of the outermost *Error in err's chain, CodeInternal if there is none, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// IsCode reports whether err carries the code.
func IsCode(err error, code Code) bool { return err != nil && ErrorCode(err) == code }
