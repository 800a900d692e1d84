package agentapi

import (
	"encoding/json"
	"fmt"

	"ferric"
)

// The commands of ironic-python-agent that Ferric's conductor sends.
const (
	CmdPrepareImage       = "standby.prepare_image"
	CmdCacheImage         = "standby.cache_image"
	CmdRunImage           = "standby.run_image"
	CmdPowerOff           = "standby.power_off"
	CmdSync               = "standby.sync"
	CmdGetPartitionUUIDs  = "standby.get_partition_uuids"
	CmdGetCleanSteps      = "clean.get_clean_steps"
	CmdExecuteCleanStep   = "clean.execute_clean_step"
	CmdGetDeploySteps     = "deploy.get_deploy_steps"
	CmdExecuteDeployStep  = "deploy.execute_deploy_step"
	CmdGetServiceSteps    = "service.get_service_steps"
	CmdExecuteServiceStep = "service.execute_service_step"
	CmdInstallBootloader  = "image.install_bootloader"
	CmdGetHardwareInfo    = "poll.get_hardware_info"
	CmdSetNodeInfo        = "poll.set_node_info"
	CmdCollectSystemLogs  = "log.collect_system_logs"
	CmdLockdown           = "system.lockdown"
	CmdFinalizeRescue     = "rescue.finalize_rescue"
)

// Command is the body of POST /v1/commands/.
type Command struct {
	Name   string         `json:"name"` // "<extension>.<command>"
	Params map[string]any `json:"params"`
	// ID (Ferric) makes the command idempotent: derive it from the plan and the step. A stock agent ignores it
	// and answers with an id of its own.
	ID string `json:"id,omitempty"`
	// Epoch (Ferric) is the sender's fencing epoch on the node; 0 means unfenced.
	Epoch int64 `json:"epoch,omitempty"`
}

// CommandRequest is Command as the agent reads it, with the parameters not yet decoded.
type CommandRequest struct {
	Name   string                     `json:"name"`
	Params map[string]json.RawMessage `json:"params"`
	ID     string                     `json:"id,omitempty"`
	Epoch  int64                      `json:"epoch,omitempty"`
}

// CommandStatus is where a command is.
type CommandStatus string

// The statuses. An agent whose hardware managers changed since the steps were listed answers
// StatusVersionMismatch; the conductor then lists the steps again.
const (
	StatusRunning         CommandStatus = "RUNNING"
	StatusSucceeded       CommandStatus = "SUCCEEDED"
	StatusFailed          CommandStatus = "FAILED"
	StatusVersionMismatch CommandStatus = "CLEAN_VERSION_MISMATCH"
)

// Done reports whether the command will not change any more.
func (s CommandStatus) Done() bool { return s != StatusRunning && s != "" }

// CommandResult is a command as the agent reports it. CommandName is without the extension: "prepare_image".
type CommandResult struct {
	ID            string          `json:"id"`
	CommandName   string          `json:"command_name"`
	CommandStatus CommandStatus   `json:"command_status"`
	CommandError  *CommandError   `json:"command_error"`
	CommandResult json.RawMessage `json:"command_result"` // null, {"result": "text"} or an object per command
	// Ferric carries the progress of a running command.
	Ferric *Extension `json:"ferric,omitempty"`
}

// Decode reads the result object into v.
func (r CommandResult) Decode(v any) error {
	if err := json.Unmarshal(r.CommandResult, v); err != nil {
		return ferric.Errorf(ferric.CodeInvalid, "result of agent command %s: %w", r.CommandName, err)
	}
	return nil
}

// CommandResults is the answer of GET /v1/commands/, oldest first.
type CommandResults struct {
	Commands []CommandResult `json:"commands"`
}

// CommandError is why a command failed. Type is the name of ironic-python-agent's error class.
type CommandError struct {
	Type    string `json:"type"`
	Code    int    `json:"code"` // as an HTTP status
	Message string `json:"message"`
	Details string `json:"details"`
}

// UnmarshalJSON also accepts {"error": "text"} and a bare string, which agents send for some failures.
func (e *CommandError) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*e = CommandError{Message: text}
		return nil
	}
	var w struct {
		Type    any `json:"type"`
		Code    any `json:"code"`
		Message any `json:"message"`
		Details any `json:"details"`
		Error   any `json:"error"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	str := func(v any) string {
		switch v := v.(type) {
		case nil:
			return ""
		case string:
			return v
		}
		return fmt.Sprint(v)
	}
	*e = CommandError{Type: str(w.Type), Message: str(w.Message), Details: str(w.Details)}
	if n, ok := w.Code.(float64); ok {
		e.Code = int(n)
	}
	if e.Message == "" {
		e.Message = str(w.Error)
	}
	return nil
}

// Text returns the most telling text: the details, else the message.
func (e *CommandError) Text() string {
	if e.Details != "" {
		return e.Details
	}
	return e.Message
}

// The error types that Ferric's agent sends; the names are ironic-python-agent's.
const (
	TypeInvalidCommand       = "InvalidCommandError"
	TypeInvalidCommandParams = "InvalidCommandParamsError"
	TypeNotFound             = "RequestedObjectNotFoundError"
	TypeCommandExecution     = "CommandExecutionError"
	TypeBusy                 = "AgentIsBusy"
	TypeDeviceNotFound       = "DeviceNotFound"
	TypeImageDownload        = "ImageDownloadError"
	TypeImageChecksum        = "ImageChecksumError"
	TypeImageWrite           = "ImageWriteError"
	TypeInvalidImage         = "InvalidImage"
	TypeDownloadNoSpace      = "ImageDownloadOutofSpaceError"
	TypeBlockDeviceErase     = "BlockDeviceEraseError"
	TypeProtectedDevice      = "ProtectedDeviceError"
	TypeCleaning             = "CleaningError"
	TypeDeployment           = "DeploymentError"
	TypeServicing            = "ServicingError"
	TypeVersionMismatch      = "VersionMismatch"
	TypeClockSync            = "ClockSyncError"
	TypeSystemReboot         = "SystemRebootError"
	TypeStaleEpoch           = "StaleEpochError" // Ferric
)

// FerricCode returns the code that fits the error's type.
func (e *CommandError) FerricCode() ferric.Code {
	switch e.Type {
	case TypeInvalidCommand, TypeInvalidCommandParams, "InvalidContentError", "TypeError":
		return ferric.CodeInvalid
	case TypeNotFound, TypeDeviceNotFound, "NotFound":
		return ferric.CodeNotFound
	case TypeBusy:
		return ferric.CodeBusy
	case TypeImageDownload, "ImageDownloadFatalError":
		return ferric.CodeUnavailable
	case "ImageDownloadTimeoutError":
		return ferric.CodeTimeout
	case TypeImageChecksum, TypeInvalidImage:
		return ferric.CodeCorrupt
	case TypeDownloadNoSpace:
		return ferric.CodeNoSpace
	case TypeVersionMismatch, TypeProtectedDevice:
		return ferric.CodeConflict
	case TypeStaleEpoch:
		return ferric.CodeStale
	}
	return ferric.CodeInternal
}

// CommandFailed is the error for a command that the agent ran and that failed. errors.As finds it; its
// ferric.Code follows from the error's type.
type CommandFailed struct {
	Command string // "standby.prepare_image"
	Result  CommandResult
}

// Error says which command failed and the agent's reason.
func (e *CommandFailed) Error() string {
	text := "no reason given"
	if e.Result.CommandError != nil {
		text = e.Result.CommandError.Text()
	}
	return fmt.Sprintf("agent command %s failed: %s", e.Command, text)
}

// Unwrap gives the error its code.
func (e *CommandFailed) Unwrap() error {
	code := ferric.CodeInternal
	if e.Result.CommandError != nil {
		code = e.Result.CommandError.FerricCode()
	}
	return &ferric.Error{Code: code, Message: e.Error()}
}

// Fault is the body of an HTTP error answer of the agent.
type Fault struct {
	FaultCode   string `json:"faultcode"` // "Client" or "Server"
	FaultString string `json:"faultstring"`
	// Ferric is a ferric.Code, so that a stale epoch can be told from a busy agent (both are 409).
	Ferric ferric.Code `json:"ferric,omitempty"`
}
