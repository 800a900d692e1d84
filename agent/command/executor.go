package command

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"ferric/agentapi"
)

// Spec is one command.
type Spec struct {
	Name  string // "<extension>.<command>"
	Async bool   // answered with RUNNING at once
	// Params are the parameters that it knows; nil means any (steps pass arguments on).
	Params []string
	// Check refuses bad parameters before the command is accepted; may be nil.
	Check func(Params) error
	// Run does the work. A string result becomes {"result": text}. ctx ends when the agent shuts down.
	Run func(ctx context.Context, call Call) (any, error)
}

// Call is one run of a command.
type Call struct {
	Params   Params
	Progress func(agentapi.Progress) // may be called at any rate
	Log      *slog.Logger
}

// Executor runs commands one at a time and keeps their results.
type Executor struct {
	log    *slog.Logger
	specs  map[string]Spec
	onDone func() // after every asynchronous command

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	start sync.Mutex // held while a command is being accepted and while a synchronous one runs

	mu      sync.Mutex // guards what follows
	closed  bool
	entries []*entry
	byID    map[string]*entry
	epoch   int64
}

type entry struct {
	name     string // full name
	result   agentapi.CommandResult
	progress *agentapi.Progress
	done     chan struct{}
}

// keep is how many results are remembered.
const keep = 256

// maxID bounds the length of an id given by the conductor.
const maxID = 255

// NewExecutor makes an Executor for the commands. onDone may be nil.
func NewExecutor(log *slog.Logger, specs []Spec, onDone func()) *Executor {
	e := &Executor{log: log, specs: make(map[string]Spec, len(specs)), onDone: onDone, byID: map[string]*entry{}}
	for _, s := range specs {
		e.specs[s.Name] = s
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

// Close cancels the running command and waits for it; afterwards commands are refused.
func (e *Executor) Close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
}

// Execute accepts a command. The returned result is RUNNING for an asynchronous one. Errors are *Failure:
// InvalidCommandError, InvalidCommandParamsError, RequestedObjectNotFoundError, AgentIsBusy, StaleEpochError. Any other
// failure is a FAILED result, not an error.
func (e *Executor) Execute(req agentapi.CommandRequest) (agentapi.CommandResult, error) {
	e.start.Lock()
	defer e.start.Unlock()
	if res, known, err := e.admit(req); known || err != nil {
		return res, err
	}
	spec, err := e.find(req.Name)
	if err != nil {
		return agentapi.CommandResult{}, err
	}
	params := Params(req.Params)
	if spec.Params != nil {
		if err := params.only(spec.Params); err != nil {
			return agentapi.CommandResult{}, err
		}
	}
	if spec.Check != nil {
		if err := spec.Check(params); err != nil {
			return agentapi.CommandResult{}, asFailure(err)
		}
	}
	ent, err := e.record(req, spec)
	if err != nil {
		return agentapi.CommandResult{}, err
	}
	e.log.Info("command accepted", "command", spec.Name, "id", ent.result.ID, "epoch", req.Epoch)
	if spec.Async {
		go e.run(spec, ent, params)
		return e.snapshot(ent), nil
	}
	e.run(spec, ent, params)
	return e.snapshot(ent), nil
}

// admit checks epoch and id. known means that the id was seen before.
func (e *Executor) admit(req agentapi.CommandRequest) (res agentapi.CommandResult, known bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if req.Epoch < 0 {
		return res, false, Failf(agentapi.TypeInvalidCommandParams, "epoch %d is negative", req.Epoch)
	}
	if req.Epoch != 0 && req.Epoch < e.epoch {
		return res, false, Failf(agentapi.TypeStaleEpoch, "epoch %d is older than %d: another conductor has taken the node over", req.Epoch, e.epoch)
	}
	e.epoch = max(e.epoch, req.Epoch)
	if len(req.ID) > maxID {
		return res, false, Failf(agentapi.TypeInvalidCommandParams, "the id is longer than %d characters", maxID)
	}
	if ent := e.byID[req.ID]; req.ID != "" && ent != nil {
		if ent.name != req.Name {
			return res, false, Failf(agentapi.TypeInvalidCommandParams, "the id %s belongs to the command %s", req.ID, ent.name)
		}
		return ent.snapshot(e.epoch), true, nil
	}
	return res, false, nil
}

func (e *Executor) find(name string) (Spec, error) {
	ext, cmd, ok := strings.Cut(name, ".")
	if !ok || ext == "" || cmd == "" {
		return Spec{}, Failf(agentapi.TypeInvalidCommand, "the command name %q is not of the form <extension>.<name>", name)
	}
	if spec, ok := e.specs[name]; ok {
		return spec, nil
	}
	for known := range e.specs {
		if strings.HasPrefix(known, ext+".") {
			return Spec{}, Failf(agentapi.TypeInvalidCommand, "unknown command %s in the extension %s", cmd, ext)
		}
	}
	return Spec{}, Failf(agentapi.TypeNotFound, "Extension with id %s not found.", ext)
}

// record makes an entry unless a command is running.
func (e *Executor) record(req agentapi.CommandRequest, spec Spec) (*entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, Failf(agentapi.TypeBusy, "the agent is shutting down")
	}
	if n := len(e.entries); n > 0 && !e.entries[n-1].result.CommandStatus.Done() {
		return nil, Failf(agentapi.TypeBusy, "executing command %s", e.entries[n-1].result.CommandName)
	}
	id := req.ID
	if id == "" {
		id = newUUID()
	}
	_, short, _ := strings.Cut(spec.Name, ".")
	ent := &entry{
		name:   spec.Name,
		result: agentapi.CommandResult{ID: id, CommandName: short, CommandStatus: agentapi.StatusRunning, CommandResult: json.RawMessage("null")},
		done:   make(chan struct{}),
	}
	e.entries = append(e.entries, ent)
	e.byID[id] = ent
	if len(e.entries) > keep {
		delete(e.byID, e.entries[0].result.ID)
		e.entries = append([]*entry(nil), e.entries[1:]...)
	}
	e.wg.Add(1)
	return ent, nil
}

func (e *Executor) run(spec Spec, ent *entry, params Params) {
	defer e.wg.Done()
	began := time.Now()
	result, err := e.call(spec, ent, params)
	raw := json.RawMessage("null")
	if err == nil {
		raw, err = encode(spec, result)
	}
	took := time.Since(began).Round(time.Millisecond)
	e.mu.Lock()
	ent.progress = nil
	if err == nil {
		ent.result.CommandStatus, ent.result.CommandResult = agentapi.StatusSucceeded, raw
	} else {
		f := asFailure(err)
		ent.result.CommandStatus, ent.result.CommandError = agentapi.StatusFailed, &f.CommandError
		if f.Type == agentapi.TypeVersionMismatch {
			ent.result.CommandStatus = agentapi.StatusVersionMismatch
		}
	}
	close(ent.done)
	e.mu.Unlock()
	if err != nil {
		e.log.Error("command failed", "command", spec.Name, "took", took, "err", err)
	} else {
		e.log.Info("command succeeded", "command", spec.Name, "took", took)
	}
	if spec.Async && e.onDone != nil {
		e.onDone()
	}
}

// call runs the handler; a panic in it is that command's failure and not the machine's.
func (e *Executor) call(spec Spec, ent *entry, params Params) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("panic in command", "command", spec.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = Failf(agentapi.TypeCommandExecution, "defect in the agent: %v", p)
		}
	}()
	return spec.Run(e.ctx, Call{
		Params: params,
		Log:    e.log.With("command", spec.Name),
		Progress: func(p agentapi.Progress) {
			e.mu.Lock()
			defer e.mu.Unlock()
			ent.progress = &p
		},
	})
}

// encode gives a result its form on the wire. Asynchronous commands prefix text with their name, as
// ironic-python-agent's do.
func encode(spec Spec, result any) (json.RawMessage, error) {
	if text, ok := result.(string); ok {
		if spec.Async {
			_, short, _ := strings.Cut(spec.Name, ".")
			text = short + ": " + text
		}
		result = map[string]string{"result": text}
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, Failf(agentapi.TypeCommandExecution, "the result cannot be encoded: %w", err)
	}
	return raw, nil
}

// List returns all results, oldest first.
func (e *Executor) List() []agentapi.CommandResult {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]agentapi.CommandResult, len(e.entries))
	for i, ent := range e.entries {
		out[i] = ent.snapshot(e.epoch)
	}
	return out
}

// Get returns one result; RequestedObjectNotFoundError if the id is unknown.
func (e *Executor) Get(id string) (agentapi.CommandResult, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ent := e.byID[id]
	if ent == nil {
		return agentapi.CommandResult{}, Failf(agentapi.TypeNotFound, "Command Result with id %s not found.", id)
	}
	return ent.snapshot(e.epoch), nil
}

// Wait is Get after the command is done or ctx ends, whichever comes first.
func (e *Executor) Wait(ctx context.Context, id string) (agentapi.CommandResult, error) {
	e.mu.Lock()
	ent := e.byID[id]
	e.mu.Unlock()
	if ent != nil {
		select {
		case <-ent.done:
		case <-ctx.Done():
		}
	}
	return e.Get(id)
}

// Extension says what runs, for /v1/status and heartbeats.
func (e *Executor) Extension() agentapi.Extension {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.entries) == 0 {
		return agentapi.Extension{Epoch: e.epoch}
	}
	return e.entries[len(e.entries)-1].extension(e.epoch)
}

func (e *Executor) snapshot(ent *entry) agentapi.CommandResult {
	e.mu.Lock()
	defer e.mu.Unlock()
	return ent.snapshot(e.epoch)
}

func (ent *entry) snapshot(epoch int64) agentapi.CommandResult {
	res := ent.result
	if !res.CommandStatus.Done() && ent.progress != nil {
		ext := ent.extension(epoch)
		res.Ferric = &ext
	}
	return res
}

func (ent *entry) extension(epoch int64) agentapi.Extension {
	ext := agentapi.Extension{Epoch: epoch, CommandID: ent.result.ID, Command: ent.name, Running: !ent.result.CommandStatus.Done()}
	if ent.progress != nil {
		p := *ent.progress
		ext.Progress = &p
	}
	return ext
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand, Go 1.24)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
