package dhcp

import (
	"context"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"ferric"
)

// exchange is one request that is to be answered, with all that is known about it.
type exchange struct {
	h       *Handler
	req     *dhcpv4.DHCPv4
	in      Request
	c       client
	m       Machine
	known   bool
	network Network
	res     *Result
}

func (x *exchange) run(ctx context.Context) error {
	if x.h.opts.Proxy {
		return x.proxy()
	}
	switch x.req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return x.discover(ctx)
	case dhcpv4.MessageTypeRequest:
		return x.request(ctx)
	case dhcpv4.MessageTypeInform:
		return x.inform()
	case dhcpv4.MessageTypeDecline:
		return x.decline(ctx)
	default:
		return x.release(ctx)
	}
}

// proxy answers with a boot file and no address.
func (x *exchange) proxy() error {
	file := x.h.bootFile(x.c, x.m, x.known)
	if file == "" {
		return ferric.Errorf(codeIgnore, "dhcp: %s has nothing to boot", x.c.mac)
	}
	kind := dhcpv4.MessageTypeOffer
	if x.in.Port == ProxyPort {
		kind = dhcpv4.MessageTypeAck
	}
	resp := x.h.reply(x.req, kind)
	resp.ClientIPAddr = x.req.ClientIPAddr
	x.finish(resp, file)
	return nil
}

func (x *exchange) discover(ctx context.Context) error {
	ip, err := x.address(ctx, toAddr(x.req.RequestedIPAddress()))
	if err != nil {
		return err
	}
	if err := x.keep(ctx, ip, ferric.LeaseOffered); err != nil {
		return err
	}
	x.give(dhcpv4.MessageTypeOffer, ip)
	return nil
}

// request answers the three kinds of REQUEST (RFC 2131 section 4.3.2): the machine takes our offer (server
// identifier), asks for the address it had before a restart (requested address), or renews (ciaddr). All are granted
// if the address is the one the machine would be given, else refused with NAK, so that it starts over.
func (x *exchange) request(ctx context.Context) error {
	want := toAddr(x.req.RequestedIPAddress())
	if !want.IsValid() {
		want = toAddr(x.req.ClientIPAddr)
	}
	if !want.IsValid() {
		return ferric.Errorf(codeIgnore, "dhcp: the REQUEST of %s names no address", x.c.mac)
	}
	ip, err := x.address(ctx, want)
	if err != nil && !ferric.IsCode(err, ferric.CodeNoSpace) {
		return err
	}
	if err != nil || ip != want {
		x.nak("the address is not this machine's")
		return nil
	}
	err = x.keep(ctx, ip, ferric.LeaseBound)
	if ferric.IsCode(err, ferric.CodeConflict) {
		x.nak("the address is in use")
		return nil
	}
	if err != nil {
		return err
	}
	x.give(dhcpv4.MessageTypeAck, ip)
	return nil
}

// inform answers a machine that has an address from elsewhere and asks for the rest.
func (x *exchange) inform() error {
	// The answer goes to that address, so it must be one of ours.
	if ciaddr := toAddr(x.req.ClientIPAddr); !x.network.Prefix.Contains(ciaddr) {
		return ferric.Errorf(codeIgnore, "dhcp: the INFORM of %s is from address %s, which is in none of the networks", x.c.mac, ciaddr)
	}
	resp := x.h.reply(x.req, dhcpv4.MessageTypeAck)
	resp.ClientIPAddr = x.req.ClientIPAddr
	x.settings(resp)
	x.finish(resp, x.h.bootFile(x.c, x.m, x.known))
	return nil
}

// decline keeps an address back for a time, because the machine found somebody else using it.
func (x *exchange) decline(ctx context.Context) error {
	ip := toAddr(x.req.RequestedIPAddress())
	now := x.h.now()
	if err := x.h.leases.Decline(ctx, x.c.mac, ip, now.Add(x.h.opts.DeclineTime)); err != nil {
		return err
	}
	x.res.Outcome, x.res.IP = OutcomeAccepted, ip
	return nil
}

func (x *exchange) release(ctx context.Context) error {
	ip := toAddr(x.req.ClientIPAddr)
	if err := x.h.leases.Release(ctx, x.c.mac, ip); err != nil {
		return err
	}
	x.res.Outcome, x.res.IP = OutcomeAccepted, ip
	return nil
}

// keep stores the lease of an address that is offered or given.
func (x *exchange) keep(ctx context.Context, ip netip.Addr, state ferric.LeaseState) error {
	now := x.h.now()
	until := now.Add(x.h.opts.OfferTime)
	if state == ferric.LeaseBound {
		until = now.Add(x.h.opts.LeaseTime)
	} else if have, err := x.h.leases.ByMAC(ctx, x.c.mac); err == nil && have.IP == ip && have.State == ferric.LeaseBound && have.Expires.After(until) {
		return nil // an offer does not shorten the lease that the machine has
	}
	return x.h.leases.Put(ctx, Lease{IP: ip, MAC: x.c.mac, State: state, Expires: until}, now)
}

// give answers with an address.
func (x *exchange) give(kind dhcpv4.MessageType, ip netip.Addr) {
	resp := x.h.reply(x.req, kind)
	resp.YourIPAddr = ip.AsSlice()
	resp.ClientIPAddr = x.req.ClientIPAddr
	lease := x.h.opts.LeaseTime
	resp.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
	resp.UpdateOption(dhcpv4.OptRenewTimeValue(lease / 2))
	resp.UpdateOption(dhcpv4.OptRebindingTimeValue(lease / 8 * 7))
	x.settings(resp)
	x.finish(resp, x.h.bootFile(x.c, x.m, x.known))
	x.res.IP = ip
}

// settings adds what belongs to the network and the machine.
func (x *exchange) settings(resp *dhcpv4.DHCPv4) {
	n := x.network
	ones := n.Prefix.Bits()
	mask := ^uint32(0) << (32 - ones)
	resp.Options[dhcpv4.OptionSubnetMask.Code()] = fromUint(mask).AsSlice()
	resp.Options[dhcpv4.OptionBroadcastAddress.Code()] = fromUint(toUint(n.Prefix.Addr()) | ^mask).AsSlice()
	if n.Gateway.IsValid() {
		resp.Options[dhcpv4.OptionRouter.Code()] = n.Gateway.AsSlice()
	}
	addrs := func(code dhcpv4.OptionCode, list []netip.Addr) {
		for _, a := range list {
			resp.Options[code.Code()] = append(resp.Options[code.Code()], a.AsSlice()...)
		}
	}
	addrs(dhcpv4.OptionDomainNameServer, n.DNS)
	addrs(dhcpv4.OptionNTPServers, n.NTP)
	if n.Domain != "" {
		resp.Options[dhcpv4.OptionDomainName.Code()] = []byte(n.Domain)
	}
	if validHostname(x.m.Hostname) {
		resp.Options[dhcpv4.OptionHostName.Code()] = []byte(x.m.Hostname)
	}
}

func (x *exchange) nak(why string) {
	resp := x.h.reply(x.req, dhcpv4.MessageTypeNak)
	resp.UpdateOption(dhcpv4.OptMessage(why))
	x.res.Outcome, x.res.Reply = OutcomeRefused, x.h.route(x.req, resp, x.in)
	x.res.Err = ferric.Errorf(ferric.CodeConflict, "dhcp: REQUEST of %s refused: %s", x.c.mac, why)
}

// finish adds the boot file and routes the reply.
func (x *exchange) finish(resp *dhcpv4.DHCPv4, file string) {
	x.h.setBoot(x.req, resp, x.c, file)
	fit(resp, x.req)
	x.res.BootFile = file
	x.res.Outcome, x.res.Reply = OutcomeAnswered, x.h.route(x.req, resp, x.in)
}

// fit leaves out what a machine can do without, if the reply would be longer than it takes: what option 57 says, at
// least 576 bytes with the IP and UDP headers (RFC 2131 section 2).
func fit(resp, req *dhcpv4.DHCPv4) {
	const headers, least = 28, 576
	limit := least
	if n, err := req.MaxMessageSize(); err == nil && n > least {
		limit = int(n)
	}
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionNTPServers, dhcpv4.OptionDomainName, dhcpv4.OptionHostName, dhcpv4.OptionTFTPServerName, dhcpv4.OptionClientMachineIdentifier} {
		if len(resp.ToBytes())+headers <= limit {
			return
		}
		resp.Options.Del(code)
	}
}

// validHostname reports whether name is one to give to a machine: letters, digits, hyphens and dots.
func validHostname(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
	}) < 0
}
