package api

import (
	"net/http"
	"slices"
)

// routes is the whole API.
func (a *API) routes() []route {
	const (
		get, put, post, patch, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
		created, accepted, empty   = http.StatusCreated, http.StatusAccepted, http.StatusNoContent
	)
	fields := arg{name: "fields", parse: argList}
	detail := arg{name: "detail", parse: argBool}
	return slices.Concat([]route{
		{method: get, path: "/", public: true, handle: a.showRoot},
		{method: http.MethodHead, path: "/", public: true, handle: a.showRoot},
		{method: get, path: "/v1", public: true, handle: a.showV1},
		{method: http.MethodHead, path: "/v1", public: true, handle: a.showV1},

		{method: get, path: "/v1/nodes", policy: "baremetal:node:list_all", own: "baremetal:node:list", args: nodeListArgs(fields, detail), handle: a.listNodes},
		{method: get, path: "/v1/nodes/detail", policy: "baremetal:node:list_all", own: "baremetal:node:list",
			args: nodeListArgs(), handle: a.listNodeDetails},
		{method: post, path: "/v1/nodes", policy: "baremetal:node:create", orElse: "baremetal:node:create:self_owned_node", status: created, body: docBody, handle: a.createNode},
		{method: patch, path: "/v1/nodes", refusal: true, handle: missing("node_ident")},
		{method: del, path: "/v1/nodes", refusal: true, handle: missing("node_ident")},
		{method: get, path: "/v1/nodes/validate", policy: "baremetal:node:validate", late: true,
			args: []arg{{name: "node", parse: argIdent}, {name: "node_uuid", parse: argUUID}}, handle: a.validateNode},
		{method: get, path: "/v1/nodes/{node}", policy: "baremetal:node:get", args: []arg{fields}, handle: a.showNode},
		{method: patch, path: "/v1/nodes/{node}", policy: "baremetal:node:update", patched: a.nodes.patchRules("baremetal:node:update"), body: docBody,
			args: []arg{{name: "reset_interfaces", parse: argBool}}, handle: a.patchNode},
		{method: del, path: "/v1/nodes/{node}", policy: "baremetal:node:delete", orElse: "baremetal:node:delete:self_owned_node", status: empty, handle: a.deleteNode},
		{method: get, path: "/v1/nodes/{node}/validate", policy: "baremetal:node:validate", handle: a.validateNode},

		{method: put, path: "/v1/nodes/{node}/maintenance", policy: "baremetal:node:set_maintenance", status: accepted, body: argsBody,
			args: []arg{{name: "reason", parse: argString}}, handle: a.setMaintenance},
		{method: del, path: "/v1/nodes/{node}/maintenance", policy: "baremetal:node:clear_maintenance", status: accepted,
			handle: a.clearMaintenance},

		{method: get, path: "/v1/nodes/{node}/states", policy: "baremetal:node:get_states", handle: a.showStates},
		{method: put, path: "/v1/nodes/{node}/states/power", policy: "baremetal:node:set_power_state", status: accepted, body: argsBody,
			args: []arg{{name: "target", parse: argString, required: true}, {name: "timeout", parse: argInt}}, handle: a.setPower},
		{method: put, path: "/v1/nodes/{node}/states/provision", policy: "baremetal:node:set_provision_state", status: accepted,
			body: argsBody, args: provisionArgs(), handle: a.setProvision},

		{method: get, path: "/v1/nodes/{node}/management/boot_device", policy: "baremetal:node:get_boot_device", handle: a.showBootDevice},
		{method: put, path: "/v1/nodes/{node}/management/boot_device", policy: "baremetal:node:set_boot_device", status: empty, body: argsBody,
			args: []arg{{name: "boot_device", parse: argString, required: true}, {name: "persistent", parse: argBool}}, handle: a.setBootDevice},
		{method: get, path: "/v1/nodes/{node}/management/boot_device/supported", policy: "baremetal:node:get_boot_device",
			handle: a.listBootDevices},
		{method: put, path: "/v1/nodes/{node}/management/inject_nmi", since: 29, policy: "baremetal:node:inject_nmi", status: empty,
			handle: a.injectNMI},

		{method: get, path: "/v1/nodes/{node}/vifs", since: 28, policy: "baremetal:node:vif:list", handle: a.listVIFs},
		{method: post, path: "/v1/nodes/{node}/vifs", since: 28, policy: "baremetal:node:vif:attach", status: empty, body: docBody,
			handle: a.attachVIF},
		{method: del, path: "/v1/nodes/{node}/vifs", since: 28, refusal: true, handle: missing("vif_id")},
		{method: del, path: "/v1/nodes/{node}/vifs/{vif}", since: 28, policy: "baremetal:node:vif:detach", status: empty, handle: a.detachVIF},

		{method: get, path: "/v1/nodes/{node}/traits", since: 37, policy: "baremetal:node:traits:list", handle: a.listTraits},
		{method: put, path: "/v1/nodes/{node}/traits", since: 37, policy: "baremetal:node:traits:set", status: empty, body: docBody,
			handle: a.setTraits},
		{method: del, path: "/v1/nodes/{node}/traits", since: 37, policy: "baremetal:node:traits:delete", status: empty, handle: a.removeTraits},
		{method: put, path: "/v1/nodes/{node}/traits/{trait}", since: 37, policy: "baremetal:node:traits:set", status: empty, body: docBody,
			handle: a.addTrait},
		{method: del, path: "/v1/nodes/{node}/traits/{trait}", since: 37, policy: "baremetal:node:traits:delete", status: empty,
			handle: a.removeTraits},

		{method: get, path: "/v1/nodes/{node}/history", since: 78, policy: "baremetal:node:history:get", args: append(pageArgs(), detail),
			handle: a.listHistory},
		{method: get, path: "/v1/nodes/{node}/history/{event}", since: 78, policy: "baremetal:node:history:get", handle: a.showHistory},
		{method: get, path: "/v1/nodes/{node}/inventory", since: 81, policy: "baremetal:node:inventory:get", handle: a.showInventory},
		{method: get, path: "/v1/nodes/{node}/children", since: 83, policy: "baremetal:node:list_all", own: "baremetal:node:list", handle: a.listChildren},
		{method: get, path: "/v1/nodes/{node}/ports", policy: "baremetal:port:list_all", own: "baremetal:port:list", args: portListArgs(fields, detail), handle: a.listPorts},
		{method: get, path: "/v1/nodes/{node}/ports/detail", policy: "baremetal:port:list_all", own: "baremetal:port:list", args: portListArgs(), handle: a.listPortDetails},

		{method: get, path: "/v1/ports", policy: "baremetal:port:list_all", own: "baremetal:port:list", args: portListArgs(fields, detail), handle: a.listPorts},
		{method: get, path: "/v1/ports/detail", policy: "baremetal:port:list_all", own: "baremetal:port:list", args: portListArgs(), handle: a.listPortDetails},
		{method: post, path: "/v1/ports", policy: "baremetal:port:create", late: true, status: created, body: docBody, handle: a.createPort},
		{method: patch, path: "/v1/ports", refusal: true, handle: missing("port_ident")},
		{method: del, path: "/v1/ports", refusal: true, handle: missing("port_uuid")},
		{method: get, path: "/v1/ports/{port}", policy: "baremetal:port:get", args: []arg{fields}, handle: a.showPort},
		{method: patch, path: "/v1/ports/{port}", policy: "baremetal:port:update", body: docBody, handle: a.patchPort},
		{method: del, path: "/v1/ports/{port}", policy: "baremetal:port:delete", status: empty, handle: a.deletePort},

		{method: get, path: "/v1/drivers", policy: "baremetal:driver:get", args: []arg{{name: "type", parse: argString, since: 30},
			{name: "detail", parse: argBool, since: 30}, {name: "fields", parse: argList, since: 77, quiet: true}}, handle: a.listDrivers},
		{method: get, path: "/v1/drivers/{driver}", policy: "baremetal:driver:get",
			args: []arg{{name: "fields", parse: argList, since: 77, quiet: true}}, handle: a.showDriver},
		{method: get, path: "/v1/drivers/{driver}/properties", policy: "baremetal:driver:get_properties", handle: a.showDriverProperties},

		{method: get, path: "/v1/conductors", since: 49, policy: "baremetal:conductor:get", args: []arg{{name: "marker", parse: argName},
			{name: "limit", parse: argInt}, {name: "sort_key", parse: argString}, {name: "sort_dir", parse: argString}, fields, detail},
			handle: a.listConductors},
		{method: get, path: "/v1/conductors/{conductor}", since: 49, policy: "baremetal:conductor:get", args: []arg{fields},
			handle: a.showConductor},

		{method: get, path: "/v1/lookup", since: 22, policy: "baremetal:driver:ipa_lookup", ramdisk: true,
			args: []arg{{name: "addresses", parse: argList}, {name: "node_uuid", parse: argUUID}}, handle: a.lookup},
		{method: post, path: "/v1/heartbeat/{node}", since: 22, policy: "baremetal:node:ipa_heartbeat", ramdisk: true,
			status: accepted, body: argsBody, args: heartbeatArgs(), handle: a.heartbeat},
		{method: post, path: "/v1/continue_inspection", policy: "baremetal:driver:ipa_continue_inspection", ramdisk: true,
			status: accepted, body: docBody, args: []arg{{name: "node_uuid", parse: argUUID}}, handle: a.continueInspection},

		{method: get, path: "/ferric/v1/openapi.json", public: true, handle: a.showOpenAPI},
		{method: get, path: "/ferric/v1/doctor", policy: "baremetal:conductor:get",
			args: []arg{{name: "node", parse: argList}, {name: "hardware", parse: argBool}}, handle: a.showDoctor},
		{method: get, path: "/ferric/v1/operations/{operation}", policy: "baremetal:node:history:get", handle: a.showOperation},
		{method: get, path: "/ferric/v1/nodes/{node}/operations", policy: "baremetal:node:history:get",
			args: []arg{{name: "limit", parse: argInt}}, handle: a.listOperations},
		{method: get, path: eventsPath, policy: "baremetal:node:list_all", own: "baremetal:node:list", args: eventArgs(), handle: a.streamEvents},
	}, a.schedulingRoutes(), a.hardwareRoutes(), a.ruleRoutes(), a.groupRoutes())
}
