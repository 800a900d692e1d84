package policy

import "slices"

// Whom a rule means, by role, scope and relation to the node. "service" is for other services of the cloud.
const (
	systemAdmin   = "role:admin and system_scope:all"
	systemMember  = "(role:member and system_scope:all) or rule:service_role"
	systemReader  = "(role:reader and system_scope:all) or (role:service and system_scope:all) or rule:service_role"
	systemService = "role:service and system_scope:all"

	ownerAdmin    = "role:admin and project_id:%(node.owner)s"
	ownerManager  = "role:manager and project_id:%(node.owner)s"
	ownerMember   = "role:member and project_id:%(node.owner)s"
	ownerReader   = "role:reader and project_id:%(node.owner)s"
	ownerService  = "role:service and project_id:%(node.owner)s"
	lesseeAdmin   = "role:admin and project_id:%(node.lessee)s"
	lesseeManager = "role:manager and project_id:%(node.lessee)s"
	eitherMember  = "role:member and (project_id:%(node.owner)s or project_id:%(node.lessee)s)"
	eitherReader  = "role:reader and (project_id:%(node.owner)s or project_id:%(node.lessee)s)"

	anyReader           = "(role:reader) or (role:service)"
	readerOfNode        = "(" + systemReader + ") or (" + eitherReader + ") or (" + ownerService + ")"
	readerOfOwned       = "(" + systemReader + ") or (" + systemService + ") or (" + ownerReader + ") or (" + ownerService + ")"
	memberOfNode        = "(" + systemMember + ") or (" + eitherMember + ") or (" + systemService + ")"
	memberOfOwned       = "(" + systemMember + ") or (" + systemService + ") or (" + ownerMember + ") or (" + ownerService + ")"
	memberOrOwnerAdmin  = "(" + systemMember + ") or (" + systemService + ") or (" + ownerAdmin + ") or (" + ownerManager + ") or (" + ownerService + ")"
	adminOrOwnerAdmin   = "(" + systemAdmin + ") or (" + systemService + ") or (" + ownerAdmin + ") or (" + ownerManager + ") or (" + ownerService + ")"
	memberOrLesseeAdmin = "(" + systemMember + ") or (" + systemService + ") or (" + ownerMember + ") or (" + lesseeAdmin + ") or (" + lesseeManager +
		") or (" + ownerService + ")"
	ownerOrLesseeAdmin = "(" + systemMember + ") or (" + systemService + ") or (" + ownerAdmin + ") or (" + ownerManager + ") or (" + lesseeAdmin +
		") or (" + lesseeManager + ") or (" + ownerService + ")"

	memberOfAllocation = "(" + systemMember + ") or (role:member and project_id:%(allocation.owner)s)"
	readerOfAllocation = "(" + systemReader + ") or (role:reader and project_id:%(allocation.owner)s)"
	allocationCreator  = "(" + systemMember + ") or (role:member)"

	runbookAdmin   = "(" + systemMember + ") or (role:manager and project_id:%(runbook.owner)s) or role:service"
	runbookReader  = "(" + systemReader + ") or (role:reader and project_id:%(runbook.owner)s) or role:service"
	runbookCreator = "(" + systemMember + ") or role:manager or role:service"

	targetReader = "(" + systemReader + ") or (role:admin)"

	// What older versions allowed, for overrides under a rule's older name.
	wasAdmin  = "rule:is_admin"
	wasReader = "rule:is_admin or rule:is_observer"
)

// Ironic returns the rules of Ironic's API, in its order, with the defaults that hold when only new defaults are enforced.
// Names and checks are Ironic's, from ironic/common/policy.py of 2026-08.
func Ironic() []Default {
	both, system, project := []Scope{System, Project}, []Scope{System}, []Scope{Project}
	return slices.Concat(baseRules(), nodeRules(both, system), otherRules(both, system, project))
}

// baseRules are those that others refer to, and those that decide on secrets.
func baseRules() []Default {
	return []Default{
		{Name: "admin_api", Check: "role:admin or role:administrator", Help: "older rule: administrators"},
		{Name: "public_api", Check: "is_public_api:True", Help: "the request needs no login"},
		{Name: "show_password", Check: "!", Help: "see the secrets in driver_info and driver_internal_info"},
		{Name: "show_instance_secrets", Check: "!", Help: "see the secrets in instance_info"},
		{Name: "service_role", Check: "role:service and project_name:%(config.service_project_name)s", Help: "a service of the elevated service project"},
		{Name: "is_member", Check: "(project_domain_id:default or project_domain_id:None) and (project_name:demo or project_name:baremetal)",
			Help: "older rule: member of one of two projects"},
		{Name: "is_observer", Check: "rule:is_member and (role:observer or role:baremetal_observer)", Help: "older rule: may read"},
		{Name: "is_admin", Check: "rule:admin_api or (rule:is_member and role:baremetal_admin)", Help: "older rule: may do everything"},
		{Name: "is_node_owner", Check: "project_id:%(node.owner)s", Help: "older rule: the node's owner"},
		{Name: "is_node_lessee", Check: "project_id:%(node.lessee)s", Help: "older rule: the node's lessee"},
		{Name: "is_allocation_owner", Check: "project_id:%(allocation.owner)s", Help: "older rule: the allocation's owner"},
	}
}

func nodeRules(both, system []Scope) []Default {
	return []Default{
		{Name: "baremetal:node:create", Check: "(" + systemAdmin + ") or (" + systemService + ")", Scopes: both, Help: "add nodes"},
		{Name: "baremetal:node:create:self_owned_node", Check: "(role:admin) or (role:service)", Scopes: both,
			Help: "add nodes that the caller's project owns"},
		{Name: "baremetal:node:list", Check: anyReader, Scopes: both, Help: "list nodes that the caller's project owns or leases"},
		{Name: "baremetal:node:list_all", Check: systemReader, Scopes: both, Help: "list all nodes"},
		{Name: "baremetal:node:get", Check: readerOfNode, Scopes: both, Help: "see a node; without it the node does not exist for the caller"},
		{Name: "baremetal:node:get:filter_threshold", Check: systemReader, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader,
			Help: "see nodes without the four checks below"},
		{Name: "baremetal:node:get:last_error", Check: readerOfOwned, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader, Help: "see last_error"},
		{Name: "baremetal:node:get:reservation", Check: readerOfOwned, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader,
			Help: "see reservation"},
		{Name: "baremetal:node:get:driver_internal_info", Check: readerOfOwned, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader,
			Help: "see driver_internal_info"},
		{Name: "baremetal:node:get:driver_info", Check: readerOfOwned, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader,
			Help: "see driver_info"},
		{Name: "baremetal:node:update:driver_info", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change driver_info"},
		{Name: "baremetal:node:update:properties", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change properties"},
		{Name: "baremetal:node:update:chassis_uuid", Check: systemAdmin, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change chassis_uuid"},
		{Name: "baremetal:node:update:instance_uuid", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change instance_uuid"},
		{Name: "baremetal:node:update:lessee", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin, Help: "change lessee"},
		{Name: "baremetal:node:update:owner", Check: systemMember, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin, Help: "change owner"},
		{Name: "baremetal:node:update:driver_interfaces", Check: memberOrOwnerAdmin, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change driver and interfaces"},
		{Name: "baremetal:node:update:network_data", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change network_data"},
		{Name: "baremetal:node:update:conductor_group", Check: systemMember, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change conductor_group"},
		{Name: "baremetal:node:update:name", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin, Help: "change name"},
		{Name: "baremetal:node:update:retired", Check: memberOfOwned, Scopes: both, Was: "baremetal:node:update", WasCheck: wasAdmin,
			Help: "change retired and retired_reason"},
		{Name: "baremetal:node:update", Check: memberOfNode, Scopes: both, Help: "change fields that have no rule of their own"},
		{Name: "baremetal:node:update_extra", Check: memberOfNode, Scopes: both, Help: "change extra"},
		{Name: "baremetal:node:update_instance_info", Check: memberOrLesseeAdmin, Scopes: both, Help: "change instance_info and instance_name"},
		{Name: "baremetal:node:update_owner_provisioned", Check: systemAdmin, Scopes: system, Help: "change an active node's owner"},
		{Name: "baremetal:node:delete", Check: systemAdmin, Scopes: both, Help: "remove nodes"},
		{Name: "baremetal:node:delete:self_owned_node", Check: ownerAdmin, Scopes: both, Help: "remove nodes that the caller's project owns"},
		{Name: "baremetal:node:validate", Check: memberOrLesseeAdmin, Scopes: both, Help: "validate the interfaces"},
		{Name: "baremetal:node:set_maintenance", Check: memberOrLesseeAdmin, Scopes: both, Help: "put into maintenance"},
		{Name: "baremetal:node:clear_maintenance", Check: memberOrLesseeAdmin, Scopes: both, Help: "take out of maintenance"},
		{Name: "baremetal:node:get_boot_device", Check: memberOrOwnerAdmin, Scopes: both, Help: "see the boot device"},
		{Name: "baremetal:node:set_boot_device", Check: memberOrOwnerAdmin, Scopes: both, Was: "baremetal:node:set_maintenance", WasCheck: wasAdmin,
			Help: "set the boot device"},
		{Name: "baremetal:node:get_indicator_state", Check: readerOfNode, Scopes: both, Help: "see indicators"},
		{Name: "baremetal:node:set_indicator_state", Check: memberOfOwned, Scopes: both, Help: "switch indicators"},
		{Name: "baremetal:node:inject_nmi", Check: memberOrOwnerAdmin, Scopes: both, Help: "inject an NMI"},
		{Name: "baremetal:node:get_states", Check: readerOfNode, Scopes: both, Help: "see the states"},
		{Name: "baremetal:node:set_power_state", Check: memberOfNode, Scopes: both, Help: "change the power state"},
		{Name: "baremetal:node:set_boot_mode", Check: memberOfNode, Scopes: both, Was: "baremetal:node:set_power_state", WasCheck: wasAdmin,
			Help: "change the boot mode"},
		{Name: "baremetal:node:set_secure_boot", Check: memberOfNode, Scopes: both, Was: "baremetal:node:set_power_state", WasCheck: wasAdmin,
			Help: "switch secure boot"},
		{Name: "baremetal:node:set_provision_state", Check: memberOrLesseeAdmin, Scopes: both, Help: "use the provision verbs"},
		{Name: "baremetal:node:set_provision_state:clean_steps", Check: memberOrLesseeAdmin, Scopes: both, Help: "clean with steps of one's own"},
		{Name: "baremetal:node:set_provision_state:service_steps", Check: memberOrLesseeAdmin, Scopes: both, Help: "service with steps of one's own"},
		{Name: "baremetal:node:set_raid_state", Check: memberOfOwned, Scopes: both, Help: "set the target RAID configuration"},
		{Name: "baremetal:node:get_console", Check: memberOfOwned, Scopes: both, Help: "see the console"},
		{Name: "baremetal:node:set_console_state", Check: memberOfOwned, Scopes: both, Help: "switch the console"},
		{Name: "baremetal:node:vif:list", Check: readerOfNode, Scopes: both, Help: "list VIFs"},
		{Name: "baremetal:node:vif:attach", Check: memberOrLesseeAdmin, Scopes: both, Help: "attach VIFs"},
		{Name: "baremetal:node:vif:detach", Check: memberOrLesseeAdmin, Scopes: both, Help: "detach VIFs"},
		{Name: "baremetal:node:traits:list", Check: readerOfNode, Scopes: both, Help: "list traits"},
		{Name: "baremetal:node:traits:set", Check: memberOrOwnerAdmin, Scopes: both, Help: "set traits"},
		{Name: "baremetal:node:traits:delete", Check: memberOrOwnerAdmin, Scopes: both, Help: "remove traits"},
		{Name: "baremetal:node:bios:get", Check: readerOfNode, Scopes: both, Help: "see BIOS settings"},
		{Name: "baremetal:node:disable_cleaning", Check: systemAdmin, Scopes: both, Help: "switch automated_clean off"},
		{Name: "baremetal:node:history:get", Check: readerOfOwned, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader, Help: "see the history"},
		{Name: "baremetal:node:inventory:get", Check: readerOfOwned, Scopes: both, Was: "baremetal:node:get", WasCheck: wasReader,
			Help: "see the inventory"},
		{Name: "baremetal:node:update:shard", Check: systemAdmin, Scopes: both, Help: "change shard"},
		{Name: "baremetal:shards:get", Check: systemReader, Scopes: both, Help: "list shards"},
		{Name: "baremetal:node:update:parent_node", Check: systemMember, Scopes: both, Help: "change parent_node"},
		{Name: "baremetal:node:update:disable_power_off", Check: systemAdmin, Scopes: both, Help: "change disable_power_off"},
		{Name: "baremetal:node:firmware:get", Check: readerOfNode, Scopes: both, Help: "see firmware components"},
		{Name: "baremetal:node:vmedia:attach", Check: memberOfNode, Scopes: both, Help: "attach virtual media"},
		{Name: "baremetal:node:vmedia:detach", Check: memberOfNode, Scopes: both, Help: "detach virtual media"},
		{Name: "baremetal:node:vmedia:get", Check: readerOfNode, Scopes: both, Help: "see virtual media"},
		{Name: "baremetal:node:vendor_passthru", Check: systemAdmin, Scopes: both, Help: "call a node's vendor methods"},
		{Name: "baremetal:node:ipa_heartbeat", Check: "", Help: "agents: heartbeat"},
	}
}

func otherRules(both, system, project []Scope) []Default {
	return []Default{
		{Name: "baremetal:port:get", Check: readerOfNode, Scopes: both, Help: "see ports"},
		{Name: "baremetal:port:list", Check: anyReader, Scopes: both, Help: "list the project's ports"},
		{Name: "baremetal:port:list_all", Check: systemReader, Scopes: both, Help: "list all ports"},
		{Name: "baremetal:port:create", Check: adminOrOwnerAdmin, Scopes: both, Help: "add ports"},
		{Name: "baremetal:port:delete", Check: adminOrOwnerAdmin, Scopes: both, Help: "remove ports"},
		{Name: "baremetal:port:update", Check: memberOrOwnerAdmin, Scopes: both, Help: "change ports"},
		{Name: "baremetal:portgroup:get", Check: readerOfNode, Scopes: both, Help: "see port groups"},
		{Name: "baremetal:portgroup:create", Check: adminOrOwnerAdmin, Scopes: both, Help: "add port groups"},
		{Name: "baremetal:portgroup:delete", Check: adminOrOwnerAdmin, Scopes: both, Help: "remove port groups"},
		{Name: "baremetal:portgroup:update", Check: memberOrOwnerAdmin, Scopes: both, Help: "change port groups"},
		{Name: "baremetal:portgroup:list", Check: anyReader, Scopes: both, Was: "baremetal:portgroup:get", WasCheck: wasReader,
			Help: "list the project's port groups"},
		{Name: "baremetal:portgroup:list_all", Check: systemReader, Scopes: both, Was: "baremetal:portgroup:get", WasCheck: wasReader,
			Help: "list all port groups"},
		{Name: "baremetal:chassis:get", Check: systemReader, Scopes: system, Help: "see chassis"},
		{Name: "baremetal:chassis:create", Check: systemAdmin, Scopes: system, Help: "add chassis"},
		{Name: "baremetal:chassis:delete", Check: systemAdmin, Scopes: system, Help: "remove chassis"},
		{Name: "baremetal:chassis:update", Check: systemMember, Scopes: system, Help: "change chassis"},
		{Name: "baremetal:driver:get", Check: systemReader, Scopes: system, Help: "see drivers"},
		{Name: "baremetal:driver:get_properties", Check: systemReader, Scopes: system, Help: "see drivers' properties"},
		{Name: "baremetal:driver:get_raid_logical_disk_properties", Check: systemReader, Scopes: system, Help: "see drivers' RAID properties"},
		{Name: "baremetal:driver:vendor_passthru", Check: systemAdmin, Scopes: system, Help: "call a driver's vendor methods"},
		{Name: "baremetal:driver:ipa_lookup", Check: "", Help: "agents: lookup"},
		{Name: "baremetal:driver:ipa_continue_inspection", Check: "", Help: "agents: inspection data"},
		{Name: "baremetal:volume:list_all", Check: systemReader, Scopes: both, Was: "baremetal:volume:get", WasCheck: wasReader,
			Help: "list all volume connectors and targets"},
		{Name: "baremetal:volume:list", Check: anyReader, Scopes: both, Was: "baremetal:volume:get", WasCheck: wasReader,
			Help: "list volume connectors and targets of the project's nodes"},
		{Name: "baremetal:volume:get", Check: readerOfNode, Scopes: both, Help: "see volume connectors and targets"},
		{Name: "baremetal:volume:create", Check: ownerOrLesseeAdmin, Scopes: both, Help: "add volume connectors and targets"},
		{Name: "baremetal:volume:delete", Check: ownerOrLesseeAdmin, Scopes: both, Help: "remove volume connectors and targets"},
		{Name: "baremetal:volume:update", Check: memberOrLesseeAdmin, Scopes: both, Help: "change volume connectors and targets"},
		{Name: "baremetal:volume:view_target_properties", Check: targetReader, Scopes: both, Was: "baremetal:volume:update", WasCheck: wasAdmin,
			Help: "see volume targets' properties"},
		{Name: "baremetal:conductor:get", Check: systemReader, Scopes: both, Help: "see conductors"},
		{Name: "baremetal:allocation:get", Check: readerOfAllocation, Scopes: both,
			Help: "see an allocation; without it the allocation does not exist for the caller"},
		{Name: "baremetal:allocation:list", Check: anyReader, Scopes: both, Help: "list the project's allocations"},
		{Name: "baremetal:allocation:list_all", Check: systemReader, Scopes: both, Help: "list all allocations"},
		{Name: "baremetal:allocation:create", Check: allocationCreator, Scopes: both, Help: "add allocations"},
		{Name: "baremetal:allocation:create_restricted", Check: systemMember, Scopes: both, Help: "add allocations that another project owns"},
		{Name: "baremetal:allocation:delete", Check: memberOfAllocation, Scopes: both, Help: "remove allocations"},
		{Name: "baremetal:allocation:update", Check: memberOfAllocation, Scopes: both, Help: "change allocations"},
		{Name: "baremetal:allocation:create_pre_rbac", Check: "(rule:is_member and role:baremetal_admin) or (is_admin_project:True and role:admin)", Scopes: project,
			Help: "older rule, not asked"},
		{Name: "baremetal:events:post", Check: systemAdmin, Scopes: system, Help: "send events"},
		{Name: "baremetal:deploy_template:get", Check: systemReader, Scopes: both, Help: "see deploy templates"},
		{Name: "baremetal:deploy_template:create", Check: systemAdmin, Scopes: both, Help: "add deploy templates"},
		{Name: "baremetal:deploy_template:delete", Check: systemAdmin, Scopes: both, Help: "remove deploy templates"},
		{Name: "baremetal:deploy_template:update", Check: systemAdmin, Scopes: both, Help: "change deploy templates"},
		{Name: "baremetal:runbook:get", Check: runbookReader, Scopes: both, Help: "see runbooks"},
		{Name: "baremetal:runbook:list", Check: anyReader, Scopes: both, Help: "list the project's runbooks and the public ones"},
		{Name: "baremetal:runbook:list_all", Check: systemReader, Scopes: both, Help: "list all runbooks"},
		{Name: "baremetal:runbook:create", Check: runbookCreator, Scopes: both, Help: "add runbooks"},
		{Name: "baremetal:runbook:delete", Check: runbookAdmin, Scopes: both, Help: "remove runbooks"},
		{Name: "baremetal:runbook:update", Check: runbookAdmin, Scopes: both, Help: "change runbooks"},
		{Name: "baremetal:runbook:update:public", Check: systemMember, Scopes: both, Help: "make a runbook public or not"},
		{Name: "baremetal:runbook:update:owner", Check: systemMember, Scopes: both, Help: "change a runbook's owner"},
		{Name: "baremetal:runbook:use", Check: runbookAdmin, Scopes: both, Help: "use a runbook on a node"},
		{Name: "baremetal:inspection_rule:get", Check: systemReader, Scopes: both, Help: "see inspection rules"},
		{Name: "baremetal:inspection_rule:list_all", Check: systemReader, Scopes: both, Help: "older rule, not asked"},
		{Name: "baremetal:inspection_rule:create", Check: systemAdmin, Scopes: both, Help: "add inspection rules"},
		{Name: "baremetal:inspection_rule:update", Check: systemAdmin, Scopes: both, Help: "change inspection rules"},
		{Name: "baremetal:inspection_rule:delete", Check: systemAdmin, Scopes: both, Help: "remove inspection rules"},
	}
}
