package api

import (
	"context"
	"errors"

	"ferric"
	"ferric/rpc"
)

// showVolume links to the two collections, of all nodes or of one.
func (a *API) showVolume(rq *request) (any, error) {
	path := "volume/"
	if ident := rq.vars["node"]; ident != "" {
		if _, err := a.node(rq); err != nil {
			return nil, err
		}
		path = "nodes/" + ident + "/volume/"
	}
	return map[string]any{"links": rq.links(path), "connectors": rq.links(path + "connectors"), "targets": rq.links(path + "targets")}, nil
}

func volumeListArgs(extra ...arg) []arg {
	return append(append(pageArgs(), extra...), arg{name: "node", parse: argIdent})
}

// listVolumes lists connectors or targets, of all nodes or of one. There is no /detail; detail= came with the collections themselves.
func listVolumes[T any](a *API, rq *request, r *resource[T], read func(context.Context, ferric.VolumeFilter) ([]*T, error)) (any, error) {
	s := r.brief(rq.version)
	var err error
	switch detail := rq.args.isTrue("detail"); {
	case detail && rq.args.has("fields"):
		return nil, invalid("Can't fetch a subset of fields with 'detail' set")
	case detail:
		s = r.full(rq.version)
	case rq.args.has("fields"):
		if s, err = r.only(rq.args.list("fields"), rq.version); err != nil {
			return nil, err
		}
	}
	filter := ferric.VolumeFilter{Project: rq.only}
	if filter.Page, err = r.page(rq, a.config.MaxLimit); err != nil {
		return nil, err
	}
	node, below := rq.vars["node"]
	if !below {
		node = rq.args.str("node")
	}
	if node != "" {
		n, err := a.nodeByIdent(rq, node)
		if err != nil {
			return nil, err
		}
		filter.NodeUUID = n.UUID
	}
	list, err := read(rq.Context(), filter)
	if err != nil {
		return nil, err
	}
	return r.list(rq, rq.listPath(), list, filter.Page, s), nil
}

// volumeNode asks the rule for a new volume about the node that the body names, which must be there.
func (a *API) volumeNode(rq *request, node string) error {
	_, err := a.requireOnNode(rq, "baremetal:volume:create", node)
	if errors.Is(err, &ferric.Error{Code: ferric.CodeNotFound}) {
		return invalid("Invalid input for field/attribute node_uuid. Value: '%s'. ", node)
	}
	return err
}

// volumeIdent returns the UUID in the path.
func volumeIdent(rq *request, name string) (string, error) {
	ident := rq.vars[name]
	if !isUUID(ident) {
		return "", invalid("Expected UUID for %s_uuid: %s", name, clip(ident))
	}
	return canonicalUUID(ident), nil
}

func (a *API) listConnectors(rq *request) (any, error) {
	return listVolumes(a, rq, a.connectors, a.deps.Store.VolumeConnectors)
}

func (a *API) listTargets(rq *request) (any, error) {
	return listVolumes(a, rq, a.targets, a.deps.Store.VolumeTargets)
}

func (a *API) connector(rq *request) (*ferric.VolumeConnector, error) {
	id, err := volumeIdent(rq, "connector")
	if err != nil {
		return nil, err
	}
	v, err := a.deps.Store.VolumeConnector(rq.Context(), id)
	if err == nil {
		err = a.seesNode(rq, v.NodeUUID)
	}
	return v, named(err, "Volume connector", rq.vars["connector"])
}

func (a *API) target(rq *request) (*ferric.VolumeTarget, error) {
	id, err := volumeIdent(rq, "target")
	if err != nil {
		return nil, err
	}
	v, err := a.deps.Store.VolumeTarget(rq.Context(), id)
	if err == nil {
		err = a.seesNode(rq, v.NodeUUID)
	}
	return v, named(err, "Volume target", rq.vars["target"])
}

func (a *API) showConnector(rq *request) (any, error) {
	v, err := a.connector(rq)
	if err != nil {
		return nil, err
	}
	return a.connectors.show(rq, v)
}

func (a *API) showTarget(rq *request) (any, error) {
	v, err := a.target(rq)
	if err != nil {
		return nil, err
	}
	return a.targets.show(rq, v)
}

func (a *API) createConnector(rq *request) (any, error) {
	v := &ferric.VolumeConnector{}
	if err := a.connectors.read(rq.doc, v, rq.version); err != nil {
		return nil, err
	}
	v.NodeUUID, v.UUID = canonicalUUID(v.NodeUUID), canonicalUUID(v.UUID)
	if err := a.volumeNode(rq, v.NodeUUID); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionCreate, v)
	if err := a.deps.Store.CreateVolumeConnector(rq.Context(), v); err != nil {
		return nil, asBadRequest(err)
	}
	return a.connectors.made(rq, v), nil
}

func (a *API) createTarget(rq *request) (any, error) {
	v := &ferric.VolumeTarget{}
	if err := a.targets.read(rq.doc, v, rq.version); err != nil {
		return nil, err
	}
	v.NodeUUID, v.UUID = canonicalUUID(v.NodeUUID), canonicalUUID(v.UUID)
	if err := a.volumeNode(rq, v.NodeUUID); err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionCreate, v)
	if err := a.deps.Store.CreateVolumeTarget(rq.Context(), v); err != nil {
		return nil, asBadRequest(err)
	}
	return a.targets.made(rq, v), nil
}

func (a *API) patchConnector(rq *request) (any, error) {
	ops, err := a.connectors.readPatch(rq)
	if err != nil {
		return nil, err
	}
	return a.connectors.change(rq, ops, func() (*ferric.VolumeConnector, error) { return a.connector(rq) },
		func(now, before *ferric.VolumeConnector) (*ferric.VolumeConnector, error) {
			n, err := a.nodeOfPart(rq, before.NodeUUID, now.NodeUUID)
			if err != nil {
				return nil, err
			}
			now.NodeUUID = n.UUID
			made := &ferric.VolumeConnector{}
			return made, a.deps.Conductors.Call(rq.Context(), n, rpc.UpdateVolumeConnector,
				rpc.VolumeConnectorArgs{Connector: now, Caller: rq.caller}, made)
		})
}

func (a *API) patchTarget(rq *request) (any, error) {
	ops, err := a.targets.readPatch(rq)
	if err != nil {
		return nil, err
	}
	return a.targets.change(rq, ops, func() (*ferric.VolumeTarget, error) { return a.target(rq) },
		func(now, before *ferric.VolumeTarget) (*ferric.VolumeTarget, error) {
			n, err := a.nodeOfPart(rq, before.NodeUUID, now.NodeUUID)
			if err != nil {
				return nil, err
			}
			now.NodeUUID = n.UUID
			made := &ferric.VolumeTarget{}
			return made, a.deps.Conductors.Call(rq.Context(), n, rpc.UpdateVolumeTarget,
				rpc.VolumeTargetArgs{Target: now, Caller: rq.caller}, made)
		})
}

func (a *API) deleteConnector(rq *request) (any, error) {
	v, err := a.connector(rq)
	if err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, v)
	return nil, a.destroyPart(rq, rpc.DestroyVolumeConnector, v.UUID, v.NodeUUID, v.Version)
}

func (a *API) deleteTarget(rq *request) (any, error) {
	v, err := a.target(rq)
	if err != nil {
		return nil, err
	}
	rq.changes(ferric.ActionDelete, v)
	return nil, a.destroyPart(rq, rpc.DestroyVolumeTarget, v.UUID, v.NodeUUID, v.Version)
}
