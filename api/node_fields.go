package api

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"ferric"
	"ferric/state"
)

// nodeResource is the table of a node's fields. The order of those that a patch may change is the order in which a
// refusal lists them.
func nodeResource() *resource[ferric.Node] {
	type N = ferric.Node
	fields := []field[N]{
		{name: "uuid", brief: true, sort: true, value: text(func(n *N) *string { return &n.UUID }), write: onCreate, check: aUUID},
		{name: "name", since: 5, brief: true, sort: true, value: text(func(n *N) *string { return &n.Name }),
			write: writable, check: aString(255), policy: "baremetal:node:update:name"},
		{name: "instance_uuid", brief: true, sort: true, value: text(func(n *N) *string { return &n.InstanceID }),
			write: writable, check: aUUID, change: instanceChange, policy: "baremetal:node:update:instance_uuid"},
		{name: "maintenance", brief: true, sort: true, value: flag(func(n *N) *bool { return &n.Maintenance }),
			write: writable, check: aBool, change: maintenanceChange},
		{name: "power_state", brief: true, sort: true, value: text(func(n *N) *ferric.PowerState { return &n.PowerState })},
		{name: "provision_state", brief: true, sort: true, value: appearing[N]{
			value: text(func(n *N) *ferric.ProvisionState { return &n.ProvisionState }),
			show:  func(n *N, version int) string { return shownState(n.ProvisionState, version) }}},

		{name: "allocation_uuid", since: 52, value: text(func(n *N) *string { return &n.AllocationUUID })},
		{name: "automated_clean", since: 47, value: maybe(func(n *N) **bool { return &n.AutomatedClean }),
			write: writable, check: aBool, policy: "baremetal:node:disable_cleaning", policyFor: cleaningRule},
		nodeInterface(ferric.KindBIOS, 40),
		nodeInterface(ferric.KindBoot, 31),
		{name: "boot_mode", since: 75, sort: true, value: text(func(n *N) *string { return &n.BootMode }),
			write: onCreate, check: aString(16)},
		{name: "chassis_uuid", value: text(func(n *N) *string { return &n.ChassisUUID }),
			write: writable, check: aUUID, policy: "baremetal:node:update:chassis_uuid"},
		{name: "clean_step", since: 7, value: secrets(func(n *N) *map[string]any { return &n.CleanStep })},
		{name: "conductor", since: 49, value: text(func(n *N) *string { return &n.Conductor })},
		{name: "conductor_group", since: 46, sort: true, value: plainText(func(n *N) *string { return &n.ConductorGroup }),
			write: writable, check: conductorGroup, policy: "baremetal:node:update:conductor_group"},
		{name: "console_enabled", sort: true, value: flag(func(n *N) *bool { return &n.ConsoleEnabled }),
			write: onCreate, check: aBool},
		nodeInterface(ferric.KindConsole, 31),
		{name: "created_at", sort: true, value: moment(func(n *N) *time.Time { return &n.CreatedAt })},
		nodeInterface(ferric.KindDeploy, 31),
		{name: "deploy_step", since: 44, value: secrets(func(n *N) *map[string]any { return &n.DeployStep })},
		{name: "description", since: 51, sort: true, value: text(func(n *N) *string { return &n.Description }),
			write: writable, check: aString(4096)},
		{name: "disable_power_off", since: 95, sort: true, value: flag(func(n *N) *bool { return &n.DisablePowerOff }),
			write: writable, check: aBool, policy: "baremetal:node:update:disable_power_off"},
		{name: "driver", required: true, sort: true, value: text(func(n *N) *string { return &n.Driver }),
			write: writable, check: driverName, change: driverChange, policy: "baremetal:node:update:driver_interfaces"},
		{name: "driver_info", value: secrets(func(n *N) *map[string]any { return &n.DriverInfo }),
			write: writable, check: anObject, policy: "baremetal:node:update:driver_info", reveal: "show_password",
			read: "baremetal:node:get:driver_info", redacted: `{"content":"** Redacted - requires baremetal:node:get:driver_info permission. **"}`},
		{name: "driver_internal_info", since: 3, value: secrets(func(n *N) *map[string]any { return &n.InternalInfo }), reveal: "show_password",
			read:     "baremetal:node:get:driver_internal_info",
			redacted: `{"content":"** Redacted - Requires baremetal:node:get:driver_internal_info permission. **"}`},
		{name: "extra", value: object(func(n *N) *map[string]any { return &n.Extra }),
			write: writable, check: anObject, policy: "baremetal:node:update_extra"},
		{name: "fault", since: 42, sort: true, value: text(func(n *N) *ferric.Fault { return &n.Fault })},
		nodeInterface(ferric.KindFirmware, 86),
		{name: "health", since: 109, sort: true, value: text(func(n *N) *string { return &n.Health })},
		{name: "inspection_finished_at", since: 6, sort: true, value: moment(func(n *N) *time.Time { return &n.InspectionFinishedAt })},
		{name: "inspection_started_at", since: 6, sort: true, value: moment(func(n *N) *time.Time { return &n.InspectionStartedAt })},
		nodeInterface(ferric.KindInspect, 31),
		{name: "instance_info", value: secrets(func(n *N) *map[string]any { return &n.InstanceInfo }, "image_url"),
			write: writable, check: anObject, policy: "baremetal:node:update_instance_info", reveal: "show_instance_secrets"},
		{name: "instance_name", since: 104, sort: true, value: text(func(n *N) *string { return &n.InstanceName }),
			write: writable, check: notEmpty(aString(255)), policy: "baremetal:node:update_instance_info"},
		{name: "last_error", sort: true, value: text(func(n *N) *string { return &n.LastError }), read: "baremetal:node:get:last_error",
			redacted: `"** Value Redacted - Requires baremetal:node:get:last_error permission. **"`},
		{name: "lessee", since: 65, sort: true, value: text(func(n *N) *string { return &n.Lessee }),
			write: writable, check: aString(255), policy: "baremetal:node:update:lessee"},
		{name: "maintenance_reason", sort: true, value: text(func(n *N) *string { return &n.MaintenanceReason })},
		nodeInterface(ferric.KindManagement, 31),
		{name: "network_data", since: 66, value: document(func(n *N) *any { return &n.NetworkData }),
			write: writable, check: networkData, policy: "baremetal:node:update:network_data"},
		nodeInterface(ferric.KindNetwork, 20),
		{name: "owner", since: 50, sort: true, value: text(func(n *N) *string { return &n.Owner }),
			write: writable, check: aString(255), policy: "baremetal:node:update:owner"},
		{name: "parent_node", since: 83, sort: true, value: text(func(n *N) *string { return &n.ParentNode }),
			write: writable, check: aString(36), policy: "baremetal:node:update:parent_node"},
		nodeInterface(ferric.KindPower, 31),
		{name: "properties", value: object(func(n *N) *map[string]any { return &n.Properties }),
			write: writable, check: anObject, policy: "baremetal:node:update:properties"},
		{name: "protected", since: 48, sort: true, value: flag(func(n *N) *bool { return &n.Protected }),
			write: onPatch, check: aBool, change: protectedChange},
		{name: "protected_reason", since: 48, sort: true, value: text(func(n *N) *string { return &n.ProtectedReason }),
			write: onPatch, check: aString(0), change: protectedReasonChange},
		{name: "provision_updated_at", sort: true, value: moment(func(n *N) *time.Time { return &n.ProvisionUpdatedAt })},
		{name: "raid_config", since: 12, value: document(func(n *N) *any { return &n.RAIDConfig })},
		nodeInterface(ferric.KindRAID, 31),
		nodeInterface(ferric.KindRescue, 38),
		{name: "reservation", sort: true, value: text(func(n *N) *string { return &n.Reservation }), read: "baremetal:node:get:reservation",
			redacted: `"** Redacted - requires baremetal:node:get:reservation permission. **"`},
		{name: "resource_class", since: 21, sort: true, value: text(func(n *N) *string { return &n.ResourceClass }),
			write: writable, check: aString(80), change: resourceClassChange},
		{name: "retired", since: 61, sort: true, value: flag(func(n *N) *bool { return &n.Retired }),
			write: writable, check: aBool, change: retiredChange, policy: "baremetal:node:update:retired"},
		{name: "retired_reason", since: 61, sort: true, value: text(func(n *N) *string { return &n.RetiredReason }),
			write: writable, check: aString(0), change: retiredReasonChange, policy: "baremetal:node:update:retired"},
		{name: "secure_boot", since: 75, value: maybe(func(n *N) **bool { return &n.SecureBoot }),
			write: onCreate, check: aBool},
		{name: "service_step", since: 87, value: secrets(func(n *N) *map[string]any { return &n.ServiceStep })},
		{name: "shard", since: 82, sort: true, value: text(func(n *N) *string { return &n.Shard }),
			write: writable, check: aString(255), policy: "baremetal:node:update:shard"},
		nodeInterface(ferric.KindStorage, 33),
		{name: "target_power_state", sort: true, value: text(func(n *N) *ferric.PowerState { return &n.TargetPowerState })},
		{name: "target_provision_state", sort: true, value: text(func(n *N) *ferric.ProvisionState { return &n.TargetProvisionState })},
		{name: "target_raid_config", since: 12, value: document(func(n *N) *any { return &n.TargetRAIDConfig })},
		{name: "traits", since: 37, value: names(func(n *N) *[]string { return &n.Traits })},
		{name: "updated_at", sort: true, value: sinceMade[N]{moment(func(n *N) *time.Time { return &n.UpdatedAt }),
			func(n *N) int64 { return n.Version }}},
		nodeInterface(ferric.KindVendor, 31),
	}
	return newResource(resource[N]{
		name: "node", collection: "nodes", fields: fields,
		uuid:    func(n *N) string { return n.UUID },
		version: func(n *N) int64 { return n.Version },
		clone:   (*N).Clone,
		target:  nodeTarget, openFields: "baremetal:node:get:filter_threshold",
		children: []child{{name: "ports", since: 1}, {name: "states", since: 14}, {name: "portgroups", since: 24}, {name: "volume", since: 32}},
	})
}

func nodeInterface(kind ferric.InterfaceKind, since int) field[ferric.Node] {
	name := string(kind) + "_interface"
	return field[ferric.Node]{name: name, since: since, value: chosen(kind), write: writable, check: notEmpty(aString(255)),
		policy: "baremetal:node:update:driver_interfaces",
		change: func(now, _ *ferric.Node) error {
			if interfacesFree(now) {
				return nil
			}
			return conflict("Node %s can not have %s updated unless it is in one of allowed (%s) states or in maintenance mode. "+
				"Current state is '%s'.", now.UUID, name, joinStates(freeStates()), now.ProvisionState)
		}}
}

// cleaningRule: only to switch cleaning off wants more than any other change.
func cleaningRule(op patchOp) string {
	off, err := argBool("automated_clean", op.Value)
	if op.Op != "remove" && op.Value != nil && err == nil && off == false {
		return "baremetal:node:disable_cleaning"
	}
	return ""
}

// freeStates are those in which a node's interfaces and resource class may change.
func freeStates() []ferric.ProvisionState {
	return []ferric.ProvisionState{ferric.Enroll, ferric.Inspecting, ferric.InspectWait, ferric.Manageable, ferric.Available}
}

func joinStates(states []ferric.ProvisionState) string {
	var names []string
	for _, s := range states {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func interfacesFree(n *ferric.Node) bool {
	return n.Maintenance || slices.Contains(freeStates(), n.ProvisionState)
}

// shownState is a provision state as older versions knew it.
func shownState(s ferric.ProvisionState, version int) string {
	switch {
	case version < 2 && s == ferric.Available:
		return ""
	case version < 39 && s == ferric.InspectWait:
		return string(ferric.Inspecting)
	}
	return string(s)
}

func instanceChange(now, before *ferric.Node) error {
	if before.InstanceID != "" && now.InstanceID != "" {
		return conflict("Node %s is associated with instance %s.", before.UUID, before.InstanceID)
	}
	return nil
}

// maintenanceChange drops what belongs to maintenance when it ends.
func maintenanceChange(now, _ *ferric.Node) error {
	if !now.Maintenance {
		now.MaintenanceReason, now.Fault = "", ""
	}
	return nil
}

func driverChange(now, _ *ferric.Node) error {
	if now.ConsoleEnabled {
		return conflict("Node %s can not update the driver while the console is enabled. Please stop the console first.", now.UUID)
	}
	return nil
}

func protectedChange(now, _ *ferric.Node) error {
	if !now.Protected {
		now.ProtectedReason = ""
		return nil
	}
	if s := now.ProvisionState; s != ferric.Active && s != ferric.Rescue {
		return conflict("Node %s can only be made protected in provision states 'active' or 'rescue', the current state is '%s'",
			now.UUID, s)
	}
	return nil
}

func protectedReasonChange(now, _ *ferric.Node) error {
	if now.ProtectedReason != "" && !now.Protected {
		return invalid("The protected_reason field can only be set when protected is True")
	}
	return nil
}

func retiredChange(now, _ *ferric.Node) error {
	if !now.Retired {
		now.RetiredReason = ""
		return nil
	}
	if now.ProvisionState == ferric.Available {
		return conflict("Node %s can not have 'retired' set in provision state 'available', the current state is '%s'",
			now.UUID, now.ProvisionState)
	}
	return nil
}

func retiredReasonChange(now, _ *ferric.Node) error {
	if now.RetiredReason != "" && !now.Retired {
		return invalid("The retired_reason field can only be set when retired is True")
	}
	return nil
}

func resourceClassChange(now, before *ferric.Node) error {
	if before.ResourceClass == "" || slices.Contains(freeStates(), before.ProvisionState) {
		return nil
	}
	return conflict("Node %s can not have resource_class updated unless it is in one of allowed (%s) states. Current state is '%s'.",
		before.UUID, joinStates(freeStates()), before.ProvisionState)
}

var groupPattern = regexp.MustCompile(`^[a-zA-Z0-9_\-.]{0,255}$`)

// conductorGroup takes a group's name, which comes out in lower case; null is "".
func conductorGroup(where, name string, v any) (any, error) {
	v, err := aString(255)(where, name, v)
	if err != nil || v == nil {
		return nil, err
	}
	if !groupPattern.MatchString(v.(string)) {
		return nil, invalid("Expected a conductor group but received %s.", clip(v.(string)))
	}
	return strings.ToLower(v.(string)), nil
}

func driverName(where, name string, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, typeError(where, v, "string")
	}
	return aString(255)(where, name, s)
}

// updatable refuses a patch in the states in which a node changes by itself.
func updatable(n *ferric.Node, ident string, version int, ops patch) error {
	if n.Maintenance && len(ops) == 1 && ops[0].Op == "remove" && ops[0].Path == "/instance_uuid" {
		return nil
	}
	if n.TargetProvisionState != "" && !state.UpdateAllowed(n.ProvisionState) {
		return conflict("Node %s can not be updated while a state transition is in progress.", ident)
	}
	if n.ProvisionState == ferric.Inspecting && version >= 39 {
		return conflict(`Cannot update node "%s" while it is in state "%s".`, n.UUID, n.ProvisionState)
	}
	return nil
}
