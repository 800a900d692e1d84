package api

import (
	"net/http"
	"slices"
)

// hardwareRoutes are the paths of what machines are made of and what may be done to them.
func (a *API) hardwareRoutes() []route {
	const (
		get, put, post, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete
		accepted, empty     = http.StatusAccepted, http.StatusNoContent
		node, driver        = "/v1/nodes/{node}", "/v1/drivers/{driver}"
	)
	some := []arg{{name: "fields", parse: argList}, {name: "detail", parse: argBool}}
	return slices.Concat([]route{
		{method: get, path: node + "/bios", since: 40, policy: "baremetal:node:bios:get", args: some, handle: a.listBIOS},
		{method: get, path: node + "/bios/{setting}", since: 40, policy: "baremetal:node:bios:get", handle: a.showBIOS},
		{method: get, path: node + "/firmware", since: 86, policy: "baremetal:node:firmware:get", args: some, handle: a.listFirmware},

		// Before 1.12 this one is there, and refuses.
		{method: put, path: node + "/states/raid", policy: "baremetal:node:set_raid_state", status: empty, body: docBody, handle: a.setRAID},
		{method: put, path: node + "/states/boot_mode", since: 76, policy: "baremetal:node:set_boot_mode", status: accepted, body: argsBody,
			args: []arg{{name: "target", parse: argString, required: true}}, handle: a.setBootMode},
		{method: put, path: node + "/states/secure_boot", since: 76, policy: "baremetal:node:set_secure_boot", status: accepted, body: argsBody,
			args: []arg{{name: "target", parse: argBool, required: true}}, handle: a.setSecureBoot},
		{method: get, path: node + "/states/console", policy: "baremetal:node:get_console", handle: a.showConsole},
		{method: put, path: node + "/states/console", policy: "baremetal:node:set_console_state", status: accepted, body: argsBody,
			args: []arg{{name: "enabled", parse: argBool, required: true}}, handle: a.setConsole},

		{method: get, path: node + "/management/indicators", since: 63, policy: "baremetal:node:get_indicator_state", handle: a.listIndicators},
		{method: get, path: node + "/management/indicators/{indicator}", since: 63, policy: "baremetal:node:get_indicator_state",
			handle: a.showIndicator},
		{method: put, path: node + "/management/indicators/{indicator}", since: 63, policy: "baremetal:node:set_indicator_state", status: empty,
			body: argsBody, args: []arg{{name: "state", parse: argString, required: true}}, handle: a.setIndicator},

		{method: get, path: node + "/vmedia", since: 89, policy: "baremetal:node:vmedia:get", handle: a.listVMedia},
		{method: post, path: node + "/vmedia", since: 89, policy: "baremetal:node:vmedia:attach", status: empty, body: docBody,
			handle: a.attachVMedia},
		{method: del, path: node + "/vmedia", since: 89, policy: "baremetal:node:vmedia:detach", status: empty,
			args: []arg{{name: "device_types", parse: argList}}, handle: a.detachVMedia},

		{method: get, path: driver + "/raid/logical_disk_properties", policy: "baremetal:driver:get_raid_logical_disk_properties",
			handle: a.showRAIDProperties},
	},
		vendorRoutes(node+"/vendor_passthru", "baremetal:node:vendor_passthru", a.listVendorMethods, a.callVendor),
		vendorRoutes(driver+"/vendor_passthru", "baremetal:driver:vendor_passthru", a.listDriverMethods, a.callDriverVendor))
}
