package bmc

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	library "github.com/bougou/go-ipmi/pkg/bmc"
	"github.com/bougou/go-ipmi/pkg/clock"
	"github.com/bougou/go-ipmi/pkg/handlers"
	ipmiserver "github.com/bougou/go-ipmi/pkg/server"
	"github.com/bougou/go-ipmi/pkg/types"

	"ferric"
)

// Chassis is the machine behind the BMC. Calls come one at a time. A call that lasts longer than
// Options.AckWithin is acknowledged to the console before it ends, as real BMCs do.
type Chassis interface {
	// PowerState reports whether the machine has power. It must answer at once.
	PowerState(ctx context.Context) (on bool, err error)
	// PowerOn starts the machine; nothing happens if it is on. The chassis takes the boot device from
	// Server.TakeBoot.
	PowerOn(ctx context.Context) error
	// PowerOff takes the power away at once; nothing happens if it is off.
	PowerOff(ctx context.Context) error
	// Reset restarts the machine without taking the power away. It is not called while the machine is off.
	Reset(ctx context.Context) error
	// SoftOff asks the operating system to shut down, and does not wait for it.
	SoftOff(ctx context.Context) error
	// NMI raises a non-maskable interrupt.
	NMI(ctx context.Context) error
}

// Attacher is an optional part of Chassis: Attach gives it its BMC before the first other call.
type Attacher interface {
	Attach(s *Server)
}

// User is an account of the BMC.
type User struct {
	Name      string // at most 16 bytes; "" is the null user
	Password  string // at most 20 bytes
	Privilege byte   // 2 user, 3 operator, 4 administrator; 0 means administrator
}

// Options are the settings of a Server.
type Options struct {
	Address      string        // UDP address to listen on; default "127.0.0.1:0"
	Users        []User        // at least one
	CipherSuites []int         // of 1, 2, 3, 15, 16, 17; default 3 and 17
	Key          string        // the BMC key (Kg), at most 20 bytes; "" for logins with the password alone
	GUID         string        // UUID of the machine, as its SMBIOS has it
	Sensors      []Sensor      // default: one temperature
	MaxSessions  int           // default 8
	AckWithin    time.Duration // how long a console waits for a power action to end; default 500 ms

	// Console opens the machine's serial console for serial over LAN; nil if there is none. The stream is
	// closed when the console disconnects.
	Console func(ctx context.Context) (io.ReadWriteCloser, error)

	Now    func() time.Time // for the boot flags' time limit; default time.Now
	Logger *slog.Logger     // default: nothing is logged
}

// Server is a running BMC.
type Server struct {
	opts    Options
	chassis Chassis
	log     *slog.Logger
	conn    *conn
	bmc     *library.BMC
	server  *ipmiserver.Server
	sdr     *sdrStore
	boot    bootOptions

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	action sync.Mutex // held during a Chassis call that changes the machine

	mu         sync.Mutex
	closed     bool
	identify   time.Time // until when the lamp is on
	sessions   map[uint32]bool
	commands   map[string]int
	lastAction string
}

// Start starts a BMC for the chassis. CodeInvalid for options that cannot work; CodeUnavailable if the address
// cannot be bound.
func Start(chassis Chassis, o Options) (*Server, error) {
	guid, err := o.complete()
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenPacket("udp", o.Address)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeUnavailable, "start virtual BMC: %w", err)
	}
	s := &Server{opts: o, chassis: chassis, log: o.Logger, conn: newConn(udp), sdr: newSDRStore(o.Sensors, o.Now()),
		boot: bootOptions{now: o.Now}, sessions: map[uint32]bool{}, commands: map[string]int{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	var kg []byte
	if o.Key != "" { // the library hashes with exactly the bytes given; the key has 20
		kg = make([]byte, 20)
		copy(kg, o.Key)
	}
	s.bmc = library.New(library.DeviceInfo{
		DeviceID: 0x20, DeviceRevision: 1, FirmwareMajor: 1, FirmwareMinor: 0x00, IPMIVersion: 0x02,
		ManufacturerID: 7154, ProductID: 0x4645, // the IPMI forum's number, which stands for no vendor
		AdditionalDeviceSupport: 0x80 | 0x01, // chassis device, sensor device
	}, guid, &hardware{server: s}, library.WithKG(kg))
	s.bmc.Sessions = library.NewSessionStoreWithOptions(clock.Real, library.WithMaxSessions(o.MaxSessions))
	s.bmc.Sessions.SetOnRemove(func(id uint32) {
		s.mu.Lock()
		delete(s.sessions, id)
		s.mu.Unlock()
		s.bmc.SOL.DeactivateBySession(id)
	})
	if err := s.addUsers(); err != nil {
		udp.Close()
		return nil, err
	}
	registry := handlers.NewRegistry()
	registry.Use(s.track)
	handlers.RegisterAllHandlers(registry)
	s.register(registry)
	suites := make([]types.CipherSuiteID, len(o.CipherSuites))
	for i, id := range o.CipherSuites {
		suites[i] = types.CipherSuiteID(id)
	}
	s.server = ipmiserver.NewServer(s.bmc, s.conn, ipmiserver.WithHandlerRegistry(registry),
		ipmiserver.WithCipherSuites(suites), ipmiserver.WithV15Disabled())
	if a, ok := chassis.(Attacher); ok {
		a.Attach(s)
	}
	s.wg.Go(func() { s.server.Serve(s.ctx) })
	return s, nil
}

// complete fills in defaults and checks.
func (o *Options) complete() (guid [16]byte, err error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if len(o.CipherSuites) == 0 {
		o.CipherSuites = []int{3, 17}
	}
	for _, id := range o.CipherSuites {
		if id < 1 || id > 255 || !library.SupportedCipherSuite(types.CipherSuiteID(id)) {
			return guid, ferric.Errorf(ferric.CodeInvalid, "virtual BMC: cipher suite %d is not supported", id)
		}
	}
	if len(o.Key) > 20 {
		return guid, ferric.Errorf(ferric.CodeInvalid, "virtual BMC: the key has %d bytes; 20 are possible", len(o.Key))
	}
	if len(o.Users) == 0 || len(o.Users) > 62 {
		return guid, ferric.Errorf(ferric.CodeInvalid, "virtual BMC: %d users given; 1 to 62 are possible", len(o.Users))
	}
	for _, u := range o.Users {
		if len(u.Name) > 16 || len(u.Password) > 20 || u.Privilege > 4 {
			return guid, ferric.Errorf(ferric.CodeInvalid, "virtual BMC: user %q: the name may have 16 bytes, the password 20, the privilege is 2 to 4", u.Name)
		}
	}
	if o.GUID != "" {
		b, err := hex.DecodeString(strings.ReplaceAll(o.GUID, "-", ""))
		if err != nil || len(b) != 16 {
			return guid, ferric.Errorf(ferric.CodeInvalid, "virtual BMC: GUID %q is not a UUID", o.GUID)
		}
		// The byte order of SMBIOS: the first three fields little-endian.
		guid = [16]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}
		copy(guid[8:], b[8:])
	} else {
		guid[0] = 1 // not all zero, which some consoles take for "none"
	}
	if len(o.Sensors) == 0 {
		o.Sensors = []Sensor{{Name: "CPU Temp", Kind: Temperature, Read: func() (float64, bool) { return 40, true }, UpperNonCritical: 80, UpperCritical: 90}}
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = 8
	}
	if o.AckWithin <= 0 {
		o.AckWithin = 500 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return guid, nil
}

func (s *Server) addUsers() error {
	for i, u := range s.opts.Users {
		privilege := library.PrivilegeLevel(u.Privilege)
		if privilege == 0 {
			privilege = library.PrivilegeLevelAdministrator
		}
		id := uint8(i + 2) // slot 1 is the null user's
		if u.Name == "" {
			id = 1
		}
		err := s.bmc.Users.Upsert(id, func(slot *library.User) error {
			slot.Name, slot.Enabled = u.Name, true
			slot.SetPassword([]byte(u.Password))
			slot.ChannelAccess = map[uint8]library.UserChannelAccess{1: {Enabled: true, MaxPrivilege: privilege}}
			return nil
		})
		if err != nil {
			return ferric.Errorf(ferric.CodeInvalid, "virtual BMC: user %q: %w", u.Name, err)
		}
	}
	return nil
}

// Addr is the UDP address that the BMC listens on.
func (s *Server) Addr() *net.UDPAddr { return s.conn.udp.LocalAddr().(*net.UDPAddr) }

// Close stops the BMC and waits.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	err := s.server.Close()
	s.wg.Wait()
	return err
}

// Boot is the boot device override that the machine's firmware would apply (table 28-14, parameter 5).
type Boot struct {
	Valid      bool // there is an override
	Persistent bool
	UEFI       bool
	Device     string  // "none", "pxe", "disk", "safe", "diag", "cdrom", "bios", "floppy" or "selector 0x.."
	Raw        [5]byte // the flags as they were set
}

// Boot returns the present override.
func (s *Server) Boot() Boot { return s.boot.get() }

// TakeBoot returns the override for a boot that begins now, and clears it if it was for the next boot only. A
// chassis calls it at power-on and at reset.
func (s *Server) TakeBoot() Boot { return s.boot.take() }

// Identifying reports whether the identification lamp is on.
func (s *Server) Identifying() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Now().Before(s.identify)
}

// Stats are what a test wants to know about a server.
type Stats struct {
	Datagrams int // received
	Logins    int // requests to open a session, received
	Sessions  int // in which a command was executed, and which are open
	Commands  map[string]int
}

// Stats returns the present values. Commands are counted by name of the library, e.g. "Get Chassis Status".
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Sessions: len(s.sessions), Commands: map[string]int{}}
	for name, n := range s.commands {
		st.Commands[name] = n
	}
	st.Datagrams, st.Logins = s.conn.counts()
	return st
}

// SetFaults makes the server misbehave from now on; Faults{} makes it well again.
func (s *Server) SetFaults(f Faults) { s.conn.setFaults(f) }

// ForgetSessions ends all sessions without telling anybody, as a restart of the BMC does.
func (s *Server) ForgetSessions() {
	s.mu.Lock()
	var ids []uint32
	for id := range s.sessions {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		s.bmc.Sessions.Close(id)
	}
}

// SetSensors replaces the machine's sensors, as a new firmware or a new part does.
func (s *Server) SetSensors(sensors []Sensor) { s.sdr.set(sensors, s.opts.Now()) }

// track counts commands, keeps the list of sessions, and refuses commands once the server is closed.
func (s *Server) track(next handlers.Handler) handlers.Handler {
	return handlers.HandlerFunc(func(_ context.Context, h *handlers.HandlerContext, data []byte) ([]byte, types.CompletionCode, error) {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, types.CodeNodeBusy, nil
		}
		s.wg.Add(1)
		name := h.Command.Name
		if name == "" {
			name = fmt.Sprintf("0x%02x 0x%02x", byte(h.Command.NetFn), h.Command.ID)
		}
		s.commands[name]++
		if h.Session != nil {
			s.sessions[h.Session.BMCID] = true
		}
		s.mu.Unlock()
		defer s.wg.Done()
		reply, code, err := next.Handle(s.ctx, h, data)
		s.log.Debug("IPMI command", "command", name, "request", hex.EncodeToString(data), "code", byte(code), "reply", hex.EncodeToString(reply))
		return reply, code, err
	})
}
