package api

import (
	"time"

	"ferric/flow"
	"ferric/obs"
)

// operationJSON is an operation as Ferric's own API shows it: a timeline of steps.
type operationJSON struct {
	ID           string     `json:"id"`
	NodeUUID     string     `json:"node_uuid"`
	Kind         string     `json:"kind"`
	Lane         flow.Lane  `json:"lane"`
	Status       string     `json:"status"`
	Error        *string    `json:"error"`
	RequestID    *string    `json:"request_id"`
	User         *string    `json:"user"`
	Project      *string    `json:"project"`
	Conductor    *string    `json:"conductor"`
	Takeovers    int        `json:"takeovers"`
	AbortReason  *string    `json:"abort_reason"`
	WaitingFor   *waitJSON  `json:"waiting_for"`
	CurrentStep  *int       `json:"current_step"`
	CreatedAt    any        `json:"created_at"`
	UpdatedAt    any        `json:"updated_at"`
	EndedAt      any        `json:"ended_at"`
	DurationSecs float64    `json:"duration_seconds"`
	Steps        []stepJSON `json:"steps,omitempty"`
	Links        []link     `json:"links"`
}

// waitJSON says what a waiting operation waits for, since when, and when it looks again by itself.
type waitJSON struct {
	What  string `json:"what"`
	Event string `json:"event"`
	Since any    `json:"since"`
	Until any    `json:"until"`
}

type stepJSON struct {
	Seq          int            `json:"seq"`
	Interface    string         `json:"interface"`
	Step         string         `json:"step"`
	Priority     int            `json:"priority"`
	Args         map[string]any `json:"args"`
	Source       string         `json:"source"`
	CleanUp      bool           `json:"clean_up"`
	Internal     bool           `json:"internal"`
	Repeat       flow.Repeat    `json:"repeat"`
	Status       flow.Status    `json:"status"`
	Attempts     int            `json:"attempts"`
	StartedAt    any            `json:"started_at"`
	EndedAt      any            `json:"ended_at"`
	DurationSecs *float64       `json:"duration_seconds"`
	Error        *string        `json:"error"`
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (a *API) operationObject(rq *request, op *flow.Operation) operationJSON {
	out := operationJSON{ID: op.ID, NodeUUID: op.NodeUUID, Kind: op.Kind, Lane: op.Lane, Status: string(op.Status), Error: orNull(op.Error),
		RequestID: orNull(op.RequestID), User: orNull(op.User), Project: orNull(op.Project), Conductor: orNull(op.Conductor),
		Takeovers: op.Takeovers, AbortReason: orNull(op.Abort), CreatedAt: timeJSON(op.CreatedAt), UpdatedAt: timeJSON(op.UpdatedAt),
		EndedAt: timeJSON(op.EndedAt),
		Links:   []link{{Href: rq.base + "/ferric/v1/operations/" + op.ID, Rel: "self"}}}
	out.DurationSecs = a.seconds(op.CreatedAt, op.EndedAt)
	if op.Status == flow.Waiting || op.Status == flow.Held {
		out.WaitingFor = &waitJSON{What: op.WaitWhat, Event: op.WaitFor, Since: timeJSON(op.WaitSince), Until: timeJSON(op.WakeAt)}
	}
	if !op.Status.Ended() && op.Cursor < len(op.Steps) {
		out.CurrentStep = &op.Cursor
	}
	for _, s := range op.Steps {
		args := map[string]any{}
		if s.Args != nil {
			args = obs.MaskAll(s.Args)
		}
		step := stepJSON{Seq: s.Seq, Interface: s.Interface, Step: s.Name, Priority: s.Priority, Args: args, Source: s.Source,
			CleanUp: s.CleanUp, Internal: s.Hidden, Repeat: s.Repeat, Status: s.Status, Attempts: s.Attempts,
			StartedAt: timeJSON(s.StartedAt), EndedAt: timeJSON(s.EndedAt), Error: orNull(s.Error)}
		if step.Source == "" {
			step.Source = "conductor"
		}
		if !s.StartedAt.IsZero() {
			took := a.seconds(s.StartedAt, s.EndedAt)
			step.DurationSecs = &took
		}
		out.Steps = append(out.Steps, step)
	}
	return out
}

// seconds is how long something took, or has taken so far.
func (a *API) seconds(from, to time.Time) float64 {
	if from.IsZero() {
		return 0
	}
	if to.IsZero() {
		to = a.now()
	}
	return max(0, to.Sub(from).Round(time.Millisecond).Seconds())
}

// operation loads the operation that the path names.
func (a *API) operation(rq *request) (*flow.Operation, error) {
	id := rq.vars["operation"]
	if !isUUID(id) {
		return nil, invalid("Expected UUID for operation: %s", clip(id))
	}
	op, err := a.deps.Store.Operation(rq.Context(), canonicalUUID(id))
	if err == nil {
		err = a.seesNode(rq, op.NodeUUID)
	}
	return op, named(err, "Operation", id)
}

func (a *API) showOperation(rq *request) (any, error) {
	op, err := a.operation(rq)
	if err != nil {
		return nil, err
	}
	return a.operationObject(rq, op), nil
}

func (a *API) listOperations(rq *request) (any, error) {
	n, err := a.node(rq)
	if err != nil {
		return nil, err
	}
	page, err := pageOf(rq, a.config.MaxLimit)
	if err != nil {
		return nil, err
	}
	ops, err := a.deps.Store.Operations(rq.Context(), n.UUID, page.Limit)
	if err != nil {
		return nil, err
	}
	list := []operationJSON{}
	for _, op := range ops {
		list = append(list, a.operationObject(rq, op))
	}
	return map[string]any{"operations": list}, nil
}
