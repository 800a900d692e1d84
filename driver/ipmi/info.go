package ipmi

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"ferric"
)

// Limits of IPMI 2.0 (13.20, 22.30).
const (
	maxUsernameLen = 16
	maxPasswordLen = 20
	defaultPort    = 623
)

// Privilege is the privilege level of a session (table 22-19).
type Privilege byte

// The privilege levels that driver_info may name.
const (
	Callback      Privilege = 1
	User          Privilege = 2
	Operator      Privilege = 3
	Administrator Privilege = 4
)

var privileges = map[string]Privilege{"CALLBACK": Callback, "USER": User, "OPERATOR": Operator, "ADMINISTRATOR": Administrator}

// String returns the name as driver_info has it.
func (p Privilege) String() string {
	for name, v := range privileges {
		if v == p {
			return name
		}
	}
	return fmt.Sprintf("privilege %d", byte(p))
}

// Secret is a text that prints as "***".
type Secret string

// String hides the text.
func (Secret) String() string { return "***" }

// GoString hides the text.
func (Secret) GoString() string { return `"***"` }

// MarshalText hides the text.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// LogValue hides the text.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// Info says how to reach a BMC and how to treat it: the typed form of a node's driver_info. It is comparable.
type Info struct {
	Address     string // IP address or host name
	Port        uint16 // UDP; 0 means 623
	Username    string // at most 16 bytes; "" is the null user
	Password    Secret // at most 20 bytes
	Key         Secret // the BMC key (Kg), decoded, at most 20 bytes; "" for one-key logins
	Privilege   Privilege
	CipherSuite int // 3 or 17; 0 means whichever of Options.CipherSuites the BMC accepts

	TerminalPort       uint16 // TCP port of the serial console; 0 if not given
	ForceBootDevice    bool   // set the boot device at each power-on: the BMC forgets it
	DisableBootTimeout Choice // whether to tell the BMC not to forget boot flags after 60 s
}

// Choice is a boolean that may be left to a default.
type Choice int8

// The values of Choice.
const (
	Default Choice = iota
	Yes
	No
)

// Or returns the choice, or def where there is none.
func (c Choice) Or(def bool) bool {
	switch c {
	case Yes:
		return true
	case No:
		return false
	}
	return def
}

// Endpoint returns "host:port", an IPv6 address in brackets.
func (i Info) Endpoint() string {
	port := i.Port
	if port == 0 {
		port = defaultPort
	}
	return net.JoinHostPort(i.Address, strconv.Itoa(int(port)))
}

func (i Info) credentials() credentials {
	c := credentials{username: i.Username, password: string(i.Password), key: string(i.Key), privilege: i.Privilege, suite: i.CipherSuite}
	if c.privilege == 0 {
		c.privilege = Administrator
	}
	return c
}

// ParseInfo reads the ipmi_* fields of a node's driver_info, with Ironic's names and defaults. Fields of other
// drivers are ignored. The error (CodeInvalid) names every bad field and the values allowed, never a secret.
func ParseInfo(driverInfo map[string]any) (Info, error) {
	p := parser{info: driverInfo}
	i := Info{
		Address:            p.text("ipmi_address"),
		Port:               p.port("ipmi_port"),
		Username:           p.text("ipmi_username"),
		Password:           Secret(p.text("ipmi_password")),
		Privilege:          Administrator,
		TerminalPort:       p.port("ipmi_terminal_port"),
		ForceBootDevice:    p.choice("ipmi_force_boot_device").Or(false),
		DisableBootTimeout: p.choice("ipmi_disable_boot_timeout"),
	}
	switch {
	case i.Address == "":
		p.bad("ipmi_address", "is required: the IP address or host name of the BMC")
	case !validHost(i.Address):
		p.bad("ipmi_address", "%q is neither an IP address nor a host name", i.Address)
	}
	if len(i.Username) > maxUsernameLen {
		p.bad("ipmi_username", "has %d bytes; IPMI 2.0 allows %d", len(i.Username), maxUsernameLen)
	}
	if len(i.Password) > maxPasswordLen {
		p.bad("ipmi_password", "is longer than the %d bytes that IPMI 2.0 allows", maxPasswordLen)
	}
	if strings.ContainsRune(string(i.Password), 0) {
		p.bad("ipmi_password", "contains a NUL character")
	}
	i.Key = p.key("ipmi_hex_kg_key")
	if name := p.text("ipmi_priv_level"); name != "" {
		level, ok := privileges[strings.ToUpper(name)]
		if !ok {
			p.bad("ipmi_priv_level", "%q is not one of ADMINISTRATOR, CALLBACK, OPERATOR, USER", name)
		}
		i.Privilege = level
	}
	switch v := p.text("ipmi_protocol_version"); v {
	case "", "2.0", "2":
	case "1.5":
		p.bad("ipmi_protocol_version", `1.5 is not supported (it has no encryption); use "2.0"`)
	default:
		p.bad("ipmi_protocol_version", `%q is not supported; use "2.0"`, v)
	}
	if n, ok := p.number("ipmi_cipher_suite"); ok {
		if _, known := suites[n]; !known {
			p.bad("ipmi_cipher_suite", "%d is not supported; use 17 (AES-128 with SHA-256) or 3 (AES-128 with SHA-1), or leave it out to have both tried", n)
		}
		i.CipherSuite = n
	}
	p.bridging()
	if len(p.faults) > 0 {
		slices.Sort(p.faults)
		return Info{}, ferric.Errorf(ferric.CodeInvalid, "driver_info: %s", strings.Join(p.faults, "; "))
	}
	return i, nil
}

// parser collects what is wrong with a driver_info.
type parser struct {
	info   map[string]any
	faults []string
}

func (p *parser) bad(field, format string, args ...any) {
	p.faults = append(p.faults, field+" "+fmt.Sprintf(format, args...))
}

// text returns a string or a number as text, "" if the field is missing or null.
func (p *parser) text(field string) string {
	switch v := p.info[field].(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		p.bad(field, "must be a string")
		return ""
	}
}

func (p *parser) number(field string) (n int, ok bool) {
	text := strings.TrimSpace(p.text(field))
	if text == "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		p.bad(field, "%q is not a whole number", text)
		return 0, false
	}
	return n, true
}

func (p *parser) port(field string) uint16 {
	n, ok := p.number(field)
	if ok && (n < 1 || n > math.MaxUint16) {
		p.bad(field, "%d is not a port number (1 to 65535)", n)
		return 0
	}
	return uint16(n)
}

// choice reads a boolean with the words that OpenStack allows.
func (p *parser) choice(field string) Choice {
	if v, ok := p.info[field].(bool); ok {
		if v {
			return Yes
		}
		return No
	}
	switch text := strings.ToLower(strings.TrimSpace(p.text(field))); text {
	case "":
		return Default
	case "true", "t", "yes", "y", "on", "1":
		return Yes
	case "false", "f", "no", "n", "off", "0":
		return No
	default:
		p.bad(field, "%q is not a boolean (true or false)", text)
		return Default
	}
}

func (p *parser) key(field string) Secret {
	key, err := hex.DecodeString(p.text(field))
	switch {
	case err != nil:
		p.bad(field, "must be hexadecimal with an even number of digits")
	case len(key) > maxPasswordLen:
		p.bad(field, "has %d bytes; IPMI 2.0 allows %d", len(key), maxPasswordLen)
	}
	return Secret(key)
}

// bridging checks the fields of bridged requests and refuses them: the commands of this driver go to the BMC
// that answers at the address.
func (p *parser) bridging() {
	kind := p.text("ipmi_bridging")
	needed := map[string][]string{
		"single": {"ipmi_target_channel", "ipmi_target_address"},
		"dual":   {"ipmi_target_channel", "ipmi_target_address", "ipmi_transit_channel", "ipmi_transit_address"},
	}
	switch kind {
	case "", "no":
		return
	case "single", "dual":
	default:
		p.bad("ipmi_bridging", `%q is not one of "no", "single", "dual"`, kind)
		return
	}
	for _, field := range needed[kind] {
		if p.text(field) == "" {
			p.bad(field, "is required when ipmi_bridging is %q", kind)
		}
	}
	p.bad("ipmi_bridging", `%q is not supported by this driver; use "no" and the address of the BMC itself`, kind)
}

// validHost reports whether s is an IP address or a host name (RFC 1123; underscores, which occur, are allowed).
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return false
			}
		}
	}
	last := labels[len(labels)-1] // all digits: a mistyped IPv4 address
	return strings.Trim(last, "0123456789") != ""
}
