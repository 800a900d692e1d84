package api

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"ferric"
	"ferric/agentapi"
	"ferric/rpc"
	"ferric/state"

	"github.com/google/uuid"
)

// forbiddenPath refuses the agents' part of the API where it is switched off.
func forbiddenPath(path string) error {
	return forbidden(path)
}

// nowhere is the 404 that tells an agent nothing: not whether there is such a node, and not in which state.
func nowhere() error { return ferric.Errorf(ferric.CodeNotFound, "Resource could not be found.") }

// maxMACs bounds the addresses of one lookup.
const maxMACs = 256

// validMACs keeps the addresses that are ones, in lower case.
func validMACs(list []string) []string {
	var macs []string
	for _, s := range list {
		if mac, ok := normalMAC(s); ok && !slices.Contains(macs, mac) && len(macs) < maxMACs {
			macs = append(macs, mac)
		}
	}
	return macs
}

// lookup tells an agent which node it runs on, by the node's UUID (from the kernel's command line) or its MAC addresses.
func (a *API) lookup(rq *request) (any, error) {
	id, macs := rq.args.str("node_uuid"), validMACs(rq.args.list("addresses"))
	if id == "" && len(macs) == 0 {
		return nil, invalid("At least one of 'addresses' and 'node_uuid' parameters is required")
	}
	n, err := a.agentNode(rq, id, macs)
	if err != nil {
		return nil, err
	}
	if a.config.RestrictLookup && !state.LookupAllowed(n.ProvisionState) {
		a.log.WarnContext(rq.Context(), "lookup refused: no agent is expected in this state", "node", n.UUID, "provision_state", n.ProvisionState)
		return nil, nowhere()
	}
	if rq.version < 62 {
		// Such an agent would not know what to do with a token, and a token is handed out once only.
		return a.lookupAnswer(rq, n, rpc.LookupReply{HeartbeatTimeout: a.config.AgentHeartbeatTimeout}), nil
	}
	var reply rpc.LookupReply
	if err := a.deps.Conductors.Call(rq.Context(), n, rpc.Lookup, a.ref(rq, n), &reply); err != nil {
		return nil, err
	}
	return a.lookupAnswer(rq, n, reply), nil
}

// agentNode finds the node by its UUID, else by the MAC addresses.
func (a *API) agentNode(rq *request, id string, macs []string) (*ferric.Node, error) {
	var n *ferric.Node
	var err error
	if id != "" {
		n, err = a.deps.Store.Node(rq.Context(), canonicalUUID(id))
	} else {
		n, err = a.deps.Store.NodeByMACs(rq.Context(), macs)
	}
	if ferric.IsCode(err, ferric.CodeNotFound) || ferric.IsCode(err, ferric.CodeConflict) {
		a.log.WarnContext(rq.Context(), "no node found for an agent", "node_uuid", id, "addresses", macs, "error", err)
		return nil, nowhere()
	}
	return n, err
}

// lookupAnswer is what an agent learns of its node, and how it is configured.
func (a *API) lookupAnswer(rq *request, n *ferric.Node, reply rpc.LookupReply) agentapi.LookupResponse {
	if reply.Node != nil {
		n = reply.Node
	}
	properties := n.Properties
	if properties == nil {
		properties = map[string]any{}
	}
	management := n.Interfaces[ferric.KindManagement]
	links := rq.links("nodes/" + n.UUID)
	return agentapi.LookupResponse{
		Node: agentapi.LookupNode{
			UUID: n.UUID, Properties: properties,
			InstanceInfo:       maskSecrets(n.InstanceInfo, []string{"image_url"}),
			DriverInternalInfo: maskSecrets(n.InternalInfo, nil),
			Links:              []agentapi.Link{{Href: links[0].Href, Rel: links[0].Rel}, {Href: links[1].Href, Rel: links[1].Rel}},
		},
		Config: agentapi.LookupConfig{
			HeartbeatTimeout: int(reply.HeartbeatTimeout.Seconds()), AgentToken: reply.Token, AgentTokenRequired: true,
			MD5Enabled: a.config.AllowMD5, DisableDeepImageInspection: a.config.DisableDeepImageInspection,
			PermittedImageFormats: a.config.PermittedImageFormats,
			SkipBMCDetect:         management == "redfish" || management == "idrac-redfish",
			Metrics: json.RawMessage(`{"backend":"noop","prepend_host":false,"prepend_uuid":false,"prepend_host_reverse":true,` +
				`"global_prefix":null}`),
			MetricsStatsd: json.RawMessage(`{"statsd_host":"localhost","statsd_port":8125}`),
			AgentContainers: json.RawMessage(`{"allow_arbitrary_containers":false,"allowed_containers":[],` +
				`"container_steps_file":"/etc/ironic-python-agent.d/mysteps.yaml","runner":"podman","pull_options":"--tls-verify=false",` +
				`"run_options":"--rm --network=host --tls-verify=false"}`),
			Ferric: &agentapi.LookupFerric{Version: a.config.FerricVersion},
		},
	}
}

func heartbeatArgs() []arg {
	return []arg{{name: "callback_url", parse: argString, required: true}, {name: "agent_version", parse: argString},
		{name: "agent_token", parse: argString}, {name: "agent_verify_ca", parse: argString}, {name: "agent_status", parse: argString},
		{name: "agent_status_message", parse: argString}, {name: "ferric", parse: argAny}}
}

func (a *API) heartbeat(rq *request) (any, error) {
	if rq.args.str("agent_version") != "" && rq.version < 36 {
		return nil, invalid(`Field "agent_version" not recognised`)
	}
	status := rq.args.str("agent_status")
	if (status != "" || rq.args.str("agent_status_message") != "") && rq.version < 72 {
		return nil, invalid(`Fields "agent_status" and "agent_status_message" not recognised.`)
	}
	if rq.args.has("agent_verify_ca") && rq.version < 68 {
		return nil, invalid(`Field "agent_verify_ca" not recognised in this version`)
	}
	n, err := a.stamp(rq)
	if err != nil {
		return nil, err
	}
	callback := rq.args.str("callback_url")
	if callback != "" { // an agent that only reports sends none
		u, err := url.Parse(callback)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(callback) > 1024 {
			return nil, invalid(`An issue with the supplied "callback_url" has been detected.`)
		}
	}
	if !rq.args.has("agent_token") {
		return nil, invalid("Agent token is required for heartbeat processing.")
	}
	if rq.args.has("agent_status") && !slices.Contains([]string{"start", "end", "error"}, status) {
		return nil, invalid("Agent status is invalid. Valid states are start,end,error.")
	}
	req := rpc.HeartbeatArgs{NodeRef: a.ref(rq, n), CallbackURL: callback, AgentVersion: rq.args.str("agent_version"),
		AgentToken: rq.args.str("agent_token"), AgentVerifyCA: rq.args.str("agent_verify_ca"), Status: status,
		StatusMessage: rq.args.str("agent_status_message")}
	if extension := rq.args["ferric"]; extension != nil {
		req.Ferric = mustJSON(extension)
		var known agentapi.Extension
		if err := json.Unmarshal(req.Ferric, &known); err != nil {
			return nil, invalid("ferric: the extension object is not understood: %w", err)
		}
	}
	return nil, a.deps.Conductors.Call(rq.Context(), n, rpc.Heartbeat, req, nil)
}

// continueInspection takes what an inspecting agent found. 1.1 is what agents that know the inspector's API use; they get
// the node's UUID alone.
func (a *API) continueInspection(rq *request) (any, error) {
	id := rq.args.str("node_uuid")
	if rq.version < 84 && (rq.version > 1 || id != "") {
		return nil, ferric.Errorf(ferric.CodeNotFound, "API version 1.84 or newer is required")
	}
	var data agentapi.InspectionData
	if err := json.Unmarshal(rq.rawBody, &data); err != nil {
		if ferric.ErrorCode(err) == ferric.CodeInvalid {
			return nil, err
		}
		return nil, invalid("Schema error for data: %w", err)
	}
	var macs []string
	for _, nic := range data.Inventory.Interfaces {
		macs = append(macs, nic.MACAddress)
	}
	macs = validMACs(macs)
	bmc := bmcAddresses(data.Inventory)
	if id == "" && len(macs) == 0 && len(bmc) == 0 {
		return nil, invalid("No lookup information provided")
	}
	n, err := a.inspectedNode(rq, id, macs, bmc)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(rq.rawBody, &raw); err != nil {
		return nil, invalid("Schema error for data: %w", err)
	}
	inventory := raw["inventory"]
	delete(raw, "inventory")
	var reply rpc.LookupReply
	if n == nil {
		if n, err = a.discover(rq, macs, bmc, inventory, mustJSON(raw), &reply); err != nil {
			return nil, err
		}
	} else if err := a.takeInspection(rq, n, inventory, mustJSON(raw), &reply); err != nil {
		return nil, err
	}
	if rq.version < 84 {
		return map[string]string{"uuid": n.UUID}, nil
	}
	return a.lookupAnswer(rq, n, reply), nil
}

// takeInspection hands the data to the conductor. The token comes first: to process the data takes the node's lease, and time.
func (a *API) takeInspection(rq *request, n *ferric.Node, inventory, plugin json.RawMessage, reply *rpc.LookupReply) error {
	if rq.version >= 84 {
		if err := a.deps.Conductors.Call(rq.Context(), n, rpc.Lookup, a.ref(rq, n), reply); err != nil {
			return err
		}
	}
	return a.deps.Conductors.Call(rq.Context(), n, rpc.ContinueInspection,
		rpc.InspectionArgs{NodeRef: a.ref(rq, n), Inventory: inventory, PluginData: plugin}, nil)
}

// discover enrols a machine that no node is known of, where that is switched on. Who asks learns nothing else than that there is no node.
func (a *API) discover(rq *request, macs, bmc []string, inventory, plugin json.RawMessage, reply *rpc.LookupReply) (*ferric.Node, error) {
	if a.config.DiscoveryDriver == "" {
		return nil, nowhere()
	}
	addresses := macs
	if len(macs) == 0 {
		for _, b := range bmc {
			addresses = append(addresses, "bmc "+b)
		}
	}
	n := &ferric.Node{UUID: uuid.NewString(), Driver: a.config.DiscoveryDriver, ConductorGroup: a.config.DefaultConductorGroup,
		ResourceClass: a.config.DefaultResourceClass}
	args := rpc.DiscoverArgs{Node: n, Addresses: addresses, Inventory: inventory, PluginData: plugin, Caller: rq.caller}
	switch err := a.deps.Conductors.Call(rq.Context(), n, rpc.Discover, args, reply); ferric.ErrorCode(err) {
	case "":
		return reply.Node, nil
	case ferric.CodeUnavailable, ferric.CodeBusy, ferric.CodeLocked, ferric.CodeTimeout, ferric.CodeConflict:
		return nil, ferric.Errorf(ferric.CodeUnavailable, "The machine cannot be enrolled now; try again.")
	default:
		a.log.WarnContext(rq.Context(), "a discovered machine was not enrolled", "addresses", addresses, "error", err)
		return nil, nowhere()
	}
}

func bmcAddresses(inv agentapi.Inventory) []string {
	var out []string
	for _, s := range []string{string(inv.BMCAddress), string(inv.BMCV6Address)} {
		if s != "" && s != "0.0.0.0" && s != "::/0" {
			out = append(out, s)
		}
	}
	return out
}

// inspectedNode finds the node that waits for the data: by UUID, by MAC addresses and by the BMC's, which must not contradict one another. nil is
// a machine that nobody knows. Nobody else's data is taken.
func (a *API) inspectedNode(rq *request, id string, macs, bmc []string) (*ferric.Node, error) {
	var n *ferric.Node
	var err error
	if id != "" {
		if n, err = a.agentNode(rq, id, nil); err != nil {
			return nil, err
		}
	}
	if len(macs) > 0 {
		ports, err := a.deps.Store.Ports(rq.Context(), ferric.PortFilter{Addresses: macs})
		if err != nil {
			return nil, err
		}
		for _, p := range ports {
			if n != nil && n.UUID != p.NodeUUID {
				a.log.WarnContext(rq.Context(), "inspection data refused: several nodes have the machine's addresses", "nodes", []string{n.UUID, p.NodeUUID}, "addresses", macs)
				return nil, nowhere()
			}
			if n == nil {
				if n, err = a.agentNode(rq, p.NodeUUID, nil); err != nil {
					return nil, err
				}
			}
		}
	}
	if n != nil && n.ProvisionState != ferric.InspectWait && n.ProvisionState != ferric.Inspecting {
		a.log.WarnContext(rq.Context(), "inspection data refused: none is expected", "node", n.UUID, "provision_state", n.ProvisionState)
		return nil, nowhere()
	}
	return a.checkBMC(rq, n, bmc)
}

// checkBMC finds the node by its BMC if n is nil, and otherwise refuses it if the BMC is another node's only.
func (a *API) checkBMC(rq *request, n *ferric.Node, bmc []string) (*ferric.Node, error) {
	if len(bmc) == 0 {
		return n, nil
	}
	nodes, err := a.deps.Store.Nodes(rq.Context(), ferric.NodeFilter{
		ProvisionStates: []ferric.ProvisionState{ferric.InspectWait}, IncludeChildren: true}, ferric.Page{})
	if err != nil {
		return nil, err
	}
	var found []*ferric.Node
	for _, candidate := range nodes {
		for key, v := range candidate.DriverInfo {
			s, _ := v.(string)
			host := hostOf(s)
			if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
				continue
			}
			if strings.HasSuffix(key, "_address") && slices.Contains(bmc, host) {
				found = append(found, candidate)
				break
			}
		}
	}
	switch {
	case len(found) == 0:
		return n, nil
	case n == nil && len(found) == 1:
		return found[0], nil
	case n != nil && slices.ContainsFunc(found, func(f *ferric.Node) bool { return f.UUID == n.UUID }):
		return n, nil
	}
	a.log.WarnContext(rq.Context(), "inspection data refused: the BMC is another node's, or several nodes'", "bmc", bmc)
	return nil, nowhere()
}

// hostOf is the host of an address that may be a URL.
func hostOf(s string) string {
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return strings.Trim(s, "[]")
}
