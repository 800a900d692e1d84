package main

import (
	"fmt"
	"time"

	"ferric"
	"ferric/state"
)

// stage is a part of the story. The order is that of the constants.
type stage int

const (
	enrol stage = iota
	manage
	inspect
	provide
	deploy
	login
	undeploy
	finished
)

// stageInfo says what a stage is.
type stageInfo struct {
	name    string
	title   string
	verb    string                // of `openstack baremetal node`, "" if the stage is not a single verb
	goal    ferric.ProvisionState // where the verb leads to
	timeout time.Duration         // generous: machines without KVM on a busy host
}

func (s stage) info() stageInfo {
	return []stageInfo{
		enrol:    {name: "enrol", title: "Enrol the servers: BMC and network card", goal: ferric.Enroll, timeout: 5 * time.Minute},
		manage:   {name: "manage", title: "Manage: check that the BMCs can be used", verb: "manage", goal: ferric.Manageable, timeout: 5 * time.Minute},
		inspect:  {name: "inspect", title: "Inspect: boot the ramdisk, find out what is inside", verb: "inspect", goal: ferric.Manageable, timeout: 20 * time.Minute},
		provide:  {name: "provide", title: "Provide: clean the disks, make available", verb: "provide", goal: ferric.Available, timeout: 20 * time.Minute},
		deploy:   {name: "deploy", title: "Deploy Debian with a config drive", verb: "deploy", goal: ferric.Active, timeout: 40 * time.Minute},
		login:    {name: "login", title: "Log in: console prompt, then SSH with the injected key", timeout: 15 * time.Minute},
		undeploy: {name: "undeploy", title: "Undeploy: power off, wipe, make available again", verb: "undeploy", goal: ferric.Available, timeout: 30 * time.Minute},
		finished: {name: "finished"},
	}[s]
}

// start says where a node enters the story.
type start struct {
	stage   stage
	waiting bool     // the stage's verb was given by an earlier run and is still under way
	remove  bool     // the node is there from a finished run: delete it first
	force   bool     // that takes maintenance: the node is in a state in which nodes are not deleted
	unset   bool     // the node is in maintenance, take it out first
	verbs   []string // verbs to give first
}

// begin says where the story of a node that an earlier run left goes on. done: that run came to its end, so what the
// node has become since is somebody's trial, and the story begins anew; the state must not be a transient one then.
func begin(at ferric.ProvisionState, maintenance, done bool) (start, error) {
	if done && at != "" {
		return start{stage: enrol, remove: true, force: !state.DeleteAllowed(at) && !maintenance}, nil
	}
	s := start{unset: maintenance}
	switch at {
	case "":
		return start{stage: enrol}, nil
	case ferric.Enroll:
		s.stage = enrol
	case ferric.Verifying:
		s.stage, s.waiting = manage, true
	case ferric.Manageable, ferric.InspectFailed:
		s.stage = inspect
	case ferric.Inspecting, ferric.InspectWait:
		s.stage, s.waiting = inspect, true
	case ferric.CleanFailed:
		s.stage, s.verbs = provide, []string{"manage"}
	case ferric.Cleaning, ferric.CleanWait, ferric.Deleting:
		s.stage, s.waiting = provide, true
	case ferric.Available:
		s.stage = deploy
	case ferric.Deploying, ferric.DeployWait:
		s.stage, s.waiting = deploy, true
	case ferric.DeployFailed:
		s.stage = deploy
	case ferric.Active:
		s.stage = login
	case ferric.ErrorState:
		s.stage = undeploy
	default:
		return start{}, fmt.Errorf("it is in state %q, which the demo does not bring about; remove everything with --down, or bring it to available", at)
	}
	return s, nil
}

// verdict is what a node's state means for the stage that it is in.
type verdict int

const (
	goesOn verdict = iota
	reached
	failed
)

// judge compares a node's state with a stage's goal. It must not be asked before the verb was accepted: only then does
// the goal mean that the stage is over.
func (s stage) judge(n node) verdict {
	at := ferric.ProvisionState(n.ProvisionState)
	switch {
	case at == s.info().goal:
		return reached
	case state.Failed(at), at == ferric.ErrorState, s == manage && at == ferric.Enroll:
		return failed
	}
	return goesOn
}
