package agent

import (
	"context"
	"encoding/json"
	"reflect"

	"ferric"
	"ferric/agent/clean"
	"ferric/agent/command"
	"ferric/agentapi"
)

const (
	managerName    = "ferric_agent"
	managerVersion = "1"
)

// versions name the program that knows the steps. A conductor sends them back with each step.
func versions() map[string]any { return map[string]any{managerName: managerVersion} }

// step is one step that the agent offers.
type step struct {
	agentapi.Step
	run func(context.Context, stepCall) (any, error)
}

type stepCall struct {
	command.Call
	node    agentapi.LookupNode
	raw     json.RawMessage // the node as it came
	options clean.Options
	args    command.Params
}

func (a *Agent) steps(kind agentapi.StepKind) []step {
	erase := func(name string, priority int, f func(context.Context, clean.Run) error) step {
		return step{
			Step: agentapi.Step{Step: name, Interface: "deploy", Priority: priority, Abortable: kind == agentapi.CleanStep},
			run: func(ctx context.Context, c stepCall) (any, error) {
				return nil, f(ctx, clean.Run{Options: c.options, Log: c.Log, Progress: c.Progress})
			},
		}
	}
	nvram := step{Step: agentapi.Step{Step: "clean_uefi_nvram", Interface: "deploy", Abortable: kind == agentapi.CleanStep, ArgsInfo: map[string]agentapi.StepArgument{
		"match_patterns": {Description: "List of regular expressions; UEFI boot entries whose device path matches one are deleted. Default: entries on hard disks, shim and GRUB."},
	}}, run: a.cleanNVRAM}
	write := step{Step: agentapi.Step{Step: "write_image", Interface: "deploy"}, run: a.writeImageStep}
	switch kind {
	case agentapi.CleanStep:
		pstore := erase("erase_pstore", 0, func(context.Context, clean.Run) error { return clean.ErasePStore(a.m.PStore) })
		return []step{erase("erase_devices", 10, a.cleaner.All), erase("erase_devices_metadata", 99, a.cleaner.Metadata), erase("erase_devices_express", 0, a.cleaner.Express), pstore, nvram}
	case agentapi.DeployStep:
		return []step{erase("erase_devices_metadata", 0, a.cleaner.Metadata), nvram, write}
	case agentapi.ServiceStep:
		return []step{write}
	}
	return nil
}

func (a *Agent) getSteps(kind agentapi.StepKind) func(context.Context, command.Call) (any, error) {
	return func(_ context.Context, c command.Call) (any, error) {
		if _, _, err := a.takeNode(c.Params); err != nil {
			return nil, err
		}
		list := []agentapi.Step{}
		for _, s := range a.steps(kind) {
			list = append(list, s.Step)
		}
		return map[string]any{string(kind) + "_steps": map[string]any{managerName: list}, "hardware_manager_version": versions()}, nil
	}
}

// takeNode reads the parameter node, which is newer than what the lookup said.
func (a *Agent) takeNode(p command.Params) (agentapi.LookupNode, json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !p.Has("node") {
		return a.node, nil, nil
	}
	var n agentapi.LookupNode
	if err := p.Decode("node", &n); err != nil {
		return n, nil, err
	}
	if n.UUID != "" && n.UUID != a.node.UUID {
		return n, nil, command.Failf(agentapi.TypeInvalidCommandParams, "the node %s is not this machine's (%s)", n.UUID, a.node.UUID)
	}
	n.UUID = a.node.UUID
	a.node = n
	return n, p["node"], nil
}

func checkStep(kind agentapi.StepKind) func(command.Params) error {
	return func(p command.Params) error {
		var s agentapi.Step
		if err := p.Require("step", &s); err != nil {
			return err
		}
		if s.Step == "" {
			return command.Failf(agentapi.TypeInvalidCommandParams, "Malformed %s_step, no \"step\" key", kind)
		}
		return nil
	}
}

func (a *Agent) executeStep(kind agentapi.StepKind) func(context.Context, command.Call) (any, error) {
	return func(ctx context.Context, c command.Call) (any, error) {
		var have map[string]any
		if err := c.Params.Decode(string(kind)+"_version", &have); err != nil {
			return nil, err
		}
		if have != nil && !reflect.DeepEqual(have, versions()) {
			return nil, command.Failf(agentapi.TypeVersionMismatch, "Current versions: %v, versions used by the conductor: %v", versions(), have)
		}
		node, raw, err := a.takeNode(c.Params)
		if err != nil {
			return nil, err
		}
		var wanted struct {
			Step string         `json:"step"`
			Args command.Params `json:"args"`
		}
		if err := c.Params.Require("step", &wanted); err != nil {
			return nil, err
		}
		for _, s := range a.steps(kind) {
			if s.Step.Step != wanted.Step {
				continue
			}
			options, err := clean.ParseOptions(raw)
			if err != nil {
				return nil, err
			}
			options.Guard = options.Guard && a.p.Guard
			call := stepCall{Call: c, node: node, raw: raw, options: options, args: stepArgs(c.Params, wanted.Args, kind)}
			call.Log = c.Log.With("step", wanted.Step)
			result, err := s.run(ctx, call)
			if err != nil {
				return nil, stepFailure(kind, err)
			}
			return map[string]any{string(kind) + "_result": result, string(kind) + "_step": c.Params["step"]}, nil
		}
		return nil, command.Failf(failureType(kind), "the agent has no %s step %q", kind, wanted.Step)
	}
}

// stepArgs are the step's own arguments and, for old conductors, those beside it.
func stepArgs(params, args command.Params, kind agentapi.StepKind) command.Params {
	out := command.Params{}
	for k, v := range params {
		if k != "step" && k != "node" && k != "ports" && k != string(kind)+"_version" {
			out[k] = v
		}
	}
	for k, v := range args {
		out[k] = v
	}
	return out
}

func failureType(kind agentapi.StepKind) string {
	switch kind {
	case agentapi.CleanStep:
		return agentapi.TypeCleaning
	case agentapi.DeployStep:
		return agentapi.TypeDeployment
	}
	return agentapi.TypeServicing
}

// stepFailure keeps a failure that says what it is and gives others the kind's type.
func stepFailure(kind agentapi.StepKind, err error) error {
	if command.IsFailure(err) || ferric.IsCode(err, ferric.CodeInvalid) {
		return err
	}
	return command.Failf(failureType(kind), "%w", err)
}

func (a *Agent) writeImageStep(ctx context.Context, c stepCall) (any, error) {
	var info agentapi.ImageInfo
	var drive string
	if err := c.args.Require("image_info", &info); err != nil {
		return nil, err
	}
	if err := c.args.Decode("configdrive", &drive); err != nil {
		return nil, err
	}
	text, err := a.writeImage(ctx, c.Call, c.node, c.raw, info, drive, false)
	if err != nil {
		return nil, err
	}
	return map[string]string{"result": "prepare_image: " + text}, nil
}

func (a *Agent) cleanNVRAM(_ context.Context, c stepCall) (any, error) {
	patterns := []string{`^HD\(`, `shim.*\.efi`, `grub.*\.efi`}
	if err := c.args.Decode("match_patterns", &patterns); err != nil {
		return nil, err
	}
	return nil, a.m.CleanNVRAM(patterns)
}
