package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/policy"
	"ferric/rpc"
)

// Deps is what the API works with. Store, Conductors and Log must be set.
type Deps struct {
	Store      Store
	Conductors Conductors
	Log        *slog.Logger

	// Changes is the outbox of the change feed. nil: there is no GET /ferric/v1/events.
	Changes ChangeStore
	// Tell writes what other programs are told of failed requests. nil: they are told nothing.
	Tell func(ctx context.Context, list ...ferric.Occurrence) error
	// Owner returns the host name of the conductor that serves the node now, "" if none does. nil: the one that served
	// it last.
	Owner func(ctx context.Context, node *ferric.Node) string
	// Doctor examines the nodes given, or everything, and asks the machines if hardware is true. nil: there is no GET /ferric/v1/doctor.
	Doctor func(ctx context.Context, nodes []string, hardware bool) (*ferric.Diagnosis, error)
	// Observe is told of every answered request. route is the pattern, such as "/v1/nodes/{node}"; nil: nobody is told.
	Observe func(method, route string, status int, took time.Duration)
	// Health is mounted at /healthcheck and /readyz, Alive at /healthz, and Metrics at /metrics. They need no credentials. nil: 404.
	Health  http.Handler
	Alive   http.Handler
	Metrics http.Handler
	// Authenticator finds out who sent a request; nil: as Config.AuthStrategy says.
	Authenticator Authenticator
	// Tokens is Keystone, for the strategy of that name.
	Tokens Tokens
	// Policy returns the rules in force; nil: the defaults. It is called for every request.
	Policy func() *policy.Rules
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Store reads and writes what needs no conductor. Objects handed out belong to the caller.
type Store interface {
	NodeStore
	PortStore
	GroupStore
	VolumeStore
	RecordStore
	RuleStore
	AllocationStore
	DeployTemplateStore
	RunbookStore
}

// NodeStore holds nodes.
type NodeStore interface {
	// Node and NodeByIdent (UUID or name) load one node. CodeNotFound.
	Node(ctx context.Context, uuid string) (*ferric.Node, error)
	NodeByIdent(ctx context.Context, ident string) (*ferric.Node, error)
	// NodeByMACs finds the node that has a port with one of the addresses. CodeNotFound, also if several nodes do.
	NodeByMACs(ctx context.Context, macs []string) (*ferric.Node, error)
	// Nodes lists. CodeInvalid for a sort key that it does not know, CodeNotFound for a marker.
	Nodes(ctx context.Context, filter ferric.NodeFilter, page ferric.Page) ([]*ferric.Node, error)
	// NodesBrief is Nodes without the fields that are documents or lists.
	NodesBrief(ctx context.Context, filter ferric.NodeFilter, page ferric.Page) ([]*ferric.Node, error)
	// NodesByUUID loads those of the nodes that exist, in no order.
	NodesByUUID(ctx context.Context, uuids []string) ([]*ferric.Node, error)
	// NodeStamps and NodeStamp (UUID or name) are Nodes and NodeByIdent with no more than what tells whether a node has changed, whose it is and
	// which conductor serves it: UUID, CreatedAt, Version, Reservation, Driver, ConductorGroup, Conductor, Owner, Lessee.
	NodeStamps(ctx context.Context, filter ferric.NodeFilter, page ferric.Page) ([]*ferric.Node, error)
	NodeStamp(ctx context.Context, ident string) (*ferric.Node, error)
	// ForceNode changes a node without a lease. CodeConflict if expectVersion is not 0 and not the stored one.
	ForceNode(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Node) error) (*ferric.Node, error)
}

// PortStore holds ports and port groups. They are changed and deleted by the conductors, under the node's lease.
type PortStore interface {
	// CreatePort writes a new port and fills in what was missing. CodeConflict names the duplicate, or why it does not fit into its port group;
	// CodeNotFound the node, CodeInvalid the port group.
	CreatePort(ctx context.Context, port *ferric.Port) error
	Port(ctx context.Context, uuid string) (*ferric.Port, error)
	Ports(ctx context.Context, filter ferric.PortFilter) ([]*ferric.Port, error)
	// CreatePortgroup is like CreatePort.
	CreatePortgroup(ctx context.Context, group *ferric.Portgroup) error
	Portgroup(ctx context.Context, uuid string) (*ferric.Portgroup, error)
	PortgroupByName(ctx context.Context, name string) (*ferric.Portgroup, error)
	Portgroups(ctx context.Context, filter ferric.PortgroupFilter) ([]*ferric.Portgroup, error)
}

// GroupStore holds what nodes are grouped by.
type GroupStore interface {
	CreateChassis(ctx context.Context, chassis *ferric.Chassis) error
	Chassis(ctx context.Context, uuid string) (*ferric.Chassis, error)
	ChassisList(ctx context.Context, page ferric.Page) ([]*ferric.Chassis, error)
	UpdateChassis(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Chassis) error) (*ferric.Chassis, error)
	// DeleteChassis answers CodeInvalid while nodes are in it.
	DeleteChassis(ctx context.Context, uuid string) error
	// Shards counts the nodes of each shard, the largest first; "" are those without one.
	Shards(ctx context.Context) ([]ferric.Shard, error)
}

// VolumeStore holds volume connectors and targets. They are changed and deleted by the conductors.
type VolumeStore interface {
	// CreateVolumeConnector and CreateVolumeTarget are like CreatePort.
	CreateVolumeConnector(ctx context.Context, connector *ferric.VolumeConnector) error
	VolumeConnector(ctx context.Context, uuid string) (*ferric.VolumeConnector, error)
	VolumeConnectors(ctx context.Context, filter ferric.VolumeFilter) ([]*ferric.VolumeConnector, error)
	CreateVolumeTarget(ctx context.Context, target *ferric.VolumeTarget) error
	VolumeTarget(ctx context.Context, uuid string) (*ferric.VolumeTarget, error)
	VolumeTargets(ctx context.Context, filter ferric.VolumeFilter) ([]*ferric.VolumeTarget, error)
}

// AllocationStore holds allocations. A conductor makes and ends them.
type AllocationStore interface {
	Allocation(ctx context.Context, uuid string) (*ferric.Allocation, error)
	AllocationByName(ctx context.Context, name string) (*ferric.Allocation, error)
	Allocations(ctx context.Context, filter ferric.AllocationFilter) ([]*ferric.Allocation, error)
	UpdateAllocation(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Allocation) error) (*ferric.Allocation, error)
}

// DeployTemplateStore holds deploy templates. Its methods return the codes that those of PortStore do.
type DeployTemplateStore interface {
	CreateDeployTemplate(ctx context.Context, template *ferric.DeployTemplate) error
	DeployTemplate(ctx context.Context, uuid string) (*ferric.DeployTemplate, error)
	DeployTemplateByName(ctx context.Context, name string) (*ferric.DeployTemplate, error)
	DeployTemplates(ctx context.Context, filter ferric.DeployTemplateFilter) ([]*ferric.DeployTemplate, error)
	UpdateDeployTemplate(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.DeployTemplate) error) (*ferric.DeployTemplate, error)
	DeleteDeployTemplate(ctx context.Context, uuid string) error
}

// RunbookStore holds runbooks. Its methods return the codes that those of PortStore do.
type RunbookStore interface {
	CreateRunbook(ctx context.Context, runbook *ferric.Runbook) error
	Runbook(ctx context.Context, uuid string) (*ferric.Runbook, error)
	RunbookByName(ctx context.Context, name string) (*ferric.Runbook, error)
	Runbooks(ctx context.Context, filter ferric.RunbookFilter) ([]*ferric.Runbook, error)
	UpdateRunbook(ctx context.Context, uuid string, expectVersion int64, mutate func(*ferric.Runbook) error) (*ferric.Runbook, error)
	DeleteRunbook(ctx context.Context, uuid string) error
}

// RecordStore reads what the conductors have written.
type RecordStore interface {
	History(ctx context.Context, nodeUUID string, page ferric.Page) ([]ferric.HistoryEntry, error)
	HistoryEntry(ctx context.Context, uuid string) (*ferric.HistoryEntry, error)
	Inventory(ctx context.Context, nodeUUID string) (*ferric.Inventory, error)
	// BIOSSettings, BIOSSetting (CodeNotFound) and Firmware are what machines said of themselves last, sorted by name.
	BIOSSettings(ctx context.Context, nodeUUID string) ([]ferric.BIOSSetting, error)
	BIOSSetting(ctx context.Context, nodeUUID, name string) (*ferric.BIOSSetting, error)
	Firmware(ctx context.Context, nodeUUID string) ([]ferric.FirmwareComponent, error)
	// Conductors lists all, with Alive computed from aliveWithin.
	Conductors(ctx context.Context, aliveWithin time.Duration) ([]ferric.Conductor, error)
	Operation(ctx context.Context, id string) (*flow.Operation, error)
	// Operations lists a node's operations with their steps, the newest first.
	Operations(ctx context.Context, nodeUUID string, limit int) ([]*flow.Operation, error)
}

// Conductors carries calls to the conductors. Both methods block until the answer is there or the context ends, and
// return the callee's error with its code; CodeUnavailable if no conductor could be asked. resp may be nil.
type Conductors interface {
	// Call asks the conductor that serves the node.
	Call(ctx context.Context, node *ferric.Node, method rpc.Method, req, resp any) error
	// CallAny asks whichever conductor answers.
	CallAny(ctx context.Context, method rpc.Method, req, resp any) error
}
