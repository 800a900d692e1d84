// Package rpc is the contract between the API and the conductors: the calls, their arguments and answers, as they
// travel over the bus. It has no behaviour.
//
// Every call may fail with ferric.CodeUnavailable (no conductor serves the node), CodeLocked (another one holds it),
// CodeBusy (no free worker) and CodeNotFound (no such node) besides what its comment names. Calls that start an operation
// answer once the plan is in the ledger, with the node's state already changed.
//
// # Concurrency
//
// Plain values only.
package rpc

import (
	"encoding/json"
	"time"

	"ferric"
)

// Method names a call. The subject on the bus is made from it and the conductor's host name.
type Method string

// The calls.
const (
	CreateNode    Method = "create_node"   // NodeArgs → ferric.Node
	UpdateNode    Method = "update_node"   // NodeArgs → ferric.Node; CodeConflict: Version is not the stored one
	DestroyNode   Method = "destroy_node"  // NodeRef → nothing
	ValidateNode  Method = "validate_node" // NodeRef → Validations
	ChangePower   Method = "change_power"  // PowerArgs → nothing
	Provision     Method = "provision"     // ProvisionArgs → nothing
	BootDevice    Method = "boot_device"   // NodeRef → BootDeviceReply
	SetBootDevice Method = "set_boot_device"
	BootDevices   Method = "boot_devices" // NodeRef → []ferric.BootDevice
	InjectNMI     Method = "inject_nmi"
	AttachVIF     Method = "attach_vif"
	DetachVIF     Method = "detach_vif"
	ListVIFs      Method = "list_vifs" // NodeRef → []VIF

	// What belongs to a node is changed under the node's lease, and goes to the node's conductor. CodeConflict: Version is not the stored one.
	UpdatePort             Method = "update_port"      // PortArgs → ferric.Port
	DestroyPort            Method = "destroy_port"     // PartRef → nothing
	UpdatePortgroup        Method = "update_portgroup" // PortgroupArgs → ferric.Portgroup
	DestroyPortgroup       Method = "destroy_portgroup"
	UpdateVolumeConnector  Method = "update_volume_connector" // VolumeConnectorArgs → ferric.VolumeConnector
	DestroyVolumeConnector Method = "destroy_volume_connector"
	UpdateVolumeTarget     Method = "update_volume_target" // VolumeTargetArgs → ferric.VolumeTarget
	DestroyVolumeTarget    Method = "destroy_volume_target"

	Lookup             Method = "lookup"    // NodeRef → LookupReply
	Heartbeat          Method = "heartbeat" // HeartbeatArgs → nothing; CodeInvalid: wrong token
	ContinueInspection Method = "continue_inspection"
	Discover           Method = "discover" // DiscoverArgs → LookupReply; CodeNotFound: the machine belongs to a node that expects no data

	Drivers Method = "drivers" // nothing → []Driver

	// CreateAllocation: AllocationArgs → ferric.Allocation, which a conductor then looks for a node for. With a node, that one is given to it
	// before the answer; CodeInvalid, CodeConflict: it is not fit, and the allocation stays behind as failed.
	CreateAllocation  Method = "create_allocation"
	DestroyAllocation Method = "destroy_allocation" // AllocationRef → nothing; CodeConflict: the node's state forbids it

	ExternalEvent Method = "external_event" // EventArgs → nothing
)

// NodeRef names a node and who asks.
type NodeRef struct {
	UUID string `json:"uuid"`
	Caller
}

// Caller is who asked, for history and the log. The request id travels in the bus's headers.
type Caller struct {
	User    string `json:"user,omitempty"`
	Project string `json:"project,omitempty"`
	// AllImages: administrators, and services that have asked in their user's name already, may use every project's images.
	AllImages bool `json:"all_images,omitempty"`
}

// NodeArgs creates or replaces a node.
type NodeArgs struct {
	Node *ferric.Node `json:"node"`
	// ResetInterfaces gives every interface that the patch did not name its default again, after a change of driver.
	ResetInterfaces bool     `json:"reset_interfaces,omitempty"`
	Named           []string `json:"named,omitempty"` // interface kinds that the patch named
	Caller
}

// PartRef names something that belongs to a node by its own UUID, and who asks.
type PartRef struct {
	UUID string `json:"uuid"`
	Caller
}

// PortArgs replaces a port. Its Version is the one that the change was made from.
type PortArgs struct {
	Port *ferric.Port `json:"port"`
	Caller
}

// PortgroupArgs replaces a port group, as PortArgs.
type PortgroupArgs struct {
	Portgroup *ferric.Portgroup `json:"portgroup"`
	Caller
}

// VolumeConnectorArgs replaces a volume connector, as PortArgs.
type VolumeConnectorArgs struct {
	Connector *ferric.VolumeConnector `json:"connector"`
	Caller
}

// VolumeTargetArgs replaces a volume target, as PortArgs.
type VolumeTargetArgs struct {
	Target *ferric.VolumeTarget `json:"target"`
	Caller
}

// PowerArgs asks for a power state. Timeout 0 is the configured one.
type PowerArgs struct {
	NodeRef
	Target  ferric.PowerState `json:"target"`
	Timeout time.Duration     `json:"timeout,omitempty"`
}

// ProvisionArgs asks for a provision verb, with the arguments that the verb takes.
type ProvisionArgs struct {
	NodeRef
	Target         string          `json:"target"`                // the API's word: active, deleted, manage, …
	ConfigDrive    json.RawMessage `json:"configdrive,omitempty"` // a JSON string (URL or base64 of a gzipped ISO) or object
	Steps          []StepArgs      `json:"steps,omitempty"`       // clean_steps, deploy_steps or service_steps
	DisableRamdisk bool            `json:"disable_ramdisk,omitempty"`
	RescuePassword string          `json:"rescue_password,omitempty"`
}

// StepArgs is a step that the operator asked for. Priority is nil where the order of the list counts.
type StepArgs struct {
	Interface string         `json:"interface"`
	Step      string         `json:"step"`
	Args      map[string]any `json:"args,omitempty"`
	Priority  *int           `json:"priority,omitempty"`
	Order     *int           `json:"order,omitempty"`
	// OnChildren lets every child node run the step instead of the node itself; Children names those that do, by UUID, if not all.
	OnChildren bool     `json:"execute_on_child_nodes,omitempty"`
	Children   []string `json:"limit_child_node_execution,omitempty"`
}

// Validations is the result of validating a node, per interface kind.
type Validations map[ferric.InterfaceKind]Validation

// Validation is the result for one kind.
type Validation struct {
	Result bool   `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// BootDeviceReply is the boot device as the hardware says; Persistent is nil if it does not.
type BootDeviceReply struct {
	BootDevice ferric.BootDevice `json:"boot_device"`
	Persistent *bool             `json:"persistent"`
}

// BootDeviceArgs sets the boot device.
type BootDeviceArgs struct {
	NodeRef
	BootDevice ferric.BootDevice `json:"boot_device"`
	Persistent bool              `json:"persistent"`
}

// VIF is a virtual interface of an instance, with whatever else came with it.
type VIF struct {
	ID    string         `json:"id"`
	Extra map[string]any `json:"extra,omitempty"`
}

// VIFArgs attaches or detaches (only ID then) a VIF.
type VIFArgs struct {
	NodeRef
	VIF VIF `json:"vif"`
}

// LookupReply answers an agent's lookup. Token is ferric.AgentSession's, or "******" if this session's was handed out before.
type LookupReply struct {
	Node             *ferric.Node  `json:"node"`
	Token            string        `json:"token"`
	HeartbeatTimeout time.Duration `json:"heartbeat_timeout"`
}

// HeartbeatArgs is an agent's heartbeat.
type HeartbeatArgs struct {
	NodeRef
	CallbackURL   string          `json:"callback_url"`
	AgentVersion  string          `json:"agent_version,omitempty"`
	AgentToken    string          `json:"agent_token"`
	AgentVerifyCA string          `json:"agent_verify_ca,omitempty"`
	Status        string          `json:"agent_status,omitempty"`
	StatusMessage string          `json:"agent_status_message,omitempty"`
	Ferric        json.RawMessage `json:"ferric,omitempty"` // agentapi.Extension
}

// InspectionArgs is the data that an inspecting agent sent.
type InspectionArgs struct {
	NodeRef
	Inventory  json.RawMessage `json:"inventory"`
	PluginData json.RawMessage `json:"plugin_data"`
}

// DiscoverArgs is the data that a machine sent which no node is known of.
type DiscoverArgs struct {
	Node       *ferric.Node    `json:"node"`      // what is to be made of it: UUID, driver, conductor group
	Addresses  []string        `json:"addresses"` // what the machine is known by from now on
	Inventory  json.RawMessage `json:"inventory"`
	PluginData json.RawMessage `json:"plugin_data"`
	Caller
}

// Driver describes a hardware type as the API shows it.
type Driver struct {
	Name       string                            `json:"name"`
	Hosts      []string                          `json:"hosts"`
	Enabled    map[ferric.InterfaceKind][]string `json:"enabled"`
	Default    map[ferric.InterfaceKind]string   `json:"default"`
	Properties map[string]string                 `json:"properties"`
}

// AllocationArgs asks for an allocation. NodeUUID of the allocation names the node to fill in for, "" if one is to be found.
type AllocationArgs struct {
	Allocation *ferric.Allocation `json:"allocation"`
	Caller
}

// AllocationRef names an allocation and who asks.
type AllocationRef struct {
	UUID string `json:"uuid"`
	Caller
}

// EventArgs tells of something that happened outside to a node. Event is the name that operations wait for (see package flow).
type EventArgs struct {
	NodeRef
	Event string `json:"event"`
}
