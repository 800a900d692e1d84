package api

import (
	"bytes"
	"runtime"
	"slices"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"

	"ferric"
	"ferric/policy"
)

// maxRenderings bounds how many nodes' representations are kept: some 40 MiB when all of them are detailed.
const maxRenderings = 16384

// renderings keeps what nodes look like in answers. The database is asked every time, but only for a node's stamp, which is a tenth of the
// work of reading, decrypting and writing it out; a rendering is used if its node's stamp is the same still.
//
// It is only for callers who see everything: what others see depends on who they are.
type renderings struct {
	kept *lru.Cache[renderingKey, rendering]
}

// renderingKey is a node and a way to look at it.
type renderingKey struct{ uuid, view string }

type rendering struct {
	stamp stamp
	json  []byte
}

// stamp changes with everything that an answer shows of a node.
type stamp struct {
	created, version       int64
	reservation, conductor string
}

func stampOf(n *ferric.Node) stamp {
	return stamp{n.CreatedAt.UnixMicro(), n.Version, n.Reservation, n.Conductor}
}

func newRenderings() (*renderings, error) {
	kept, err := lru.New[renderingKey, rendering](maxRenderings)
	return &renderings{kept}, err
}

// view names a selection as a request would see it, "" if what it shows depends on the caller.
func (a *API) view(rq *request, s selection[ferric.Node]) string {
	if !rq.always(a.nodes.openFields) {
		return ""
	}
	for _, f := range s.fields {
		if f.reveal != "" && rq.may(f.reveal, policy.Target{}) {
			return "" // secrets are not kept
		}
	}
	names := "all"
	if s.names != nil {
		names = strings.Join(s.names, ",")
	}
	return strconv.Itoa(rq.version) + " " + rq.base + " " + names
}

// rendered returns the representations of nodes of which only the stamps are known, in their order. Those that are gone meanwhile are empty.
func (a *API) rendered(rq *request, s selection[ferric.Node], view string, stamps []*ferric.Node) ([]rendering, error) {
	a.withOwner(rq, s, stamps...)
	out := make([]rendering, len(stamps))
	var missing []string
	at := map[string]int{}
	for i, n := range stamps {
		if r, ok := a.looks.kept.Get(renderingKey{n.UUID, view}); ok && r.stamp == stampOf(n) {
			out[i] = r
			continue
		}
		missing = append(missing, n.UUID)
		at[n.UUID] = i
	}
	if len(missing) == 0 {
		return out, nil
	}
	for _, f := range s.fields {
		rq.always(f.reveal) // decided here, because requests are not made for several goroutines
	}
	// Some at a time, on all processors: what is read once takes a tenth of the time from then on, but a client that walks through a large fleet
	// comes by every node for the first time.
	const atOnce = 100
	work, ctx := errgroup.WithContext(rq.Context())
	work.SetLimit(runtime.GOMAXPROCS(0))
	for uuids := range slices.Chunk(missing, atOnce) {
		work.Go(func() error {
			nodes, err := a.deps.Store.NodesByUUID(ctx, uuids)
			if err != nil {
				return err
			}
			a.withOwner(rq, s, nodes...)
			var text []byte
			for _, n := range nodes {
				text = a.nodes.appendJSON(text[:0], rq, n, s)
				r := rendering{stampOf(n), bytes.Clone(text)}
				a.looks.kept.Add(renderingKey{n.UUID, view}, r)
				out[at[n.UUID]] = r // each has a place of its own
			}
			return nil
		})
	}
	return out, work.Wait()
}
