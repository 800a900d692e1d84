package api

import (
	"time"

	"ferric"
)

// maxEvent is how many characters of an event's text a list shows without detail.
const maxEvent = 255

func (a *API) historyEntry(rq *request, e *ferric.HistoryEntry, detail bool) map[string]any {
	out := map[string]any{"uuid": e.UUID, "created_at": timeJSON(e.CreatedAt), "severity": e.Severity, "event": e.Event,
		"links": []link{{Href: rq.base + "/v1/nodes/" + e.NodeUUID + "/history/" + e.UUID, Rel: "self"}}}
	if !detail {
		if text := []rune(e.Event); len(text) > maxEvent {
			out["event"] = string(text[:maxEvent-4]) + "..."
		}
		return out
	}
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	out["event_type"], out["conductor"], out["user"] = null(e.EventType), null(e.Conductor), null(e.User)
	if rq.version >= 113 {
		out["project"] = null(e.Project)
	}
	if rq.version >= 115 {
		out["state"], out["target_provision_state"] = null(string(e.State)), null(string(e.TargetState))
		out["duration_seconds"] = nil
		if e.Duration > 0 {
			out["duration_seconds"] = int64(e.Duration / time.Second)
		}
	}
	return out
}

func (a *API) listHistory(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	page, err := pageOf(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	switch key := rq.args.str("sort_key"); key {
	case "id":
	case "", "created_at":
		page.SortKey = "created_at"
	case "uuid", "severity", "event", "event_type", "conductor", "user", "project", "state", "target_provision_state", "duration_seconds":
		page.SortKey = key
	default:
		return nil, invalid(`The sort_key value "%s" is an invalid field for sorting`, clip(key))
	}
	entries, err := a.deps.Store.History(rq.Context(), n.UUID, page)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for i := range entries {
		list = append(list, a.historyEntry(rq, &entries[i], rq.args.isTrue("detail")))
	}
	out := map[string]any{"history": list}
	if len(entries) > 0 && len(entries) == page.Limit {
		out["next"] = nextURL(rq, "nodes/"+rq.vars["node"]+"/history", page, nil, entries[len(entries)-1].UUID)
	}
	return out, nil
}

func (a *API) showHistory(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	id := rq.vars["event"]
	e, err := a.deps.Store.HistoryEntry(rq.Context(), canonicalUUID(id))
	if err == nil && e.NodeUUID != n.UUID {
		err = ferric.Errorf(ferric.CodeNotFound, "it is another node's")
	}
	if err != nil {
		return nil, named(err, "Node history record", id)
	}
	return a.historyEntry(rq, e, true), nil
}
