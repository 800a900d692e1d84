package api

import (
	"cmp"
	"slices"
	"strings"

	"ferric"
)

func (a *API) conductorObject(rq *request, c ferric.Conductor, fields []string) (map[string]any, error) {
	out := map[string]any{"hostname": c.Host, "conductor_group": c.Group, "alive": c.Alive,
		"drivers": append([]string{}, c.HardwareTypes...), "created_at": timeJSON(c.StartedAt), "updated_at": timeJSON(c.UpdatedAt)}
	if fields != nil {
		for _, name := range fields {
			if _, ok := out[name]; !ok && name != "links" {
				return nil, invalid(`Field(s) "%s" are not valid`, clip(name))
			}
		}
		for name := range out {
			if !slices.Contains(fields, name) {
				delete(out, name)
			}
		}
	}
	out["links"] = rq.links("conductors/" + c.Host)
	return out, nil
}

func conductorFields(rq *request) ([]string, error) {
	switch {
	case rq.args.has("fields") && rq.args.isTrue("detail"):
		return nil, invalid("Can not specify ?detail=True and fields in the same request.")
	case rq.args.has("fields"):
		return rq.args.list("fields"), nil
	case rq.args.isTrue("detail"):
		return nil, nil
	}
	return []string{"hostname", "conductor_group", "alive"}, nil
}

func (a *API) listConductors(rq *request) (any, error) {
	page, err := pageOf(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	fields, err := conductorFields(rq)
	if err != nil {
		return nil, err
	}
	conductors, err := a.deps.Store.Conductors(rq.Context(), a.config.ConductorAlive)
	if err != nil {
		return nil, err
	}
	key := rq.args.str("sort_key")
	order := map[string]func(x, y ferric.Conductor) int{
		"":                func(x, y ferric.Conductor) int { return x.StartedAt.Compare(y.StartedAt) },
		"hostname":        func(x, y ferric.Conductor) int { return strings.Compare(x.Host, y.Host) },
		"conductor_group": func(x, y ferric.Conductor) int { return strings.Compare(x.Group, y.Group) },
		"created_at":      func(x, y ferric.Conductor) int { return x.StartedAt.Compare(y.StartedAt) },
		"updated_at":      func(x, y ferric.Conductor) int { return x.UpdatedAt.Compare(y.UpdatedAt) },
	}
	order["id"] = order[""]
	compare, ok := order[key]
	if !ok {
		return nil, invalid(`The sort_key value "%s" is an invalid field for sorting`, clip(key))
	}
	slices.SortFunc(conductors, func(x, y ferric.Conductor) int {
		c := cmp.Or(compare(x, y), strings.Compare(x.Host, y.Host))
		if page.Desc {
			return -c
		}
		return c
	})
	if page.Marker != "" {
		i := slices.IndexFunc(conductors, func(c ferric.Conductor) bool { return c.Host == page.Marker })
		if i < 0 {
			return nil, noConductor(page.Marker)
		}
		conductors = conductors[i+1:]
	}
	conductors = conductors[:min(len(conductors), page.Limit)]
	list := []map[string]any{}
	for _, c := range conductors {
		object, err := a.conductorObject(rq, c, fields)
		if err != nil {
			return nil, err
		}
		list = append(list, object)
	}
	out := map[string]any{"conductors": list}
	if n := len(conductors); n > 0 && n == page.Limit {
		page.SortKey = key
		out["next"] = nextURL(rq, "conductors", page, fields, conductors[n-1].Host)
	}
	return out, nil
}

func noConductor(host string) error {
	return ferric.Errorf(ferric.CodeNotFound, "Conductor %s could not be found.", clip(host))
}

func (a *API) showConductor(rq *request) (any, error) {
	if _, err := argName("hostname", rq.vars["conductor"]); err != nil {
		return nil, err
	}
	var fields []string
	if rq.args.has("fields") {
		fields = rq.args.list("fields")
	}
	conductors, err := a.deps.Store.Conductors(rq.Context(), a.config.ConductorAlive)
	if err != nil {
		return nil, err
	}
	for _, c := range conductors {
		if c.Host == rq.vars["conductor"] {
			return a.conductorObject(rq, c, fields)
		}
	}
	return nil, noConductor(rq.vars["conductor"])
}
