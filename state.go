package ferric

// PowerState is a machine's power state, or the target of a power request. "" is unknown.
type PowerState string

// Power states and targets. The soft ones ask the operating system.
const (
	PowerOn      PowerState = "power on"
	PowerOff     PowerState = "power off"
	Reboot       PowerState = "rebooting"
	SoftReboot   PowerState = "soft rebooting"
	SoftPowerOff PowerState = "soft power off"
)

// ProvisionState is a node's place in the provision state machine (see package state).
type ProvisionState string

// The provision states, with the names that the API shows.
const (
	Enroll         ProvisionState = "enroll"
	Verifying      ProvisionState = "verifying"
	Manageable     ProvisionState = "manageable"
	Available      ProvisionState = "available"
	Active         ProvisionState = "active"
	Deploying      ProvisionState = "deploying"
	DeployWait     ProvisionState = "wait call-back"
	DeployHold     ProvisionState = "deploy hold"
	DeployFailed   ProvisionState = "deploy failed"
	Deleting       ProvisionState = "deleting"
	Deleted        ProvisionState = "deleted" // only ever a target
	ErrorState     ProvisionState = "error"
	Cleaning       ProvisionState = "cleaning"
	CleanWait      ProvisionState = "clean wait"
	CleanHold      ProvisionState = "clean hold"
	CleanFailed    ProvisionState = "clean failed"
	Inspecting     ProvisionState = "inspecting"
	InspectWait    ProvisionState = "inspect wait"
	InspectFailed  ProvisionState = "inspect failed"
	Adopting       ProvisionState = "adopting"
	AdoptFailed    ProvisionState = "adopt failed"
	Rescuing       ProvisionState = "rescuing"
	RescueWait     ProvisionState = "rescue wait"
	Rescue         ProvisionState = "rescue"
	RescueFailed   ProvisionState = "rescue failed"
	Unrescuing     ProvisionState = "unrescuing"
	UnrescueFailed ProvisionState = "unrescue failed"
	Servicing      ProvisionState = "servicing"
	ServiceWait    ProvisionState = "service wait"
	ServiceHold    ProvisionState = "service hold"
	ServiceFailed  ProvisionState = "service failed"
)

// Fault is the reason why Ferric itself put a node into maintenance; "" if it did not.
type Fault string

// The faults, with Ironic's texts.
const (
	FaultPower       Fault = "power failure"
	FaultClean       Fault = "clean failure"
	FaultRescueAbort Fault = "rescue abort failure"
	FaultService     Fault = "service failure"
)

// BootDevice is where a machine boots from.
type BootDevice string

// Boot devices, with the names of Ironic's management interface.
const (
	BootPXE    BootDevice = "pxe"
	BootDisk   BootDevice = "disk"
	BootCDROM  BootDevice = "cdrom"
	BootBIOS   BootDevice = "bios"
	BootSafe   BootDevice = "safe"
	BootFloppy BootDevice = "floppy" // of virtual media only
)

// Boot modes.
const (
	BootModeBIOS = "bios"
	BootModeUEFI = "uefi"
)
