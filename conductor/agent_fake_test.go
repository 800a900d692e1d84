package conductor_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// agent is a program in the ramdisk that speaks ironic-python-agent's protocol over HTTPS.
type agent struct {
	m           *machine
	server      *httptest.Server
	params      map[string]string
	stop        context.CancelFunc
	work        sync.WaitGroup
	ctx         context.Context
	stopCalling func()
	quiet       chan struct{} // closed: it does not call any more

	mu       sync.Mutex
	token    string
	epoch    int64
	commands []*agentapi.CommandResult
	busy     bool
}

func newAgent(m *machine, params map[string]string) *agent {
	a := &agent{m: m, params: params, quiet: make(chan struct{})}
	a.stopCalling = sync.OnceFunc(func() { close(a.quiet) })
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.server = httptest.NewUnstartedServer(a.routes())
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.server.StartTLS()
	a.work.Go(a.live)
	return a
}

func (a *agent) close() {
	a.stop()
	a.server.CloseClientConnections()
	a.server.Close()
	a.work.Wait()
}

func (a *agent) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw}))
}

// live inspects if that is wanted, looks the node up, and then sends heartbeats until the machine goes off.
func (a *agent) live() {
	a.m.mu.Lock()
	deaf, awaited, found, plugin := a.m.deaf, a.m.awaited, a.m.found, a.m.plugin
	a.m.mu.Unlock()
	if deaf || awaited && !a.insist(a.expected) {
		return
	}
	if a.params["ipa-inspection-callback-url"] != "" {
		inv, _ := json.Marshal(found)
		data := json.RawMessage("null")
		if plugin != nil {
			data, _ = json.Marshal(plugin)
		}
		if !a.insist(func() error {
			return a.m.site.b.call(rpc.ContinueInspection, rpc.InspectionArgs{NodeRef: ref(a.m.id), Inventory: inv, PluginData: data}, nil)
		}) {
			return
		}
	}
	a.m.mu.Lock()
	mute := a.m.mute
	a.m.mu.Unlock()
	if mute {
		return
	}
	var found1 rpc.LookupReply
	if !a.insist(func() error { return a.m.site.b.call(rpc.Lookup, ref(a.m.id), &found1) }) {
		return
	}
	a.mu.Lock()
	a.token = found1.Token
	a.mu.Unlock()
	for {
		if !a.insist(a.heartbeat) {
			return
		}
		select {
		case <-a.ctx.Done():
			return
		case <-a.quiet:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// expected reports an error until the conductor waits for the agent.
func (a *agent) expected() error {
	n, err := a.m.site.b.store.Node(a.ctx, a.m.id)
	if err == nil && !state.Waiting(n.ProvisionState) {
		err = errors.New("nobody waits yet")
	}
	return err
}

// insist tries again until do gets through, as agents do; false when the machine goes off.
func (a *agent) insist(do func() error) bool {
	for do() != nil {
		select {
		case <-a.ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return a.ctx.Err() == nil
}

func (a *agent) heartbeat() error {
	a.mu.Lock()
	token := a.token
	a.mu.Unlock()
	return a.m.site.b.call(rpc.Heartbeat, rpc.HeartbeatArgs{NodeRef: ref(a.m.id), CallbackURL: a.server.URL, AgentVersion: "1", AgentToken: token,
		AgentVerifyCA: a.ca()}, nil)
}

func (a *agent) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/commands/{id}", a.command)
	mux.HandleFunc("GET /v1/commands/{$}", func(w http.ResponseWriter, _ *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		list := agentapi.CommandResults{}
		for _, c := range a.commands {
			list.Commands = append(list.Commands, *c)
		}
		answer(w, http.StatusOK, list)
	})
	mux.HandleFunc("POST /v1/commands/{$}", a.run)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.m.mu.Lock()
		deny := a.m.deny
		a.m.mu.Unlock()
		a.mu.Lock()
		stranger := a.token == agentapi.MaskedToken // it does not listen before it has a token
		a.mu.Unlock()
		if deny || stranger {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		a.mu.Lock()
		right := a.token != "" && r.URL.Query().Get("agent_token") == a.token
		a.mu.Unlock()
		if !right {
			answer(w, http.StatusUnauthorized, agentapi.Fault{FaultCode: "Client", FaultString: "Token invalid."})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (a *agent) find(id string) *agentapi.CommandResult {
	for _, c := range a.commands {
		if c.ID == id {
			return c
		}
	}
	return nil
}

func (a *agent) command(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.find(r.PathValue("id")); c != nil {
		answer(w, http.StatusOK, c)
		return
	}
	answer(w, http.StatusNotFound, agentapi.Fault{FaultCode: "Client", FaultString: "no such command"})
}

func (a *agent) run(w http.ResponseWriter, r *http.Request) {
	var cmd agentapi.Command
	if err := json.NewDecoder(r.Body).Decode(&cmd); err != nil {
		answer(w, http.StatusBadRequest, agentapi.Fault{FaultString: err.Error()})
		return
	}
	a.m.mu.Lock()
	stock, occupied := a.m.stock, a.m.occupied
	a.m.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if stock {
		cmd.ID, cmd.Epoch = uuid.NewString(), 0
	}
	if c := a.find(cmd.ID); c != nil {
		answer(w, http.StatusOK, c)
		return
	}
	if cmd.Epoch < a.epoch {
		answer(w, http.StatusConflict, agentapi.Fault{FaultString: "stale epoch", Ferric: ferric.CodeStale})
		return
	}
	a.epoch = max(a.epoch, cmd.Epoch)
	_, short, _ := strings.Cut(cmd.Name, ".")
	res := &agentapi.CommandResult{ID: cmd.ID, CommandName: short}
	if quick, ok := a.atOnce(cmd.Name); ok {
		a.m.begin(cmd.Name, cmd.Params)
		res.CommandStatus, res.CommandResult = agentapi.StatusSucceeded, quick
		a.commands = append(a.commands, res)
		answer(w, http.StatusOK, res)
		return
	}
	if a.busy || occupied {
		answer(w, http.StatusConflict, agentapi.Fault{FaultString: "Agent is busy"})
		return
	}
	what := cmd.Name
	if step, ok := cmd.Params["step"].(map[string]any); ok {
		what, _ = step["step"].(string)
		a.m.begin(what, step)
	} else {
		a.m.begin(what, cmd.Params)
	}
	res.CommandStatus, a.busy = agentapi.StatusRunning, true
	a.commands = append(a.commands, res)
	a.work.Go(func() { a.finish(what, res) })
	answer(w, http.StatusOK, res)
}

// finish ends a command as the test planned.
func (a *agent) finish(what string, res *agentapi.CommandResult) {
	a.m.mu.Lock()
	p := a.m.plans[what]
	a.m.mu.Unlock()
	a.m.mu.Lock()
	doomed := a.m.doomed == what
	a.m.mu.Unlock()
	if doomed {
		<-a.ctx.Done()
		return
	}
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-a.ctx.Done():
			return
		}
	}
	a.m.mu.Lock()
	p = a.m.plans[what]
	a.m.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.busy = false
	res.CommandStatus, res.CommandResult = agentapi.StatusSucceeded, json.RawMessage(`{"result": "done"}`)
	if p.fail != nil {
		res.CommandStatus, res.CommandError, res.CommandResult = agentapi.StatusFailed, p.fail, nil
	}
}

// atOnce answers the commands that take no time.
func (a *agent) atOnce(name string) (json.RawMessage, bool) {
	var out any
	switch name {
	case agentapi.CmdGetCleanSteps, agentapi.CmdGetDeploySteps, agentapi.CmdGetServiceSteps:
		kind := agentapi.StepKind(strings.SplitN(name, ".", 2)[0])
		a.m.mu.Lock()
		out = map[string]any{string(kind) + "_steps": map[string]any{"generic": a.m.steps[kind]},
			"hardware_manager_version": map[string]any{"generic": "1.2"}}
		a.m.mu.Unlock()
	case agentapi.CmdCollectSystemLogs:
		out = agentapi.Logs{SystemLogs: base64.StdEncoding.EncodeToString([]byte("the logs of " + a.m.id))}
	case agentapi.CmdFinalizeRescue:
		a.stopCalling()
		out = nil
	case agentapi.CmdSync:
		out = map[string]any{"result": "None"}
	default:
		return nil, false
	}
	raw, _ := json.Marshal(out)
	return raw, true
}

// begin notes that work was begun, and with which parameters.
func (m *machine) begin(what string, params map[string]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began[what]++
	m.seen[what] = params
	m.doomed = ""
	if m.dying == what {
		m.doomed = what
		if !m.mortal {
			m.dying = ""
		}
		m.cuts.Go(m.blackout)
	}
	switch what {
	case agentapi.CmdFinalizeRescue:
		m.notes = append(m.notes, "rescued")
		m.deny = m.closes
		if m.handing != nil {
			m.handing()
			m.handing = nil
		}
	case "flash":
		m.notes = append(m.notes, "flashed")
	case "erase_devices_metadata", "erase_devices":
		m.notes = append(m.notes, "erased")
	case "write_image":
		m.notes = append(m.notes, "image written")
		if args, ok := params["args"].(map[string]any); ok {
			m.drive, _ = args["configdrive"].(string)
		}
	}
}

// params returns the parameters that work was begun with last.
func (m *machine) params(what string) map[string]any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen[what]
}

// gate makes an agent command or step wait; the function lets it end.
func (m *machine) gate(what string) (open func()) {
	gate := make(chan struct{})
	m.with(func(m *machine) { p := m.plans[what]; p.gate = gate; m.plans[what] = p })
	return sync.OnceFunc(func() { close(gate) })
}

func (m *machine) fails(what, typ, text string) {
	m.with(func(m *machine) {
		p := m.plans[what]
		p.fail = &agentapi.CommandError{Type: typ, Message: "it failed", Details: text, Code: 500}
		m.plans[what] = p
	})
}
