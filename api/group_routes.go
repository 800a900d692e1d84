package api

import (
	"net/http"
	"slices"
)

// groupRoutes are those of chassis, port groups, volumes and shards.
func (a *API) groupRoutes() []route {
	const (
		get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
		created, empty        = http.StatusCreated, http.StatusNoContent
	)
	fields := arg{name: "fields", parse: argList}
	detail := arg{name: "detail", parse: argBool}
	return slices.Concat([]route{
		{method: get, path: "/v1/nodes/{node}/portgroups", since: 24, policy: "baremetal:portgroup:list_all", own: "baremetal:portgroup:list", args: portgroupListArgs(fields, detail),
			handle: a.listPortgroups},
		{method: get, path: "/v1/nodes/{node}/portgroups/detail", since: 24, policy: "baremetal:portgroup:list_all", own: "baremetal:portgroup:list", args: portgroupListArgs(),
			handle: a.listPortgroupDetails},
		{method: get, path: "/v1/nodes/{node}/portgroups/{portgroup}/ports", since: 24, refusal: true, handle: notPermitted},
		{method: get, path: "/v1/nodes/{node}/volume", since: 32, policy: "baremetal:volume:get", handle: a.showVolume},
		{method: get, path: "/v1/nodes/{node}/volume/connectors", since: 32, policy: "baremetal:volume:list_all", own: "baremetal:volume:list",
			args: volumeListArgs(fields, detail), handle: a.listConnectors},
		{method: get, path: "/v1/nodes/{node}/volume/targets", since: 32, policy: "baremetal:volume:list_all", own: "baremetal:volume:list",
			args: volumeListArgs(fields, detail), handle: a.listTargets},

		{method: get, path: "/v1/portgroups", since: 23, policy: "baremetal:portgroup:list_all", own: "baremetal:portgroup:list", args: portgroupListArgs(fields, detail),
			handle: a.listPortgroups},
		{method: get, path: "/v1/portgroups/detail", since: 23, policy: "baremetal:portgroup:list_all", own: "baremetal:portgroup:list", args: portgroupListArgs(),
			handle: a.listPortgroupDetails},
		{method: post, path: "/v1/portgroups", since: 23, policy: "baremetal:portgroup:create", late: true, status: created, body: docBody,
			handle: a.createPortgroup},
		{method: patch, path: "/v1/portgroups", since: 23, refusal: true, handle: missing("portgroup_ident")},
		{method: del, path: "/v1/portgroups", since: 23, refusal: true, handle: missing("portgroup_ident")},
		{method: get, path: "/v1/portgroups/{portgroup}", since: 23, policy: "baremetal:portgroup:get", args: []arg{fields}, handle: a.showPortgroup},
		{method: patch, path: "/v1/portgroups/{portgroup}", since: 23, policy: "baremetal:portgroup:update", body: docBody, handle: a.patchPortgroup},
		{method: del, path: "/v1/portgroups/{portgroup}", since: 23, policy: "baremetal:portgroup:delete", status: empty, handle: a.deletePortgroup},
		{method: get, path: "/v1/portgroups/{portgroup}/ports", since: 24, policy: "baremetal:port:list_all", own: "baremetal:port:list", args: portListArgs(fields, detail),
			handle: a.listPorts},
		{method: get, path: "/v1/portgroups/{portgroup}/ports/detail", since: 24, policy: "baremetal:port:list_all", own: "baremetal:port:list", args: portListArgs(),
			handle: a.listPortDetails},

		{method: get, path: "/v1/chassis", policy: "baremetal:chassis:get", args: append(pageArgs(), fields, detail), handle: a.listChassis},
		{method: get, path: "/v1/chassis/detail", policy: "baremetal:chassis:get", args: pageArgs(), handle: a.listChassisDetails},
		{method: post, path: "/v1/chassis", policy: "baremetal:chassis:create", status: created, body: docBody, handle: a.createChassis},
		{method: patch, path: "/v1/chassis", refusal: true, handle: missing("chassis_uuid")},
		{method: del, path: "/v1/chassis", refusal: true, handle: missing("chassis_uuid")},
		{method: get, path: "/v1/chassis/{chassis}", policy: "baremetal:chassis:get", args: []arg{fields}, handle: a.showChassis},
		{method: patch, path: "/v1/chassis/{chassis}", policy: "baremetal:chassis:update", body: docBody, handle: a.patchChassis},
		{method: del, path: "/v1/chassis/{chassis}", policy: "baremetal:chassis:delete", status: empty, handle: a.deleteChassis},
		{method: get, path: "/v1/chassis/{chassis}/nodes", policy: "baremetal:node:list_all", own: "baremetal:node:list", args: nodeListArgs(fields, detail), handle: a.listNodes},
		{method: get, path: "/v1/chassis/{chassis}/nodes/detail", policy: "baremetal:node:list_all", own: "baremetal:node:list", args: nodeListArgs(), handle: a.listNodeDetails},
		{method: post, path: "/v1/chassis/{chassis}/nodes", refusal: true, handle: notPermitted},
		{method: get, path: "/v1/chassis/{chassis}/nodes/{node}", refusal: true, handle: notPermitted},
		{method: patch, path: "/v1/chassis/{chassis}/nodes/{node}", refusal: true, handle: notPermitted},
		{method: del, path: "/v1/chassis/{chassis}/nodes/{node}", refusal: true, handle: notPermitted},

		{method: get, path: "/v1/volume", since: 32, policy: "baremetal:volume:get", handle: a.showVolume},
		{method: get, path: "/v1/volume/connectors", since: 32, policy: "baremetal:volume:list_all", own: "baremetal:volume:list", args: volumeListArgs(fields, detail),
			handle: a.listConnectors},
		{method: post, path: "/v1/volume/connectors", since: 32, policy: "baremetal:volume:create", late: true, status: created, body: docBody,
			handle: a.createConnector},
		{method: patch, path: "/v1/volume/connectors", since: 32, refusal: true, handle: missing("connector_uuid")},
		{method: del, path: "/v1/volume/connectors", since: 32, refusal: true, handle: missing("connector_uuid")},
		{method: get, path: "/v1/volume/connectors/{connector}", since: 32, policy: "baremetal:volume:get", args: []arg{fields}, handle: a.showConnector},
		{method: patch, path: "/v1/volume/connectors/{connector}", since: 32, policy: "baremetal:volume:update", body: docBody, handle: a.patchConnector},
		{method: del, path: "/v1/volume/connectors/{connector}", since: 32, policy: "baremetal:volume:delete", status: empty, handle: a.deleteConnector},
		{method: get, path: "/v1/volume/targets", since: 32, policy: "baremetal:volume:list_all", own: "baremetal:volume:list", args: volumeListArgs(fields, detail),
			handle: a.listTargets},
		{method: post, path: "/v1/volume/targets", since: 32, policy: "baremetal:volume:create", late: true, status: created, body: docBody,
			handle: a.createTarget},
		{method: patch, path: "/v1/volume/targets", since: 32, refusal: true, handle: missing("target_uuid")},
		{method: del, path: "/v1/volume/targets", since: 32, refusal: true, handle: missing("target_uuid")},
		{method: get, path: "/v1/volume/targets/{target}", since: 32, policy: "baremetal:volume:get", args: []arg{fields}, handle: a.showTarget},
		{method: patch, path: "/v1/volume/targets/{target}", since: 32, policy: "baremetal:volume:update", body: docBody, handle: a.patchTarget},
		{method: del, path: "/v1/volume/targets/{target}", since: 32, policy: "baremetal:volume:delete", status: empty, handle: a.deleteTarget},

		{method: get, path: "/v1/shards", since: 82, policy: "baremetal:shards:get", handle: a.listShards},
	},
		malformed("/v1/nodes/{node}/ports", "port", 0),
		malformed("/v1/nodes/{node}/portgroups", "portgroup", 24),
		malformed("/v1/nodes/{node}/volume/connectors", "connector", 32),
		malformed("/v1/nodes/{node}/volume/targets", "target", 32),
		malformed("/v1/portgroups/{portgroup}/ports", "port", 24))
}
