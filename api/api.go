package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"ferric"
	"ferric/obs"
	"ferric/policy"
	"ferric/state"
)

// API serves the REST API. It is an http.Handler.
type API struct {
	config          Config
	deps            Deps
	log             *slog.Logger
	now             func() time.Time
	machine         *state.Machine
	nodes           *resource[ferric.Node]
	looks           *renderings
	ports           *resource[ferric.Port]
	inspectionRules *resource[ferric.InspectionRule]
	allocations     *resource[ferric.Allocation]
	deployTemplates *resource[ferric.DeployTemplate]
	runbooks        *resource[ferric.Runbook]
	portgroups      *resource[ferric.Portgroup]
	chassis         *resource[ferric.Chassis]
	connectors      *resource[ferric.VolumeConnector]
	targets         *resource[ferric.VolumeTarget]
	feed            *feed
	table           *table
	ramdisk         *table
	document        func() map[string]any // for /ferric/v1/openapi.json
	auth            Authenticator
	kinds           map[string]guarded
	rules           func() *policy.Rules
}

// New makes the API. CodeInvalid names the setting that cannot work; the user file is read once here, so that a bad one is
// known at start.
func New(config Config, deps Deps) (*API, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	a := &API{config: config, deps: deps, log: deps.Log, now: deps.Now, machine: state.New()}
	if a.now == nil {
		a.now = time.Now
	}
	var err error
	switch {
	case deps.Authenticator != nil:
		a.auth = deps.Authenticator
	case config.AuthStrategy == HTTPBasic:
		if a.auth, err = newBasicAuth(config.UserFile, a.now); err != nil {
			return nil, err
		}
	case config.AuthStrategy == Keystone:
		if deps.Tokens == nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "auth_strategy %s: it is not said where Keystone is", Keystone)
		}
		a.auth = newTokenAuth(deps.Tokens, config.AuthURI)
	default:
		a.auth = noAuth{}
	}
	if a.rules = deps.Policy; a.rules == nil {
		defaults, err := policy.New(policy.Ironic(), nil)
		if err != nil {
			return nil, err
		}
		a.rules = func() *policy.Rules { return defaults }
	}
	a.kinds = a.guarded()
	a.nodes, a.ports, a.portgroups, a.chassis = nodeResource(), portResource(), portgroupResource(), chassisResource()
	a.connectors, a.targets = connectorResource(), targetResource()
	if a.looks, err = newRenderings(); err != nil {
		return nil, err
	}
	a.inspectionRules, a.feed = ruleResource(), newFeed()
	a.allocations, a.deployTemplates, a.runbooks = allocationResource(), deployTemplateResource(), runbookResource()
	routes := a.routes()
	a.table = newTable(routes)
	a.document = sync.OnceValue(func() map[string]any { return a.describe(routes) })
	var forAgents []route
	for _, r := range routes {
		if r.ramdisk || r.path == "/" || r.path == "/v1" {
			forAgents = append(forAgents, r)
		}
	}
	a.ramdisk = newTable(forAgents)
	return a, nil
}

// ServeHTTP serves everything.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch strings.Trim(r.URL.Path, "/") {
	case "healthcheck", "readyz":
		serveMounted(a.deps.Health, w, r)
		return
	case "healthz":
		serveMounted(a.deps.Alive, w, r)
		return
	case "metrics":
		serveMounted(a.deps.Metrics, w, r)
		return
	}
	a.serve(w, r, a.table, a.auth, a.config.RamdiskEndpoints)
}

// Ramdisk is the part of the API that agents need, without credentials: discovery, lookup, heartbeat and
// continue_inspection. It is for the server of the provisioning network, which must not show more.
func (a *API) Ramdisk() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, a.ramdisk, nil, true) })
}

func serveMounted(h http.Handler, w http.ResponseWriter, r *http.Request) {
	if h == nil {
		writeError(w, notHere(), "")
		return
	}
	h.ServeHTTP(w, r)
}

// answer notes the status for the log.
type answer struct {
	http.ResponseWriter
	status int
}

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serve answers one request: it is the frame around every route.
func (a *API) serve(rw http.ResponseWriter, r *http.Request, t *table, auth Authenticator, agents bool) {
	start := a.now()
	w := &answer{ResponseWriter: rw}
	id := obs.NewRequestID()
	w.Header().Set("Openstack-Request-Id", id)
	ctx, cancel := context.WithTimeout(obs.WithRequestID(r.Context(), id), a.config.RequestTimeout)
	defer cancel()
	rq := &request{Request: r.WithContext(ctx), client: r.Context(), header: w.Header(), base: a.publicURL(r), rules: a.rules()}
	pattern := "none"
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			a.log.ErrorContext(ctx, "panic in a handler", "route", pattern, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if w.status == 0 {
				writeError(w, fmt.Errorf("panic"), id)
			}
		}
		took := a.now().Sub(start)
		if a.deps.Observe != nil {
			a.deps.Observe(r.Method, pattern, w.status, took)
		}
		level := slog.LevelInfo
		if w.status < 400 && (r.Method == http.MethodGet || pattern == "/v1/heartbeat/{node}") {
			level = slog.LevelDebug // reads and heartbeats come all the time and say nothing
		}
		a.log.Log(ctx, level, "request", "method", r.Method, "path", r.URL.Path, "query", r.URL.RawQuery, "route", pattern,
			"status", w.status, "took", took, "from", r.RemoteAddr, "user", rq.caller.User)
	}()

	err := a.dispatch(w, rq, t, auth, agents, &pattern)
	if err == nil {
		return
	}
	var refused *bodyRefused
	if errors.As(err, &refused) {
		writeJSON(w, refused.status, mustJSON(map[string]string{"faultcode": "Client", "faultstring": refused.text}))
		return
	}
	var denied *Refusal
	if errors.As(err, &denied) {
		denied.write(w)
		if denied.Err != nil {
			level := slog.LevelInfo
			if denied.Status >= 500 {
				level = slog.LevelError
			}
			a.log.Log(ctx, level, "request refused", "status", denied.Status, "error", denied.Err)
		}
		return
	}
	gone := errors.Is(r.Context().Err(), context.Canceled) // the client did not wait
	switch status := writeError(w, err, id); {
	case status < 500 || gone:
	case ferric.IsCode(err, ferric.CodeBusy): // nothing is broken: there is more to do than can be done at once
		a.log.WarnContext(ctx, "request refused for now; the client was told to ask again", "route", pattern, "status", status, "error", err)
	default:
		a.log.ErrorContext(ctx, "request failed", "route", pattern, "status", status, "error", err)
	}
}

// dispatch finds the route and runs it.
func (a *API) dispatch(w *answer, rq *request, t *table, auth Authenticator, agents bool, pattern *string) error {
	path := canonicalPath(rq.URL.Path)
	if t.public(path) {
		rq.open, rq.who = true, policy.Caller{IsPublicAPI: true}
	} else if auth != nil {
		if err := a.authenticate(rq, auth); err != nil {
			return err
		}
	}
	limit := a.config.MaxBody
	switch {
	case strings.HasSuffix(path, "/states/provision"):
		limit = a.config.MaxBodyProvision
	case strings.HasSuffix(path, "/continue_inspection"):
		limit = a.config.MaxBodyInspection
	}
	var err error
	if rq.rawBody, err = readBody(rq.Request, limit, a.config.MaxDepth); err != nil {
		return err
	}
	if path == "/" || strings.HasPrefix(path, "/ferric/") {
		rq.version = maxVersion // the root and Ferric's own part have no microversions
	} else if rq.version, err = negotiate(rq.Header, w.Header()); err != nil {
		return err
	}
	if rq.version >= 107 {
		w.Header().Set("X-Openstack-Request-Id", w.Header().Get("Openstack-Request-Id"))
	}
	if !acceptsJSON(rq.Header.Get("Accept")) && path != eventsPath {
		return &routeError{status: http.StatusNotAcceptable}
	}
	if rq.version < 91 && rq.Header.Get(versionHeader) != "" {
		path, rq.jsonSuffix = strings.CutSuffix(path, ".json")
	}
	var found *route
	if found, rq.vars, err = t.find(rq.Method, path, rq.version); err != nil {
		return err
	}
	*pattern = found.path
	if found.ramdisk && !agents {
		return forbiddenPath(path)
	}
	if rq.query, err = url.ParseQuery(rq.URL.RawQuery); err != nil {
		return invalid("Malformed query: %w", err)
	}
	if err := rq.parseBody(found.body); err != nil {
		return err
	}
	if rq.args, err = parseArgs(rq, found.args); err != nil {
		return err
	}
	if err := a.admit(rq, found); err != nil {
		return err
	}
	result, err := found.handle(rq)
	if err != nil {
		a.tellFailure(rq)
		return err
	}
	if found.late && !rq.asked {
		return fmt.Errorf("%s %s: the handler did not ask its rule", found.method, found.path)
	}
	status := cmp.Or(rq.status, found.status, http.StatusOK)
	switch v := result.(type) {
	case nil:
		w.WriteHeader(status)
	case rawJSON:
		writeJSON(w, status, v)
	case streamed:
		return v(w)
	case rawBytes:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.WriteHeader(status)
		_, _ = w.Write(v) // the client is gone if this fails; the access log has the status
	default:
		writeJSON(w, status, mustJSON(v))
	}
	return nil
}

// tellFailure tells other programs of a change that was not made. Of one that was, the transaction that makes it tells.
func (a *API) tellFailure(rq *request) {
	if a.deps.Tell == nil || rq.change.Object == "" {
		return
	}
	begun, failed := rq.change, rq.change
	begun.Phase, failed.Phase = ferric.PhaseStart, ferric.PhaseError
	ctx, cancel := context.WithTimeout(context.WithoutCancel(rq.Context()), tellTimeout)
	defer cancel()
	if err := a.deps.Tell(ctx, begun, failed); err != nil {
		a.deps.Log.WarnContext(ctx, "cannot write the notification of a change that failed; it is lost", "object", rq.change.Object, "action", rq.change.Action, "error", err)
	}
}

// tellTimeout bounds the writing of a notification when the request may have no time left.
const tellTimeout = 10 * time.Second

// acceptsJSON reports whether an Accept header allows application/json.
func acceptsJSON(accept string) bool {
	if accept == "" {
		return true
	}
	for entry := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(entry, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "*/*", "application/*", "application/json":
			if q := strings.ReplaceAll(params, " ", ""); q != "q=0" && q != "q=0.0" {
				return true
			}
		}
	}
	return false
}
