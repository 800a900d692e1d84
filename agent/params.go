package agent

import (
	"strconv"
	"strings"
	"time"

	"ferric/agent/links"
)

// Params are what the kernel's command line says.
type Params struct {
	APIURLs        []string
	InspectionURLs []string
	Collectors     []string
	Insecure       bool
	Debug          bool
	Token          string
	AdvertiseHost  string
	ListenPort     int
	BootIF         string // as the boot loader gave it: "01-52-54-00-12-34-56"
	CollectLLDP    bool
	LLDPTimeout    time.Duration
	DHCPWait       time.Duration // inspection waits this long for addresses
	DHCPAll        bool          // of all links, not only of the one that booted
	DiskWait       time.Duration
	Guard          bool
	IgnoreLoader   bool
	Static         []links.Static
	// Problems are values that could not be used; the defaults stand in for them.
	Problems []string
}

// ParseParams reads a kernel command line. Values may be quoted; of a repeated one the last counts.
func ParseParams(cmdline string) Params {
	p := Params{ListenPort: 9999, LLDPTimeout: 30 * time.Second, DHCPWait: time.Minute, DiskWait: 30 * time.Second, Guard: true}
	values := map[string]string{}
	for _, word := range splitQuoted(cmdline) {
		key, value, _ := strings.Cut(word, "=")
		if key == "ip" {
			p.static(value)
			continue
		}
		values[key] = value
	}
	p.APIURLs = list(values["ipa-api-url"])
	p.InspectionURLs = list(values["ipa-inspection-callback-url"])
	p.Collectors = list(values["ipa-inspection-collectors"])
	p.Token, p.AdvertiseHost, p.BootIF = values["ipa-agent-token"], values["ipa-advertise-host"], values["BOOTIF"]
	p.flag(values, "ipa-insecure", &p.Insecure)
	p.flag(values, "ipa-debug", &p.Debug)
	p.flag(values, "ipa-collect-lldp", &p.CollectLLDP)
	p.flag(values, "ipa-inspection-dhcp-all-interfaces", &p.DHCPAll)
	p.flag(values, "ipa-guard-special-filesystems", &p.Guard)
	p.flag(values, "ipa-ignore-bootloader-failure", &p.IgnoreLoader)
	p.number(values, "ipa-listen-port", func(n float64) { p.ListenPort = int(n) })
	p.number(values, "ipa-lldp-timeout", func(n float64) { p.LLDPTimeout = seconds(n) })
	p.number(values, "ipa-inspection-dhcp-wait-timeout", func(n float64) { p.DHCPWait = seconds(n) })
	attempts, delay := 10.0, 3.0
	p.number(values, "ipa-disk-wait-attempts", func(n float64) { attempts = n })
	p.number(values, "ipa-disk-wait-delay", func(n float64) { delay = n })
	p.DiskWait = seconds(attempts * delay)
	for _, urls := range []*[]string{&p.APIURLs, &p.InspectionURLs} {
		for _, u := range *urls {
			if u == "mdns" {
				p.Problems = append(p.Problems, "mdns is not supported; give a URL")
				*urls = nil
				break
			}
		}
	}
	return p
}

// seconds bounds what people write: a day is enough for any wait here.
func seconds(n float64) time.Duration {
	return time.Duration(min(n, 86400) * float64(time.Second))
}

func (p *Params) static(value string) {
	s, ok, err := links.ParseIP(value)
	switch {
	case err != nil:
		p.Problems = append(p.Problems, err.Error())
	case ok:
		p.Static = append(p.Static, s)
	}
}

func (p *Params) flag(values map[string]string, key string, to *bool) {
	v, ok := values[key]
	if !ok {
		return
	}
	switch strings.ToLower(v) {
	case "1", "t", "true", "on", "y", "yes":
		*to = true
	case "0", "f", "false", "off", "n", "no":
		*to = false
	default:
		p.Problems = append(p.Problems, key+"="+v+" is not a boolean")
	}
}

func (p *Params) number(values map[string]string, key string, set func(float64)) {
	v, ok := values[key]
	if !ok {
		return
	}
	n, err := strconv.ParseFloat(v, 64)
	if err != nil || !(n >= 0 && n < 1<<31) {
		p.Problems = append(p.Problems, key+"="+v+" is not a number that makes sense")
		return
	}
	set(n)
}

// MAC is the address in BOOTIF, with colons and in lower case, "" if there is none.
func (p Params) MAC() string {
	s := strings.ToLower(p.BootIF)
	if strings.Count(s, "-") == 6 { // with the hardware type before it
		_, s, _ = strings.Cut(s, "-")
	}
	s = strings.ReplaceAll(s, "-", ":")
	if strings.Count(s, ":") != 5 {
		return ""
	}
	return s
}

func list(s string) []string {
	var out []string
	for _, v := range strings.Split(s, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// splitQuoted splits at blanks that are not inside double quotes, and drops the quotes, as the kernel does.
func splitQuoted(s string) []string {
	var out []string
	var cur strings.Builder
	quoted := false
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case !quoted && (r == ' ' || r == '\t' || r == '\n'):
			if cur.Len() > 0 {
				out = append(out, cur.String())
				cur.Reset()
			}
		default:
			cur.WriteRune(r)
		}
	}
	if cur.Len() > 0 {
		out = append(out, cur.String())
	}
	return out
}
