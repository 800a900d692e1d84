package agentapi

import (
	"encoding/json"
	"sort"

	"ferric"
)

// StepKind is the family that a step belongs to; it is part of command and key names on the wire.
type StepKind string

// The kinds.
const (
	CleanStep   StepKind = "clean"
	DeployStep  StepKind = "deploy"
	ServiceStep StepKind = "service"
)

// Step is one clean, deploy or service step.
type Step struct {
	Step            string                  `json:"step"`
	Interface       string                  `json:"interface"` // "deploy", "raid" …
	Priority        int                     `json:"priority"`  // 0: not run automatically
	Args            map[string]any          `json:"args,omitempty"`
	Abortable       bool                    `json:"abortable,omitempty"`
	RebootRequested bool                    `json:"reboot_requested"`
	ArgsInfo        map[string]StepArgument `json:"argsinfo,omitempty"`
	RequiresRamdisk *bool                   `json:"requires_ramdisk,omitempty"`
}

// StepArgument documents one argument of a step.
type StepArgument struct {
	Description string `json:"description"`
	Required    bool   `json:"required,omitempty"`
}

// Steps is the result of <kind>.get_<kind>_steps.
type Steps struct {
	// Steps are all managers' steps, highest priority first, then by name.
	Steps []Step
	// Versions maps hardware manager to version. Send it back with every step: an agent that has changed answers
	// StatusVersionMismatch.
	Versions map[string]any
}

// DecodeSteps reads the result of the command that lists steps of the kind.
func DecodeSteps(kind StepKind, r CommandResult) (Steps, error) {
	var m map[string]json.RawMessage
	if err := r.Decode(&m); err != nil {
		return Steps{}, err
	}
	key := string(kind) + "_steps"
	for _, k := range []string{key, "hardware_manager_version"} {
		if _, ok := m[k]; !ok {
			return Steps{}, ferric.Errorf(ferric.CodeInvalid, "agent's answer to %s: the field %s is missing", r.CommandName, k)
		}
	}
	var byManager map[string][]Step
	if err := json.Unmarshal(m[key], &byManager); err != nil {
		return Steps{}, ferric.Errorf(ferric.CodeInvalid, "agent's answer to %s: %s: %w", r.CommandName, key, err)
	}
	var out Steps
	for _, steps := range byManager {
		out.Steps = append(out.Steps, steps...)
	}
	sort.SliceStable(out.Steps, func(i, j int) bool {
		a, b := out.Steps[i], out.Steps[j]
		if a.Priority != b.Priority {
			return a.Priority > b.Priority
		}
		return a.Step < b.Step
	})
	if err := json.Unmarshal(m["hardware_manager_version"], &out.Versions); err != nil {
		return Steps{}, ferric.Errorf(ferric.CodeInvalid, "agent's answer to %s: hardware_manager_version: %w", r.CommandName, err)
	}
	return out, nil
}

// StepResult is the result of <kind>.execute_<kind>_step.
type StepResult struct {
	Result json.RawMessage // what the step returned
	Step   Step            // the step that ran
}

// DecodeStepResult reads the result of the command that runs a step of the kind.
func DecodeStepResult(kind StepKind, r CommandResult) (StepResult, error) {
	var m map[string]json.RawMessage
	if err := r.Decode(&m); err != nil {
		return StepResult{}, err
	}
	out := StepResult{Result: m[string(kind)+"_result"]}
	if raw, ok := m[string(kind)+"_step"]; ok {
		if err := json.Unmarshal(raw, &out.Step); err != nil {
			return StepResult{}, ferric.Errorf(ferric.CodeInvalid, "agent's answer to %s: %s_step: %w", r.CommandName, kind, err)
		}
	}
	return out, nil
}

// GetSteps is the command that lists the steps of the kind. node and ports are the node and its ports as the
// API shows them.
func GetSteps(kind StepKind, node any, ports any) Command {
	return Command{
		Name:   string(kind) + ".get_" + string(kind) + "_steps",
		Params: map[string]any{"node": node, "ports": orEmptyList(ports)},
	}
}

// ExecuteStep is the command that runs one step of the kind. versions is Steps.Versions, nil to skip the check.
func ExecuteStep(kind StepKind, step Step, node any, ports any, versions map[string]any) Command {
	params := map[string]any{"step": step, "node": node, "ports": orEmptyList(ports), string(kind) + "_version": nil}
	if versions != nil {
		params[string(kind)+"_version"] = versions
	}
	return Command{Name: string(kind) + ".execute_" + string(kind) + "_step", Params: params}
}

func orEmptyList(v any) any {
	if v == nil {
		return []any{}
	}
	return v
}
