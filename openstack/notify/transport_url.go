package notify

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ferric"
)

// Transport is what a transport URL names.
type Transport struct {
	Hosts []Host
	VHost string
	TLS   bool
}

// Host is a broker.
type Host struct{ Address, User, Password string }

// ParseTransportURL reads a URL in oslo.messaging's form: rabbit://user:password@host:port,user:password@host:port/vhost. A host without
// a user has that of the one before it, the first one guest. The schemes rabbit, kombu, amqp mean RabbitMQ; amqps and ?ssl=true encrypt. Errors show no
// passwords.
func ParseTransportURL(s string) (Transport, error) {
	bad := func(why string) (Transport, error) {
		return Transport{}, ferric.Errorf(ferric.CodeInvalid, "%s: write rabbit://user:password@host:5672/vhost, more hosts separated by commas", why)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !slices.Contains([]string{"rabbit", "kombu", "amqp", "amqps"}, scheme) {
		return bad("the scheme must be rabbit, kombu, amqp or amqps")
	}
	t := Transport{VHost: "/", TLS: scheme == "amqps"}
	rest, query, _ := strings.Cut(rest, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return bad("what follows the question mark is no query")
	}
	for name, values := range options {
		switch last := values[len(values)-1]; {
		case name == "ssl":
			on, err := strconv.ParseBool(last)
			if err != nil {
				return bad("ssl must be true or false")
			}
			t.TLS = t.TLS || on
		default:
			return bad("the option " + strconv.Quote(name) + " is not known; the others are settings of their own")
		}
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if path != "" {
		if t.VHost, err = url.PathUnescape(path); err != nil {
			return bad("the virtual host is not escaped well")
		}
	}
	user, password := "guest", "guest"
	for host := range strings.SplitSeq(hosts, ",") {
		if at := strings.LastIndexByte(host, '@'); at >= 0 {
			name, word, _ := strings.Cut(host[:at], ":")
			var e1, e2 error
			user, e1 = url.PathUnescape(name)
			password, e2 = url.PathUnescape(word)
			if e1 != nil || e2 != nil {
				return bad("a user or a password is not escaped well")
			}
			host = host[at+1:]
		}
		name, port, err := splitHost(host, t.TLS)
		if err != nil || name == "" {
			return bad("a host is missing, or its port is none")
		}
		t.Hosts = append(t.Hosts, Host{net.JoinHostPort(name, port), user, password})
	}
	return t, nil
}

func splitHost(host string, tls bool) (name, port string, err error) {
	port = "5672"
	if tls {
		port = "5671"
	}
	if !strings.Contains(host, ":") || strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return strings.Trim(host, "[]"), port, nil
	}
	if name, port, err = net.SplitHostPort(host); err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return name, port, err
}
