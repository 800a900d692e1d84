package notify

import (
	"time"

	"ferric"
	"ferric/obs"
)

// payload is one of Ironic's payloads: a name, a version, and what is in it.
type payload struct {
	name, version string
	fields        func(o ferric.Occurrence) map[string]any
}

// of makes the fields of an object's payload.
func of[T any](fields func(*T) map[string]any) func(ferric.Occurrence) map[string]any {
	return func(o ferric.Occurrence) map[string]any { return fields(o.Subject.(*T)) }
}

// crudPayload returns what tells of the creation, change and deletion of an object.
func crudPayload(object string) (payload, bool) {
	switch object {
	case ferric.ObjectAllocation:
		return payload{"AllocationCRUDPayload", "1.1", of(allocationFields)}, true
	case ferric.ObjectChassis:
		return payload{"ChassisCRUDPayload", "1.0", of(chassisFields)}, true
	case ferric.ObjectDeployTemplate:
		return payload{"DeployTemplateCRUDPayload", "1.0", of(templateFields)}, true
	case ferric.ObjectInspectionRule:
		return payload{"InspectionRuleCRUDPayload", "1.0", of(ruleFields)}, true
	case ferric.ObjectNode:
		return payload{"NodeCRUDPayload", "1.15", withNode(func(f map[string]any, n *ferric.Node, _ ferric.News) {
			f["chassis_uuid"] = text(n.ChassisUUID)
			f["instance_info"] = instanceInfo(n)
			f["driver_info"] = secretDict(n.DriverInfo)
		})}, true
	case ferric.ObjectPort:
		return payload{"PortCRUDPayload", "1.8", of(portFields)}, true
	case ferric.ObjectPortgroup:
		return payload{"PortgroupCRUDPayload", "1.3", of(portgroupFields)}, true
	case ferric.ObjectRunbook:
		return payload{"RunbookCRUDPayload", "1.1", of(runbookFields)}, true
	case ferric.ObjectVolumeConnector:
		return payload{"VolumeConnectorCRUDPayload", "1.0", of(connectorFields)}, true
	case ferric.ObjectVolumeTarget:
		return payload{"VolumeTargetCRUDPayload", "1.0", of(targetFields)}, true
	}
	return payload{}, false
}

// payloadFor returns what tells of an action on an object.
func payloadFor(object string, action ferric.Action) (payload, bool) {
	switch action {
	case ferric.ActionCreate, ferric.ActionUpdate, ferric.ActionDelete:
		return crudPayload(object)
	case ferric.ActionMaintenanceSet, ferric.ActionConsoleSet, ferric.ActionConsoleStop, ferric.ActionConsoleRestore:
		return payload{"NodePayload", "1.17", withNode(nil)}, true
	case ferric.ActionPowerSet:
		return payload{"NodeSetPowerStatePayload", "1.17", withNode(func(f map[string]any, _ *ferric.Node, news ferric.News) {
			f["to_power"] = text(news.Power)
		})}, true
	case ferric.ActionPowerStateCorrected:
		return payload{"NodeCorrectedPowerStatePayload", "1.17", withNode(func(f map[string]any, _ *ferric.Node, news ferric.News) {
			f["from_power"] = text(news.Power)
		})}, true
	case ferric.ActionProvisionSet:
		return payload{"NodeSetProvisionStatePayload", "1.18", withNode(func(f map[string]any, n *ferric.Node, news ferric.News) {
			f["instance_info"], f["driver_internal_info"] = instanceInfo(n), secretDict(n.InternalInfo)
			f["event"] = text(news.Event)
			f["previous_provision_state"], f["previous_target_provision_state"] = text(news.From), text(news.FromTarget)
			// One change may make several moves; each is told of with the state that it led to.
			f["provision_state"], f["target_provision_state"] = text(news.To), text(news.ToTarget)
		})}, true
	}
	return payload{}, false
}

// wrapped is a payload in the form in which Ironic's objects travel.
type wrapped struct {
	Name      string         `json:"ironic_object.name"`
	Namespace string         `json:"ironic_object.namespace"`
	Version   string         `json:"ironic_object.version"`
	Data      map[string]any `json:"ironic_object.data"`
}

func (p payload) wrap(o ferric.Occurrence) wrapped {
	return wrapped{p.name, "ironic", p.version, p.fields(o)}
}

// withNode makes the fields that all payloads about nodes have, and more.
func withNode(more func(f map[string]any, n *ferric.Node, news ferric.News)) func(ferric.Occurrence) map[string]any {
	return func(o ferric.Occurrence) map[string]any {
		n := o.Subject.(*ferric.Node)
		f := nodeFields(n)
		if more != nil {
			more(f, n, o.News)
		}
		return f
	}
}

func nodeFields(n *ferric.Node) map[string]any {
	f := map[string]any{
		"clean_step": dict(n.CleanStep), "conductor_group": n.ConductorGroup, "console_enabled": n.ConsoleEnabled, "created_at": moment(n.CreatedAt),
		"deploy_step": dict(n.DeployStep), "description": text(n.Description), "disable_power_off": n.DisablePowerOff, "driver": text(n.Driver),
		"extra": dict(n.Extra), "boot_mode": text(n.BootMode), "secure_boot": n.SecureBoot,
		"inspection_finished_at": moment(n.InspectionFinishedAt), "inspection_started_at": moment(n.InspectionStartedAt),
		"instance_uuid": text(n.InstanceID), "last_error": text(n.LastError), "maintenance": n.Maintenance,
		"maintenance_reason": text(n.MaintenanceReason), "fault": text(n.Fault), "name": text(n.Name), "owner": text(n.Owner), "lessee": text(n.Lessee),
		"power_state": text(n.PowerState), "properties": dict(n.Properties), "protected": n.Protected, "protected_reason": text(n.ProtectedReason),
		"provision_state": text(n.ProvisionState), "provision_updated_at": moment(n.ProvisionUpdatedAt), "resource_class": text(n.ResourceClass),
		"retired": n.Retired, "retired_reason": text(n.RetiredReason), "target_power_state": text(n.TargetPowerState),
		"target_provision_state": text(n.TargetProvisionState), "traits": list(n.Traits), "updated_at": moment(n.UpdatedAt), "uuid": n.UUID,
	}
	for _, kind := range ferric.InterfaceKinds() {
		if kind != ferric.KindFirmware { // Ironic's payload has no place for it
			f[string(kind)+"_interface"] = text(n.Interfaces[kind])
		}
	}
	return f
}

// instanceInfo is without secrets, and without the address of the image, which may be one.
func instanceInfo(n *ferric.Node) map[string]any {
	m := secretDict(n.InstanceInfo)
	if _, given := m["image_url"]; given {
		m["image_url"] = obs.Masked
	}
	return m
}

func allocationFields(a *ferric.Allocation) map[string]any {
	return map[string]any{"uuid": text(a.UUID), "name": text(a.Name), "node_uuid": text(a.NodeUUID), "state": text(a.State), "last_error": text(a.LastError),
		"owner": text(a.Owner), "resource_class": text(a.ResourceClass), "traits": list(a.Traits), "candidate_nodes": list(a.CandidateNodes),
		"extra": dict(a.Extra), "created_at": moment(a.CreatedAt), "updated_at": moment(a.UpdatedAt)}
}

func chassisFields(c *ferric.Chassis) map[string]any {
	return map[string]any{"description": text(c.Description), "extra": dict(c.Extra), "created_at": moment(c.CreatedAt), "updated_at": moment(c.UpdatedAt), "uuid": c.UUID}
}

func templateFields(d *ferric.DeployTemplate) map[string]any {
	steps := []map[string]any{}
	for _, s := range d.Steps {
		steps = append(steps, map[string]any{"interface": s.Interface, "step": s.Step, "args": secretDict(s.Args), "priority": s.Priority})
	}
	return map[string]any{"created_at": moment(d.CreatedAt), "extra": dict(d.Extra), "name": d.Name, "steps": steps, "updated_at": moment(d.UpdatedAt), "uuid": d.UUID}
}

func runbookFields(r *ferric.Runbook) map[string]any {
	steps := []map[string]any{}
	for _, s := range r.Steps {
		steps = append(steps, map[string]any{"interface": s.Interface, "step": s.Step, "args": secretDict(s.Args), "order": s.Order})
	}
	return map[string]any{"created_at": moment(r.CreatedAt), "description": text(r.Description), "disable_ramdisk": r.DisableRamdisk, "extra": dict(r.Extra),
		"name": r.Name, "owner": text(r.Owner), "public": r.Public, "steps": steps, "traits": list(r.Traits), "updated_at": moment(r.UpdatedAt), "uuid": r.UUID}
}

// ruleFields leaves out what a sensitive rule does: the API does not show it either.
func ruleFields(r *ferric.InspectionRule) map[string]any {
	operations := func(list []ferric.RuleOperation) []map[string]any {
		out := []map[string]any{}
		for _, op := range list {
			if !r.Sensitive {
				out = append(out, operation(op))
			}
		}
		return out
	}
	return map[string]any{"created_at": moment(r.CreatedAt), "description": text(r.Description), "phase": text(r.Phase), "priority": r.Priority, "scope": nil,
		"sensitive": r.Sensitive, "actions": operations(r.Actions), "conditions": operations(r.Conditions), "updated_at": moment(r.UpdatedAt), "uuid": r.UUID}
}

func operation(op ferric.RuleOperation) map[string]any {
	m := map[string]any{"op": op.Op, "args": op.Args}
	if op.Loop != nil {
		m["loop"] = op.Loop
	}
	if op.Multiple != "" {
		m["multiple"] = op.Multiple
	}
	return secretDict(m)
}

func portFields(p *ferric.Port) map[string]any {
	return map[string]any{"address": text(p.Address), "extra": dict(p.Extra), "local_link_connection": dict(p.LocalLinkConnection), "pxe_enabled": p.PXEEnabled,
		"node_uuid": p.NodeUUID, "portgroup_uuid": text(p.PortgroupUUID), "physical_network": text(p.PhysicalNetwork), "created_at": moment(p.CreatedAt),
		"updated_at": moment(p.UpdatedAt), "uuid": p.UUID, "is_smartnic": p.IsSmartNIC, "name": text(p.Name), "description": text(p.Description),
		"vendor": text(p.Vendor), "category": text(p.Category), "available_for_dynamic_portgroup": !p.NotForDynamicPortgroup}
}

func portgroupFields(g *ferric.Portgroup) map[string]any {
	return map[string]any{"address": text(g.Address), "category": text(g.Category), "extra": dict(g.Extra), "mode": text(g.Mode), "name": text(g.Name),
		"node_uuid": g.NodeUUID, "physical_network": text(g.PhysicalNetwork), "properties": dict(g.Properties), "standalone_ports_supported": g.StandalonePorts,
		"created_at": moment(g.CreatedAt), "updated_at": moment(g.UpdatedAt), "uuid": g.UUID, "dynamic_portgroup": g.Dynamic}
}

func connectorFields(v *ferric.VolumeConnector) map[string]any {
	return map[string]any{"extra": dict(v.Extra), "type": text(v.Type), "connector_id": text(v.ConnectorID), "node_uuid": v.NodeUUID,
		"created_at": moment(v.CreatedAt), "updated_at": moment(v.UpdatedAt), "uuid": v.UUID}
}

func targetFields(v *ferric.VolumeTarget) map[string]any {
	return map[string]any{"boot_index": v.BootIndex, "extra": dict(v.Extra), "node_uuid": v.NodeUUID, "properties": secretDict(v.Properties),
		"volume_id": text(v.VolumeID), "volume_type": text(v.Type), "created_at": moment(v.CreatedAt), "updated_at": moment(v.UpdatedAt), "uuid": v.UUID}
}

// text is null for what is not there.
func text[S ~string](s S) any {
	if s == "" {
		return nil
	}
	return string(s)
}

// moment is in UTC, to the second.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func dict(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// secretDict is a dict that may hold secrets, which are masked.
func secretDict(m map[string]any) map[string]any { return dict(obs.MaskAll(m)) }

func list(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}
