package command

import (
	"errors"
	"fmt"
	"net/http"

	"ferric"
	"ferric/agentapi"
)

// Failure is an error in the terms of the protocol: the name of an error class of ironic-python-agent and an HTTP
// status. A handler returns one to say more than "Command execution failed".
type Failure struct {
	agentapi.CommandError
	cause error
}

// Failf makes a Failure of a type (agentapi.Type…). The text becomes its details; %w keeps the cause.
func Failf(typ, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	f := &Failure{CommandError: agentapi.CommandError{Type: typ, Details: err.Error()}, cause: errors.Unwrap(err)}
	f.Message, f.Code = class(typ)
	return f
}

// Error is the text that goes into an HTTP fault: "message: details".
func (f *Failure) Error() string { return f.Message + ": " + f.Details }

// Unwrap returns the cause and, through it, a ferric.Code.
func (f *Failure) Unwrap() []error {
	out := []error{&ferric.Error{Code: f.FerricCode(), Message: f.Error()}}
	if f.cause != nil {
		out = append(out, f.cause)
	}
	return out
}

// class gives the fixed text and status of an error type.
func class(typ string) (string, int) {
	switch typ {
	case agentapi.TypeInvalidCommand:
		return "Invalid command", http.StatusBadRequest
	case agentapi.TypeInvalidCommandParams:
		return "Invalid command parameters", http.StatusBadRequest
	case agentapi.TypeNotFound:
		return "Not found", http.StatusNotFound
	case agentapi.TypeBusy:
		return "Agent is busy", http.StatusConflict
	case agentapi.TypeStaleEpoch:
		return "Stale fencing epoch", http.StatusConflict
	case agentapi.TypeVersionMismatch:
		return "Steps were listed by another version of the agent", http.StatusConflict
	case agentapi.TypeDeviceNotFound:
		return "No disk to write the image to", http.StatusNotFound
	case agentapi.TypeImageDownload:
		return "Error downloading image", http.StatusInternalServerError
	case agentapi.TypeDownloadNoSpace:
		return "Image does not fit", http.StatusInternalServerError
	case agentapi.TypeImageChecksum:
		return "Error verifying image checksum", http.StatusInternalServerError
	case agentapi.TypeInvalidImage:
		return "The image is not valid for use", http.StatusInternalServerError
	case agentapi.TypeImageWrite:
		return "Error writing image to device", http.StatusInternalServerError
	case agentapi.TypeBlockDeviceErase:
		return "Error erasing block device", http.StatusInternalServerError
	case agentapi.TypeProtectedDevice:
		return "Protected device", http.StatusInternalServerError
	case agentapi.TypeCleaning:
		return "Clean step failed", http.StatusInternalServerError
	case agentapi.TypeDeployment:
		return "Deploy step failed", http.StatusInternalServerError
	case agentapi.TypeServicing:
		return "Service step failed", http.StatusInternalServerError
	case agentapi.TypeSystemReboot:
		return "Error rebooting system", http.StatusInternalServerError
	}
	return "Command execution failed", http.StatusInternalServerError
}

// asFailure turns any error into a Failure.
func asFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	typ := agentapi.TypeCommandExecution
	if ferric.IsCode(err, ferric.CodeInvalid) {
		typ = agentapi.TypeInvalidCommandParams
	}
	errors.As(Failf(typ, "%w", err), &f)
	return f
}

// IsFailure reports whether the error is, or wraps, a Failure.
func IsFailure(err error) bool {
	var f *Failure
	return errors.As(err, &f)
}
