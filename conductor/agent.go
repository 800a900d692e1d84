package conductor

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"time"

	"ferric"
	"ferric/agentapi"
	"ferric/driver"
	"ferric/flow"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// lookup answers an agent that asks who it is. The first lookup of a session gets the token, later ones only a mask:
// whoever looks a node up twice did not boot it.
func (c *Conductor) lookup(ctx context.Context, a rpc.NodeRef) (*rpc.LookupReply, error) {
	n, err := c.Store.Node(ctx, a.UUID)
	if err != nil {
		return nil, err
	}
	if !state.LookupAllowed(n.ProvisionState) {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", a.UUID)
	}
	return c.agentToken(ctx, n.UUID)
}

// agentToken tells an agent its node and, the first time in a session, its token.
func (c *Conductor) agentToken(ctx context.Context, id string) (*rpc.LookupReply, error) {
	n, err := c.Store.Node(ctx, id)
	if err != nil {
		return nil, err
	}
	reply := &rpc.LookupReply{Node: n, HeartbeatTimeout: c.AgentHeartbeatTimeout}
	known := time.Time{}
	_, err = c.Store.ChangeAgentSession(flow.CarriesOut(ctx), n.UUID, func(s *ferric.AgentSession) error {
		reply.Token = agentapi.MaskedToken
		if s.Token == "" {
			secret := make([]byte, 32)
			rand.Read(secret)
			s.Token = base64.RawURLEncoding.EncodeToString(secret)
			reply.Token = s.Token
		}
		known = s.LastHeartbeat
		s.LookedUpAt = c.Store.Now()
		return nil
	})
	if errors.Is(err, flow.ErrCarriedOut) { // the agent never got the answer to this very call
		s, err := c.Store.AgentSession(ctx, n.UUID)
		if err == nil {
			reply.Token = s.Token
		}
		return reply, err
	}
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return nil, ferric.Errorf(ferric.CodeNotFound, "Node %s could not be found.", id) // no ramdisk was booted: no agent is expected
	}
	if err == nil && !known.IsZero() {
		c.nodeLog(n).Warn("an agent that called before looked its node up again: was the machine restarted? It does not get the token twice",
			"last_heartbeat", known)
	}
	return reply, err
}

// heartbeat notes where the agent is and wakes the operation that waits for it.
func (c *Conductor) heartbeat(ctx context.Context, a rpc.HeartbeatArgs) error {
	c.Metrics.Heartbeat()
	u, err := url.Parse(a.CallbackURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ferric.Errorf(ferric.CodeInvalid, `An issue with the supplied "callback_url" has been detected.`)
	}
	if c.AgentRequireTLS && u.Scheme != "https" {
		return ferric.Errorf(ferric.CodeInvalid, `TLS is required by configuration: "callback_url" must begin with https://`)
	}
	s, busy, err := c.Store.AgentContact(ctx, a.UUID)
	if err == nil {
		err = checkHeartbeat(s, a)
	}
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid or missing agent token received.")
	}
	if err != nil {
		return err
	}
	// Most heartbeats tell nothing new, and nobody waits for them: only their time is noted, and written later.
	if !busy && s.CallbackURL == a.CallbackURL && s.Version == a.AgentVersion && (a.AgentVerifyCA == "" || s.VerifyCA == a.AgentVerifyCA) && !s.LastHeartbeat.IsZero() {
		c.calls.note(s, c.Store.Now())
		return nil
	}
	first := false
	_, err = c.Store.ChangeAgentSession(ctx, a.UUID, func(s *ferric.AgentSession) error {
		if err := checkHeartbeat(s, a); err != nil {
			return err
		}
		first = s.LastHeartbeat.IsZero()
		s.CallbackURL, s.Version, s.LastHeartbeat = a.CallbackURL, a.AgentVersion, c.Store.Now()
		if a.AgentVerifyCA != "" {
			s.VerifyCA = a.AgentVerifyCA
		}
		return nil
	})
	if ferric.IsCode(err, ferric.CodeNotFound) {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid or missing agent token received.")
	}
	if err != nil {
		return err
	}
	if first {
		c.Log.Info("the agent called for the first time", "node", a.UUID, "url", a.CallbackURL, "version", a.AgentVersion)
	}
	if err := c.Store.Signal(ctx, a.UUID, flow.EventHeartbeat); err != nil {
		return err
	}
	c.runner.Poke()
	return nil
}

// checkHeartbeat refuses a heartbeat that is not from the session's agent.
func checkHeartbeat(s *ferric.AgentSession, a rpc.HeartbeatArgs) error {
	if s.Token == "" || subtle.ConstantTimeCompare([]byte(s.Token), []byte(a.AgentToken)) != 1 {
		return ferric.Errorf(ferric.CodeInvalid, "Invalid or missing agent token received.")
	}
	if s.CallbackURL != "" && s.CallbackURL != a.CallbackURL {
		return ferric.Errorf(ferric.CodeInvalid, `Detected change in ramdisk provided "callback_url"`)
	}
	return nil
}

// agentConn speaks to the agent of one node.
type agentConn struct {
	c    *Conductor
	task *driver.Task
	node string
	flow *flow.Task // nil outside of operations
}

// Session implements driver.Agent.
func (a *agentConn) Session(ctx context.Context) (*ferric.AgentSession, error) {
	s, err := a.c.Store.AgentSession(ctx, a.node)
	if err != nil {
		return nil, err
	}
	a.c.calls.update(s)
	return s, nil
}

// Begin implements driver.Agent.
func (a *agentConn) Begin(ctx context.Context) error { return a.c.Store.BeginAgentSession(ctx, a.node) }

// End implements driver.Agent.
func (a *agentConn) End(ctx context.Context) error { return a.c.Store.EndAgentSession(ctx, a.node) }

func (a *agentConn) client(ctx context.Context) (*agentapi.Client, error) {
	s, err := a.Session(ctx)
	if err != nil {
		return nil, err
	}
	if s.CallbackURL == "" {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "no agent has called back from the machine")
	}
	o := agentapi.ClientOptions{URL: s.CallbackURL, Token: s.Token, VerifyCA: s.VerifyCA, Timeout: a.c.AgentRequestTimeout}
	if s.VerifyCA == "" {
		o.Insecure = !a.c.AgentRequireTLS
	}
	return agentapi.NewClient(o)
}

// remotes is the part of an operation's parameters that keeps the ids which a stock agent chose, by Ferric's.
type remotes struct {
	Remote map[string]string `json:"remote_ids,omitempty"`
}

func remoteID(params json.RawMessage, id string) string {
	var r remotes
	if len(params) == 0 || json.Unmarshal(params, &r) != nil {
		return ""
	}
	return r.Remote[id]
}

func withRemoteID(params json.RawMessage, id, remote string) (json.RawMessage, error) {
	var r remotes
	if len(params) > 0 {
		if err := json.Unmarshal(params, &r); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "parameters of the operation: %w", err)
		}
	}
	if r.Remote == nil {
		r.Remote = map[string]string{}
	}
	r.Remote[id] = remote
	return withParam(params, "remote_ids", r.Remote)
}

// withParam sets one of an operation's parameters.
func withParam(params json.RawMessage, key string, v any) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(params) > 0 {
		if err := json.Unmarshal(params, &all); err != nil {
			return nil, ferric.Errorf(ferric.CodeInternal, "parameters of the operation: %w", err)
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "parameter %s of the operation: %w", key, err)
	}
	all[key] = raw
	if params, err = json.Marshal(all); err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "parameters of the operation: %w", err)
	}
	return params, nil
}

// commandID derives a command's id from what it is for, so that the same command never gets two.
func commandID(operation string, step string, attemptKey string) string {
	space, err := uuid.Parse(operation)
	if err != nil {
		space = uuid.Nil
	}
	return uuid.NewSHA1(space, []byte(step+"\x00"+attemptKey)).String()
}

// Run implements driver.Agent.
func (a *agentConn) Run(ctx context.Context, key, name string, params map[string]any) (*agentapi.CommandResult, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	cmd := agentapi.Command{Name: name, Params: params, ID: uuid.NewString()}
	if a.flow == nil {
		res, err := client.Do(ctx, cmd, false)
		return &res, err
	}
	s := a.flow.Step
	cmd.ID, cmd.Epoch = commandID(a.flow.Op.ID, s.Interface+"."+s.Name, key+"\x00"+itoa(s.Seq)), a.flow.Epoch()
	plan := a.flow.Op.Params
	known := cmp.Or(remoteID(plan, cmd.ID), cmd.ID)
	res, err := client.Command(ctx, known)
	switch {
	case err == nil:
		return &res, nil
	case !ferric.IsCode(err, ferric.CodeNotFound):
		return nil, err
	case driver.Follows(a.flow.Op, name): // it is not begun anew behind everybody's back
		return nil, forgotten(name, known)
	}
	res, err = client.Do(ctx, cmd, false)
	var failed *agentapi.CommandFailed // at once: the result says so
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	if res.ID != "" && res.ID != known { // a stock agent: it chose the id
		if a.flow.Op.Params, err = withRemoteID(plan, cmd.ID, res.ID); err != nil {
			return nil, err
		}
		if err := a.flow.Update(ctx, nil); err != nil {
			return nil, err
		}
	}
	return &res, nil
}

// Ask implements driver.Agent.
func (a *agentConn) Ask(ctx context.Context, name string, params map[string]any) (json.RawMessage, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	cmd := agentapi.Command{Name: name, Params: params, ID: uuid.NewString()}
	if a.flow != nil {
		cmd.Epoch = a.flow.Epoch()
	}
	ctx, cancel := context.WithTimeout(ctx, a.c.AgentTimeout) // an agent that dies meanwhile never answers
	defer cancel()
	res, err := client.Do(ctx, cmd, true)
	if err != nil {
		return nil, err
	}
	return res.CommandResult, nil
}

// agentNode is the node as agents are told of it: without credentials.
func (c *Conductor) agentNode(n *ferric.Node) map[string]any {
	internal := maps.Clone(n.InternalInfo)
	if internal == nil {
		internal = map[string]any{}
	}
	maps.Copy(internal, c.EraseSettings)
	return map[string]any{"uuid": n.UUID, "name": n.Name, "properties": n.Properties, "instance_info": publicInstanceInfo(n),
		"driver_internal_info": internal, "provision_state": n.ProvisionState,
		"target_provision_state": n.TargetProvisionState, "raid_config": n.RAIDConfig, "target_raid_config": n.TargetRAIDConfig,
		"driver": n.Driver, "resource_class": n.ResourceClass, "extra": n.Extra}
}

func publicInstanceInfo(n *ferric.Node) map[string]any {
	out := map[string]any{}
	for k, v := range n.InstanceInfo {
		if k != "configdrive" && k != "rescue_password" {
			out[k] = v
		}
	}
	return out
}

func agentPorts(ports []*ferric.Port) []map[string]any {
	out := make([]map[string]any, 0, len(ports))
	for _, p := range ports {
		out = append(out, map[string]any{"uuid": p.UUID, "address": p.Address, "pxe_enabled": p.PXEEnabled,
			"extra": p.Extra, "local_link_connection": p.LocalLinkConnection})
	}
	return out
}
