package state

import "ferric"

// Transition is one row of the provision state machine.
type Transition struct {
	From  ferric.ProvisionState
	Event Event
	To    ferric.ProvisionState
}

// Transitions returns the whole machine, grouped by the state that is left. The caller owns the slice.
func Transitions() []Transition {
	return []Transition{
		{ferric.Enroll, Manage, ferric.Verifying},

		{ferric.Verifying, Done, ferric.Manageable},
		{ferric.Verifying, Fail, ferric.Enroll},

		{ferric.Manageable, Provide, ferric.Cleaning},
		{ferric.Manageable, Clean, ferric.Cleaning},
		{ferric.Manageable, Inspect, ferric.Inspecting},
		{ferric.Manageable, Adopt, ferric.Adopting},

		{ferric.Available, Deploy, ferric.Deploying},
		{ferric.Available, Manage, ferric.Manageable},

		{ferric.Deploying, Fail, ferric.DeployFailed},
		{ferric.Deploying, Wait, ferric.DeployWait},
		{ferric.Deploying, Hold, ferric.DeployHold},
		{ferric.Deploying, Done, ferric.Active},

		{ferric.DeployWait, Hold, ferric.DeployHold},
		{ferric.DeployWait, Resume, ferric.Deploying},
		{ferric.DeployWait, Fail, ferric.DeployFailed},
		{ferric.DeployWait, Abort, ferric.DeployFailed},
		{ferric.DeployWait, Delete, ferric.Deleting},

		{ferric.DeployHold, Unhold, ferric.DeployWait},
		{ferric.DeployHold, Abort, ferric.DeployFailed},

		{ferric.DeployFailed, Rebuild, ferric.Deploying},
		{ferric.DeployFailed, Deploy, ferric.Deploying},
		{ferric.DeployFailed, Delete, ferric.Deleting},

		{ferric.Active, Rebuild, ferric.Deploying},
		{ferric.Active, Delete, ferric.Deleting},
		{ferric.Active, Rescue, ferric.Rescuing},
		{ferric.Active, Service, ferric.Servicing},

		{ferric.Deleting, Fail, ferric.ErrorState},
		{ferric.Deleting, Clean, ferric.Cleaning},

		{ferric.ErrorState, Rebuild, ferric.Deploying},
		{ferric.ErrorState, Delete, ferric.Deleting},

		{ferric.Cleaning, Done, ferric.Available},
		{ferric.Cleaning, Fail, ferric.CleanFailed},
		{ferric.Cleaning, Wait, ferric.CleanWait},
		{ferric.Cleaning, Hold, ferric.CleanHold},
		{ferric.Cleaning, Manage, ferric.Manageable},

		{ferric.CleanWait, Fail, ferric.CleanFailed},
		{ferric.CleanWait, Abort, ferric.CleanFailed},
		{ferric.CleanWait, Hold, ferric.CleanHold},
		{ferric.CleanWait, Resume, ferric.Cleaning},

		{ferric.CleanHold, Abort, ferric.CleanFailed},
		{ferric.CleanHold, Unhold, ferric.CleanWait},

		{ferric.CleanFailed, Manage, ferric.Manageable},

		{ferric.Inspecting, Done, ferric.Manageable},
		{ferric.Inspecting, Fail, ferric.InspectFailed},
		{ferric.Inspecting, Wait, ferric.InspectWait},

		{ferric.InspectWait, Done, ferric.Manageable},
		{ferric.InspectWait, Fail, ferric.InspectFailed},
		{ferric.InspectWait, Abort, ferric.InspectFailed},
		{ferric.InspectWait, Resume, ferric.Inspecting},

		{ferric.InspectFailed, Manage, ferric.Manageable},
		{ferric.InspectFailed, Inspect, ferric.Inspecting},

		{ferric.Adopting, Done, ferric.Active},
		{ferric.Adopting, Fail, ferric.AdoptFailed},

		{ferric.AdoptFailed, Adopt, ferric.Adopting},
		{ferric.AdoptFailed, Manage, ferric.Manageable},

		{ferric.Rescuing, Done, ferric.Rescue},
		{ferric.Rescuing, Wait, ferric.RescueWait},
		{ferric.Rescuing, Fail, ferric.RescueFailed},

		{ferric.RescueWait, Resume, ferric.Rescuing},
		{ferric.RescueWait, Fail, ferric.RescueFailed},
		{ferric.RescueWait, Abort, ferric.RescueFailed},
		{ferric.RescueWait, Delete, ferric.Deleting},

		{ferric.Rescue, Rescue, ferric.Rescuing},
		{ferric.Rescue, Delete, ferric.Deleting},
		{ferric.Rescue, Unrescue, ferric.Unrescuing},

		{ferric.RescueFailed, Rescue, ferric.Rescuing},
		{ferric.RescueFailed, Unrescue, ferric.Unrescuing},
		{ferric.RescueFailed, Delete, ferric.Deleting},

		{ferric.Unrescuing, Done, ferric.Active},
		{ferric.Unrescuing, Fail, ferric.UnrescueFailed},

		{ferric.UnrescueFailed, Rescue, ferric.Rescuing},
		{ferric.UnrescueFailed, Unrescue, ferric.Unrescuing},
		{ferric.UnrescueFailed, Delete, ferric.Deleting},

		{ferric.Servicing, Done, ferric.Active},
		{ferric.Servicing, Fail, ferric.ServiceFailed},
		{ferric.Servicing, Wait, ferric.ServiceWait},
		{ferric.Servicing, Hold, ferric.ServiceHold},

		{ferric.ServiceWait, Hold, ferric.ServiceHold},
		{ferric.ServiceWait, Resume, ferric.Servicing},
		{ferric.ServiceWait, Fail, ferric.ServiceFailed},
		{ferric.ServiceWait, Abort, ferric.ServiceFailed},
		{ferric.ServiceWait, Delete, ferric.Deleting},

		{ferric.ServiceHold, Service, ferric.Servicing},
		{ferric.ServiceHold, Unhold, ferric.ServiceWait},
		{ferric.ServiceHold, Fail, ferric.ServiceFailed},
		{ferric.ServiceHold, Abort, ferric.ServiceFailed},

		{ferric.ServiceFailed, Service, ferric.Servicing},
		{ferric.ServiceFailed, Rescue, ferric.Rescuing},
		{ferric.ServiceFailed, Wait, ferric.ServiceWait},
		{ferric.ServiceFailed, Hold, ferric.ServiceHold},
		{ferric.ServiceFailed, Delete, ferric.Deleting},
		{ferric.ServiceFailed, Abort, ferric.Active},
	}
}
