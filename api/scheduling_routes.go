package api

import "net/http"

// schedulingRoutes are those of allocations, deploy templates, runbooks and events.
func (a *API) schedulingRoutes() []route {
	const (
		get, put, post, patch, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete
		created, empty, noMethod   = http.StatusCreated, http.StatusNoContent, http.StatusMethodNotAllowed

		allocations, allocation = "/v1/allocations", "/v1/allocations/{allocation}"
		templates, template     = "/v1/deploy_templates", "/v1/deploy_templates/{template}"
		runbooks, runbook       = "/v1/runbooks", "/v1/runbooks/{runbook}"
	)
	fields := arg{name: "fields", parse: argList}
	detail := arg{name: "detail", parse: argBool}
	return []route{
		{method: get, path: "/v1/nodes/{node}/allocation", since: 52, policy: seeAllocation, late: true, args: []arg{fields}, handle: a.showNodeAllocation},
		{method: del, path: "/v1/nodes/{node}/allocation", since: 52, policy: "baremetal:allocation:delete", late: true, status: empty,
			handle: a.deleteNodeAllocation},
		{method: get, path: allocations, since: 52, policy: "baremetal:allocation:list_all", own: "baremetal:allocation:list",
			args: allocationListArgs(fields), handle: a.listAllocations},
		{method: post, path: allocations, since: 52, early: noMethod, policy: "baremetal:allocation:create", orElse: "baremetal:allocation:create_restricted", status: created, body: docBody,
			handle: a.createAllocation},
		{method: patch, path: allocations, since: 57, early: noMethod, refusal: true, handle: missing("allocation_ident")},
		{method: del, path: allocations, since: 52, early: noMethod, refusal: true, handle: missing("allocation_ident")},
		{method: get, path: allocation, since: 52, policy: seeAllocation, args: []arg{fields}, handle: a.showAllocation},
		{method: patch, path: allocation, since: 57, early: noMethod, policy: "baremetal:allocation:update", body: docBody, handle: a.patchAllocation},
		{method: del, path: allocation, since: 52, early: noMethod, policy: "baremetal:allocation:delete", status: empty, handle: a.deleteAllocation},

		{method: get, path: templates, since: 55, policy: "baremetal:deploy_template:get", args: namedListArgs(fields, detail), handle: a.listDeployTemplates},
		{method: post, path: templates, since: 55, early: noMethod, policy: "baremetal:deploy_template:create", status: created, body: docBody,
			handle: a.createDeployTemplate},
		{method: patch, path: templates, since: 55, early: noMethod, refusal: true, handle: missing("template_ident")},
		{method: del, path: templates, since: 55, early: noMethod, refusal: true, handle: missing("template_ident")},
		{method: get, path: template, since: 55, policy: "baremetal:deploy_template:get", args: []arg{fields}, handle: a.showDeployTemplate},
		{method: patch, path: template, since: 55, early: noMethod, policy: "baremetal:deploy_template:update", body: docBody, handle: a.patchDeployTemplate},
		{method: del, path: template, since: 55, early: noMethod, policy: "baremetal:deploy_template:delete", status: empty, handle: a.deleteDeployTemplate},

		{method: get, path: runbooks, since: 92, policy: "baremetal:runbook:list_all", own: "baremetal:runbook:list",
			args: namedListArgs(fields, detail, arg{name: "project", parse: argBool}), handle: a.listRunbooks},
		{method: post, path: runbooks, since: 92, early: noMethod, policy: "baremetal:runbook:create", status: created, body: docBody, handle: a.createRunbook},
		{method: patch, path: runbooks, since: 92, early: noMethod, refusal: true, handle: missing("runbook_ident")},
		{method: del, path: runbooks, since: 92, early: noMethod, refusal: true, handle: missing("runbook_ident")},
		{method: get, path: runbook, since: 92, policy: seeRunbook, late: true, args: []arg{fields}, handle: a.showRunbook},
		{method: patch, path: runbook, since: 92, early: noMethod, policy: "baremetal:runbook:update", patched: a.runbooks.patchRules("baremetal:runbook:update"),
			body: docBody, handle: a.patchRunbook},
		{method: del, path: runbook, since: 92, early: noMethod, policy: "baremetal:runbook:delete", status: empty, handle: a.deleteRunbook},
		{method: get, path: runbook + "/traits", since: 112, policy: seeRunbook, handle: a.listRunbookTraits},
		{method: put, path: runbook + "/traits", since: 112, policy: "baremetal:runbook:update", status: empty, body: docBody, handle: a.setRunbookTraits},
		{method: del, path: runbook + "/traits", since: 112, policy: "baremetal:runbook:update", status: empty, handle: a.removeRunbookTraits},
		{method: put, path: runbook + "/traits/{trait}", since: 112, policy: "baremetal:runbook:update", status: empty, body: docBody,
			handle: a.addRunbookTrait},
		{method: del, path: runbook + "/traits/{trait}", since: 112, policy: "baremetal:runbook:update", status: empty, handle: a.removeRunbookTraits},

		{method: post, path: "/v1/events", since: 54, policy: "baremetal:events:post", status: empty, body: docBody, handle: a.postEvents},
	}
}
