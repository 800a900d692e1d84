package conductor

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
)

// A machine may lose its power, hang or crash while its agent works. The command that ran then is gone: it lives in the agent's memory, and an agent of
// a new boot has neither the token of the old one nor its commands. Whether the command had done its work is not known, so what follows depends on
// the step:
//
//   - a step that may be run again whatever it had done (Repeat safe) is given up, the machine is started into the ramdisk anew, and the step is put
//     behind that, with a new command. The machine is powered off first, so that nothing of the old command can still run;
//   - any other step (a firmware update, a step of a vendor's that nothing is known of) fails with a text that says so: people must look.
//
// It does so conductor.Config.AgentRestarts times in an operation, so that a machine that dies of its deploy does not do so for ever.

const stepRestart = "restart_ramdisk"

// afterLoss decides what becomes of a step whose agent is gone. It returns the error as it is unless the step may be begun anew.
func (p *program) afterLoss(t *driver.Task, cause error) (flow.Outcome, error) {
	var lost *driver.CommandLost
	s, op := t.Flow.Step, t.Flow.Op
	if !errors.As(cause, &lost) || p.own[stepRestart] == nil || t.Flow.CleanUp {
		return flow.Outcome{}, cause
	}
	anew, unsafe := undone(p.phase, op)
	if unsafe != "" {
		return flow.Outcome{}, ferric.Errorf(ferric.ErrorCode(cause), "%w. Whether step %s was done is not known, and to run it twice may do harm: "+
			"look at the machine, then start the %s again", cause, unsafe, op.Kind)
	}
	if n := op.GivenUp(); n >= p.c.AgentRestarts {
		if n > 0 {
			cause = ferric.Errorf(ferric.ErrorCode(cause), "%w. The machine was started anew %d times before in this %s (deploy.agent_restarts): "+
				"is its power supply in order, and does it run out of memory?", cause, n, op.Kind)
		}
		return flow.Outcome{}, cause
	}
	t.Log.Warn("the agent is gone in the middle of a command; the machine is started anew and the step repeated", "error", cause, "step", s.Name)
	return flow.Again(cause.Error(), append([]flow.Step{hidden(stepRestart, flow.Safe)}, anew...)...), nil
}

// undone returns copies of the steps that must be run, or run again, after the machine died in the step under way. That is the step itself and,
// until the disks are told to keep what they have (the agent's sync, in tear_down_agent), everything from the writing of the image on: what was written
// may have been in a cache only. unsafe names one that must not be run twice.
func undone(phase driver.Phase, op *flow.Operation) (anew []flow.Step, unsafe string) {
	from := op.Cursor
	if phase == driver.DeployPhase {
		i := slices.IndexFunc(op.Steps[:op.Cursor], func(s flow.Step) bool {
			return s.Interface == string(ferric.KindDeploy) && s.Name == "write_image" && s.Status == flow.Succeeded
		})
		if i >= 0 {
			from = i
		}
	}
	for _, s := range op.Steps[from : op.Cursor+1] {
		if s.Status == flow.Skipped || s.Name == stepRestart || s.CleanUp {
			continue
		}
		if s.Repeat != flow.Safe && s.Source != reservedSource { // a reboot in the ramdisk is one more
			return nil, s.Interface + "." + s.Name
		}
		anew = append(anew, flow.Step{Interface: s.Interface, Name: s.Name, Priority: s.Priority, Args: s.Args, Repeat: s.Repeat, Hidden: s.Hidden,
			Source: s.Source, Info: s.Info})
	}
	return anew, ""
}

// agentRepeat says how a step that an agent offers may be repeated after the machine died in its middle. A conductor's death is another matter: the agent
// goes on, and is asked by the command's id. What may be repeated is known by name:
//
//   - write_image writes the whole image anew, over whatever there is;
//   - erase_devices begins every disk from its start. A secure erase that was cut short leaves an ATA disk locked with a password that agents know and
//     unlock it by, and NVMe's format is simply given again;
//   - erase_devices_metadata, erase_devices_express, erase_pstore and clean_uefi_nvram remove things; to remove what is gone already does nothing;
//   - burn-in only exercises the machine.
func agentRepeat(s agentapi.Step) flow.Repeat {
	switch s.Step {
	case "write_image", "erase_devices", "erase_devices_metadata", "erase_devices_express", "erase_pstore", "clean_uefi_nvram",
		"burnin_cpu", "burnin_disk", "burnin_memory":
		if s.Interface == string(ferric.KindDeploy) {
			return flow.Safe
		}
	}
	return flow.Check
}

// Gone implements driver.Agent.
func (a *agentConn) Gone(ctx context.Context) string {
	s, err := a.Session(ctx)
	if err != nil {
		return "" // the next look may tell
	}
	if !s.LastHeartbeat.IsZero() && s.LookedUpAt.After(s.LastHeartbeat) {
		return "the machine was started again: an agent looked its node up at " + s.LookedUpAt.UTC().Format(time.RFC3339) +
			", after the last call of the one that was given the command"
	}
	if power, err := a.task.Set.Power().PowerState(ctx, a.task.Machine); err == nil && power == ferric.PowerOff {
		return "the machine is off"
	}
	return ""
}

// forgotten is the error of a command that the agent was at before and does not know any more.
func forgotten(name, id string) error {
	return &driver.CommandLost{Command: name, Err: ferric.Errorf(ferric.CodeUnavailable, "the agent does not know the command %s (%s) any more that it was given: "+
		"it was started again", name, strconv.Quote(id))}
}
