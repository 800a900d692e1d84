package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"ferric"
	"ferric/flow"
	"ferric/rpc"
)

// A caller that gets no answer, because a conductor died or was cut off, calls again, most often another conductor, with the same key. What was
// carried out is not carried out twice: an operation has the call's key as its id, and every other change notes the key in its own
// transaction (flow.CarriesOut). What an earlier attempt did is found out before a repetition begins and again when it fails, because the
// earlier attempt may end in between. The rest may be repeated by its nature: reads, and what sets something to a value.

// RequestStore keeps the calls that were carried out.
type RequestStore interface {
	// Request reports whether a call was carried out, and the answer that was noted with it.
	Request(ctx context.Context, key string) (answer []byte, done bool, err error)
	// NoteRequest notes that ctx's call was carried out; flow.ErrCarriedOut if another attempt was.
	NoteRequest(ctx context.Context, answer []byte) error
	PruneRequests(ctx context.Context, before time.Time) (int, error)
}

// requestsKept is how long a call that was carried out is remembered; callers give up long before.
const requestsKept = time.Hour

// Call answers one call of the API: args and the answer are JSON, of the types that package rpc names for the method. The bus, or a test,
// hands it in. ctx may carry a flow.Request.
func (c *Conductor) Call(ctx context.Context, method rpc.Method, args []byte) (any, error) {
	answer, ok := c.answering[method]
	if !ok {
		return nil, ferric.Errorf(ferric.CodeUnsupported, "conductor %s does not know the call %q; is it of another version than the API?", c.Host, method)
	}
	if c.stopping() {
		return nil, flow.ErrElsewhere
	}
	if object, action := askedBy(method); object != "" {
		ctx = ferric.AskedFor(ctx, object, action)
	}
	r := flow.RequestOf(ctx)
	if r.Repeated {
		if out, done, err := c.answered(ctx, r, method, args); done || err != nil {
			return out, err
		}
	}
	out, err := answer(ctx, args)
	if err == nil || !r.Repeated && !errors.Is(err, flow.ErrCarriedOut) {
		return out, err
	}
	if out, done, e := c.answered(ctx, r, method, args); done && e == nil {
		return out, nil
	}
	if ferric.IsCode(err, ferric.CodeNotFound) && deletes(method) {
		return nil, nil
	}
	return out, err
}

// askedBy returns what a call changes, if other programs are told of it as of something that a client asked for.
func askedBy(m rpc.Method) (object string, action ferric.Action) {
	switch m {
	case rpc.CreateNode, rpc.Discover:
		return ferric.ObjectNode, ferric.ActionCreate
	case rpc.UpdateNode:
		return ferric.ObjectNode, ferric.ActionUpdate
	case rpc.DestroyNode:
		return ferric.ObjectNode, ferric.ActionDelete
	case rpc.UpdatePort:
		return ferric.ObjectPort, ferric.ActionUpdate
	case rpc.DestroyPort:
		return ferric.ObjectPort, ferric.ActionDelete
	case rpc.UpdatePortgroup:
		return ferric.ObjectPortgroup, ferric.ActionUpdate
	case rpc.DestroyPortgroup:
		return ferric.ObjectPortgroup, ferric.ActionDelete
	case rpc.UpdateVolumeConnector:
		return ferric.ObjectVolumeConnector, ferric.ActionUpdate
	case rpc.DestroyVolumeConnector:
		return ferric.ObjectVolumeConnector, ferric.ActionDelete
	case rpc.UpdateVolumeTarget:
		return ferric.ObjectVolumeTarget, ferric.ActionUpdate
	case rpc.DestroyVolumeTarget:
		return ferric.ObjectVolumeTarget, ferric.ActionDelete
	case rpc.CreateAllocation:
		return ferric.ObjectAllocation, ferric.ActionCreate
	case rpc.DestroyAllocation:
		return ferric.ObjectAllocation, ferric.ActionDelete
	}
	return "", ""
}

// stopping reports whether the conductor stops and others are there that can do its work.
func (c *Conductor) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving && len(c.members.Hosts()) > 1
}

// deletes reports whether a call wants something to be gone. If it is when the call is repeated, that is well.
func deletes(m rpc.Method) bool {
	switch m {
	case rpc.DestroyNode, rpc.DestroyPort, rpc.DestroyPortgroup, rpc.DestroyVolumeConnector, rpc.DestroyVolumeTarget, rpc.DestroyAllocation, rpc.DetachVIF:
		return true
	}
	return false
}

// answered reports whether an earlier attempt of a call was carried out, and returns the call's answer then.
func (c *Conductor) answered(ctx context.Context, r flow.Request, method rpc.Method, args []byte) (out any, done bool, err error) {
	noted, done, err := c.Store.Request(ctx, r.Key)
	if err != nil {
		return nil, false, err
	}
	var op *flow.Operation
	if !done {
		op, err = c.Store.Operation(ctx, r.Key)
		if ferric.IsCode(err, ferric.CodeNotFound) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	out, err = c.answerAgain(ctx, method, args, noted, op)
	return out, true, err
}

// answerAgain makes the answer of a call that was carried out: of what was noted, or of what is stored now.
func (c *Conductor) answerAgain(ctx context.Context, method rpc.Method, raw, noted []byte, op *flow.Operation) (any, error) {
	if len(noted) > 0 {
		return json.RawMessage(noted), nil
	}
	var a struct {
		Node       *ferric.Node            `json:"node"`
		Port       *ferric.Port            `json:"port"`
		Portgroup  *ferric.Portgroup       `json:"portgroup"`
		Connector  *ferric.VolumeConnector `json:"connector"`
		Target     json.RawMessage         `json:"target"`
		Allocation *ferric.Allocation      `json:"allocation"`
		UUID       string                  `json:"uuid"`
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: %w", err)
	}
	switch {
	case (method == rpc.CreateNode || method == rpc.UpdateNode) && a.Node != nil:
		return c.Store.Node(ctx, a.Node.UUID)
	case method == rpc.UpdatePort && a.Port != nil:
		return c.Store.Port(ctx, a.Port.UUID)
	case method == rpc.UpdatePortgroup && a.Portgroup != nil:
		return c.Store.Portgroup(ctx, a.Portgroup.UUID)
	case method == rpc.UpdateVolumeConnector && a.Connector != nil:
		return c.Store.VolumeConnector(ctx, a.Connector.UUID)
	case method == rpc.UpdateVolumeTarget:
		var v ferric.VolumeTarget
		if err := json.Unmarshal(a.Target, &v); err != nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "arguments of the call: %w", err)
		}
		return c.Store.VolumeTarget(ctx, v.UUID)
	case method == rpc.CreateAllocation && a.Allocation != nil:
		return c.Store.Allocation(ctx, a.Allocation.UUID)
	case method == rpc.Lookup:
		return c.agentToken(ctx, a.UUID)
	case method == rpc.Discover && op != nil:
		return c.agentToken(ctx, op.NodeUUID)
	case method == rpc.VendorCall:
		return &rpc.VendorReply{Async: true}, nil // what waits for its answer has noted it
	}
	return nil, nil
}
