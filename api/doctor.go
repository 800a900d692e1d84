package api

import (
	"ferric"
)

// findingJSON is a finding as Ferric's own API shows it.
type findingJSON struct {
	Code       string          `json:"code"`
	Severity   ferric.Severity `json:"severity"`
	Node       *string         `json:"node_uuid"`
	NodeName   *string         `json:"node_name"`
	Conductor  *string         `json:"conductor"`
	Operation  *string         `json:"operation"`
	Allocation *string         `json:"allocation_uuid"`
	Nodes      int             `json:"nodes"`
	Since      any             `json:"since"`
	What       string          `json:"what"`
	Why        string          `json:"why"`
	Do         string          `json:"do"`
}

// showDoctor tells what is not well, with all nodes or with those that the query names.
func (a *API) showDoctor(rq *request) (any, error) {
	if a.deps.Doctor == nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "There is no doctor in this process.")
	}
	var nodes []string
	for _, ident := range rq.args.list("node") {
		n, err := a.nodeByIdent(rq, ident)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n.UUID)
	}
	d, err := a.deps.Doctor(rq.Context(), nodes, rq.args.isTrue("hardware"))
	if err != nil {
		return nil, err
	}
	list := make([]findingJSON, len(d.Findings))
	for i, f := range d.Findings {
		list[i] = findingJSON{Code: f.Code, Severity: f.Severity, Node: orNull(f.Node), NodeName: orNull(f.NodeName), Conductor: orNull(f.Conductor),
			Operation: orNull(f.Operation), Allocation: orNull(f.Allocation), Nodes: max(1, f.Nodes), Since: timeJSON(f.Since), What: f.What, Why: f.Why, Do: f.Do}
		if f.Node == "" && f.Nodes == 0 {
			list[i].Nodes = 0
		}
	}
	return map[string]any{"healthy": len(list) == 0 && len(d.Unseen) == 0, "nodes_examined": d.Nodes, "findings": list, "unseen": append([]string{}, d.Unseen...)}, nil
}
