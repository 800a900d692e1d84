package ipmi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ferric"
)

var errClosed = errors.New("the pool is closed")

// unreachable says that no datagram could be sent: the name does not resolve, there is no route.
type unreachable struct{ err error }

func (e *unreachable) Error() string { return e.err.Error() }
func (e *unreachable) Unwrap() error { return e.err }

// tripped says that a BMC is left alone because it did not answer lately.
type tripped struct {
	failures int
	until    time.Time
}

func (e *tripped) Error() string {
	return fmt.Sprintf("left alone for %s after %d operations without an answer",
		max(time.Until(e.until), 0).Round(time.Second), e.failures)
}

// unknownOutcome says that a command that must not run twice was sent and not answered.
type unknownOutcome struct{ err error }

func (e *unknownOutcome) Error() string {
	return e.err.Error() + " (it may have been executed all the same)"
}
func (e *unknownOutcome) Unwrap() error { return e.err }

// muteError says that the BMC is there but does not answer the request for a session.
type muteError struct{}

func (*muteError) Error() string { return "no reply to the request for a session" }

// noSuiteError says that no cipher suite was accepted; err is the reason for the last one.
type noSuiteError struct {
	tried []int
	err   error
}

func (e *noSuiteError) Error() string { return e.err.Error() }
func (e *noSuiteError) Unwrap() error { return e.err }

// formatError says that a reply to a command is too short or senseless.
type formatError struct{ text string }

func (e *formatError) Error() string { return e.text }

func short(command string, n int) error {
	return &formatError{fmt.Sprintf("%s: the reply has only %d bytes", command, n)}
}

// silent reports whether err means that the BMC did not answer: it may be dead, or it may have lost the session.
func silent(err error) bool {
	var u *unreachable
	var own *ferric.Error // such as no free session slot, which is not the BMC's fault
	if errors.As(err, &own) {
		return false
	}
	return errors.Is(err, errNoReply) || errors.Is(err, errRefused) || errors.As(err, &u) ||
		errors.Is(err, context.DeadlineExceeded)
}

// isReply reports whether err was made from an authenticated reply, so that the session is in order.
func isReply(err error) bool {
	var ce *completionError
	var fe *formatError
	return errors.As(err, &ce) || errors.As(err, &fe)
}

// answered reports whether err was made from something that the BMC has said.
func answered(err error) bool {
	var status *statusError
	var none *noSuiteError
	var mute *muteError
	return isReply(err) || errors.As(err, &status) || errors.As(err, &none) && !errors.As(err, &mute) ||
		err == errPassword || err == errTwoKey || err == errOnly15
}

// refused reports whether err means that the BMC knows us and says no.
func refused(err error) bool {
	var status *statusError
	var ce *completionError
	switch {
	case err == errPassword, err == errTwoKey:
		return true
	case errors.As(err, &status):
		return status.step != stepOpen && !status.busy()
	case errors.As(err, &ce):
		return ce.netFn == netFnApp && ce.code == 0x3b
	}
	return false
}

// explain turns an internal error into one for people. It never contains the password.
func explain(i Info, what string, err error) error {
	at := i.Endpoint()
	fail := func(code ferric.Code, format string, args ...any) error {
		return ferric.Errorf(code, "%s: BMC %s "+format, append([]any{what, at}, args...)...)
	}
	var (
		domain  *ferric.Error
		status  *statusError
		ce      *completionError
		unknown *unknownOutcome
		trip    *tripped
		none    *noSuiteError
		format  *formatError
	)
	switch {
	case errors.As(err, &domain):
		return ferric.Errorf(domain.Code, "%s: BMC %s: %w", what, at, err)
	case errors.As(err, &unknown):
		return fail(ferric.CodeTimeout, "did not acknowledge the command: %w", err)
	case errors.As(err, &trip):
		return fail(ferric.CodeUnavailable, "is %w", err)
	case errors.As(err, &none):
		return explainNoSuite(fail, none)
	case err == errPassword, errors.As(err, &status) && (status.status == 0x0d || status.status == 0x0f):
		return fail(ferric.CodeUnauthorized, "refused the user name or password (ipmi_username, ipmi_password)")
	case err == errTwoKey:
		return fail(ferric.CodeUnauthorized, "proved another BMC key than ours (ipmi_hex_kg_key)")
	case err == errOnly15:
		return fail(ferric.CodeUnsupported, "speaks IPMI 1.5 only; IPMI 2.0 is needed")
	case errors.As(err, &status) && status.step != stepOpen && (status.status == 0x0a || status.status == 0x09):
		return fail(ferric.CodeUnauthorized, "refused privilege level %s for this user (ipmi_priv_level): %w", i.credentials().privilege, err)
	case errors.As(err, &status) && status.busy():
		return fail(ferric.CodeBusy, "has no free session: %w", err)
	case errors.As(err, &status):
		return fail(ferric.CodeUnavailable, "refused the session: %w", err)
	case errors.As(err, &ce):
		return explainCompletion(fail, i, ce)
	case errors.As(err, &format):
		return fail(ferric.CodeCorrupt, "gave a senseless reply: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fail(ferric.CodeTimeout, "did not answer in time: %w", err)
	case errors.Is(err, context.Canceled):
		return fail(ferric.CodeTimeout, "was not waited for: %w", err)
	case errors.Is(err, errNoReply):
		return fail(ferric.CodeUnavailable, "does not answer")
	case errors.Is(err, errRefused):
		return fail(ferric.CodeUnavailable, "cannot be reached: nothing listens on its UDP port")
	default:
		return fail(ferric.CodeUnavailable, "cannot be reached: %w", err)
	}
}

type failFunc func(code ferric.Code, format string, args ...any) error

func explainNoSuite(fail failFunc, e *noSuiteError) error {
	var mute *muteError
	if errors.As(e.err, &mute) {
		return fail(ferric.CodeUnavailable, "is there but gives %w", e.err)
	}
	names := make([]string, len(e.tried))
	for i, id := range e.tried {
		names[i] = fmt.Sprint(id)
	}
	return fail(ferric.CodeUnsupported, "accepts none of the cipher suites %s (ipmi_cipher_suite): %w", strings.Join(names, ", "), e.err)
}

func explainCompletion(fail failFunc, i Info, e *completionError) error {
	switch {
	case refused(e), e.cc == 0xd4:
		return fail(ferric.CodeUnauthorized, "refused privilege level %s (ipmi_priv_level): %w", i.credentials().privilege, e)
	case e.unsupported():
		return fail(ferric.CodeUnsupported, "does not support this: %w", e)
	case e.transient(false):
		return fail(ferric.CodeBusy, "is busy: %w", e)
	}
	switch e.cc {
	case 0xc6, 0xc7, 0xc8, 0xc9, 0xcc:
		return fail(ferric.CodeInvalid, "refused the request: %w", e)
	case 0xcb:
		return fail(ferric.CodeNotFound, "does not have it: %w", e)
	case 0xd5:
		return fail(ferric.CodeConflict, "cannot do this now: %w", e)
	}
	return fail(ferric.CodeUnavailable, "failed: %w", e)
}
