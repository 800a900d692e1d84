package dhcp_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"go.uber.org/goleak"

	"ferric"
	"ferric/boot"
	"ferric/boot/dhcp"
	"ferric/boot/internal/netlab"
)

var nsNumber atomic.Int64

// counts is an Observer that counts.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) Packet(kind string, outcome dhcp.Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[kind+" "+string(outcome)]++
}

func (c *counts) get(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[key]
}

// wire is a server on eth0 in one namespace, joined by a cable to c0 in another.
type wire struct {
	host, client *netlab.Net
	counts       *counts
	addr         string // MAC of c0
}

func newWire(t *testing.T, change func(*dhcp.Options)) *wire {
	t.Helper()
	w := &wire{host: netlab.New(t, &nsNumber), client: netlab.New(t, &nsNumber), counts: &counts{}, addr: macPXE}
	w.host.Connect("eth0", w.client, "c0")
	w.host.IP("addr", "add", "192.0.2.7/24", "dev", "eth0") // the interface's first address is not the server's
	w.host.IP("addr", "add", server+"/24", "dev", "eth0")
	w.client.IP("link", "set", "c0", "address", w.addr)
	opts := options()
	if change != nil {
		change(&opts)
	}
	srv := dhcp.NewServer(opts, directory(), &dhcp.MemoryLeases{}, slog.New(slog.DiscardHandler), w.counts)
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	w.host.Do(func() { err = srv.Listen(ctx) })
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		goleak.VerifyNone(t)
	})
	return w
}

func (w *wire) nclient(t *testing.T) *nclient4.Client {
	t.Helper()
	var c *nclient4.Client
	var err error
	w.client.Do(func() { c, err = nclient4.New("c0", nclient4.WithTimeout(2*time.Second), nclient4.WithRetry(5)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestWireLease(t *testing.T) {
	for name, broadcast := range map[string]bool{"unicast": false, "broadcast": true} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, nil)
			c := w.nclient(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			lease, err := c.Request(ctx, append(biosPXE[:2:2], dhcpv4.WithBroadcast(broadcast))...)
			if err != nil {
				t.Fatal(err)
			}
			if got := lease.ACK; got.BootFileName != "lpxelinux.0" || !got.ServerIdentifier().Equal(net.ParseIP(server)) || !got.ServerIPAddr.Equal(net.ParseIP(server)) {
				t.Errorf("ACK:\n%s", got.Summary())
			}
		})
	}
}

// TestWireUnicast renews from the address that was given, over an ordinary socket, as an operating system does.
func TestWireUnicast(t *testing.T) {
	w := newWire(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lease, err := w.nclient(t).Request(ctx)
	if err != nil {
		t.Fatal(err)
	}
	address := lease.ACK.YourIPAddr.String()
	w.client.IP("addr", "add", address+"/24", "dev", "c0")
	conn := w.socket(t, address+":68")
	if _, err := conn.WriteToUDPAddrPort(packet(t, w.addr, dhcpv4.MessageTypeRequest, from(address)), netip.MustParseAddrPort(server+":67")); err != nil {
		t.Fatal(err)
	}
	p, peer := receive(t, conn)
	if p.MessageType() != dhcpv4.MessageTypeAck || peer.String() != server+":67" {
		t.Errorf("answer from %s:\n%s", peer, p.Summary())
	}
	if _, err := conn.WriteToUDPAddrPort(packet(t, w.addr, dhcpv4.MessageTypeRelease, from(address), chosen(server)), netip.MustParseAddrPort(server+":67")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "release", func() bool { return w.counts.get("release accepted") == 1 })
}

// TestWireGarbage sends what is no DHCP request, and requests of strangers: nothing may come back, and the server must
// still be there afterwards.
func TestWireGarbage(t *testing.T) {
	w := newWire(t, nil)
	w.client.IP("addr", "add", "192.0.2.99/24", "dev", "c0")
	conn := w.socket(t, "192.0.2.99:68")
	to := netip.MustParseAddrPort(server + ":67")
	sent := 0
	for _, data := range [][]byte{{}, {1}, make([]byte, 239), make([]byte, 240), make([]byte, 9000), []byte("GET / HTTP/1.0\r\n\r\n"),
		packet(t, macUnknown, dhcpv4.MessageTypeDiscover), packet(t, w.addr, dhcpv4.MessageTypeOffer)} {
		if _, err := conn.WriteToUDPAddrPort(data, to); err != nil {
			t.Fatal(err)
		}
		sent++
	}
	seen := func() int {
		return w.counts.get(" garbage") + w.counts.get("discover unknown") + w.counts.get("offer ignored")
	}
	waitFor(t, "all packets to be looked at", func() bool { return seen() == sent })
	// The next answer on this socket must be the one to this request.
	if _, err := conn.WriteToUDPAddrPort(packet(t, w.addr, dhcpv4.MessageTypeInform, from("192.0.2.99")), to); err != nil {
		t.Fatal(err)
	}
	if p, _ := receive(t, conn); p.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("garbage was answered:\n%s", p.Summary())
	}
}

// TestWireRelay is a relay agent: unicast with giaddr, and the answer comes to port 67 of giaddr.
func TestWireRelay(t *testing.T) {
	w := newWire(t, nil)
	w.client.IP("addr", "add", "192.0.2.98/24", "dev", "c0")
	w.client.IP("addr", "add", "198.51.100.1/24", "dev", "c0")
	w.host.IP("route", "add", "198.51.100.0/24", "via", "192.0.2.98")
	conn := w.socket(t, "198.51.100.1:67")
	info := []byte{1, 2, 'p', '7'}
	if _, err := conn.WriteToUDPAddrPort(packet(t, macKnown, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(ip("198.51.100.1")), withBytes(82, info...)), netip.MustParseAddrPort(server+":67")); err != nil {
		t.Fatal(err)
	}
	p, _ := receive(t, conn)
	if p.MessageType() != dhcpv4.MessageTypeOffer || p.YourIPAddr.String() != "198.51.100.10" || string(p.Options[82]) != string(info) {
		t.Errorf("answer to the relay:\n%s", p.Summary())
	}
}

func TestWireProxy(t *testing.T) {
	w := newWire(t, func(o *dhcp.Options) { o.Proxy = true })
	w.client.IP("addr", "add", "192.0.2.97/24", "dev", "c0")
	w.client.IP("route", "add", "default", "dev", "c0") // for the broadcast
	conn := w.socket(t, "0.0.0.0:68")
	if _, err := conn.WriteToUDPAddrPort(packet(t, w.addr, dhcpv4.MessageTypeDiscover, uefiPXE...), netip.MustParseAddrPort(broadcastServer)); err != nil {
		t.Fatal(err)
	}
	if p, _ := receive(t, conn); p.MessageType() != dhcpv4.MessageTypeOffer || p.BootFileName != boot.LoaderGRUBSite || !p.YourIPAddr.Equal(net.IPv4zero) {
		t.Errorf("offer:\n%s", p.Summary())
	}
	// The boot server discovery on port 4011, from any port.
	conn = w.socket(t, "192.0.2.97:0")
	if _, err := conn.WriteToUDPAddrPort(packet(t, w.addr, dhcpv4.MessageTypeRequest, append(uefiPXE[:2:2], from("192.0.2.97"))...), netip.MustParseAddrPort(server+":4011")); err != nil {
		t.Fatal(err)
	}
	p, peer := receive(t, conn)
	if p.MessageType() != dhcpv4.MessageTypeAck || p.BootFileName != boot.LoaderGRUBSite || peer.String() != server+":4011" {
		t.Errorf("answer from %s:\n%s", peer, p.Summary())
	}
}

const broadcastServer = "255.255.255.255:67"

// TestOneInterface has two interfaces, and a request on the one that is not served.
func TestOneInterface(t *testing.T) {
	w := newWire(t, nil)
	w.host.Connect("eth1", w.client, "c1")
	w.host.IP("addr", "add", "192.0.2.6/24", "dev", "eth1")
	var conn *net.UDPConn
	w.client.IP("addr", "add", "192.0.2.96/24", "dev", "c1")
	conn = w.socket(t, "192.0.2.96:68")
	for _, to := range []string{broadcastServer, "192.0.2.6:67", server + ":67"} {
		conn.WriteToUDPAddrPort(packet(t, w.addr, dhcpv4.MessageTypeDiscover), netip.MustParseAddrPort(to)) // refused ones fail here
	}
	// By now those would have been seen; a request on the right interface is seen for sure.
	if _, err := w.nclient(t).DiscoverOffer(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request on eth0", func() bool { return w.counts.get("discover answered") > 0 })
	if n := w.counts.get("discover answered"); n != 1 {
		t.Errorf("%d requests were answered, want the one on eth0 only", n)
	}
}

func TestListenErrors(t *testing.T) {
	host := netlab.New(t, &nsNumber)
	host.Bridge("br0", server+"/24")
	host.Bridge("br1")
	log := slog.New(slog.DiscardHandler)
	listen := func(change func(*dhcp.Options)) (*dhcp.Server, error) {
		opts := options()
		opts.Interface = "br0"
		change(&opts)
		srv := dhcp.NewServer(opts, directory(), &dhcp.MemoryLeases{}, log, nil)
		var err error
		host.Do(func() { err = srv.Listen(context.Background()) })
		return srv, err
	}
	noAddress := func(o *dhcp.Options) { o.Address = netip.Addr{} }
	if _, err := listen(func(o *dhcp.Options) { o.Interface = "eth9" }); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("no such interface: %v, want CodeInvalid", err)
	}
	if _, err := listen(func(o *dhcp.Options) { noAddress(o); o.Interface = "br1" }); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("interface without address: %v, want CodeInvalid", err)
	}
	if _, err := listen(func(o *dhcp.Options) { o.Networks = nil }); !ferric.IsCode(err, ferric.CodeInvalid) {
		t.Errorf("bad options: %v, want CodeInvalid", err)
	}
	first, err := listen(noAddress)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listen(noAddress); !ferric.IsCode(err, ferric.CodeUnavailable) {
		t.Errorf("port in use: %v, want CodeUnavailable", err)
	}
	first.Close()
	again, err := listen(func(o *dhcp.Options) { o.Proxy = true; o.Discovery = boot.FlavorPXE })
	if err != nil {
		t.Errorf("after Close: %v", err)
	}
	again.Close()
	if err := again.Serve(t.Context()); err == nil {
		t.Error("Serve ran on a closed server")
	}
}

// socket opens a UDP socket in the client's namespace.
func (w *wire) socket(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	var err error
	w.client.Do(func() { conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func receive(t *testing.T, conn *net.UDPConn) (*dhcpv4.DHCPv4, netip.AddrPort) {
	t.Helper()
	buf := make([]byte, 2048)
	n, peer, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.FromBytes(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return p, peer
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}
