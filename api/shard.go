package api

import "ferric"

// listShards counts the nodes of every shard. Those without one are there under the name that Ironic gives them.
func (a *API) listShards(rq *request) (any, error) {
	shards, err := a.deps.Store.Shards(rq.Context())
	if err != nil {
		return nil, err
	}
	list := append([]ferric.Shard{}, shards...)
	for i := range list {
		if list[i].Name == "" {
			list[i].Name = "None"
		}
	}
	return map[string]any{"shards": list}, nil
}
