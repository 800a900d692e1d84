package state

import "ferric"

// All returns every provision state that a node can be in, each once.
func All() []ferric.ProvisionState {
	var all []ferric.ProvisionState
	seen := map[ferric.ProvisionState]bool{}
	for _, t := range Transitions() {
		for _, s := range []ferric.ProvisionState{t.From, t.To} {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return all
}

// Stable reports whether a node stays in the state until somebody asks for a change.
func Stable(s ferric.ProvisionState) bool {
	switch s {
	case ferric.Enroll, ferric.Manageable, ferric.Available, ferric.Active, ferric.ErrorState, ferric.Rescue:
		return true
	}
	return false
}

// Waiting reports whether the state waits for the machine or for its agent.
func Waiting(s ferric.ProvisionState) bool {
	switch s {
	case ferric.DeployWait, ferric.CleanWait, ferric.InspectWait, ferric.RescueWait, ferric.ServiceWait:
		return true
	}
	return false
}

// Held reports whether the state waits for the operator's unhold.
func Held(s ferric.ProvisionState) bool {
	return s == ferric.DeployHold || s == ferric.CleanHold || s == ferric.ServiceHold
}

// Failed reports whether the state is the end of something that failed.
func Failed(s ferric.ProvisionState) bool {
	switch s {
	case ferric.DeployFailed, ferric.CleanFailed, ferric.InspectFailed, ferric.AdoptFailed, ferric.RescueFailed,
		ferric.UnrescueFailed, ferric.ServiceFailed:
		return true
	}
	return false
}

// Transient reports whether an operation is at work on a node in the state.
func Transient(s ferric.ProvisionState) bool { return !Stable(s) && !Failed(s) && !Held(s) }

// DeleteAllowed reports whether a node in the state may be deleted.
func DeleteAllowed(s ferric.ProvisionState) bool {
	return s == ferric.Manageable || s == ferric.Enroll || s == ferric.AdoptFailed || s == ferric.Available
}

// UpdateAllowed reports whether a node in the state may be updated although it is on its way to a target.
func UpdateAllowed(s ferric.ProvisionState) bool {
	switch s {
	case ferric.DeployFailed, ferric.Inspecting, ferric.InspectFailed, ferric.InspectWait, ferric.CleanFailed, ferric.ErrorState,
		ferric.Verifying, ferric.AdoptFailed, ferric.RescueFailed, ferric.UnrescueFailed, ferric.ServiceHold, ferric.ServiceFailed:
		return true
	}
	return Stable(s)
}

// LookupAllowed reports whether an agent is expected on a node in the state.
func LookupAllowed(s ferric.ProvisionState) bool {
	switch s {
	case ferric.Deploying, ferric.DeployWait, ferric.Cleaning, ferric.CleanWait, ferric.Inspecting, ferric.InspectWait,
		ferric.Rescuing, ferric.RescueWait, ferric.Servicing, ferric.ServiceWait:
		return true
	}
	return false
}
