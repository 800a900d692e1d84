package api

import (
	"slices"

	"ferric"
)

// biosSince is the version from which lists of BIOS settings take detail= and fields=, and a setting shows all that is known.
const biosSince = 74

func (a *API) biosObject(rq *request, node string, b *ferric.BIOSSetting, columns []column[ferric.BIOSSetting]) map[string]any {
	out := map[string]any{"created_at": timeJSON(b.CreatedAt), "updated_at": timeJSON(b.UpdatedAt),
		"links": rq.links("nodes/" + node + "/bios/" + b.Name)}
	for _, c := range columns {
		out[c.name] = c.value(b)
	}
	return out
}

func (a *API) listBIOS(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"detail", "fields"} {
		if rq.args.has(name) && rq.version < biosSince {
			return nil, invalid("Invalid query parameter ?%s=%s received.", name, rq.query.Get(name))
		}
	}
	columns, err := chooseColumns(rq, biosColumns(), "created_at", "updated_at", "links")
	if err != nil {
		return nil, err
	}
	settings, err := a.deps.Store.BIOSSettings(rq.Context(), n.UUID)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for i := range settings {
		list = append(list, a.biosObject(rq, rq.vars["node"], &settings[i], columns))
	}
	return map[string]any{"bios": list}, nil
}

func (a *API) showBIOS(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	name := rq.vars["setting"]
	if !isName(name) {
		return nil, invalid("Schema error for setting_name: %s does not match '^[A-Z0-9-._~]+$'", clip(repr(name)))
	}
	setting, err := a.deps.Store.BIOSSetting(rq.Context(), n.UUID, name)
	if err != nil {
		return nil, err
	}
	columns := slices.DeleteFunc(biosColumns(), func(c column[ferric.BIOSSetting]) bool { return c.since > rq.version })
	return map[string]any{name: a.biosObject(rq, n.UUID, setting, columns)}, nil
}

func (a *API) listFirmware(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	columns, err := chooseColumns(rq, firmwareColumns(), "created_at", "updated_at")
	if err != nil {
		return nil, err
	}
	components, err := a.deps.Store.Firmware(rq.Context(), n.UUID)
	if err != nil {
		return nil, err
	}
	list := []map[string]any{}
	for i := range components {
		c := &components[i]
		out := map[string]any{"created_at": timeJSON(c.CreatedAt), "updated_at": timeJSON(c.UpdatedAt)}
		for _, column := range columns {
			out[column.name] = column.value(c)
		}
		list = append(list, out)
	}
	return map[string]any{"firmware": list}, nil
}
