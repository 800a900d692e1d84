package dhcp

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"ferric"
	"ferric/boot"
)

// Ports of DHCP and of the proxyDHCP service (PXE specification 2.1).
const (
	ServerPort = 67
	ClientPort = 68
	ProxyPort  = 4011
)

// Request is a packet as it came in.
type Request struct {
	Data []byte         // UDP payload
	From netip.AddrPort // sender
	Port int            // port that it came to: ServerPort or ProxyPort
}

// Reply is a packet to send. If HW is set the packet goes to that Ethernet address, since To has no ARP entry yet.
type Reply struct {
	Packet *dhcpv4.DHCPv4
	To     netip.AddrPort
	HW     net.HardwareAddr
}

// Result is what became of a packet.
type Result struct {
	Kind     string     // message type in lower case, "" for garbage
	Outcome  Outcome    // what became of it
	Reply    *Reply     // set exactly if Outcome is answered or refused
	MAC      string     // sender
	NodeUUID string     // its node, if it is known
	IP       netip.Addr // address offered or given, if any
	BootFile string     // boot file offered, if any
	Err      error      // why, for every outcome but answered and accepted
	// Stranger is a DHCP server that is not ours and whose offer a machine of ours took.
	Stranger netip.Addr
}

// Handler decides what a DHCP packet is answered with. It does no network input or output.
type Handler struct {
	opts   Options
	dir    Directory
	leases Leases
	files  map[boot.Flavor]map[uint16]string
	now    func() time.Time
}

// NewHandler returns a handler, or CodeInvalid naming the option that is wrong. leases may be nil in proxy mode, now
// may be nil for the system's clock.
func NewHandler(opts Options, dir Directory, leases Leases, now func() time.Time) (*Handler, error) {
	opts = opts.Defaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if dir == nil || (leases == nil && !opts.Proxy) {
		return nil, ferric.Errorf(ferric.CodeInvalid, "dhcp: a directory is needed, and leases unless in proxy mode")
	}
	h := &Handler{opts: opts, dir: dir, leases: leases, files: DefaultBootFiles(), now: now}
	for flavor, files := range opts.BootFiles {
		if h.files[flavor] == nil {
			return nil, ferric.Errorf(ferric.CodeInvalid, "dhcp: boot files: flavor %q: must be pxe or ipxe", flavor)
		}
		for arch, name := range files {
			if len(name) > 255 {
				return nil, ferric.Errorf(ferric.CodeInvalid, "dhcp: boot files: flavor %s, architecture %d: the name has more than 255 bytes", flavor, arch)
			}
			h.files[flavor][arch] = name
		}
	}
	if h.now == nil {
		h.now = time.Now
	}
	return h, nil
}

// Handle decides about one packet. It blocks as long as the directory and the leases do, at most until ctx ends, and
// never panics on any Data.
func (h *Handler) Handle(ctx context.Context, in Request) Result {
	req, err := dhcpv4.FromBytes(in.Data)
	if err != nil {
		return Result{Outcome: OutcomeGarbage, Err: ferric.Errorf(ferric.CodeCorrupt, "dhcp: not a DHCP packet: %w", err)}
	}
	c, err := parseClient(req)
	if err != nil {
		return Result{Outcome: OutcomeGarbage, Err: err}
	}
	res := Result{Kind: strings.ToLower(req.MessageType().String()), MAC: c.mac, Outcome: OutcomeIgnored}
	network, err := h.networkOf(req)
	if err != nil {
		res.Err = err
		return res
	}
	if wants := h.wanted(req, c, in.Port); wants != nil {
		res.Err = wants
		h.findStranger(ctx, req, &res)
		return res
	}
	m, err := h.dir.Lookup(ctx, c.mac)
	known := err == nil
	switch {
	case known && m.Elsewhere:
		res.NodeUUID, res.Err = m.NodeUUID, ferric.Errorf(codeIgnore, "dhcp: another DHCP server serves %s", c.mac)
		return res
	case known:
		res.NodeUUID = m.NodeUUID
	case !ferric.IsCode(err, ferric.CodeNotFound):
		res.Outcome, res.Err = OutcomeError, ferric.Errorf(ferric.CodeUnavailable, "dhcp: look up %s: %w", c.mac, err)
		return res
	case h.opts.Discovery == "":
		res.Outcome, res.Err = OutcomeUnknown, err
		return res
	default:
		m = Machine{Boot: h.opts.Discovery}
	}
	x := exchange{h: h, req: req, in: in, c: c, m: m, known: known, network: network, res: &res}
	if err := x.run(ctx); err != nil {
		res.Outcome, res.Reply, res.Err = outcomeOf(err), nil, err
	}
	return res
}

// findStranger notes that a machine of ours takes the offer of a server that is not ours. A proxy works beside one.
func (h *Handler) findStranger(ctx context.Context, req *dhcpv4.DHCPv4, res *Result) {
	id := toAddr(req.ServerIdentifier())
	if h.opts.Proxy || h.opts.Ours == nil || req.MessageType() != dhcpv4.MessageTypeRequest || !id.IsValid() || h.opts.Ours(id) {
		return
	}
	if m, err := h.dir.Lookup(ctx, res.MAC); err == nil {
		res.Stranger, res.NodeUUID = id, m.NodeUUID
	}
}

func outcomeOf(err error) Outcome {
	switch ferric.ErrorCode(err) {
	case ferric.CodeNoSpace:
		return OutcomeFull
	case codeIgnore:
		return OutcomeIgnored
	}
	return OutcomeError
}

// codeIgnore marks an error that says why a valid packet is not for us; it does not leave the package.
const codeIgnore = ferric.CodeNotFound

// networkOf returns the network that the request came from: of the relay's giaddr, with link selection (RFC 3527)
// before it, or the interface's own.
func (h *Handler) networkOf(req *dhcpv4.DHCPv4) (Network, error) {
	giaddr := toAddr(req.GatewayIPAddr)
	if !giaddr.IsValid() {
		// A machine behind a relay renews without it, from an address of its own network.
		if ciaddr := toAddr(req.ClientIPAddr); ciaddr.IsValid() {
			if n, ok := h.opts.network(ciaddr); ok {
				return n, nil
			}
		}
		n, _ := h.opts.network(h.opts.Address) // in proxy mode there may be none
		return n, nil
	}
	// The reply goes to giaddr, so it must be one of ours: no packets to strangers on a stranger's word.
	n, ok := h.opts.network(giaddr)
	if !ok {
		return Network{}, ferric.Errorf(codeIgnore, "dhcp: the relay %s is in none of the networks", giaddr)
	}
	if info := req.RelayAgentInfo(); info != nil {
		if link := info.Options.Get(dhcpv4.LinkSelectionSubOption); len(link) == 4 {
			if n, ok = h.opts.network(toAddr(link)); !ok {
				return Network{}, ferric.Errorf(codeIgnore, "dhcp: the link %s selected by relay %s is in none of the networks", net.IP(link), giaddr)
			}
		}
	}
	return n, nil
}

// wanted returns nil if the request is one that this server has to look at, else why it is not.
func (h *Handler) wanted(req *dhcpv4.DHCPv4, c client, port int) error {
	kind := req.MessageType()
	if id := toAddr(req.ServerIdentifier()); id.IsValid() && id != h.opts.Address {
		return ferric.Errorf(codeIgnore, "dhcp: the %s is meant for server %s", kind, id)
	}
	if !h.opts.Proxy {
		switch kind {
		case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform,
			dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeRelease:
			return nil
		}
		return ferric.Errorf(codeIgnore, "dhcp: a server does not answer %s", kind)
	}
	switch {
	case c.prog == programOS:
		return ferric.Errorf(codeIgnore, "dhcp: a proxy answers only machines that boot over the network")
	case port == ServerPort && kind == dhcpv4.MessageTypeDiscover:
		return nil
	case port == ProxyPort && (kind == dhcpv4.MessageTypeRequest || kind == dhcpv4.MessageTypeInform):
		return nil
	}
	return ferric.Errorf(codeIgnore, "dhcp: a proxy does not answer %s on port %d", kind, port)
}

// reply begins the answer to req.
func (h *Handler) reply(req *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	resp := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        iana.HWTypeEthernet,
		TransactionID: req.TransactionID,
		Flags:         req.Flags,
		GatewayIPAddr: req.GatewayIPAddr,
		ClientHWAddr:  req.ClientHWAddr,
		Options:       dhcpv4.Options{},
	}
	resp.UpdateOption(dhcpv4.OptMessageType(kind))
	resp.UpdateOption(dhcpv4.OptServerIdentifier(h.opts.Address.AsSlice()))
	// RFC 6842: the client identifier comes back as it was; RFC 3046: so does the relay's information.
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionClientIdentifier, dhcpv4.OptionRelayAgentInformation} {
		if v := req.Options.Get(code); len(v) > 0 {
			resp.Options[code.Code()] = v
		}
	}
	return resp
}

// route says where the reply goes (RFC 2131 section 4.1).
func (h *Handler) route(req, resp *dhcpv4.DHCPv4, in Request) *Reply {
	to := func(a netip.Addr, port uint16) *Reply {
		return &Reply{Packet: resp, To: netip.AddrPortFrom(a, port)}
	}
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	if giaddr := toAddr(req.GatewayIPAddr); giaddr.IsValid() {
		if resp.MessageType() == dhcpv4.MessageTypeNak {
			resp.SetBroadcast() // the machine may have no usable address
		}
		return to(giaddr, ServerPort)
	}
	if in.Port == ProxyPort {
		return &Reply{Packet: resp, To: in.From}
	}
	switch ciaddr, yiaddr := toAddr(req.ClientIPAddr), toAddr(resp.YourIPAddr); {
	case resp.MessageType() == dhcpv4.MessageTypeNak:
		return to(broadcast, ClientPort)
	case ciaddr.IsValid() && h.local(ciaddr): // never to a stranger on a stranger's word
		return to(ciaddr, ClientPort)
	case req.IsBroadcast() || !yiaddr.IsValid():
		return to(broadcast, ClientPort)
	default:
		r := to(yiaddr, ClientPort)
		r.HW = req.ClientHWAddr
		return r
	}
}

// local reports whether the address is in one of the networks.
func (h *Handler) local(addr netip.Addr) bool {
	_, ok := h.opts.network(addr)
	return ok
}
