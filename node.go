package ferric

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Node is one bare-metal machine, with Ironic's fields. JSON here is the storage and bus form; the API's
// form, with its microversions and masking, is made by package api.
type Node struct {
	UUID       string `json:"uuid"`
	Name       string `json:"name,omitempty"`
	InstanceID string `json:"instance_uuid,omitempty"`

	Driver     string         `json:"driver"`
	DriverInfo map[string]any `json:"driver_info,omitempty"` // credentials live here; encrypted at rest
	Interfaces Interfaces     `json:"interfaces"`

	Properties   map[string]any `json:"properties,omitempty"`
	InstanceInfo map[string]any `json:"instance_info,omitempty"`
	Extra        map[string]any `json:"extra,omitempty"`
	// InternalInfo is driver_internal_info: facts that the conductor publishes for people and peers to read.
	// No decision of Ferric's own may rest on it; what must be known after a crash is in the ledger.
	InternalInfo map[string]any `json:"driver_internal_info,omitempty"`

	ChassisUUID    string   `json:"chassis_uuid,omitempty"`
	ResourceClass  string   `json:"resource_class,omitempty"`
	ConductorGroup string   `json:"conductor_group,omitempty"`
	Owner          string   `json:"owner,omitempty"`
	Lessee         string   `json:"lessee,omitempty"`
	Description    string   `json:"description,omitempty"`
	Shard          string   `json:"shard,omitempty"`
	ParentNode     string   `json:"parent_node,omitempty"`
	AllocationUUID string   `json:"allocation_uuid,omitempty"`
	InstanceName   string   `json:"instance_name,omitempty"`
	Traits         []string `json:"traits,omitempty"` // sorted

	PowerState           PowerState     `json:"power_state,omitempty"` // "" is unknown (null at the API)
	TargetPowerState     PowerState     `json:"target_power_state,omitempty"`
	ProvisionState       ProvisionState `json:"provision_state"`
	TargetProvisionState ProvisionState `json:"target_provision_state,omitempty"`
	ProvisionUpdatedAt   time.Time      `json:"provision_updated_at,omitzero"`
	LastError            string         `json:"last_error,omitempty"`

	Maintenance       bool   `json:"maintenance,omitempty"`
	MaintenanceReason string `json:"maintenance_reason,omitempty"`
	Fault             Fault  `json:"fault,omitempty"`
	Protected         bool   `json:"protected,omitempty"`
	ProtectedReason   string `json:"protected_reason,omitempty"`
	Retired           bool   `json:"retired,omitempty"`
	RetiredReason     string `json:"retired_reason,omitempty"`

	AutomatedClean   *bool  `json:"automated_clean,omitempty"` // nil: as configured
	DisablePowerOff  bool   `json:"disable_power_off,omitempty"`
	ConsoleEnabled   bool   `json:"console_enabled,omitempty"`
	BootMode         string `json:"boot_mode,omitempty"`   // "bios", "uefi" or "" (unknown)
	SecureBoot       *bool  `json:"secure_boot,omitempty"` // nil: unknown
	Health           string `json:"health,omitempty"`      // "OK", "Warning", "Critical" or ""
	RAIDConfig       any    `json:"raid_config,omitempty"`
	TargetRAIDConfig any    `json:"target_raid_config,omitempty"`
	NetworkData      any    `json:"network_data,omitempty"`

	// The step under way, as the API shows it; views of the ledger.
	CleanStep   map[string]any `json:"clean_step,omitempty"`
	DeployStep  map[string]any `json:"deploy_step,omitempty"`
	ServiceStep map[string]any `json:"service_step,omitempty"`

	InspectionStartedAt  time.Time `json:"inspection_started_at,omitzero"`
	InspectionFinishedAt time.Time `json:"inspection_finished_at,omitzero"`

	// Reservation is the host name of the conductor that holds the node's lease now, "" if nobody does.
	// It and LeaseEpoch are read-only here: only the lease calls change them.
	Reservation string `json:"reservation,omitempty"`
	LeaseEpoch  int64  `json:"lease_epoch,omitempty"`
	// Conductor is the host name of the conductor that served the node last.
	Conductor string `json:"conductor,omitempty"`

	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	// Version counts the writes of this record, for optimistic updates and ETags.
	Version int64 `json:"version,omitempty"`

	// News is what other programs are told of with the change that is being made. Writing the node takes it away.
	News []News `json:"-"`
}

// Tell adds news of the change that is being made.
func (n *Node) Tell(news News) { n.News = append(n.News, news) }

// Clone returns a deep copy.
func (n *Node) Clone() *Node {
	c := *n
	c.News = slices.Clone(n.News)
	c.DriverInfo = cloneMap(n.DriverInfo)
	c.Properties = cloneMap(n.Properties)
	c.InstanceInfo = cloneMap(n.InstanceInfo)
	c.Extra = cloneMap(n.Extra)
	c.InternalInfo = cloneMap(n.InternalInfo)
	c.CleanStep = cloneMap(n.CleanStep)
	c.DeployStep = cloneMap(n.DeployStep)
	c.ServiceStep = cloneMap(n.ServiceStep)
	c.RAIDConfig = cloneValue(n.RAIDConfig)
	c.TargetRAIDConfig = cloneValue(n.TargetRAIDConfig)
	c.NetworkData = cloneValue(n.NetworkData)
	c.Traits = slices.Clone(n.Traits)
	c.Interfaces = maps.Clone(n.Interfaces)
	c.AutomatedClean = clonePtr(n.AutomatedClean)
	c.SecureBoot = clonePtr(n.SecureBoot)
	return &c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func cloneMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	c := make(map[string]any, len(m))
	for k, v := range m {
		c[k] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneMap(v)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	default:
		return v
	}
}

// InterfaceKind names one of the kinds of interface that a hardware type is composed of.
type InterfaceKind string

// The interface kinds, with Ironic's names.
const (
	KindBIOS       InterfaceKind = "bios"
	KindBoot       InterfaceKind = "boot"
	KindConsole    InterfaceKind = "console"
	KindDeploy     InterfaceKind = "deploy"
	KindFirmware   InterfaceKind = "firmware"
	KindInspect    InterfaceKind = "inspect"
	KindManagement InterfaceKind = "management"
	KindNetwork    InterfaceKind = "network"
	KindPower      InterfaceKind = "power"
	KindRAID       InterfaceKind = "raid"
	KindRescue     InterfaceKind = "rescue"
	KindStorage    InterfaceKind = "storage"
	KindVendor     InterfaceKind = "vendor"
)

// InterfaceKinds returns every kind, sorted by name.
func InterfaceKinds() []InterfaceKind {
	return []InterfaceKind{KindBIOS, KindBoot, KindConsole, KindDeploy, KindFirmware, KindInspect, KindManagement,
		KindNetwork, KindPower, KindRAID, KindRescue, KindStorage, KindVendor}
}

// Interfaces holds a node's chosen implementation per kind, such as {"power": "ipmitool"}.
type Interfaces map[InterfaceKind]string

// Port is one network interface card of a node.
type Port struct {
	UUID                string         `json:"uuid"`
	NodeUUID            string         `json:"node_uuid"`
	Address             string         `json:"address"` // MAC, lower case with colons
	Name                string         `json:"name,omitempty"`
	Description         string         `json:"description,omitempty"`
	Extra               map[string]any `json:"extra,omitempty"`
	InternalInfo        map[string]any `json:"internal_info,omitempty"`
	LocalLinkConnection map[string]any `json:"local_link_connection,omitempty"`
	PXEEnabled          bool           `json:"pxe_enabled"`
	PortgroupUUID       string         `json:"portgroup_uuid,omitempty"`
	PhysicalNetwork     string         `json:"physical_network,omitempty"`
	IsSmartNIC          bool           `json:"is_smartnic,omitempty"`
	Vendor              string         `json:"vendor,omitempty"`
	Category            string         `json:"category,omitempty"`
	// NotForDynamicPortgroup is the opposite of available_for_dynamic_portgroup, so that a port is available unless somebody says otherwise.
	NotForDynamicPortgroup bool `json:"not_for_dynamic_portgroup,omitempty"`

	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	Version   int64     `json:"version,omitempty"`
}

// Clone returns a deep copy.
func (p *Port) Clone() *Port {
	c := *p
	c.Extra = cloneMap(p.Extra)
	c.InternalInfo = cloneMap(p.InternalInfo)
	c.LocalLinkConnection = cloneMap(p.LocalLinkConnection)
	return &c
}

// Place is what decides which conductor serves a node.
type Place struct{ UUID, ConductorGroup, Driver string }

// Conductor is one conductor process as the others see it.
type Conductor struct {
	Host          string    `json:"hostname"`
	Group         string    `json:"conductor_group"`
	HardwareTypes []string  `json:"drivers"`
	BootID        string    `json:"boot_id"` // new at every start of the process
	Protocol      Protocol  `json:"protocol"`
	StartedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"` // last sign of life
	Alive         bool      `json:"alive"`      // computed when read
	Retired       bool      `json:"retired"`    // it went away on purpose
}

// Inventory is what the last inspection found: the agent's inventory and the plugin data of the hooks.
type Inventory struct {
	NodeUUID   string          `json:"node_uuid"`
	Inventory  json.RawMessage `json:"inventory"`
	PluginData json.RawMessage `json:"plugin_data"`
	UpdatedAt  time.Time       `json:"updated_at"`
}

// Inspection is what an inspection under way was sent, until it has been processed.
type Inspection struct {
	NodeUUID   string          `json:"node_uuid"`
	ReceivedAt time.Time       `json:"received_at"`
	Inventory  json.RawMessage `json:"inventory"`
	PluginData json.RawMessage `json:"plugin_data"`
}
