package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ferric"
)

// ChangeStore is the outbox of the change feed.
type ChangeStore interface {
	// Changes returns the changes after an ID, oldest first. IDs have no gaps, but old changes are pruned.
	Changes(ctx context.Context, after int64, limit int) ([]ferric.Change, error)
	LastChange(ctx context.Context) (int64, error)
}

// How the change feed treats its clients.
const (
	eventsPath = "/ferric/v1/events"
	eventBatch = 256              // changes in one write
	eventLife  = time.Hour        // then the client has to come back, so that it is asked again who it is
	eventRead  = 10 * time.Second // one look at the database
)

// streamed is an answer that the handler writes by itself, for as long as the client stays.
type streamed func(w http.ResponseWriter) error

// changeJSON is a change as the feed shows it.
type changeJSON struct {
	ID                   int64    `json:"id"`
	Kind                 string   `json:"kind"`
	NodeUUID             string   `json:"node_uuid"`
	At                   string   `json:"at"`
	ProvisionState       *string  `json:"provision_state"`
	TargetProvisionState *string  `json:"target_provision_state"`
	PowerState           *string  `json:"power_state"`
	Maintenance          bool     `json:"maintenance"`
	Fields               []string `json:"fields"`
}

// appendEvent writes a change as a server-sent event.
func appendEvent(b []byte, c *ferric.Change) []byte {
	fields := c.Fields
	if fields == nil {
		fields = []string{}
	}
	doc := mustJSON(changeJSON{ID: c.ID, Kind: c.Kind, NodeUUID: c.NodeUUID, At: c.At.UTC().Format("2006-01-02T15:04:05.000000+00:00"),
		ProvisionState: orNull(string(c.ProvisionState)), TargetProvisionState: orNull(string(c.TargetProvisionState)),
		PowerState: orNull(string(c.PowerState)), Maintenance: c.Maintenance, Fields: fields})
	return fmt.Appendf(b, "id: %d\nevent: %s\ndata: %s\n\n", c.ID, c.Kind, doc)
}

// eventArgs are the arguments of the feed.
func eventArgs() []arg {
	return []arg{{name: "node", parse: argIdent}, {name: "last_event_id", parse: argString}}
}

// streamEvents is GET /ferric/v1/events: what becomes different about nodes and what belongs to them, as server-sent events. A client that
// comes back says which event it saw last, and gets what it missed.
func (a *API) streamEvents(rq *request) (any, error) {
	if a.deps.Changes == nil {
		return nil, notHere()
	}
	s := &eventStream{a: a, rq: rq, visible: map[string]bool{}}
	if ident := rq.args.str("node"); ident != "" {
		n, err := a.nodeByIdent(rq, ident)
		if err != nil {
			return nil, err
		}
		s.node = n.UUID
	}
	last, err := a.deps.Changes.LastChange(rq.Context())
	if err != nil {
		return nil, err
	}
	s.seen = last
	asked := rq.Header.Get("Last-Event-Id")
	if asked == "" {
		asked = rq.args.str("last_event_id")
	}
	if asked != "" {
		id, err := strconv.ParseInt(strings.TrimSpace(asked), 10, 64)
		if err != nil || id < 0 {
			return nil, invalid("Last-Event-ID must be the number of an event: %s", clip(asked))
		}
		if s.seen = id; id > last { // of another database
			s.seen, s.lost = last, true
		}
	}
	if !a.feed.join(a.config.MaxEventStreams) {
		return nil, ferric.Errorf(ferric.CodeBusy, "The change feed is not running, or has as many clients as it may have; try again.")
	}
	return streamed(func(w http.ResponseWriter) error {
		defer a.feed.leave()
		return s.run(w)
	}), nil
}

// eventStream is one client of the feed.
type eventStream struct {
	a       *API
	rq      *request
	node    string          // "": all
	seen    int64           // ID of the last change that was dealt with
	lost    bool            // changes were missed that cannot be had any more
	visible map[string]bool // nodes, by UUID, for a caller who does not see all
}

// run writes events until the client goes, is too slow or has stayed long enough, or the feed ends.
func (s *eventStream) run(w http.ResponseWriter) error {
	out := http.NewResponseController(w)
	// The server's limits are meant for requests that end.
	_ = out.SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies must not hold events back
	w.WriteHeader(http.StatusOK)
	write := func(b []byte) bool {
		_ = out.SetWriteDeadline(time.Now().Add(s.a.config.EventDeadline))
		_, err := w.Write(b)
		return err == nil && out.Flush() == nil
	}
	if !write(fmt.Appendf(nil, "retry: 1000\nid: %d\n\n", s.seen)) {
		return nil
	}
	life := time.NewTimer(eventLife)
	defer life.Stop()
	beat := time.NewTicker(s.a.config.EventHeartbeat)
	defer beat.Stop()
	check := time.NewTicker(s.a.config.EventHeartbeat)
	defer check.Stop()
	for {
		b, wake, err := s.next()
		if err != nil {
			s.a.log.WarnContext(s.rq.Context(), "a client of the change feed is sent away: it will come back", "error", err)
			return nil
		}
		if len(b) > 0 {
			if !write(b) {
				return nil
			}
			beat.Reset(s.a.config.EventHeartbeat)
		}
		if wake == nil {
			continue // there is more
		}
		select {
		case <-wake:
		case <-beat.C:
			if !write([]byte(": heartbeat\n\n")) {
				return nil
			}
		case <-check.C:
			if !s.welcome() {
				return nil
			}
		case <-life.C:
			return nil
		case <-s.a.feed.done:
			return nil
		case <-s.rq.client.Done():
			return nil
		}
	}
}

// welcome asks again who the client is: its token may have ended or been revoked meanwhile. That is cheap, for what is known of it is remembered.
func (s *eventStream) welcome() bool {
	ctx, cancel := context.WithTimeout(s.rq.client, eventRead)
	defer cancel()
	if _, err := s.a.auth.Authenticate(s.rq.Request.WithContext(ctx)); err != nil {
		s.a.log.InfoContext(s.rq.Context(), "a client of the change feed is sent away: it is not known any more", "error", err, "user", s.rq.caller.User)
		return false
	}
	return true
}

// next returns what is to be written now, and what to wait for afterwards; nil if there is more at once.
func (s *eventStream) next() (b []byte, wake <-chan struct{}, err error) {
	ctx, cancel := context.WithTimeout(s.rq.client, eventRead)
	defer cancel()
	if s.lost {
		s.lost = false
		return s.reset(), nil, nil
	}
	batch, wake, have := s.a.feed.after(s.seen)
	if !have {
		list, err := s.a.deps.Changes.Changes(ctx, s.seen, eventBatch)
		if err != nil {
			return nil, nil, err
		}
		if len(list) == 0 || list[0].ID != s.seen+1 { // pruned
			if s.seen, err = s.a.deps.Changes.LastChange(ctx); err != nil {
				return nil, nil, err
			}
			return s.reset(), nil, nil
		}
		for i := range list {
			batch = append(batch, event{list[i], appendEvent(nil, &list[i])})
		}
		wake = nil
	}
	for i := range batch {
		c := &batch[i]
		s.seen = c.ID
		if s.node != "" && c.NodeUUID != s.node {
			continue
		}
		ok, err := s.sees(ctx, c.NodeUUID)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			b = append(b, c.text...)
		}
	}
	if len(batch) > 0 && len(b) == 0 {
		b = fmt.Appendf(nil, "id: %d\n\n", s.seen) // so that the client need not go through all of it again
	}
	return b, wake, nil
}

// reset tells the client that it missed changes, and has to look at all nodes again.
func (s *eventStream) reset() []byte {
	return fmt.Appendf(nil, "id: %d\nevent: reset\ndata: {\"id\":%d}\n\n", s.seen, s.seen)
}

// sees reports whether the caller may see a node. What belongs to the caller's project is asked for every time, so that a change of owner
// counts at once; a node that is gone was seen by whom saw it before.
func (s *eventStream) sees(ctx context.Context, uuid string) (bool, error) {
	if s.rq.only == "" {
		return true, nil
	}
	n, err := s.a.deps.Store.Node(ctx, uuid)
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return s.visible[uuid], nil
	}
	if err != nil {
		return false, err
	}
	s.visible[uuid] = (n.Owner == s.rq.only || n.Lessee == s.rq.only) && s.rq.sees(n)
	return s.visible[uuid], nil
}
